//! Why no source holds, for people: names of results and fields, never values.

use flyball_typed::Kind;

use super::Path;

/// What was breached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BreachKind {
    /// A value does not come from where it must.
    Origin,
    /// A value that is required is not there: a mistake in the call, never a deviation.
    Missing,
    /// A label forbids it.
    Flow,
    /// A number is out of what the results say.
    Bounds,
    /// Free text is too long.
    TooLong,
    /// More values than are looked at, or the arguments are no object.
    Malformed,
    /// Results were not all kept, so nothing can be said: ours, never a deviation.
    MemoryFull,
}

/// Where a value was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The action whose result it stood in.
    pub(crate) action: Box<str>,
    /// The field.
    pub(crate) field: Box<str>,
    /// The n-th result of that action, from 1.
    pub(crate) result: u32,
    /// Who can write that field.
    pub(crate) by: Box<str>,
}

/// Why a rule's demands do not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    pub(crate) kind: BreachKind,
    /// The argument, as the rule names it.
    pub(crate) arg: Box<str>,
    /// What it was read as.
    pub(crate) as_: Option<Kind>,
    /// The sources that were demanded, as an author writes them.
    pub(crate) wanted: Vec<Box<str>>,
    /// Where the value really was.
    pub(crate) seen: Vec<Seen>,
}

impl Breach {
    /// A breach of that argument.
    pub(super) fn of(kind: BreachKind, path: &Path) -> Self {
        Self { kind, arg: Box::from(path.as_str()), as_: None, wanted: Vec::new(), seen: Vec::new() }
    }
}
