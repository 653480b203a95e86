//! The bounds and lists that a judge works with.

use std::collections::BTreeSet;

/// How much of a statement is read at all.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of its text.
    pub bytes: usize,
    /// How deep it may nest, views and their views included.
    pub depth: usize,
    /// Nodes of the parse tree, those of views included.
    pub nodes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 64 * 1024, depth: 200, nodes: 20_000 }
    }
}

/// What a bundle says of a database, beyond what a task may do there.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The bounds.
    pub limits: Limits,
    /// Functions of the database's users that somebody has read, as `schema.name`.
    pub functions: BTreeSet<String>,
    /// Trigger functions that somebody has read, as `schema.name`.
    pub triggers: BTreeSet<String>,
    /// Whether the system catalogs may be read.
    pub catalog: bool,
    /// Whether foreign tables may be touched.
    pub foreign_tables: bool,
}
