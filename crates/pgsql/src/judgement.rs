//! What a statement does, in facts.

use crate::session::Session;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// What kind of effect a statement has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Effect {
    /// Touches nothing but its own session.
    Session,
    /// Reads.
    Select,
    /// Adds rows.
    Insert,
    /// Changes rows, or moves a sequence.
    Update,
    /// Removes rows.
    Delete,
    /// Calls a procedure from the policy's list.
    Call,
}

/// How one table is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Columns read.
    Select,
    /// Columns given to new rows.
    Insert,
    /// Columns changed.
    Update,
    /// Rows removed; no columns.
    Delete,
    /// All rows removed; no columns.
    Truncate,
    /// Rows locked (`FOR UPDATE` and the like); no columns.
    Lock,
}

/// A table's full name. A judgement says it often: a copy costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName(Arc<Names>);

/// What a [`TableName`] consists of.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Names {
    /// Its schema.
    pub schema: String,
    /// Its name there.
    pub name: String,
}

impl TableName {
    /// The table of that name in that schema.
    pub fn new(schema: &str, name: &str) -> Self {
        Self(Arc::new(Names { schema: schema.into(), name: name.into() }))
    }
}

impl Deref for TableName {
    type Target = Names;

    fn deref(&self) -> &Names {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How a statement came to touch a table.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Via {
    /// It names it.
    Direct,
    /// Through this view's definition.
    View(TableName),
    /// As a partition or child of this table.
    Parent(TableName),
    /// Through a foreign key of, or to, this table.
    ForeignKey(TableName),
    /// Through a row-security policy of this table.
    RowSecurity(TableName),
    /// By a default of a column of this table (its sequence).
    Default(TableName),
}

/// One table, touched in one way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Touch {
    /// Which table.
    pub table: TableName,
    /// How.
    pub access: Access,
    /// On which way.
    pub via: Via,
}

/// A value that the statement brings.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// A bound parameter, `$1` and up.
    Parameter(u32),
    /// A string's text, after its quoting.
    Text(String),
    /// A number's text.
    Number(String),
    /// A truth value.
    Boolean(bool),
}

/// What the value is used for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Compared with the columns, by this operator (`=`, `IN`, `LIKE`, `BETWEEN` …).
    Compared(String),
    /// Given to the columns.
    Assigned,
    /// An argument of this function.
    Argument(String),
    /// Anything else.
    Free,
}

/// A value with what it meets: it counts as an argument of the call.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value {
    /// Where it comes from.
    pub source: Source,
    /// The columns it is compared with or given to.
    pub columns: Vec<(TableName, String)>,
    /// How it is used.
    pub how: How,
}

/// What a column of one new or changed row is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Given {
    /// Exactly this value.
    Value(Source),
    /// NULL.
    Null,
    /// Something that the text does not tell: an expression, a default, a row of a query.
    Unknown,
}

/// All that a statement does.
#[derive(Debug, Clone, Default)]
pub struct Judgement {
    /// Every kind of effect that it has.
    pub effects: BTreeSet<Effect>,
    /// Tables touched, with the columns.
    pub tables: BTreeMap<Touch, BTreeSet<String>>,
    /// Functions called, by itself or by what it reaches, as `schema.name`.
    pub functions: BTreeSet<String>,
    /// Triggers that fire, as `schema.table.trigger`.
    pub triggers: BTreeSet<String>,
    /// Tables with row security among those touched.
    pub row_security: BTreeSet<TableName>,
    /// The values it brings, in the order of reading.
    pub values: Vec<Value>,
    /// What columns are given by name of table, way and column: one entry for each row or clause of the text. A
    /// column that is not here is given its default, or is given something on a way that the text does not show.
    pub given: BTreeMap<(TableName, Access, String), Vec<Given>>,
    /// Columns to whose values here the rows touched are surely confined: each stands in the conditions that all
    /// hold, and its table is met once in the whole statement.
    pub confined: BTreeMap<(TableName, String), Vec<Source>>,
    /// How many parameters it takes: the highest number seen.
    pub parameters: u32,
    /// What it does to its session, where that is what it is for.
    pub session: Option<Session>,
    /// Whether it streams rows in (`COPY … FROM STDIN`).
    pub copies_in: bool,
    /// How many statements the text holds (more than one only where all are harmless resets).
    pub statements: usize,
}

impl Judgement {
    /// The strongest of its effects: what the action of a check is named for.
    pub fn effect(&self) -> Effect {
        self.effects.last().copied().unwrap_or(Effect::Session)
    }

    /// Whether the table is touched in this way, on whatever path.
    pub fn touches(&self, schema: &str, name: &str, access: Access) -> bool {
        self.tables.keys().any(|t| t.access == access && t.table.schema == schema && t.table.name == name)
    }

    /// The columns of a table that are touched in this way, on whatever path.
    pub fn columns(&self, schema: &str, name: &str, access: Access) -> BTreeSet<&str> {
        let of = |t: &Touch| t.access == access && t.table.schema == schema && t.table.name == name;
        self.tables.iter().filter(|(t, _)| of(t)).flat_map(|(_, c)| c.iter().map(String::as_str)).collect()
    }
}
