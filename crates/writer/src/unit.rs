//! What is handed to the writer.

use rusqlite::types::Value;

/// One statement of a unit of work: an INSERT, UPDATE, DELETE or REPLACE.
#[derive(Clone, Debug)]
pub struct Statement {
    /// The SQL text, with numbered parameters.
    pub sql: String,
    /// Its parameters, in order.
    pub params: Vec<Value>,
    /// The number of rows it must change; another number is a conflict. None takes any.
    pub expect: Option<u64>,
}

/// A record of the control plane, on its way into the chain.
#[derive(Clone, Debug)]
pub struct NewRecord {
    /// The task it concerns.
    pub task: Option<String>,
    /// Its kind.
    pub kind: String,
    /// Wall time in milliseconds.
    pub at_ms: i64,
    /// The canonical body that the chain covers.
    pub body: Vec<u8>,
    /// Ciphertext beside it, covered by its digest.
    pub sealed: Option<Vec<u8>>,
}

/// Writes that become durable together, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Unit {
    /// Run first, in order.
    pub statements: Vec<Statement>,
    /// Then appended to the chain, in order.
    pub records: Vec<NewRecord>,
}

/// Where counters across tasks are at home; written beside each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The cell.
    pub cell: String,
    /// The node.
    pub node: String,
    /// The node's fencing epoch.
    pub epoch: u32,
}

impl Statement {
    /// Whether the statement only changes rows. Anything that would end the shared transaction, or
    /// change the connection, is not for a unit of work.
    pub(crate) fn changes_rows_only(&self) -> bool {
        let word = self.sql.trim_start().split(|c: char| !c.is_ascii_alphabetic()).next();
        word.is_some_and(|word| {
            ["INSERT", "UPDATE", "DELETE", "REPLACE"].iter().any(|verb| word.eq_ignore_ascii_case(verb))
        })
    }
}
