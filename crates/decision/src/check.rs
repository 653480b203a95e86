//! One check of a live task, from the question to the released answer.
//!
//! The order: state and proof, action, arguments, intent, policies; charge; record. All of it under
//! the task's own lock, so that two checks of one task never see the same budget twice. The answer
//! leaves through `release`, which looks at the task once more.

use std::sync::Arc;

use crate::apply::{Answered, Change};
use crate::bundle::Bundle;
use crate::call::{Call, Now};
use crate::decide::{Case, Granted, Refused, Way};
use crate::deviation::told;
use crate::ids;
use crate::instances::names;
use crate::intent::LabelSet;
use crate::json::Json;
use crate::plane::{Plane, count};
use crate::record::{Decided, More, sha256, write_call};
use crate::release::{Checked, Held};
use crate::seal::seal;
use crate::sink::RecordDraft;
use crate::task::{Charge, State, Task};
use crate::together::Room;
use crate::verdict::{Effect, Reaction, Reason, Verdict};

impl Plane {
    /// Evaluate one call of a live task and charge it in memory.
    pub fn check(&self, call: &Call<'_>, now: Now) -> Checked {
        let Some(bundle) = self.bundle() else { return self.gap(Reason::BundleNotLoaded) };
        let Some(task) = self.task(call.task) else { return self.gap(Reason::TaskUnknown) };
        if task.profile.checks_per_second.is_some_and(|rate| !task.agent.take(rate, now)) {
            return self.gap(Reason::QuotaExceeded);
        }
        let json = if call.args.is_empty() { Ok(Json::Object(Vec::new())) } else { Json::parse(call.args) };
        let (digest, canonical, args) = digest(call, json.as_ref().ok());

        let weighed = self.weigh(&bundle, &task, call, json.as_ref().ok(), &digest, now);
        self.tell(&task, call, &weighed);
        let Weighed { outcome, decision, k, reaction, to, labels, tainted, change, room, .. } = weighed;
        let action = bundle.actions.get(call.action);
        let answer = Answer::of(&outcome, &decision);
        let (charge, across) = match &outcome {
            Ok(granted) if answer.effect == Effect::Allow => (granted.found.charge.clone(), granted.across.as_slice()),
            _ => (Charge::default(), &[][..]),
        };
        let slot = |slot: u16| task.profile.slots.get(usize::from(slot)).map(String::as_str);
        let mut charged: Vec<(&str, i64)> =
            charge.slots.iter().filter_map(|(place, amount)| Some((slot(*place)?, *amount))).collect();
        let more = More {
            approval: answer.approval.as_deref().unwrap_or(""),
            breach: outcome.as_ref().err().and_then(|refused| told(refused.failure.as_ref()?)),
            labels: labels.iter().map(String::as_str).collect(),
            plan: change.as_ref().map_or(&[], |change| change.plan.as_slice()),
            distinct: change.as_ref().map_or_else(Vec::new, |change| {
                change.said.iter().filter_map(|(place, hash)| Some((slot(*place)?, *hash))).collect()
            }),
        };
        let reasons = [answer.reason];
        let body = Decided {
            at: now.wall_ms,
            task: call.task,
            decision: &decision,
            agent: &task.agent.name,
            principal: &task.principal,
            subject: None,
            pep: call.pep,
            binding: call.binding,
            action: call.action,
            resource: (call.resource_type, call.resource_id),
            call: &digest,
            bundle: &bundle.digest,
            effect: answer.effect,
            reasons: &reasons,
            policies: answer.policies,
            rule: answer.rule,
            charged: &mut charged,
            across,
            reaction,
            class: action.map_or("", |action| &action.class),
            more,
        }
        .body();
        let buffered = action.is_some_and(|action| action.buffered)
            // A charge across tasks is settled by the store; a change of state, a label that something goes
            // by, a question and its answer are for good: all of them wait.
            && across.is_empty() && to.is_none() && answer.approval.is_none() && !(bundle.labels_matter && tainted);
        let across = across.to_vec();
        let verdict = Verdict {
            effect: answer.effect,
            reasons: reasons.to_vec(),
            policies: answer.policies.clone(),
            reaction,
            approval: answer.approval.clone(),
            digest,
            decision,
        };
        let plain = canonical.get(args).filter(|plain| plain.len() > 2);
        let sealed = plain.map(|plain| seal(&task.key, self.cfg.epoch, k, call.task, &verdict.decision, plain));
        let write = action.is_none_or(|action| action.write);
        let counters = across.clone();
        let held = change.map(|change| Held { task: Arc::clone(&task), write, k, charge, across, change });
        if sealed == Some(None) {
            return self.unsealed(held);
        }
        let task = Some(call.task.to_owned());
        let record =
            RecordDraft { task, kind: "decided", at_ms: now.wall_ms, body, sealed: sealed.flatten(), counters };
        Checked { record: Some(record), buffered, verdict, held, room }
    }

    /// Decide and move what the decision moves, all of it under the task's lock.
    fn weigh<'a>(
        &self,
        bundle: &'a Bundle,
        task: &'a Task,
        call: &Call<'_>,
        json: Option<&Json<'_>>,
        digest: &str,
        now: Now,
    ) -> Weighed<'a> {
        let mut live = task.live.lock();
        let mut above = task.above();
        live.k += 1;
        let k = live.k;
        let decision = ids::decision(&self.cfg.cell, Some(task.number), self.cfg.epoch, k);
        let outcome = match self.catch_up(task, &mut live) {
            Some(()) => self.decide(&Case { bundle, task, live: &live, above: &above, call, json, digest, now }),
            // More labels than the task has bits for: what it touched cannot be told.
            None => Err(Reason::EngineError.into()),
        };
        let (mut to, mut degraded, mut change, mut reaction) = (None, false, None, None);
        match &outcome {
            Ok(granted) => {
                let answered = Answered { bundle, call, json, granted, k, decision: &decision, digest, now };
                change = Some(self.apply(task, &mut live, &mut above, &answered));
            }
            Err(refused) => {
                let breach = refused.failure.as_ref();
                let breach = breach.and_then(|it| self.breach(task, &mut live, &mut above, call.action, it, now));
                degraded = breach.is_some_and(|(_, degraded)| degraded);
                reaction = breach.map(|(reaction, _)| reaction).or(refused.reaction);
                if let Some(reaction) = reaction {
                    let after = live.state.after(reaction);
                    to = (after != live.state).then_some(after);
                    live.state = after;
                }
            }
        }
        let fresh = live.labels.fresh();
        let tainted = !fresh.less(LabelSet::USER.and(LabelSet::ORG)).is_empty();
        let labels = names(&task.profile.program, live.story.as_deref(), fresh);
        let labels = labels.map(str::to_owned).collect();
        let room = outcome.as_ref().map_or_else(|_| Room::default(), |granted| Room::of(granted.found.rule, &live));
        Weighed { outcome, decision, k, reaction, to, degraded, labels, tainted, change, room }
    }

    /// What others are to hear and feel of a decision at once.
    fn tell(&self, task: &Task, call: &Call<'_>, weighed: &Weighed<'_>) {
        let Weighed { outcome, decision, reaction, to, degraded, .. } = weighed;
        if *to == Some(State::Fenced) {
            self.tell_fenced(task.number);
            self.fence_children(task);
        }
        let reason = Answer::of(outcome, decision).reason;
        count(&self.answers, reason);
        if let Some(reaction) = reaction {
            self.events.deviation(call.task, decision, *reaction, to.is_some(), &[reason]);
        }
        if *degraded {
            self.events.degraded(&task.profile.name, call.task, decision);
        }
    }

    /// A refusal that is counted and not recorded.
    pub(crate) fn gap(&self, reason: Reason) -> Checked {
        count(&self.answers, reason);
        count(&self.gaps, reason);
        Checked::unrecorded(reason)
    }

    /// The arguments could not be sealed: nothing is charged and nothing allowed.
    fn unsealed(&self, held: Option<Held>) -> Checked {
        if let Some(held) = held {
            self.undo(&held);
        }
        self.gap(Reason::EngineError)
    }
}

/// A call that was decided, and what that moved.
struct Weighed<'a> {
    outcome: Result<Granted<'a>, Refused<'a>>,
    decision: String,
    k: u64,
    reaction: Option<Reaction>,
    /// The state that it moved the task to.
    to: Option<State>,
    /// Less was set off than the profile says.
    degraded: bool,
    /// Labels that no durable record carries yet.
    labels: Vec<String>,
    /// Some of them are more than the user's and the organisation's own.
    tainted: bool,
    change: Option<Change>,
    /// What may come back of an allowed call.
    room: Room,
}

/// What a check answers.
struct Answer<'a> {
    effect: Effect,
    reason: Reason,
    policies: &'a Vec<Arc<str>>,
    rule: &'a str,
    approval: Option<String>,
}

impl<'a> Answer<'a> {
    fn of(outcome: &'a Result<Granted<'_>, Refused<'_>>, decision: &str) -> Self {
        let asks = |effect| match effect {
            Effect::StepUp => Reason::StepUpRequired,
            _ => Reason::ApprovalRequired,
        };
        match outcome {
            Ok(granted) => {
                let (effect, reason, approval) = match &granted.way {
                    Way::Go => (Effect::Allow, Reason::Allowed, None),
                    Way::Approved(reference) => (Effect::Allow, Reason::Allowed, Some(reference.clone())),
                    Way::Ask(effect) => (*effect, asks(*effect), Some(decision.to_owned())),
                    Way::Asked(effect, reference) => (*effect, asks(*effect), Some(reference.clone())),
                };
                Self { effect, reason, policies: &granted.policies, rule: &granted.found.rule.id, approval }
            }
            Err(no) => Self {
                effect: Effect::Deny,
                reason: no.reason.unwrap_or(Reason::EngineError),
                policies: &no.policies,
                rule: no.rule.map_or("", |rule| &rule.id),
                approval: None,
            },
        }
    }
}

/// A call's digest, its canonical form, and where in that the arguments stand; nothing, where they cannot be read.
fn digest(call: &Call<'_>, json: Option<&Json<'_>>) -> (String, Vec<u8>, std::ops::Range<usize>) {
    let Some(json @ Json::Object(_)) = json else { return (String::new(), Vec::new(), 0..0) };
    let mut canonical = Vec::with_capacity(256 + call.args.len());
    let resource = (call.resource_type, call.resource_id);
    let args = write_call(&mut canonical, call.action, json, resource, call.task);
    (sha256(&canonical), canonical, args)
}
