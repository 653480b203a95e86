//! What a statement does to its own session: the gateway must keep the same book as the server.

/// A change of the session's names, or a use of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Session {
    /// Transaction control.
    Transaction,
    /// A harmless setting, shown or set.
    Setting,
    /// `PREPARE name AS …`: the judgement is that of the statement within.
    Prepare(String),
    /// `EXECUTE name`: what it does is what was prepared under that name.
    Execute(String),
    /// `DEALLOCATE name`, or of all.
    Deallocate(Option<String>),
    /// `DECLARE name CURSOR FOR …`: the judgement is that of the query within.
    Declare(String),
    /// `FETCH` or `MOVE`: what it does is what the portal of that name does.
    Fetch(String),
    /// `CLOSE name`, or of all.
    Close(Option<String>),
    /// `DISCARD ALL` and the like.
    Discard,
    /// `UNLISTEN`.
    Unlisten,
}
