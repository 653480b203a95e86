//! Why a statement is refused.

use std::fmt;

/// A reason code, stable for policies, records and clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// The text is longer than the policy's bound.
    TooLong,
    /// It nests deeper, or has more nodes, than the policy's bounds.
    TooComplex,
    /// PostgreSQL's grammar does not read it.
    SyntaxError,
    /// Several statements in one string.
    MultipleStatements,
    /// A form that this judge does not understand.
    NotUnderstood,
    /// A relation that the catalog does not have.
    UnknownRelation,
    /// A column that no table in scope has.
    UnknownColumn,
    /// A function that the catalog does not have under this name and number of arguments.
    UnknownFunction,
    /// A name in another database.
    CrossDatabase,
    /// Temporary tables, which could shadow others.
    TemporaryTable,
    /// A setting that the gateway pins.
    PinnedSetting,
    /// A setting that is not on the list of harmless ones.
    SettingNotListed,
    /// A volatile function that is not on a list.
    FunctionWrites,
    /// A function of the database's users, not on the policy's list: its reach is unknown.
    FunctionNotListed,
    /// A built-in function that runs other SQL, or reads files or large objects.
    FunctionForbidden,
    /// dblink, and what is like it.
    Dblink,
    /// Large objects.
    LargeObject,
    /// A trigger whose function is not on the policy's list.
    TriggerNotListed,
    /// A rewrite rule on a table that is written.
    Rule,
    /// A foreign table, which reaches another server.
    ForeignTable,
    /// The system catalogs, where the policy does not open them.
    Catalog,
    /// A part of the catalogs that holds secrets or samples of data.
    CatalogSecret,
    /// `DO`.
    DoBlock,
    /// `COPY … PROGRAM`.
    CopyProgram,
    /// `COPY` from or to a file of the server.
    CopyFile,
    /// `LISTEN` or `NOTIFY`: a channel between tasks that nobody sees.
    Notify,
    /// A change of definitions.
    Ddl,
    /// Another utility statement.
    Utility,
    /// Prepared transactions outlive the connection.
    TwoPhase,
    /// Nobody can say what the catalog holds now.
    CatalogStale,
}

impl Reason {
    /// The code as policies and clients see it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLong => "statement_too_long",
            Self::TooComplex => "statement_too_complex",
            Self::SyntaxError => "syntax_error",
            Self::MultipleStatements => "multiple_statements",
            Self::NotUnderstood => "not_understood",
            Self::UnknownRelation => "unknown_relation",
            Self::UnknownColumn => "unknown_column",
            Self::UnknownFunction => "unknown_function",
            Self::CrossDatabase => "cross_database",
            Self::TemporaryTable => "temporary_table",
            Self::PinnedSetting => "pinned_setting",
            Self::SettingNotListed => "setting_not_listed",
            Self::FunctionWrites => "function_writes",
            Self::FunctionNotListed => "function_not_listed",
            Self::FunctionForbidden => "function_forbidden",
            Self::Dblink => "dblink",
            Self::LargeObject => "large_object",
            Self::TriggerNotListed => "trigger_not_listed",
            Self::Rule => "rule",
            Self::ForeignTable => "foreign_table",
            Self::Catalog => "catalog",
            Self::CatalogSecret => "catalog_secret",
            Self::DoBlock => "do_block",
            Self::CopyProgram => "copy_program",
            Self::CopyFile => "copy_file",
            Self::Notify => "notify",
            Self::Ddl => "ddl",
            Self::Utility => "utility",
            Self::TwoPhase => "two_phase",
            Self::CatalogStale => "catalog_stale",
        }
    }
}

/// A refused statement: the code, and the name it was refused for. Never a value of the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub reason: Reason,
    /// Which name or form it was; empty where the code says it all.
    pub what: String,
}

impl Refusal {
    /// A refusal for a name.
    pub fn new(reason: Reason, what: impl Into<String>) -> Self {
        Self { reason, what: what.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.code())?;
        if self.what.is_empty() { Ok(()) } else { write!(f, ": {}", self.what) }
    }
}

impl std::error::Error for Refusal {}
