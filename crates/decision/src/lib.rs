//! The decision: live tasks, intent, budgets, policies, records. Pure: no clock, no I/O, no threads.
//!
//! What enters: compiled bundles, tasks whose opening is durable, calls, and the time. What leaves:
//! verdicts, drafts of records, events. What always holds: an allow leaves only through
//! [`Plane::release`], which looks at the fence once more; a fenced task never allows again; what
//! errs, is unknown or is late is refused; our own faults are never a deviation.

mod call;
mod plane;
mod sink;
mod verdict;

pub use call::{Call, Now, TasklessCall};
pub use plane::{Checked, Pep, PepIdentity, PepTable, Plane, PlaneConfig, Released};
pub use sink::{CounterCharge, Done, NotTaken, RecordDraft, Sink, Written};
pub use verdict::{Effect, Reaction, Reason, Verdict};
