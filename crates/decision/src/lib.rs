//! The decision: live tasks, intent, budgets, policies, records. Pure: no clock, no I/O, no threads.
//!
//! What enters: compiled bundles, tasks whose opening is durable, calls, and the time. What leaves:
//! verdicts, drafts of records, events. What always holds: an allow leaves only through
//! [`Plane::release`], which looks at the fence once more; a fenced task never allows again; what
//! errs, is unknown or is late is refused; our own faults are never a deviation.
//!
//! The way of a check: `check` (order and lock), `program` (intent and budgets), `scope` and `cedar`
//! (policies), `record` (what is written), `flow` (the sink and the answer).

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test that cannot go on fails"
    )
)]

mod apply;
mod approval;
mod bundle;
mod call;
mod cedar;
mod check;
mod children;
#[cfg(test)]
mod conformance;
mod context;
mod counters;
mod decide;
mod deviation;
mod diagnostic;
mod distinct;
mod document;
mod engine;
mod events;
mod flow;
mod fold;
mod hurdle;
mod ids;
mod instances;
mod intent;
mod json;
mod needs;
mod noted;
mod open;
mod pep;
mod plan;
mod plane;
mod profile;
mod program;
mod record;
mod release;
mod report;
mod scope;
mod seal;
mod settle;
mod sink;
mod story;
mod task;
mod taskless;
mod together;
mod value;
mod verdict;
mod view;
mod wheel;
mod write;

pub use call::{Call, Now, TasklessCall};
pub use diagnostic::{Diagnostic, LoadError, LoadReport};
pub use events::Waker;
pub use flow::{Carried, Clock};
pub use json::canonical;
pub use noted::Noted;
pub use pep::{Pep, PepIdentity, PepTable, Trust};
pub use plane::{Due, FenceHook, Plane, PlaneConfig, Refusal};
pub use release::{Checked, Released};
pub use sink::{CounterCharge, Done, NotTaken, RecordDraft, Sink, Written};
pub use together::{Counted, Form, Room};
pub use verdict::{Effect, Reaction, Reason, Verdict};
