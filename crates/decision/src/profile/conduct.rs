//! What a rule says beside its bounds and budgets: order, labels, distinct values, reactions.

#![allow(dead_code, reason = "the plane takes it up in its own time")]

use std::sync::Arc;

use flyball_typed::Kind;

use super::ladder::ladder;
use super::scale;
use crate::document;
use crate::intent::{LabelSet, Path, Program};
use crate::verdict::{Effect, Reaction, words};

words! {
    /// Whether a task says first which effects it means.
    PlanMode {
        /// A plan is refused.
        None = "none",
        /// It may.
        Optional = "optional",
        /// Without a plan there is no effect.
        Required = "required",
    }
}

/// Calls that are counted for one value, at most.
const MOST_EACH: u32 = 100;

/// What a rule says beside its bounds and budgets.
pub(crate) struct Conduct {
    /// What the rule answers where it holds: allow, require approval or step up.
    pub(crate) effect: Effect,
    /// Each was allowed before in this task.
    pub(crate) after: Box<[Arc<str>]>,
    /// One of these was allowed before; where there is none, nothing need have been.
    pub(crate) after_any: Box<[Arc<str>]>,
    /// None of these was allowed yet.
    pub(crate) before: Box<[Arc<str>]>,
    /// Not while the task has one of these labels.
    pub(crate) unless: LabelSet,
    /// Stands in place of the ladders.
    pub(crate) on_breach: Option<Box<[Reaction]>>,
    pub(crate) distinct: Box<[Distinct]>,
    /// How many calls with each value of an argument.
    pub(crate) each: Box<[Each]>,
    pub(crate) reported: Reported,
}

/// How many different values an argument may have over the task.
pub(crate) struct Distinct {
    pub(crate) arg: Path,
    pub(crate) kind: Kind,
    /// The counter of the values so far, in 1/10000ths like every other.
    pub(crate) slot: usize,
    pub(crate) max: i64,
}

/// How many calls there may be with each value of an argument over the task.
pub(crate) struct Each {
    pub(crate) arg: Path,
    pub(crate) kind: Kind,
    pub(crate) slot: usize,
    pub(crate) max: u32,
}

/// Slots and limits, in 1/10000ths, of what enforcement points report of a call.
#[derive(Default)]
pub(crate) struct Reported {
    pub(crate) rows: Option<(usize, i64)>,
    pub(crate) bytes: Option<(usize, i64)>,
    pub(crate) seconds: Option<(usize, i64)>,
}

impl Conduct {
    /// Read a rule's conduct, taking slots for what it counts.
    pub(crate) fn read(
        rule: &document::Rule,
        program: &Program,
        slot: &mut impl FnMut(String) -> usize,
    ) -> Result<Self, String> {
        let wrong = |what: String| format!("rule {}: {what}", rule.id);
        let effect = match rule.effect.as_str() {
            "allow" => Effect::Allow,
            "require_approval" => Effect::RequireApproval,
            "step_up" => Effect::StepUp,
            other => return Err(wrong(format!("`{other}` is no effect of a rule"))),
        };
        let names = |from: &[String]| from.iter().map(|name| Arc::from(name.as_str())).collect();
        let argument = |one: &document::Distinct| {
            let arg = Path::parse(&one.arg).ok_or_else(|| wrong(format!("`{}` is no path", one.arg)))?;
            let kind = Kind::parse(&one.kind).ok_or_else(|| wrong(format!("`{}` is no type", one.kind)))?;
            Ok::<_, String>((arg, kind))
        };
        let mut distinct = Vec::with_capacity(rule.distinct.len());
        for one in &rule.distinct {
            let (arg, kind) = argument(one)?;
            let slot = slot(format!("{}/distinct:{}", rule.id, one.arg));
            distinct.push(Distinct { arg, kind, slot, max: scale(i64::from(one.max)) });
        }
        let mut each = Vec::with_capacity(rule.each.len());
        for one in &rule.each {
            let (arg, kind) = argument(one)?;
            if one.max == 0 || one.max > MOST_EACH {
                return Err(wrong(format!("`{}`: from 1 to {MOST_EACH} calls are counted for each value", one.arg)));
            }
            each.push(Each { arg, kind, slot: slot(format!("{}/each:{}", rule.id, one.arg)), max: one.max });
        }
        let mut limit =
            |what: &str, most: Option<i64>| most.map(|most| (slot(format!("{}/{what}", rule.id)), scale(most)));
        let reported = Reported {
            rows: limit("rows", rule.reported.rows),
            bytes: limit("bytes", rule.reported.bytes),
            seconds: limit("seconds", rule.reported.seconds),
        };
        Ok(Self {
            effect,
            after: names(&rule.after),
            after_any: names(&rule.after_any),
            before: names(&rule.before),
            unless: program.labelled(&rule.unless).map_err(wrong)?,
            on_breach: rule.on_breach.as_deref().map(ladder).transpose().map_err(wrong)?,
            distinct: distinct.into(),
            each: each.into(),
            reported,
        })
    }
}
