//! What a rule demands of a call's arguments, compiled.

use flyball_typed::Kind;

use super::kinds::KindSet;
use super::program::Source;
use super::{LabelSet, Path, Program};
use crate::document::{self, Plus as PlusText};

/// What one rule demands of arguments.
#[derive(Debug, Default)]
pub(crate) struct Demands {
    /// An argument that another is compared with comes before it.
    pub(super) origins: Box<[Origin]>,
    pub(super) free: Box<[Free]>,
    pub(super) aggregates: Box<[Aggregate]>,
    pub(super) never: Box<[Never]>,
    /// The rule's number among those that must be asked for.
    pub(super) asked: Option<u16>,
}

/// Where the values of an argument must come from.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) path: Path,
    pub(super) kind: Kind,
    /// Places in the program's sources, in the author's order.
    pub(super) sources: Box<[usize]>,
    pub(super) required: bool,
    /// Fields with one of these labels do not count.
    pub(super) not_by: LabelSet,
    /// The same, whatever the rule says.
    pub(super) never: LabelSet,
    pub(super) span: Span,
    /// A path may lie in a folder that a source names.
    pub(super) below: bool,
    /// Words that no source need have.
    pub(super) new_words: usize,
}

/// How far a day or time may be from its source.
#[derive(Debug, Default)]
pub(super) struct Span {
    /// Added to a source, in milliseconds; empty: nothing is.
    pub(super) plus: Box<[i64]>,
    /// Sources whose durations are added.
    pub(super) plus_from: Box<[usize]>,
    /// At most this much after, in milliseconds.
    pub(super) within: Option<i64>,
    /// Only the day is compared.
    pub(super) same_day: bool,
}

/// Free text.
#[derive(Debug)]
pub(super) struct Free {
    pub(super) path: Path,
    pub(super) max: usize,
    pub(super) required: bool,
    pub(super) without: LabelSet,
}

/// A number held against all values of a source.
#[derive(Debug)]
pub(super) struct Aggregate {
    pub(super) path: Path,
    pub(super) op: Op,
    pub(super) fold: Fold,
    pub(super) source: usize,
    /// The number itself, where no result gives it: in ten-thousandths.
    pub(super) fixed: Option<i64>,
    pub(super) kind: Kind,
}

/// How an argument is compared with an aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Max,
    Min,
    Equal,
}

/// How values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fold {
    Sum,
    Min,
    Max,
}

/// An argument that nobody with one of these labels may decide.
#[derive(Debug)]
pub(super) struct Never {
    pub(super) path: Path,
    pub(super) by: LabelSet,
}

fn kind(word: &str) -> Result<Kind, String> {
    Kind::parse(word).ok_or_else(|| format!("there is no type `{word}`"))
}

fn path(text: &str) -> Result<Path, String> {
    Path::parse(text).ok_or_else(|| format!("`{text}` is no path into an argument"))
}

/// The types that sources are asked for by the rules of a profile and by each other, by place of the source.
/// `declared`: the type of an action's field; none: text.
pub(super) fn sought(
    from: &document::Profile,
    declared: &dyn Fn(&str, &str) -> Option<Kind>,
) -> Result<Vec<KindSet>, String> {
    let mut all = vec![KindSet::default(); from.sources.len()];
    let mut add = |source: usize, kinds: KindSet| {
        let known = all.get_mut(source).ok_or("a source that the profile does not have")?;
        *known = known.and(kinds);
        Ok::<_, String>(())
    };
    for rule in &from.rules {
        for origin in &rule.origins {
            let kinds = KindSet::sought(kind(&origin.kind)?);
            for source in &origin.sources {
                match from.sources.get(*source) {
                    Some(document::Source::At(named)) => add(*named, KindSet::one(Kind::Host))?,
                    _ => add(*source, kinds)?,
                }
            }
            for plus in &origin.plus {
                if let PlusText::Source(source) = plus {
                    add(*source, KindSet::one(Kind::Duration))?;
                }
            }
        }
        for aggregate in &rule.aggregates {
            add(aggregate.source, KindSet::one(kind(&aggregate.kind)?))?;
        }
    }
    let results = from.sources.iter().filter_map(|source| match source {
        document::Source::Result(source) => Some(source),
        _ => None,
    });
    for (source, row) in results.flat_map(|source| source.rows.iter().map(move |row| (source, row))) {
        if let Some(inner) = row.in_source {
            let own = match (&row.call, &row.kind) {
                (None, _) => declared(&source.action, &row.field).unwrap_or(Kind::Text),
                (Some(_), word) => kind(word.as_deref().unwrap_or("text"))?,
            };
            add(inner, KindSet::sought(own))?;
        }
    }
    Ok(all)
}

impl Demands {
    /// Compile a rule's demands. `asked`: its number among the rules that must be asked for.
    pub(super) fn read(
        rule: &document::Rule,
        never: &[document::Never],
        program: &Program,
        asked: Option<u16>,
    ) -> Result<Self, String> {
        let forbidden = never
            .iter()
            .filter(|never| never.action == rule.action)
            .filter_map(|never| Some((never.arg.as_ref()?, never.by.clone()?)))
            .map(|(arg, by)| Ok(Never { path: path(arg)?, by: program.labelled(&[by])? }))
            .collect::<Result<Box<[Never]>, String>>()?;
        let origins = rule.origins.iter().map(|origin| Origin::read(origin, program, &forbidden));
        let origins = in_order(origins.collect::<Result<_, _>>()?, program)?;
        let free = rule.free.iter().map(|free| {
            let without = program.labelled(&free.without)?;
            Ok(Free { path: path(&free.arg)?, max: free.max, required: free.required, without })
        });
        let aggregates = rule.aggregates.iter().map(|aggregate| Aggregate::read(aggregate, program));
        Ok(Self {
            origins,
            free: free.collect::<Result<_, String>>()?,
            aggregates: aggregates.collect::<Result<_, _>>()?,
            never: forbidden,
            asked,
        })
    }

    /// Whether nothing is demanded.
    pub(crate) fn is_empty(&self) -> bool {
        self.origins.is_empty() && self.free.is_empty() && self.aggregates.is_empty() && self.never.is_empty()
    }

    /// Paths of the arguments that must be there.
    pub(crate) fn required(&self) -> impl Iterator<Item = &Path> {
        let origins = self.origins.iter().filter(|origin| origin.required).map(|origin| &origin.path);
        let free = self.free.iter().filter(|free| free.required).map(|free| &free.path);
        origins.chain(free).chain(self.aggregates.iter().map(|aggregate| &aggregate.path))
    }

    /// Whether the request must ask for it.
    pub(crate) fn must_be_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// Paths of all arguments that something is demanded of.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let origins = self.origins.iter().map(|origin| &origin.path);
        let aggregates = self.aggregates.iter().map(|aggregate| &aggregate.path);
        let never = self.never.iter().map(|never| &never.path);
        origins.chain(self.free.iter().map(|free| &free.path)).chain(aggregates).chain(never)
    }

    /// Paths and types of the arguments that are compared by their meaning.
    pub(crate) fn typed(&self) -> impl Iterator<Item = (&Path, Kind)> {
        self.origins.iter().map(|origin| (&origin.path, origin.kind))
    }
}

impl Origin {
    fn read(from: &document::Origin, program: &Program, never: &[Never]) -> Result<Self, String> {
        let kind = kind(&from.kind)?;
        let wrong = |what: &str| Err(format!("`{}`: {what}", from.arg));
        let moves = !from.plus.is_empty() || from.within_ms.is_some() || from.same_day;
        if moves && !matches!(kind, Kind::Date | Kind::Time | Kind::DateTime) {
            return wrong("only dates and times have a span");
        }
        if from.same_day && kind == Kind::Time {
            return wrong("a time has no day");
        }
        if from.within_ms.is_some_and(|within| within < 0) {
            return wrong("a span is not below nothing");
        }
        if from.below && kind != Kind::Path {
            return wrong("only a path lies below another");
        }
        if from.new_words > 0 && kind != Kind::Words {
            return wrong("only words may be new");
        }
        let at = |source: &usize| matches!(program.source(*source), Some(Source::At(_)));
        if kind != Kind::Email && from.sources.iter().any(at) {
            return wrong("only an e-mail address is anyone's at a host");
        }
        let (mut plus, mut plus_from) = (Vec::new(), Vec::new());
        for one in &from.plus {
            match one {
                PlusText::Ms(ms) => plus.push(*ms),
                PlusText::Source(source) => plus_from.push(*source),
            }
        }
        let path = path(&from.arg)?;
        let never = never.iter().filter(|never| never.path.leads_to(&path) || path.leads_to(&never.path));
        Ok(Self {
            kind,
            sources: from.sources.iter().copied().collect(),
            required: from.required,
            not_by: program.labelled(&from.not_by)?,
            never: never.fold(LabelSet::default(), |all, never| all.and(never.by)),
            span: Span {
                plus: plus.into(),
                plus_from: plus_from.into(),
                within: from.within_ms,
                same_day: from.same_day,
            },
            below: from.below,
            new_words: from.new_words,
            path,
        })
    }
}

impl Aggregate {
    fn read(from: &document::Aggregate, program: &Program) -> Result<Self, String> {
        let kind = kind(&from.kind)?;
        if !matches!(kind, Kind::Number | Kind::Money) {
            return Err(format!("`{}`: only numbers and amounts are added up", from.arg));
        }
        let fixed = match program.source(from.source) {
            Some(Source::Result { .. }) => None,
            Some(Source::Const(text)) => {
                let number = flyball_typed::numeral(text).filter(|_| kind == Kind::Number);
                Some(number.ok_or_else(|| format!("`{}`: `{text}` bounds no number", from.arg))?)
            }
            _ => return Err(format!("`{}`: only results are added up", from.arg)),
        };
        Ok(Self {
            path: path(&from.arg)?,
            op: match from.op.as_str() {
                "max" => Op::Max,
                "min" => Op::Min,
                "eq" => Op::Equal,
                other => return Err(format!("`{other}` takes no aggregate")),
            },
            fold: match from.fold.as_str() {
                "sum" => Fold::Sum,
                "min" => Fold::Min,
                "max" => Fold::Max,
                other => return Err(format!("there is no aggregate `{other}`")),
            },
            source: from.source,
            fixed,
            kind,
        })
    }
}

/// Origins such that what is compared with another argument comes after that argument's own.
fn in_order(mut left: Vec<Origin>, program: &Program) -> Result<Box<[Origin]>, String> {
    let mut out = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let waits = |(at, origin): (usize, &Origin)| {
            let mut of = origin.sources.iter().chain(origin.span.plus_from.iter());
            of.any(|source| {
                let source = match program.source(*source) {
                    Some(Source::At(named)) => program.source(*named),
                    source => source,
                };
                let Some(Source::Arg(path)) = source else { return false };
                // Two paths into one argument do not wait for each other: `items[].name` comes from `items[].id`.
                let before = |other: &Origin| other.path.leads_to(path) || path.leads_to(&other.path);
                left.iter().enumerate().any(|(place, other)| place != at && before(other))
            })
        };
        let Some(next) = left.iter().enumerate().position(|one| !waits(one)) else {
            return Err("two arguments are compared with each other".to_owned());
        };
        out.push(left.remove(next));
    }
    Ok(out.into())
}
