//! Why the store could not make something durable.

use rusqlite::{Error, ErrorCode};

/// A fault of the store. It refuses what waited; it is never a deviation of the caller.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The disk, or the database's page limit, is full.
    #[error("the store is full")]
    Full,
    /// The database cannot be written.
    #[error("the store is read-only")]
    ReadOnly,
    /// Another connection held the write lock for longer than the wait.
    #[error("another connection holds the store's write lock")]
    Busy,
    /// The operating system refused a read, write or sync.
    #[error("the store's disk failed")]
    Io,
    /// The database is damaged or is no database of ours.
    #[error("the store is damaged")]
    Corrupt,
    /// The queue to the writer holds all it may.
    #[error("the writer's queue is full")]
    QueueFull,
    /// The writer is closed.
    #[error("the writer is closed")]
    Closed,
    /// The store refused a statement or record; the text is SQLite's, and names no values.
    #[error("the store refused the statement: {0}")]
    Refused(String),
}

impl Fault {
    /// The stable code, as it stands in stats.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read_only",
            Self::Busy => "busy",
            Self::Io => "io",
            Self::Corrupt => "corrupt",
            Self::QueueFull => "queue_full",
            Self::Closed => "closed",
            Self::Refused(_) => "refused",
        }
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => Self::ReadOnly,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen | ErrorCode::OutOfMemory) => Self::Io,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt,
            _ => Self::Refused(error.to_string()),
        }
    }
}

/// Whether SQLite says that a constraint, and nothing else, stood in the way.
pub(crate) fn is_constraint(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation)
}
