//! What a judge must know of a database.

use crate::judgement::TableName;
use serde::Deserialize;
use std::sync::OnceLock;

/// Answers what names mean. An implementation must answer for one moment of the database.
pub trait Catalog {
    /// The database's name.
    fn database(&self) -> &str;
    /// The pinned search path, without the implicit `pg_catalog` in front.
    fn search_path(&self) -> &[String];
    /// The relation of that schema and name.
    fn relation(&self, schema: &str, name: &str) -> Option<&Relation>;
    /// The relation of that number.
    fn relation_by_oid(&self, oid: u32) -> Option<&Relation>;
    /// All functions, procedures and aggregates of that schema and name.
    fn functions(&self, schema: &str, name: &str) -> &[Function];
    /// The functions behind operators of that name that are not PostgreSQL's own, as schema and name.
    fn operator_functions(&self, operator: &str) -> &[(String, String)];
    /// The functions that a cast to, or a domain of, that type runs and that are not PostgreSQL's own.
    fn type_functions(&self, type_name: &str) -> &[(String, String)];
}

/// The kinds of relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum RelationKind {
    /// An ordinary table.
    #[serde(rename = "r")]
    Table,
    /// A partitioned table.
    #[serde(rename = "p")]
    Partitioned,
    /// A view.
    #[serde(rename = "v")]
    View,
    /// A materialized view.
    #[serde(rename = "m")]
    Materialized,
    /// A foreign table.
    #[serde(rename = "f")]
    Foreign,
    /// A sequence.
    #[serde(rename = "S")]
    Sequence,
    /// An index, a composite type or TOAST: not readable by a statement.
    #[serde(other)]
    Other,
}

/// A relation.
#[derive(Debug, Clone, Deserialize)]
pub struct Relation {
    /// Its number.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: RelationKind,
    /// Its columns in order, without the dropped.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Partitions and children, direct ones.
    #[serde(default)]
    pub children: Vec<u32>,
    /// A view's query, every name qualified.
    #[serde(default)]
    pub definition: Option<String>,
    /// Rewrite rules, a view's own `_RETURN` not among them.
    #[serde(default)]
    pub rules: Vec<Rule>,
    /// Triggers of users, enabled ones.
    #[serde(default)]
    pub triggers: Vec<Trigger>,
    /// Foreign keys from here.
    #[serde(default)]
    pub references: Vec<ForeignKey>,
    /// Foreign keys to here.
    #[serde(default)]
    pub referenced: Vec<ForeignKey>,
    /// Whether row security is on.
    #[serde(default)]
    pub row_security: bool,
    /// Relations that its row-security policies read.
    #[serde(default)]
    pub policy_reads: Vec<u32>,
    /// Functions that are not PostgreSQL's own and run when it is read or written: of defaults,
    /// checks, generated columns, indexes, policies, casts of its columns' types.
    #[serde(default)]
    pub functions: Vec<(String, String)>,
    /// Sequences that its defaults move.
    #[serde(default)]
    pub sequences: Vec<u32>,
    /// Made of schema and name when it is first asked for.
    #[serde(skip)]
    full_name: OnceLock<TableName>,
}

impl Relation {
    /// Its full name.
    pub fn full_name(&self) -> TableName {
        self.full_name.get_or_init(|| TableName::new(&self.schema, &self.name)).clone()
    }
}

/// A rewrite rule.
#[derive(Debug, Clone, Deserialize)]
pub struct Rule {
    /// Its name.
    pub name: String,
    /// `2` update, `3` insert, `4` delete, as `pg_rewrite.ev_type` has it.
    pub event: String,
}

/// A trigger.
#[derive(Debug, Clone, Deserialize)]
pub struct Trigger {
    /// Its name.
    pub name: String,
    /// Its function, as schema and name.
    pub function: (String, String),
    /// The bits of `pg_trigger.tgtype`.
    pub bits: u32,
}

impl Trigger {
    const INSTEAD: u32 = 64;

    /// Whether it stands in for the change of a view.
    pub const fn instead(&self) -> bool {
        self.bits & Self::INSTEAD != 0
    }
}

/// A foreign key.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignKey {
    /// The relation at the other end.
    pub other: u32,
    /// The columns at this end.
    pub columns: Vec<String>,
    /// The columns at the other end.
    pub other_columns: Vec<String>,
    /// `a` no action, `r` restrict, `c` cascade, `n` set null, `d` set default.
    pub on_delete: String,
    /// The same for a change of the key.
    pub on_update: String,
}

/// `pg_proc.provolatile`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Volatility {
    /// Depends on its arguments alone.
    #[serde(rename = "i")]
    Immutable,
    /// Reads, and writes nothing itself.
    #[serde(rename = "s")]
    Stable,
    /// May do anything.
    #[serde(rename = "v")]
    Volatile,
}

/// A function, procedure or aggregate.
#[derive(Debug, Clone, Deserialize)]
pub struct Function {
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub name: String,
    /// `f` function, `p` procedure, `a` aggregate, `w` window.
    pub kind: String,
    /// Its volatility.
    pub volatility: Volatility,
    /// The least number of arguments.
    pub least: usize,
    /// The greatest number of arguments.
    pub most: usize,
    /// Whether it is PostgreSQL's own.
    pub builtin: bool,
    /// Whether an extension brought it, written in C.
    pub extension: bool,
}
