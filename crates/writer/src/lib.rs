//! The one write connection of the embedded store.
//!
//! What enters: units of work of the control plane, and the records of decisions. What leaves: for
//! each, once it is durable or surely not, what became of it. What always holds: one thread writes;
//! a batch is one transaction; sequence numbers and chain hashes are given when a batch is taken and
//! count only once it has committed; a unit whose guard fails takes back only itself; whatever goes
//! wrong, nothing is called durable that is not.

mod catalogue;
mod chain;
mod checkpoint;
mod fault;
mod ledger;
mod numbers;
mod queue;
mod reader;
mod room;
mod stats;
mod unit;
mod worker;
mod writer;

pub use chain::Head;
pub use fault::Fault;
pub use ledger::UnitOutcome;
pub use rusqlite::types::Value;
pub use unit::{Home, NewRecord, Statement, Unit};
pub use writer::Writer;
