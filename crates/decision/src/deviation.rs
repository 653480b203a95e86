//! What follows a breach: the ladder of its kind, thresholds over all, and a bound on how much content can set off.

use crate::call::Now;
use crate::hurdle::{Failure, Hurdle};
use crate::instances::Above;
use crate::intent::Seen;
use crate::plane::Plane;
use crate::profile::{Deviation, Profile, step};
use crate::record::{Body, list};
use crate::story::Breaches;
use crate::task::{Live, Task};
use crate::verdict::{Reaction, Reason};

/// The window in which hard reactions are counted.
const MINUTE_MS: i64 = 60_000;

/// The kind of breach that a reason tells of; none where it is no breach.
pub(crate) const fn kind_of(reason: Reason) -> Option<Deviation> {
    Some(match reason {
        Reason::ActionNotInProfile => Deviation::Action,
        Reason::ResourceNotInProfile => Deviation::Target,
        Reason::ArgumentOutOfBounds | Reason::TooLong => Deviation::Argument,
        Reason::OriginMismatch | Reason::NotAskedFor => Deviation::Origin,
        Reason::OutOfOrder => Deviation::Order,
        Reason::NotInPlan | Reason::PlanRequired => Deviation::Plan,
        Reason::BudgetSpent | Reason::OncePerSpent => Deviation::Budget,
        Reason::LabelForbids => Deviation::Flow,
        _ => return None,
    })
}

/// What a profile says of another breach of that kind, after those that were.
fn reaction(profile: &Profile, action: &str, failure: &Failure<'_>, kind: Deviation, before: &Breaches) -> Reaction {
    let own = match failure.rule {
        Some(rule) => rule.conduct.on_breach.as_deref(),
        None => profile.actions.get(action).into_iter().flatten().find_map(|rule| rule.conduct.on_breach.as_deref()),
    };
    let n = before.get(kind as usize).copied().unwrap_or(0).saturating_add(1);
    let all = before.iter().fold(1_u32, |sum, count| sum.saturating_add(*count));
    let ladder = step(own.unwrap_or_else(|| profile.ladders.of(kind)), n);
    let reached = profile.denials.iter().filter(|(at, _)| all >= *at).map(|(_, reaction)| *reaction);
    reached.fold(ladder, Ord::max)
}

impl Plane {
    /// Count a breach, in the task and in those above it, and say what it sets off. `true`: less than the
    /// profile says, because too much was set off of late.
    pub(crate) fn breach(
        &self,
        task: &Task,
        live: &mut Live,
        above: &mut [Above<'_>],
        action: &str,
        failure: &Failure<'_>,
        now: Now,
    ) -> Option<(Reaction, bool)> {
        let kind = kind_of(failure.reason())?;
        // The children of one task climb one ladder: each would else have a first breach of its own.
        let root = above.last().and_then(|(_, root)| root.story.as_deref());
        let before = if above.is_empty() { live.story.as_deref() } else { root };
        let before = before.map_or_else(Breaches::default, crate::story::Story::all_breaches);
        let reaction = reaction(&task.profile, action, failure, kind, &before);
        count(live, above, kind);
        if reaction > Reaction::Freeze && !self.may_react(&task.profile, now) {
            return Some((Reaction::Freeze, true));
        }
        Some((reaction, false))
    }

    /// Whether one more hard reaction of a profile fits into the minute.
    fn may_react(&self, profile: &Profile, now: Now) -> bool {
        let mut hard = self.hard.lock();
        let times = hard.entry(profile.name.clone()).or_default();
        while times.front().is_some_and(|at| *at <= now.mono_ms.saturating_sub(MINUTE_MS)) {
            times.pop_front();
        }
        let fits = times.len() < usize::try_from(profile.most_per_minute).unwrap_or(usize::MAX);
        if fits {
            times.push_back(now.mono_ms);
        }
        fits
    }
}

/// Count a breach of a task and, for its ladder, of all above it.
pub(crate) fn count(live: &mut Live, above: &mut [Above<'_>], kind: Deviation) {
    live.story().breach(kind);
    let mut one = Breaches::default();
    if let Some(count) = one.get_mut(kind as usize) {
        *count = 1;
    }
    for (_, ancestor) in above {
        ancestor.story().inherit(&one);
    }
}

/// What was breached, for those who may read records: names, never values.
pub(crate) fn told(failure: &Failure<'_>) -> Option<Vec<u8>> {
    let kind = kind_of(failure.reason())?;
    let mut body = Body::new(192);
    let breach = failure.breach.as_deref();
    if let Some(arg) = breach.map(|breach| breach.arg.as_ref()).or(failure.arg) {
        body.text("arg", arg);
    }
    if let Some(kind) = breach.and_then(|breach| breach.as_) {
        body.text("as", kind.as_str());
    }
    body.text("kind", kind.as_str());
    if let Some(rule) = failure.rule {
        body.text("rule", &rule.id);
    }
    if let Some(breach) = breach.filter(|_| failure.hurdle >= Hurdle::Bounds) {
        list(body.name("seen"), &breach.seen, |out, seen| {
            let Seen { action, field, result, by } = seen;
            let mut row = Body::new(96);
            row.text("action", action);
            row.text("by", by);
            row.text("field", field);
            row.int("result", i64::from(*result));
            out.extend_from_slice(&row.done());
        });
        body.list("wanted", breach.wanted.iter().map(AsRef::as_ref));
    }
    Some(body.done())
}
