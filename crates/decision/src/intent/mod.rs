//! Where arguments come from: what is kept of results, and how a call is held against it.
//!
//! [`Program`] is compiled from a profile once. [`Given`] is made from a task's inputs once.
//! [`extract`] takes from a reported result what the profile may ask for later ([`Kept`]), and
//! [`Memory`] holds it. [`judge`] answers for one call and one rule.

mod asked;
mod breach;
mod chain;
mod cited;
mod demand;
mod explain;
mod extract;
mod fact;
mod flow;
mod form;
mod given;
mod judge;
mod kept;
mod key;
mod kinds;
mod labels;
mod memory;
mod path;
mod phrase;
mod place;
mod program;
mod rows;
mod seek;
mod siphash;
mod store;
mod temporal;
mod values;
mod walk;
mod work;
mod written;

pub(crate) use breach::{Breach, BreachKind, Seen};
pub(crate) use demand::Demands;
pub(crate) use extract::{Report, content, extract};
pub(crate) use given::Given;
pub(crate) use judge::{Ask, Origins, judge};
pub(crate) use kept::Kept;
pub(crate) use key::MemoryKey;
pub(crate) use labels::LabelSet;
pub(crate) use memory::Memory;
pub(crate) use path::{Leaf, Path};
pub(crate) use program::Program;
pub(crate) use values::{planned, values};

#[cfg(test)]
mod tests;
