//! A task held to its intent: each behaviour, and that a restart forgets none of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]
#![allow(clippy::needless_pass_by_value, clippy::too_many_lines, reason = "a test reads from top to bottom")]

#[path = "../common/mod.rs"]
mod common;
mod kit;

mod approvals;
mod children;
mod labels;
mod ladder;
mod memory;
mod order;
mod plan;
mod race;
mod restore;
