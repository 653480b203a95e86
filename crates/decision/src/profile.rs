//! A profile as the plane runs it: the conformance program and the permits that go with it.

use std::sync::Arc;

use ahash::AHashMap;
use cedar_policy::Context;
use regex::Regex;

use crate::cedar;
use crate::document::{self, Limit as LimitText, Per as PerText};
use crate::intent::{Demands, LabelSet, Program};
use crate::json::Json;
use crate::pep::matches;
use crate::scope::Cell;
use crate::value::{Kind, ONE, Value, parse_decimal};
use crate::verdict::Reaction;

mod conduct;
mod ladder;
mod pattern;
mod watch;

pub(crate) use conduct::{Conduct, PlanMode};
pub(crate) use ladder::{Deviation, Ladders, step};
use pattern::anchored;

/// A reviewed template of intent. A task keeps the one it was opened with.
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    pub(crate) digest: Arc<str>,
    /// In order of their names.
    pub(crate) inputs: Vec<(Arc<str>, Kind)>,
    pub(crate) actions: AHashMap<Arc<str>, Vec<Rule>>,
    /// Names of the task's counters, by slot.
    pub(crate) slots: Vec<String>,
    /// Slot and limit of all calls together.
    pub(crate) total: Option<(usize, i64)>,
    pub(crate) checks_per_second: Option<u32>,
    /// What is kept of results, and what arguments are held against.
    pub(crate) program: Program,
    pub(crate) ladders: Ladders,
    /// What the n-th breach of a task sets off, whatever its kind.
    pub(crate) denials: Vec<(u32, Reaction)>,
    /// Reactions harder than a freeze, a minute.
    pub(crate) most_per_minute: u32,
    pub(crate) plan: PlanMode,
    /// Actions that are to happen before the end.
    pub(crate) must: Vec<Arc<str>>,
    watched: Box<[Arc<str>]>,
    /// With one of these labels on the task the action is refused.
    pub(crate) never: Vec<(LabelSet, Arc<str>)>,
}

/// One way in which an action is within the intent.
pub(crate) struct Rule {
    pub(crate) id: Arc<str>,
    /// Resource ids; a trailing `*` stands for any rest. None: any.
    pub(crate) on: Vec<String>,
    pub(crate) bounds: Vec<Bound>,
    pub(crate) calls: Option<(usize, i64)>,
    pub(crate) sums: Vec<Sum>,
    pub(crate) across: Vec<Across>,
    /// The permits for this rule.
    pub(crate) cell: Cell,
    /// The context with nothing in it but this rule's intent.
    pub(crate) context: Context,
    /// Where its arguments must come from.
    pub(crate) demands: Demands,
    pub(crate) conduct: Conduct,
}

impl Rule {
    /// Whether the rule is about this resource.
    pub(crate) fn covers(&self, resource: &str) -> bool {
        self.on.is_empty() || self.on.iter().any(|pattern| matches(pattern, resource))
    }
}

/// A bound on one argument.
pub(crate) struct Bound {
    pub(crate) arg: String,
    pub(crate) test: Test,
}

/// What an argument is held against.
pub(crate) enum Test {
    Max(Limit),
    Min(Limit),
    Equal(Limit),
    OneOf(Vec<Value<'static>>),
    Pattern(Box<Regex>),
    Prefix(Limit),
    Length(usize),
}

/// A constant or one of the task's inputs.
pub(crate) enum Limit {
    Const(Value<'static>),
    Input(usize),
}

/// An argument that is summed up in the task's own counter.
pub(crate) struct Sum {
    pub(crate) arg: String,
    pub(crate) slot: usize,
    pub(crate) max: Limit,
}

/// A counter that outlives the task.
pub(crate) struct Across {
    pub(crate) per: Per,
    pub(crate) window_ms: Option<i64>,
    pub(crate) calls: Option<i64>,
    /// Unit (`sum:<arg>`), argument, limit.
    pub(crate) sums: Vec<(String, String, Limit)>,
}

/// Whose counter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Per {
    Agent,
    Owner,
    Input(usize),
}

/// Argument types by action, and what else a profile is read against.
pub(crate) type ArgKinds<'a> = &'a dyn Fn(&str, &str) -> Option<Kind>;
/// What an action's results look like; `None`: the bundle has no such action.
pub(crate) type Returns<'a> = &'a dyn Fn(&str) -> Option<Option<&'a document::Template>>;

impl Profile {
    /// Read one profile. Its permits are put in later; the text says what is wrong.
    pub(crate) fn read(from: &document::Profile, kinds: ArgKinds<'_>, returns: Returns<'_>) -> Result<Self, String> {
        let inputs = from
            .inputs
            .iter()
            .map(|(name, kind)| Some((Arc::from(name.as_str()), input_kind(kind)?)))
            .collect::<Option<Vec<(Arc<str>, Kind)>>>()
            .ok_or("an input's type is unknown")?;
        let mut slots = Vec::new();
        let mut slot = |name: String| {
            slots.push(name);
            slots.len() - 1
        };
        let total = from.budget.calls.map(|calls| (slot("calls".to_owned()), scale(calls)));
        let (program, demands) = Program::read(from, returns)?;
        let mut actions: AHashMap<Arc<str>, Vec<Rule>> = AHashMap::new();
        for (rule, demands) in from.rules.iter().zip(demands) {
            let read = Reader { rule, inputs: &inputs, kinds }.read(&program, demands, &mut slot)?;
            actions.entry(Arc::from(rule.action.as_str())).or_default().push(read);
        }
        let ladders = Ladders::read(from.reactions.as_ref(), from.reaction.as_deref())?;
        Ok(Self {
            name: Arc::from(from.name.as_str()),
            digest: Arc::from(from.digest.as_str()),
            inputs,
            actions,
            slots,
            total,
            checks_per_second: from.checks_per_second,
            ladders,
            denials: from
                .denials
                .iter()
                .map(|(n, word)| Some((*n, Reaction::parse(word)?)))
                .collect::<Option<_>>()
                .ok_or("a reaction to denials is unknown")?,
            most_per_minute: from.most_per_minute,
            plan: PlanMode::parse(&from.plan).ok_or("a plan is none, optional or required")?,
            must: from.must.iter().map(|action| Arc::from(action.as_str())).collect(),
            watched: watch::watched(from),
            never: never(from, &program)?,
            program,
        })
    }

    /// The slot of a counter.
    pub(crate) fn slot(&self, name: &str) -> Option<usize> {
        self.slots.iter().position(|slot| slot == name)
    }
}

/// An input's type as the plane keeps it: values that are compared by their meaning travel as text.
fn input_kind(word: &str) -> Option<Kind> {
    Kind::parse(word).or_else(|| flyball_typed::Kind::parse(word).map(|_| Kind::Text))
}

/// Actions that a label on the task forbids.
fn never(from: &document::Profile, program: &Program) -> Result<Vec<(LabelSet, Arc<str>)>, String> {
    let after = from.never.iter().filter_map(|never| Some((never.after.as_ref()?, &never.action)));
    after
        .map(|(label, action)| Ok((program.labelled(std::slice::from_ref(label))?, Arc::from(action.as_str()))))
        .collect()
}

/// Calls in 1/10000ths, like everything that is counted.
pub(crate) const fn scale(calls: i64) -> i64 {
    calls.saturating_mul(ONE)
}

struct Reader<'a> {
    rule: &'a document::Rule,
    inputs: &'a [(Arc<str>, Kind)],
    kinds: ArgKinds<'a>,
}

impl Reader<'_> {
    fn read(
        &self,
        program: &Program,
        demands: Demands,
        slot: &mut impl FnMut(String) -> usize,
    ) -> Result<Rule, String> {
        let rule = self.rule;
        let bounds = rule.bounds.iter().map(|bound| self.bound(bound)).collect::<Result<_, _>>()?;
        let calls = rule.budget.calls.map(|calls| (slot(format!("{}/calls", rule.id)), scale(calls)));
        let sums = rule
            .budget
            .sums
            .iter()
            .map(|sum| {
                let max = self.number(sum)?;
                Ok(Sum { arg: sum.arg.clone(), slot: slot(format!("{}/sum:{}", rule.id, sum.arg)), max })
            })
            .collect::<Result<_, String>>()?;
        let across = rule.across.iter().map(|across| self.across(across)).collect::<Result<_, _>>()?;
        let intent = [("rule", cedar::text_value(&rule.id)), ("within", cedar::bool_value(true))];
        let context = cedar::context([("intent", cedar::members(intent))]);
        let conduct = Conduct::read(rule, program, slot)?;
        let distinct = conduct.distinct.iter().map(|distinct| &distinct.arg);
        let each = conduct.each.iter().map(|each| &each.arg);
        demands.paths().chain(distinct).chain(each).try_for_each(|path| self.kind(path.head()).map(|_| ()))?;
        Ok(Rule {
            id: Arc::from(rule.id.as_str()),
            on: rule.on.clone(),
            bounds,
            calls,
            sums,
            across,
            cell: Cell::default(),
            context,
            demands,
            conduct,
        })
    }

    fn wrong(&self, what: &str) -> String {
        format!("rule {}: {what}", self.rule.id)
    }

    fn kind(&self, arg: &str) -> Result<Kind, String> {
        (self.kinds)(&self.rule.action, arg).ok_or_else(|| self.wrong(&format!("there is no argument `{arg}`")))
    }

    fn input(&self, name: &str) -> Result<usize, String> {
        self.inputs
            .iter()
            .position(|(input, _)| input.as_ref() == name)
            .ok_or_else(|| self.wrong(&format!("there is no input `{name}`")))
    }

    fn bound(&self, bound: &document::Bound) -> Result<Bound, String> {
        let kind = self.kind(&bound.arg)?;
        let limit = || self.limit(kind, &bound.value);
        let test = match bound.op.as_str() {
            "max" => Test::Max(limit()?),
            "min" => Test::Min(limit()?),
            "eq" => Test::Equal(limit()?),
            // A prefix bounds each text of a set.
            "prefix" => Test::Prefix(self.limit(if kind == Kind::Texts { Kind::Text } else { kind }, &bound.value)?),
            "one_of" => Test::OneOf(self.list(kind, &bound.value)?),
            "pattern" => Test::Pattern(Box::new(self.pattern(&bound.value)?)),
            "length" => {
                let length = self.constant(&bound.value)?;
                let length = Json::parse(length.as_bytes()).ok().and_then(|json| json.whole());
                Test::Length(
                    length
                        .and_then(|length| usize::try_from(length).ok())
                        .ok_or_else(|| self.wrong("a length is a whole number"))?,
                )
            }
            other => return Err(self.wrong(&format!("there is no bound `{other}`"))),
        };
        Ok(Bound { arg: bound.arg.clone(), test })
    }

    fn constant<'b>(&self, limit: &'b LimitText) -> Result<&'b str, String> {
        match limit {
            LimitText::Const(raw) => Ok(raw.get()),
            LimitText::Input(_) => Err(self.wrong("this bound takes no input")),
        }
    }

    fn limit(&self, kind: Kind, limit: &LimitText) -> Result<Limit, String> {
        match limit {
            LimitText::Input(name) => Ok(Limit::Input(self.input(name)?)),
            LimitText::Const(raw) => Json::parse(raw.get().as_bytes())
                .ok()
                .and_then(|json| Value::lenient(kind, &json).map(Value::into_owned))
                .map(Limit::Const)
                .ok_or_else(|| self.wrong("a constant is not of its argument's type")),
        }
    }

    fn list(&self, kind: Kind, limit: &LimitText) -> Result<Vec<Value<'static>>, String> {
        let kind = if kind == Kind::Texts { Kind::Text } else { kind };
        match Json::parse(self.constant(limit)?.as_bytes()) {
            Ok(Json::List(items)) => items
                .iter()
                .map(|item| Value::lenient(kind, item).map(Value::into_owned))
                .collect::<Option<_>>()
                .ok_or_else(|| self.wrong("a constant is not of its argument's type")),
            _ => Err(self.wrong("`one_of` takes a list")),
        }
    }

    fn pattern(&self, limit: &LimitText) -> Result<Regex, String> {
        let text = Json::parse(self.constant(limit)?.as_bytes());
        let pattern = text.as_ref().ok().and_then(Json::text).ok_or_else(|| self.wrong("a pattern is text"))?;
        anchored(pattern).ok_or_else(|| self.wrong("the pattern cannot be used"))
    }

    fn number(&self, sum: &document::Sum) -> Result<Limit, String> {
        match self.kind(&sum.arg)? {
            Kind::Long | Kind::Decimal => {}
            _ => return Err(self.wrong(&format!("`{}` cannot be summed", sum.arg))),
        }
        match &sum.max {
            LimitText::Input(name) => Ok(Limit::Input(self.input(name)?)),
            LimitText::Const(raw) => parse_decimal(raw.get().trim_matches('"'))
                .map(|number| Limit::Const(Value::Decimal(number)))
                .ok_or_else(|| self.wrong("a budget is a number")),
        }
    }

    fn across(&self, across: &document::Across) -> Result<Across, String> {
        let per = match &across.per {
            PerText::Word(word) if word == "agent" => Per::Agent,
            PerText::Word(word) if word == "owner" => Per::Owner,
            PerText::Word(_) => return Err(self.wrong("a counter is per agent, owner or input")),
            PerText::Input { input } => Per::Input(self.input(input)?),
        };
        if across.window_ms.is_some_and(|window| window <= 0) {
            return Err(self.wrong("a window is longer than nothing"));
        }
        let sums = across
            .sums
            .iter()
            .map(|sum| Ok((format!("sum:{}", sum.arg), sum.arg.clone(), self.number(sum)?)))
            .collect::<Result<_, String>>()?;
        Ok(Across { per, window_ms: across.window_ms, calls: across.calls.map(scale), sums })
    }
}
