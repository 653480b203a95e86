//! Judges a PostgreSQL statement before it runs.
//!
//! What enters: the text of a statement, a [`Catalog`] that answers what its names mean, and a
//! [`Policy`] with bounds and lists. What leaves: a [`Judgement`] with effect, tables and columns
//! touched, functions called and the values that count as arguments, or a [`Refusal`] with a reason
//! code. What always holds: PostgreSQL's own grammar reads the text; what is not understood is
//! refused; a judgement may name more than the statement touches and never less; size, depth and
//! number of nodes are bounded; nothing here panics, blocks or looks at a clock.
//!
//! Not here: deciding whether a task may do it (the caller's policy reads the judgement), and
//! keeping the catalog's snapshot fresh.

mod builtins;
mod call;
mod catalog;
mod dml;
mod expr;
mod from;
mod judge;
mod judgement;
mod literal;
mod names;
mod output;
mod policy;
mod query;
mod reach;
mod refusal;
mod relation;
mod session;
mod shape;
mod snapshot;
mod special;
mod utility;
mod values;
mod walker;

pub use catalog::{Catalog, ForeignKey, Function, Relation, RelationKind, Rule, Trigger, Volatility};
pub use judge::judge;
pub use judgement::{Access, Effect, Given, How, Judgement, Names, Source, TableName, Touch, Value, Via};
pub use policy::{Limits, Policy};
pub use refusal::{Reason, Refusal};
pub use session::Session;
pub use shape::Shape;
pub use snapshot::{SNAPSHOT_SQL, Snapshot, SnapshotError};
