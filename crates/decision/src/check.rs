//! One check of a live task, from the question to the released answer.
//!
//! The order: state and proof, action, arguments, intent, policies; charge; record. All of it under
//! the task's own lock, so that two checks of one task never see the same budget twice. The answer
//! leaves through `release`, which looks at the task once more.

use std::sync::Arc;

use crate::bundle::{Action, Bundle};
use crate::call::{Call, Now};
use crate::cedar;
use crate::engine::{Opinion, Question, combine};
use crate::ids;
use crate::json::Json;
use crate::needs::Needs;
use crate::pep::CONTROL_PLANE;
use crate::plane::{Plane, count};
use crate::profile::Rule;
use crate::program::{self, Args, Match};
use crate::record::{Decided, seal, sha256, write_call};
use crate::release::{Checked, Held};
use crate::sink::{CounterCharge, RecordDraft};
use crate::task::{Charge, Live, Pending, Task};
use crate::value::Value;
use crate::verdict::{Effect, Reaction, Reason, Verdict};

/// Why a call is refused.
#[derive(Default)]
struct Refused<'a> {
    reason: Option<Reason>,
    policies: Vec<Arc<str>>,
    reaction: Option<Reaction>,
    rule: Option<&'a Rule>,
}

impl From<Reason> for Refused<'_> {
    fn from(reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

/// A call within intent and policy, and what it costs.
struct Granted<'a> {
    found: Match<'a>,
    across: Vec<CounterCharge>,
    policies: Vec<Arc<str>>,
}

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

        let mut live = task.live.lock();
        live.k += 1;
        let k = live.k;
        let outcome = self.decide(&bundle, &task, &live, call, json.as_ref().ok(), now);
        let action = bundle.actions.get(call.action);
        let decision = ids::decision(&self.cfg.cell, Some(task.number), self.cfg.epoch, k);
        let mut moved = false;
        match &outcome {
            Ok(granted) => {
                live.charge(&granted.found.charge, 1);
                if bundle.peps.by_name(call.pep).is_some_and(|pep| pep.may_report) {
                    let charge = granted.found.charge.clone();
                    live.remember(Pending {
                        epoch: self.cfg.epoch,
                        k,
                        charge,
                        pep: Arc::from(call.pep),
                        reported: false,
                    });
                }
            }
            Err(refused) => {
                if let Some(reaction) = refused.reaction {
                    let to = live.state.after(reaction);
                    moved = to != live.state;
                    live.state = to;
                }
            }
        }
        drop(live);

        let (effect, reason, policies, reaction, rule) = match &outcome {
            Ok(granted) => (Effect::Allow, Reason::Allowed, &granted.policies, None, Some(granted.found.rule)),
            Err(no) => (Effect::Deny, no.reason.unwrap_or(Reason::EngineError), &no.policies, no.reaction, no.rule),
        };
        count(&self.answers, reason);
        if let Some(reaction) = reaction {
            self.events.deviation(call.task, &decision, reaction, moved, &[reason]);
        }
        let (charge, across) = match &outcome {
            Ok(granted) => (granted.found.charge.clone(), granted.across.as_slice()),
            Err(_) => (Charge::default(), &[][..]),
        };
        let mut charged: Vec<(&str, i64)> = charge
            .slots
            .iter()
            .filter_map(|(slot, amount)| Some((task.profile.slots.get(usize::from(*slot))?.as_str(), *amount)))
            .collect();
        let reasons = [reason];
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
            effect,
            reasons: &reasons,
            policies,
            rule: rule.map_or("", |rule| &rule.id),
            charged: &mut charged,
            across,
            reaction,
            class: action.map_or("", |action| &action.class),
        }
        .body();
        let plain = canonical.get(args).filter(|plain| plain.len() > 2);
        let sealed = match plain.map(|plain| seal(&task.key, self.cfg.epoch, k, call.task, &decision, plain)) {
            Some(None) => return self.unsealed(outcome, &task),
            Some(sealed) => sealed,
            None => None,
        };
        let policies = policies.clone();
        let (across, allowed) = match outcome {
            Ok(granted) => (granted.across, true),
            Err(_) => (Vec::new(), false),
        };
        let record = RecordDraft {
            task: Some(call.task.to_owned()),
            kind: "decided",
            at_ms: now.wall_ms,
            body,
            sealed,
            counters: across.clone(),
        };
        // A charge across tasks is settled by the store, and a change of state is for good: both wait.
        let buffered = action.is_some_and(|action| action.buffered) && across.is_empty() && !moved;
        let verdict = Verdict { effect, reasons: reasons.to_vec(), decision, digest, policies, reaction };
        let write = action.is_none_or(|action| action.write);
        let held = allowed.then(|| Held { task, write, k, charge, across });
        Checked { record: Some(record), buffered, verdict, held }
    }

    fn decide<'a>(
        &self,
        bundle: &'a Bundle,
        task: &'a Task,
        live: &Live,
        call: &Call<'_>,
        json: Option<&Json<'_>>,
        now: Now,
    ) -> Result<Granted<'a>, Refused<'a>> {
        let action = bundle.actions.get(call.action);
        if let Some(reason) = task.standing(live.state, action.is_none_or(|action| action.write)) {
            return Err(reason.into());
        }
        if let Some(reason) = task.late(now, self.heard(now)) {
            return Err(reason.into());
        }
        proof(bundle, task, call)?;
        let action = action.filter(|action| !action.taskless).ok_or(Reason::ActionUnknown)?;
        if action.resource_type != call.resource_type {
            return Err(Reason::ResourceTypeUnknown.into());
        }
        let Some(Json::Object(members)) = json else { return Err(Reason::Malformed.into()) };
        let args = typed(action, members)?;
        let agent = bundle.agents.get(task.agent.name.as_ref()).ok_or(Reason::PolicyNoPermit)?;
        if *agent.owner != *task.agent.owner {
            // The agent was given to another owner: what was agreed with the first no longer holds.
            return Err(Reason::PolicyNoPermit.into());
        }

        let reaches = |charge: &program::AcrossCharge<'_>| {
            let named = self.counters.name(task, call.action, charge, now.wall_ms);
            self.counters.reaches(&named).then_some(named)
        };
        let mut found = program::find(&task.profile, task, live, call.action, call.resource_id, &args, &reaches)
            .map_err(|failure| {
                let reaction = failure.deviates().then_some(task.profile.reaction);
                Refused { reaction, ..failure.reason().into() }
            })?;
        let policies = match Self::opinion(bundle, task, agent, action, found.rule, call, &args) {
            None => Err(Refused { rule: Some(found.rule), ..Reason::EngineError.into() }),
            Some(Opinion::Permit(policies)) => Ok(policies),
            Some(Opinion::Silent) => Err(Refused { rule: Some(found.rule), ..Reason::PolicyNoPermit.into() }),
            Some(Opinion::Error(policies)) => {
                Err(Refused { policies, rule: Some(found.rule), ..Reason::PolicyError.into() })
            }
            Some(Opinion::Forbid(policies, reaction)) => {
                Err(Refused { policies, reaction, rule: Some(found.rule), ..Reason::PolicyForbids.into() })
            }
        }?;
        // Charged only now, when nothing else can refuse; another task may have been faster.
        let across = std::mem::take(&mut found.counters);
        if let Err(short) = self.counters.charge(&across) {
            let failure = found.across.get(short).map_or(program::Failure::Budget, program::AcrossCharge::failure);
            let reaction = Some(task.profile.reaction);
            return Err(Refused { reaction, rule: Some(found.rule), ..failure.reason().into() });
        }
        Ok(Granted { found, across, policies })
    }

    /// What the engines say; `None` where one could not be asked.
    fn opinion(
        bundle: &Bundle,
        task: &Task,
        agent: &crate::bundle::Agent,
        action: &Action,
        rule: &Rule,
        call: &Call<'_>,
        args: &Args<'_>,
    ) -> Option<Opinion> {
        let resource = crate::bundle::entity(&action.entity_type, call.resource_id);
        let mut cells = Vec::with_capacity(4);
        bundle.index.candidates(&agent.scopes, &action.scopes, &resource, &bundle.entities, &mut cells);
        let needs = cells.iter().fold(rule.cell.needs, |needs, cell| needs.and(cell.needs));
        let context = if needs.only_intent() { rule.context.clone() } else { context(needs, task, rule, call, args)? };
        let request = cedar::request(&agent.uid, &action.uid, resource, context)?;
        let own = cedar::opine(&request, std::iter::once(&rule.cell), &bundle.entities);
        if cells.is_empty() && bundle.engines.is_empty() {
            return Some(own);
        }
        // Hand-written policies can only refuse: what a task may do is its profile's to say.
        let narrow = |opinion| if matches!(opinion, Opinion::Permit(_)) { Opinion::Silent } else { opinion };
        let mut opinion = combine(own, narrow(cedar::opine(&request, cells.iter().copied(), &bundle.entities)));
        for engine in &bundle.engines {
            let question = Question {
                agent: &task.agent.name,
                owner: &task.agent.owner,
                action: call.action,
                resource_type: call.resource_type,
                resource_id: call.resource_id,
                args,
                rule: &rule.id,
                pep: call.pep,
            };
            opinion = combine(opinion, narrow(engine.opine(&question)));
        }
        Some(opinion)
    }

    /// A refusal that is counted and not recorded.
    pub(crate) fn gap(&self, reason: Reason) -> Checked {
        count(&self.answers, reason);
        count(&self.gaps, reason);
        Checked::unrecorded(reason)
    }

    /// The arguments could not be sealed: nothing is charged and nothing allowed.
    fn unsealed(&self, outcome: Result<Granted<'_>, Refused<'_>>, task: &Task) -> Checked {
        if let Ok(granted) = outcome {
            task.live.lock().charge(&granted.found.charge, -1);
            self.counters.undo(&granted.across);
        }
        self.gap(Reason::EngineError)
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

/// The context's parts that some policy looks at.
fn context(needs: Needs, task: &Task, rule: &Rule, call: &Call<'_>, args: &Args<'_>) -> Option<cedar_policy::Context> {
    let mut parts = Vec::with_capacity(4);
    if needs.has(Needs::ARGS) {
        parts.push(("args", cedar::record(args.iter().map(|(name, value)| (*name, value)))?));
    }
    if needs.has(Needs::INTENT) {
        let intent = [("rule", cedar::text_value(&rule.id)), ("within", cedar::bool_value(true))];
        parts.push(("intent", cedar::members(intent)));
    }
    if needs.has(Needs::PEP) {
        parts.push(("pep", cedar::text_value(call.pep)));
    }
    if needs.has(Needs::TASK) {
        let inputs = task.profile.inputs.iter().zip(&task.inputs);
        let inputs = inputs.filter_map(|((name, _), input)| Some((name.as_ref(), &input.as_ref()?.value)));
        let members = [
            ("id", cedar::text_value(call.task)),
            ("inputs", cedar::record(inputs)?),
            ("owner", cedar::text_value(&task.agent.owner)),
            ("profile", cedar::text_value(&task.profile.name)),
        ];
        parts.push(("task", cedar::members(members)));
    }
    Some(cedar::context(parts))
}

/// Whether the enforcement point may ask this, and showed the task's proof.
fn proof(bundle: &Bundle, task: &Task, call: &Call<'_>) -> Result<(), Reason> {
    if call.pep != CONTROL_PLANE || call.binding != "inproc" {
        let pep = bundle.peps.by_name(call.pep).ok_or(Reason::PepNotRegistered)?;
        if !pep.may_ask(call.action) {
            return Err(Reason::PepActionNotRegistered);
        }
    }
    match call.binding {
        "inproc" => Ok(()),
        "" => Err(Reason::PepTaskProof),
        binding if binding.starts_with("pep:") => Ok(()),
        binding if *binding == *task.binding => Ok(()),
        _ => Err(Reason::NotBound),
    }
}

/// Arguments by their declared types. Both sides are in order of their names.
pub(crate) fn typed<'a>(
    action: &'a Action,
    members: &'a [(std::borrow::Cow<'a, str>, Json<'a>)],
) -> Result<Args<'a>, Reason> {
    let mut out = Vec::with_capacity(members.len());
    for (name, json) in members {
        let declared = action.args.iter().find(|(arg, _)| arg == name);
        let (arg, kind) = declared.ok_or(Reason::ArgumentUnknown)?;
        out.push((arg.as_str(), Value::typed(*kind, json).ok_or(Reason::ArgumentType)?));
    }
    Ok(out)
}
