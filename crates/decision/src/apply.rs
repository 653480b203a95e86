//! What an allow, or a question to a person, moves in its task; and taking it back.

use std::sync::Arc;

use crate::approval::{Approval, OPEN_MS, Standing};
use crate::bundle::Bundle;
use crate::call::{Call, Now};
use crate::decide::{Granted, Way};
use crate::instances::Above;
use crate::intent::LabelSet;
use crate::json::Json;
use crate::pep::{CONTROL_PLANE, PepIdentity};
use crate::plan::Moves;
use crate::plane::Plane;
use crate::release::Held;
use crate::task::{Asked, Live, Pending, Task};
use crate::value::ONE;

/// What an answer moved in its task beyond the charge, until its record is durable.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    /// Labels that the record carries.
    pub(crate) labels: LabelSet,
    /// Those of them that this answer attached.
    pub(crate) attached: LabelSet,
    /// Place among the watched actions.
    pub(crate) done: Option<u16>,
    pub(crate) plan: Moves,
    /// Values that count: slot and hash.
    pub(crate) distinct: Vec<(u16, u64)>,
    /// Those of them that the record names.
    pub(crate) said: Vec<(u16, u64)>,
    /// An approval that is used up.
    pub(crate) used: Option<String>,
    /// A question that is new, by its reference.
    pub(crate) asked: Option<String>,
}

/// A call that is answered with an allow or a question.
pub(crate) struct Answered<'a, 'c> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) call: &'c Call<'c>,
    pub(crate) json: Option<&'c Json<'c>>,
    pub(crate) granted: &'c Granted<'a>,
    pub(crate) k: u64,
    pub(crate) decision: &'c str,
    pub(crate) digest: &'c str,
    pub(crate) now: Now,
}

impl Plane {
    /// Move what an answer moves. All of it is undone where the record fails.
    pub(crate) fn apply(
        &self,
        task: &Task,
        live: &mut Live,
        above: &mut [Above<'_>],
        answered: &Answered<'_, '_>,
    ) -> Change {
        let Answered { bundle, call, json, granted, k, decision, digest, now } = *answered;
        let (rule, profile) = (granted.found.rule, &task.profile);
        let mut change = Change::default();
        match &granted.way {
            Way::Go => {}
            Way::Approved(reference) => {
                live.story().approvals.take(reference, true);
                change.used = Some(reference.clone());
            }
            Way::Asked(..) => return Change { labels: live.labels.fresh(), ..change },
            Way::Ask(kind) => {
                live.story().approvals.ask(Approval {
                    reference: Box::from(decision),
                    call: Box::from(digest),
                    kind: *kind,
                    action: Box::from(call.action),
                    resource: (Box::from(call.resource_type), Box::from(call.resource_id)),
                    rule: Arc::clone(&rule.id),
                    asked_ms: now.wall_ms,
                    until_ms: now.wall_ms.saturating_add(OPEN_MS),
                    standing: Standing::Pending,
                    settling: false,
                });
                let asked = Some(decision.to_owned());
                return Change { labels: live.labels.fresh(), asked, ..change };
            }
        }
        live.charge(&granted.found.charge, 1);
        // Which columns come back is a gateway's of our own to say: with another's call it is the agent's argument.
        let gateway = |pep: &crate::pep::Pep| matches!(pep.identity, PepIdentity::Gateway(_));
        let labels = match columns(json).filter(|_| bundle.peps.by_name(call.pep).is_some_and(gateway)) {
            Some(columns) => profile.program.column_labels(call.action, &columns),
            None => profile.program.static_labels(call.action),
        };
        change.attached = labels.less(live.labels.all);
        live.labels.all = live.labels.all.and(labels);
        change.labels = live.labels.fresh();
        change.done = profile.watched_place(call.action);
        if let Some(place) = change.done {
            live.story().count_done(place, profile.watched().len(), true);
        }
        change.plan.clone_from(&granted.found.plan);
        shift(live, above, &change.plan, true);
        for (slot, hash) in &granted.found.distinct {
            let story = live.story();
            let new = story.distinct.hold(*slot, *hash);
            if story.distinct.unsaid(*slot, *hash) {
                change.said.push((*slot, *hash));
            }
            change.distinct.push((*slot, *hash));
            if new && let Some(used) = live.used.get_mut(usize::from(*slot)) {
                *used = used.saturating_add(ONE);
            }
        }
        if bundle.peps.by_name(call.pep).is_some_and(|pep| pep.may_report) || profile.reports() && own(bundle, call.pep)
        {
            let action = profile.actions.get_key_value(call.action).map(|(action, _)| Arc::clone(action));
            let call = Asked {
                charge: granted.found.charge.clone(),
                pep: Arc::from(call.pep),
                action: action.unwrap_or_else(|| Arc::from(call.action)),
                rule: Arc::clone(&rule.id),
                done: change.done,
                plan: change.plan.clone(),
                cited: json.and_then(|json| profile.program.cited(call.action, json)),
            };
            live.remember(Pending { k, epoch: self.cfg.epoch, reported: false, call: Some(Box::new(call)) });
        }
        change
    }

    /// Take back everything that an answer moved: its record surely was not written.
    pub(crate) fn undo(&self, held: &Held) {
        let Held { task, k, charge, across, change, .. } = held;
        let mut live = task.live.lock();
        let mut above = task.above();
        live.charge(charge, -1);
        self.counters.undo(across);
        live.labels.detach(change.attached);
        shift(&mut live, &mut above, &change.plan, false);
        for (slot, hash) in &change.distinct {
            let gone = live.story().distinct.drop(*slot, *hash);
            if gone && let Some(used) = live.used.get_mut(usize::from(*slot)) {
                *used = used.saturating_sub(ONE).max(0);
            }
        }
        if let Some(reference) = &change.used {
            live.story().approvals.take(reference, false);
        }
        unmake(&mut live, task, change);
        live.forget(self.cfg.epoch, *k);
    }

    /// The record stands: what it says counts from here on. Or nobody can say: then what restricts stays, and
    /// the next record says it again.
    pub(crate) fn settle_change(
        &self,
        task: &Task,
        live: &mut Live,
        above: &mut [Above<'_>],
        change: &Change,
        durable: bool,
    ) {
        if durable {
            self.settle_labels(task, live, above, change.labels);
        }
        for (slot, hash) in &change.distinct {
            live.story().distinct.settle(*slot, *hash, durable);
        }
    }
}

/// What did not happen although its record stands: the call itself, or the question.
pub(crate) fn unmake(live: &mut Live, task: &Task, change: &Change) {
    if let Some(place) = change.done {
        live.story().count_done(place, task.profile.watched().len(), false);
    }
    if let Some(reference) = &change.asked {
        live.story().approvals.forget(reference);
    }
}

/// Move entries of plans, of the task and of those above it, or move them back.
pub(crate) fn shift(live: &mut Live, above: &mut [Above<'_>], moves: &Moves, forward: bool) {
    for (up, entry) in moves {
        if *up == 0 {
            if let Some(plan) = live.story().plan.as_deref_mut() {
                plan.shift(*entry, 1, forward);
            }
            continue;
        }
        live.story().moved_above(*up, *entry, 1, forward);
        for (level, (_, ancestor)) in (1_u8..).zip(above.iter_mut()) {
            let story = ancestor.story();
            if level < *up {
                // Between the two: it answers for what its descendants moved.
                story.moved_above(*up - level, *entry, 1, forward);
            } else if level == *up
                && let Some(plan) = story.plan.as_deref_mut()
            {
                plan.shift(*entry, 1, forward);
            }
        }
    }
}

/// The columns that a call names.
fn columns<'j>(json: Option<&'j Json<'_>>) -> Option<Vec<&'j str>> {
    let Some(Json::Object(members)) = json else { return None };
    match members.iter().find(|(name, _)| name == "columns") {
        Some((_, Json::List(items))) => items.iter().map(Json::text).collect(),
        _ => None,
    }
}

/// Whether an enforcement point is the agent's own process, or the control plane in this one.
pub(crate) fn own(bundle: &Bundle, pep: &str) -> bool {
    pep == CONTROL_PLANE || bundle.peps.by_name(pep).is_some_and(|pep| pep.identity == PepIdentity::Own)
}
