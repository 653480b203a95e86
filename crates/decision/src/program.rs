//! Conformance: whether a call is within a rule of the profile, and what it would cost.
//!
//! Several rules may speak of one action. They are tried in order, and the first whose bounds and
//! budgets hold is the one; where none does, the failure that came furthest is reported.

use crate::profile::{Across, Bound, Limit, Per, Profile, Rule, Test};
use crate::sink::CounterCharge;
use crate::task::{Charge, Live, Task};
use crate::value::{ONE, Value};
use crate::verdict::Reason;

/// Typed arguments by name, in order of the names.
pub(crate) type Args<'a> = Vec<(&'a str, Value<'a>)>;

/// Why no rule holds, from the first hurdle to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    Action,
    Resource,
    Missing,
    Bounds,
    Budget,
    OncePer,
}

impl Failure {
    /// As an answer gives it.
    pub(crate) const fn reason(self) -> Reason {
        match self {
            Self::Action => Reason::ActionNotInProfile,
            Self::Resource => Reason::ResourceNotInProfile,
            Self::Missing => Reason::ArgumentMissing,
            Self::Bounds => Reason::ArgumentOutOfBounds,
            Self::Budget => Reason::BudgetSpent,
            Self::OncePer => Reason::OncePerSpent,
        }
    }

    /// Whether it is a deviation. A missing argument is a mistake in the call, not an act outside the intent.
    pub(crate) const fn deviates(self) -> bool {
        !matches!(self, Self::Missing)
    }
}

/// One increment of a counter across tasks.
pub(crate) struct AcrossCharge<'a> {
    pub(crate) across: &'a Across,
    /// `calls` or `sum:<arg>`.
    pub(crate) unit: &'a str,
    pub(crate) amount: i64,
    pub(crate) limit: i64,
}

impl AcrossCharge<'_> {
    /// The failure, where this one does not reach.
    pub(crate) fn failure(&self) -> Failure {
        if self.limit == ONE && self.unit == "calls" || matches!(self.across.per, Per::Input(_)) {
            Failure::OncePer
        } else {
            Failure::Budget
        }
    }
}

/// A rule that holds, and the cost of the call.
pub(crate) struct Match<'a> {
    pub(crate) rule: &'a Rule,
    pub(crate) charge: Charge,
    pub(crate) across: Vec<AcrossCharge<'a>>,
    /// The same as the store names them.
    pub(crate) counters: Vec<CounterCharge>,
}

/// Names a counter across tasks, where it still has room.
pub(crate) type Reaches<'a> = &'a dyn Fn(&AcrossCharge<'_>) -> Option<CounterCharge>;

/// Find the rule.
pub(crate) fn find<'a>(
    profile: &'a Profile,
    task: &Task,
    live: &Live,
    action: &str,
    resource: &str,
    args: &Args<'_>,
    reaches: Reaches<'_>,
) -> Result<Match<'a>, Failure> {
    let rules = profile.actions.get(action).ok_or(Failure::Action)?;
    let mut furthest = Failure::Resource;
    for rule in rules.iter().filter(|rule| rule.covers(resource)) {
        match try_rule(profile, rule, task, live, args, reaches) {
            Ok(found) => return Ok(found),
            Err(failure) => furthest = furthest.max(failure),
        }
    }
    Err(furthest)
}

fn try_rule<'a>(
    profile: &Profile,
    rule: &'a Rule,
    task: &Task,
    live: &Live,
    args: &Args<'_>,
    reaches: Reaches<'_>,
) -> Result<Match<'a>, Failure> {
    for bound in &rule.bounds {
        within(bound, task, args)?;
    }
    let mut charge = Charge::default();
    let calls = profile.total.iter().chain(rule.calls.iter());
    for (slot, limit) in calls {
        spend(live, &mut charge, *slot, ONE, *limit)?;
    }
    for sum in &rule.sums {
        let limit = number(&sum.max, task).ok_or(Failure::Bounds)?;
        spend(live, &mut charge, sum.slot, amount(&sum.arg, args)?, limit)?;
    }
    let mut across = Vec::new();
    for counter in &rule.across {
        if let Per::Input(place) = counter.per {
            // Once per something that was never given: nothing to count by, so nothing is allowed.
            task.input(place).ok_or(Failure::Bounds)?;
        }
        if let Some(limit) = counter.calls {
            across.push(AcrossCharge { across: counter, unit: "calls", amount: ONE, limit });
        }
        for (unit, arg, max) in &counter.sums {
            let limit = number(max, task).ok_or(Failure::Bounds)?;
            across.push(AcrossCharge { across: counter, unit, amount: amount(arg, args)?, limit });
        }
    }
    let counters =
        across.iter().map(|charge| reaches(charge).ok_or_else(|| charge.failure())).collect::<Result<_, _>>()?;
    Ok(Match { rule, charge, across, counters })
}

fn spend(live: &Live, charge: &mut Charge, slot: usize, amount: i64, limit: i64) -> Result<(), Failure> {
    let used = live.used.get(slot).copied().ok_or(Failure::Budget)?;
    match used.checked_add(amount) {
        Some(total) if total <= limit => {
            charge.slots.push((u16::try_from(slot).map_err(|_| Failure::Budget)?, amount));
            Ok(())
        }
        _ => Err(Failure::Budget),
    }
}

/// What a call adds to a sum. A negative amount would give back what others spent.
fn amount(arg: &str, args: &Args<'_>) -> Result<i64, Failure> {
    let number = get(arg, args)?.number().ok_or(Failure::Bounds)?;
    i64::try_from(number).ok().filter(|number| *number >= 0).ok_or(Failure::Bounds)
}

fn number(limit: &Limit, task: &Task) -> Option<i64> {
    resolve(limit, task)?.number().and_then(|number| i64::try_from(number).ok())
}

fn resolve<'a>(limit: &'a Limit, task: &'a Task) -> Option<&'a Value<'static>> {
    match limit {
        Limit::Const(value) => Some(value),
        Limit::Input(place) => task.input(*place),
    }
}

fn get<'a, 'b>(arg: &str, args: &'b Args<'a>) -> Result<&'b Value<'a>, Failure> {
    args.iter().find(|(name, _)| *name == arg).map(|(_, value)| value).ok_or(Failure::Missing)
}

/// Whether an argument is within a bound. What a limit cannot be compared with is out of bounds.
fn within(bound: &Bound, task: &Task, args: &Args<'_>) -> Result<(), Failure> {
    let value = get(&bound.arg, args)?;
    let holds = match &bound.test {
        Test::Max(limit) => compare(value, limit, task).is_some_and(std::cmp::Ordering::is_le),
        Test::Min(limit) => compare(value, limit, task).is_some_and(std::cmp::Ordering::is_ge),
        Test::Equal(limit) => resolve(limit, task).is_some_and(|limit| value.same(limit)),
        Test::OneOf(choices) => match value {
            Value::Texts(texts) => texts
                .iter()
                .all(|text| choices.iter().any(|choice| matches!(choice, Value::Text(choice) if choice == text))),
            value => choices.iter().any(|choice| value.same(choice)),
        },
        Test::Pattern(pattern) => match value {
            Value::Text(text) => pattern.is_match(text),
            Value::Texts(texts) => texts.iter().all(|text| pattern.is_match(text)),
            _ => false,
        },
        Test::Prefix(limit) => match (value, resolve(limit, task)) {
            (Value::Text(text), Some(Value::Text(prefix))) => text.starts_with(prefix.as_ref()),
            (Value::Texts(texts), Some(Value::Text(prefix))) => {
                texts.iter().all(|text| text.starts_with(prefix.as_ref()))
            }
            _ => false,
        },
        Test::Length(most) => match value {
            Value::Text(text) => text.chars().count() <= *most,
            Value::Texts(texts) => texts.len() <= *most,
            _ => false,
        },
    };
    if holds { Ok(()) } else { Err(Failure::Bounds) }
}

fn compare(value: &Value<'_>, limit: &Limit, task: &Task) -> Option<std::cmp::Ordering> {
    Some(value.number()?.cmp(&resolve(limit, task)?.number()?))
}
