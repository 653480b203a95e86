//! Conformance: whether a call is within a rule of the profile, and what it would cost.
//!
//! Several rules may speak of one action. They are tried in order, and the first whose bounds and
//! budgets hold is the one; where none does, the failure that came furthest is reported.

use std::sync::Arc;

use crate::hurdle::{Failure, Hurdle};
use crate::instances::Above;
use crate::intent::{Ask, Origins, Path, judge, values};
use crate::json::Json;
use crate::plan::Moves;
use crate::profile::{Across, Bound, Limit, Per, PlanMode, Profile, Rule, Test};
use crate::sink::CounterCharge;
use crate::task::{Charge, Live, Task};
use crate::value::{ONE, Value};

/// Typed arguments by name, in order of the names.
pub(crate) type Args<'a> = Vec<(&'a str, Value<'a>)>;

/// One increment of a counter across tasks.
pub(crate) struct AcrossCharge<'a> {
    pub(crate) across: &'a Across,
    /// `calls` or `sum:<arg>`.
    pub(crate) unit: &'a str,
    pub(crate) amount: i64,
    pub(crate) limit: i64,
}

impl AcrossCharge<'_> {
    /// The hurdle, where this one does not reach.
    pub(crate) fn hurdle(&self) -> Hurdle {
        if self.limit == ONE && self.unit == "calls" || matches!(self.across.per, Per::Input(_)) {
            Hurdle::OncePer
        } else {
            Hurdle::Budget
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
    /// Labels of what the arguments were found in.
    pub(crate) origins: Origins<'a>,
    /// Values that count under a counter of different ones: slot and keyed hash.
    pub(crate) distinct: Vec<(u16, u64)>,
    /// Entries of plans that it moves.
    pub(crate) plan: Moves,
}

/// A call as it is held against rules.
pub(crate) struct Held<'a, 'c> {
    pub(crate) profile: &'a Profile,
    pub(crate) task: &'a Task,
    pub(crate) live: &'c Live,
    pub(crate) above: &'c [Above<'a>],
    pub(crate) action: &'c str,
    pub(crate) resource: &'c str,
    /// Whether it has effects that a plan must name.
    pub(crate) planned: bool,
    pub(crate) args: &'c Args<'c>,
    /// The same as they were given.
    pub(crate) json: &'c Json<'c>,
    pub(crate) wall_ms: i64,
    /// Names a counter across tasks, where it still has room.
    pub(crate) reaches: &'c dyn Fn(&AcrossCharge<'_>) -> Option<CounterCharge>,
}

/// Find the rule.
pub(crate) fn find<'a>(held: &Held<'a, '_>) -> Result<Match<'a>, Failure<'a>> {
    let rules = held.profile.actions.get(held.action).ok_or(Failure::at(Hurdle::Action, None))?;
    let mut furthest = Failure::at(Hurdle::Resource, None);
    for rule in rules.iter().filter(|rule| rule.covers(held.resource)) {
        match held.against(rule) {
            Ok(found) => return Ok(found),
            Err(failure) if failure.hurdle > furthest.hurdle => furthest = failure,
            Err(_) => {}
        }
    }
    Err(furthest)
}

impl<'a> Held<'a, '_> {
    /// Every hurdle of one rule, in order.
    fn against(&self, rule: &'a Rule) -> Result<Match<'a>, Failure<'a>> {
        let at = |hurdle| Failure::at(hurdle, Some(rule));
        self.complete(rule)?;
        self.timely(rule)?;
        for bound in &rule.bounds {
            if !within(bound, self.task, self.args) {
                return Err(Failure::of(Hurdle::Bounds, rule, &bound.arg));
            }
        }
        let origins = self.origins(rule)?;
        let plan = self.plan(rule)?;
        let mut charge = Charge::default();
        for (slot, limit) in self.profile.total.iter().chain(rule.calls.iter()) {
            self.spend(&mut charge, *slot, ONE, *limit).ok_or_else(|| at(Hurdle::Budget))?;
        }
        for sum in &rule.sums {
            let of = |hurdle| Failure::of(hurdle, rule, &sum.arg);
            let limit = number(&sum.max, self.task).ok_or_else(|| of(Hurdle::Bounds))?;
            let amount = amount(&sum.arg, self.args).ok_or_else(|| of(Hurdle::Bounds))?;
            self.spend(&mut charge, sum.slot, amount, limit).ok_or_else(|| of(Hurdle::Budget))?;
        }
        self.unspent(rule).ok_or_else(|| at(Hurdle::Budget))?;
        let distinct = self.distinct(rule)?;
        let mut across = Vec::new();
        for counter in &rule.across {
            if let Per::Input(place) = counter.per {
                // Once per something that was never given: nothing to count by, so nothing is allowed.
                self.task.input(place).ok_or_else(|| at(Hurdle::Bounds))?;
            }
            if let Some(limit) = counter.calls {
                across.push(AcrossCharge { across: counter, unit: "calls", amount: ONE, limit });
            }
            for (unit, arg, max) in &counter.sums {
                let of = || Failure::of(Hurdle::Bounds, rule, arg);
                let limit = number(max, self.task).ok_or_else(of)?;
                let amount = amount(arg, self.args).ok_or_else(of)?;
                across.push(AcrossCharge { across: counter, unit, amount, limit });
            }
        }
        let counters = across.iter().map(|charge| (self.reaches)(charge).ok_or_else(|| at(charge.hurdle())));
        let counters = counters.collect::<Result<_, _>>()?;
        Ok(Match { rule, charge, across, counters, origins, distinct, plan })
    }

    /// Every argument that something is demanded of is there.
    fn complete(&self, rule: &'a Rule) -> Result<(), Failure<'a>> {
        let sums = rule.sums.iter().map(|sum| sum.arg.as_str());
        let across = rule.across.iter().flat_map(|across| across.sums.iter().map(|(_, arg, _)| arg.as_str()));
        let mut named = rule.bounds.iter().map(|bound| bound.arg.as_str()).chain(sums).chain(across);
        if let Some(arg) = named.find(|arg| get(arg, self.args).is_none()) {
            return Err(Failure::of(Hurdle::Missing, rule, arg));
        }
        for path in rule.demands.required() {
            if !path.filled(self.json) {
                return Err(Failure::of(Hurdle::Missing, rule, path.as_str()));
            }
        }
        Ok(())
    }

    /// Asked for, in order, and not after what the task has touched.
    fn timely(&self, rule: &'a Rule) -> Result<(), Failure<'a>> {
        let at = |hurdle| Err(Failure::at(hurdle, Some(rule)));
        if rule.demands.must_be_asked() && !self.task.mind().is_some_and(|(given, _)| given.asked(rule)) {
            return at(Hurdle::Asked);
        }
        let story = self.live.story.as_deref();
        let done = |action: &Arc<str>| {
            let place = self.profile.watched_place(action);
            place.is_some_and(|place| story.is_some_and(|story| story.done(usize::from(place)) > 0))
        };
        let conduct = &rule.conduct;
        let begun = conduct.after_any.is_empty() || conduct.after_any.iter().any(done);
        if !begun || !conduct.after.iter().all(done) || conduct.before.iter().any(done) {
            return at(Hurdle::Order);
        }
        let labels = self.live.labels.all;
        let never = self.profile.never.iter().any(|(label, action)| **action == *self.action && labels.meets(*label));
        if never || labels.meets(rule.conduct.unless) {
            return at(Hurdle::Labels);
        }
        Ok(())
    }

    /// Where the arguments come from.
    fn origins(&self, rule: &'a Rule) -> Result<Origins<'a>, Failure<'a>> {
        if rule.demands.is_empty() {
            return Ok(Origins::new());
        }
        // A profile that demands anything gave the task what is held against it, when it opened.
        let Some((given, key)) = self.task.mind() else { return Err(Failure::at(Hurdle::Unknown, Some(rule))) };
        let ask = Ask {
            program: &self.profile.program,
            rule,
            given,
            memory: self.live.story.as_deref().map(|story| &story.memory),
            key,
            args: self.json,
            wall_ms: self.wall_ms,
        };
        let found = judge(&ask).map_err(|breach| Failure::breached(rule, breach))?;
        let own = |name: &str| rule.demands.paths().map(Path::head).find(|head| *head == name);
        Ok(found.into_iter().filter_map(|(name, labels)| Some((own(name)?, labels))).collect())
    }

    /// The entries of plans that the call moves: of its own, and of every ancestor that has one.
    fn plan(&self, rule: &'a Rule) -> Result<Moves, Failure<'a>> {
        let mut moves = Moves::new();
        if !self.planned {
            return Ok(moves);
        }
        let lives = std::iter::once(self.live).chain(self.above.iter().map(|(_, live)| &**live));
        for (up, live) in (0_u8..).zip(lives) {
            if let Some(plan) = live.story.as_deref().and_then(|story| story.plan.as_deref()) {
                let entry = plan.find(self.action, rule, self.json);
                moves.push((up, entry.ok_or_else(|| Failure::at(Hurdle::Plan, Some(rule)))?));
            }
        }
        if moves.is_empty() && self.profile.plan == PlanMode::Required {
            return Err(Failure::unplanned(rule));
        }
        Ok(moves)
    }

    /// What enforcement points reported leaves something.
    fn unspent(&self, rule: &Rule) -> Option<()> {
        let reported = &rule.conduct.reported;
        for (slot, limit) in [reported.rows, reported.bytes, reported.seconds].into_iter().flatten() {
            let used = self.live.used.get(slot).copied()?;
            if used >= self.limit(slot, limit) {
                return None;
            }
        }
        Some(())
    }

    /// Values that count, and whether they may.
    fn distinct(&self, rule: &'a Rule) -> Result<Vec<(u16, u64)>, Failure<'a>> {
        let mut out: Vec<(u16, u64)> = Vec::new();
        for one in &rule.conduct.distinct {
            let of = |hurdle| Failure::of(hurdle, rule, one.arg.as_str());
            let Some((given, key)) = self.task.mind() else { return Err(of(Hurdle::Unknown)) };
            let remembered = self.live.story.as_deref().and_then(|story| story.memory.today());
            let today = given.today(&self.profile.program, remembered, self.wall_ms);
            let slot = u16::try_from(one.slot).map_err(|_| of(Hurdle::Budget))?;
            let values = values(one.kind, &one.arg, self.json, key, today).ok_or_else(|| of(Hurdle::Origin))?;
            let seen = self.live.story.as_deref().map(|story| &story.distinct);
            let new = values.iter().filter(|hash| !seen.is_some_and(|seen| seen.has(slot, **hash))).count();
            let new = i64::try_from(new).unwrap_or(i64::MAX);
            out.extend(values.into_iter().map(|hash| (slot, hash)));
            let used = self.live.used.get(one.slot).copied().unwrap_or(i64::MAX);
            let total = used.checked_add(new.saturating_mul(ONE));
            if new > 0 && total.is_none_or(|total| total > self.limit(one.slot, one.max)) {
                return Err(of(Hurdle::Budget));
            }
        }
        for one in &rule.conduct.each {
            let of = |hurdle| Failure::of(hurdle, rule, one.arg.as_str());
            // A child would count anew what its parent has counted.
            if !self.above.is_empty() {
                return Err(of(Hurdle::Budget));
            }
            let Some((given, key)) = self.task.mind() else { return Err(of(Hurdle::Unknown)) };
            let remembered = self.live.story.as_deref().and_then(|story| story.memory.today());
            let today = given.today(&self.profile.program, remembered, self.wall_ms);
            let slot = u16::try_from(one.slot).map_err(|_| of(Hurdle::Budget))?;
            let values = values(one.kind, &one.arg, self.json, key, today).ok_or_else(|| of(Hurdle::Origin))?;
            let seen = self.live.story.as_deref().map(|story| &story.distinct);
            for value in values {
                // The n-th call with a value is a value of its own.
                let mut calls = (1..=one.max).map(|nth| key.nth(value, nth));
                let next = calls.find(|hash| !seen.is_some_and(|seen| seen.has(slot, *hash)));
                out.push((slot, next.ok_or_else(|| of(Hurdle::Budget))?));
            }
        }
        Ok(out)
    }

    fn limit(&self, slot: usize, limit: i64) -> i64 {
        self.task.allotted(slot).map_or(limit, |given| given.min(limit))
    }

    fn spend(&self, charge: &mut Charge, slot: usize, amount: i64, limit: i64) -> Option<()> {
        let total = self.live.used.get(slot)?.checked_add(amount)?;
        if total > self.limit(slot, limit) {
            return None;
        }
        charge.slots.push((u16::try_from(slot).ok()?, amount));
        Some(())
    }
}

/// What a call adds to a sum. A negative amount would give back what others spent.
fn amount(arg: &str, args: &Args<'_>) -> Option<i64> {
    i64::try_from(get(arg, args)?.number()?).ok().filter(|number| *number >= 0)
}

/// A limit in 1/10000ths; `None` where it is an input that was not given.
pub(crate) fn number(limit: &Limit, task: &Task) -> Option<i64> {
    resolve(limit, task)?.number().and_then(|number| i64::try_from(number).ok())
}

fn resolve<'a>(limit: &'a Limit, task: &'a Task) -> Option<&'a Value<'static>> {
    match limit {
        Limit::Const(value) => Some(value),
        Limit::Input(place) => task.input(*place),
    }
}

fn get<'a, 'b>(arg: &str, args: &'b Args<'a>) -> Option<&'b Value<'a>> {
    args.iter().find(|(name, _)| *name == arg).map(|(_, value)| value)
}

/// Whether an argument is within a bound. What a limit cannot be compared with is out of bounds.
fn within(bound: &Bound, task: &Task, args: &Args<'_>) -> bool {
    let Some(value) = get(&bound.arg, args) else { return false };
    match &bound.test {
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
            (Value::Text(text), Some(Value::Text(prefix))) => begins(text, prefix),
            (Value::Texts(texts), Some(Value::Text(prefix))) => texts.iter().all(|text| begins(text, prefix)),
            _ => false,
        },
        Test::Length(most) => match value {
            Value::Text(text) => text.chars().count() <= *most,
            Value::Texts(texts) => texts.len() <= *most,
            _ => false,
        },
    }
}

/// Whether a text begins with a prefix. A prefix that ends in a slash is a folder, and what leads out of it again
/// (`src/../.env`, also behind a backslash or an encoded dot) is not in it.
fn begins(text: &str, prefix: &str) -> bool {
    let Some(rest) = text.strip_prefix(prefix) else { return false };
    let encoded = |segment: &str| segment.contains('%') && segment.to_ascii_lowercase().replace("%2e", ".") == "..";
    let leaves = |segment: &str| segment == ".." || encoded(segment);
    !prefix.ends_with('/') || !rest.split(['/', '\\']).any(leaves)
}

fn compare(value: &Value<'_>, limit: &Limit, task: &Task) -> Option<std::cmp::Ordering> {
    Some(value.number()?.cmp(&resolve(limit, task)?.number()?))
}

#[cfg(test)]
mod tests {
    use super::begins;

    #[test]
    fn a_folder_holds_nothing_that_leads_out_of_it() {
        assert!(begins("src/app/main.rs", "src/"));
        assert!(begins("src/..a", "src/"));
        assert!(begins("INV-..", "INV-"));
        for out in ["src/../.env", "src/a/..", "src/..", "src/..\\.env", "src/%2e%2E/.env", "src/.%2e/x"] {
            assert!(!begins(out, "src/"), "{out}");
        }
    }
}
