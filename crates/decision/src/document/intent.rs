//! What a compiled profile demands of where arguments come from, and what it does about a breach.

use std::collections::BTreeMap;

use serde::Deserialize;

/// What a result looks like: one value, a list of rows, or a map. `"*"` is every other key, `$key`
/// the keys themselves.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Template {
    Spec(Field),
    List(Box<Template>),
    Map(BTreeMap<String, Template>),
}

/// One field: its type, who can write it, and labels of its own.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Field {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) by: String,
    #[serde(default)]
    pub(crate) labels: Vec<String>,
}

/// Where an argument may come from.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Source {
    Input(String),
    Arg(String),
    Const(String),
    Trusted(bool),
    /// Anybody at a host that another source names, by its place among the sources before this one.
    At(usize),
    Result(ResultSource),
}

/// A field of an action's results, in the rows for which every test holds.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResultSource {
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) field: String,
    #[serde(default)]
    pub(crate) rows: Vec<RowTest>,
}

/// A test of one field of a row, or of an argument of the call that made the result: exactly one of the seven
/// members beside `field`, `call` and `as`.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct RowTest {
    #[serde(default)]
    pub(crate) field: String,
    /// A path into that call's arguments; the field is empty then.
    #[serde(default)]
    pub(crate) call: Option<String>,
    /// As what that argument is read; absent: as text.
    #[serde(default, rename = "as")]
    pub(crate) kind: Option<String>,
    #[serde(default)]
    pub(crate) in_input: Option<String>,
    #[serde(default)]
    pub(crate) is_arg: Option<String>,
    #[serde(default)]
    pub(crate) is: Option<String>,
    #[serde(default)]
    pub(crate) extreme: Option<String>,
    /// An input in which a word of it stands.
    #[serde(default)]
    pub(crate) partly: Option<String>,
    /// The same, and in no other row is another value of which that is true.
    #[serde(default)]
    pub(crate) named: Option<String>,
    /// A source of results in which it was found when the row came, by its place among the sources before this one.
    #[serde(default)]
    pub(crate) in_source: Option<usize>,
}

/// What must stand in the request: one of some words, or one of each of several groups of them.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(untagged)]
pub(crate) enum Asked {
    Any(Vec<String>),
    Each(Vec<Vec<String>>),
}

impl Default for Asked {
    fn default() -> Self {
        Self::Any(Vec::new())
    }
}

impl Asked {
    /// The groups; none: nothing must stand there.
    pub(crate) fn groups(&self) -> &[Vec<String>] {
        match self {
            Self::Any(words) if words.is_empty() => &[],
            Self::Any(words) => std::slice::from_ref(words),
            Self::Each(groups) => groups,
        }
    }
}

/// What relative days are counted from.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Today {
    #[default]
    Clock,
    Input(String),
    Result(TodayResult),
}

#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct TodayResult {
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) field: String,
}

/// What holds whatever a rule says: `by` with `action` and `arg`, or `after` with `action`.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Never {
    #[serde(default)]
    pub(crate) by: Option<String>,
    #[serde(default)]
    pub(crate) after: Option<String>,
    pub(crate) action: String,
    #[serde(default)]
    pub(crate) arg: Option<String>,
}

/// A ladder of reactions for each kind of breach. One that is left out has its default.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reactions {
    #[serde(default)]
    pub(crate) action: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) target: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) argument: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) origin: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) order: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) plan: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) budget: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) flow: Option<Vec<String>>,
}

/// Where the values of an argument must come from.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    pub(crate) arg: String,
    #[serde(rename = "as")]
    pub(crate) kind: String,
    /// Places in the profile's sources.
    pub(crate) sources: Vec<usize>,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) plus: Vec<Plus>,
    #[serde(default)]
    pub(crate) within_ms: Option<i64>,
    #[serde(default)]
    pub(crate) same_day: bool,
    /// A path may lie in a folder that a source names.
    #[serde(default)]
    pub(crate) below: bool,
    /// Words that no source need have.
    #[serde(default)]
    pub(crate) new_words: usize,
    #[serde(default)]
    pub(crate) not_by: Vec<String>,
}

/// A span that may be added to a source: a constant, or any that a source names.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Plus {
    Ms(i64),
    Source(usize),
}

/// An argument with any content, up to a length.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Free {
    pub(crate) arg: String,
    pub(crate) max: usize,
    #[serde(default)]
    pub(crate) required: bool,
    #[serde(default)]
    pub(crate) without: Vec<String>,
}

/// A number argument held against all values of a source together.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aggregate {
    pub(crate) arg: String,
    pub(crate) op: String,
    #[serde(rename = "aggregate")]
    pub(crate) fold: String,
    pub(crate) source: usize,
    #[serde(rename = "as")]
    pub(crate) kind: String,
}

/// How many different values an argument may have over a whole task.
#[derive(Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Distinct {
    pub(crate) arg: String,
    #[serde(rename = "as")]
    pub(crate) kind: String,
    pub(crate) max: u32,
}

/// Limits of what enforcement points report back.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reported {
    #[serde(default)]
    pub(crate) rows: Option<i64>,
    #[serde(default)]
    pub(crate) bytes: Option<i64>,
    #[serde(default)]
    pub(crate) seconds: Option<i64>,
}

impl ResultSource {
    /// The source as an author writes it. `inner`: the same of another source, by its place.
    pub(crate) fn text(&self, inner: &dyn Fn(usize) -> String) -> Result<String, std::fmt::Error> {
        use std::fmt::Write as _;
        let mut out = String::new();
        let f = &mut out;
        write!(f, "result({})", self.action)?;
        if !self.field.is_empty() {
            write!(f, ".{}", self.field)?;
        }
        for (n, row) in self.rows.iter().enumerate() {
            f.write_str(if n == 0 { " where " } else { " and " })?;
            match (&row.call, &row.kind) {
                (None, _) => f.write_str(&row.field)?,
                (Some(arg), None) => write!(f, "call.{arg}")?,
                (Some(arg), Some(kind)) => write!(f, "call.{arg} as {kind}")?,
            }
            match (&row.in_input, &row.is_arg, &row.is, &row.extreme) {
                (Some(input), ..) if input == "request" => f.write_str(" in request"),
                (Some(input), ..) => write!(f, " in inputs.{input}"),
                (_, Some(arg), ..) => write!(f, " is args.{arg}"),
                (_, _, Some(text), _) => write!(f, " is \"{text}\""),
                (_, _, _, Some(word)) => write!(f, " is {word}"),
                _ => Ok(()),
            }?;
            for (how, input) in [("partly", &row.partly), ("named", &row.named)] {
                match input.as_deref() {
                    Some("request") => write!(f, " {how} in request")?,
                    Some(input) => write!(f, " {how} in inputs.{input}")?,
                    None => {}
                }
            }
            match row.in_source.map(inner) {
                Some(inner) if inner.contains(" where ") => write!(f, " in ({inner})")?,
                Some(inner) => write!(f, " in {inner}")?,
                None => {}
            }
        }
        Ok(out)
    }
}
