//! Evaluating one call under its task's lock: state and proof, action, arguments, intent, policies, approval.

use std::sync::Arc;

use crate::approval::Meets;
use crate::bundle::{Action, Agent, Bundle};
use crate::call::{Call, Now};
use crate::cedar;
use crate::context::Shown;
use crate::engine::{Opinion, Question, combine};
use crate::hurdle::{Failure, Hurdle};
use crate::instances::Above;
use crate::json::Json;
use crate::needs::Needs;
use crate::pep::CONTROL_PLANE;
use crate::plane::Plane;
use crate::profile::Rule;
use crate::program::{self, Args, Held, Match};
use crate::sink::CounterCharge;
use crate::task::{Live, Task};
use crate::value::Value;
use crate::verdict::{Effect, Reaction, Reason};

/// Why a call is refused.
#[derive(Default)]
pub(crate) struct Refused<'a> {
    pub(crate) reason: Option<Reason>,
    pub(crate) policies: Vec<Arc<str>>,
    /// What a policy that forbids asks for.
    pub(crate) reaction: Option<Reaction>,
    pub(crate) rule: Option<&'a Rule>,
    /// Where it is not within the intent.
    pub(crate) failure: Option<Failure<'a>>,
}

impl From<Reason> for Refused<'_> {
    fn from(reason: Reason) -> Self {
        Self { reason: Some(reason), ..Self::default() }
    }
}

impl<'a> From<Failure<'a>> for Refused<'a> {
    fn from(failure: Failure<'a>) -> Self {
        Self { reason: Some(failure.reason()), rule: failure.rule, failure: Some(failure), ..Self::default() }
    }
}

/// How a call within intent and policy goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// It may.
    Go,
    /// It may: somebody said yes to it under this reference.
    Approved(String),
    /// Somebody is to be asked.
    Ask(Effect),
    /// Somebody was asked already, under this reference.
    Asked(Effect, String),
}

/// A call within intent and policy, and what it costs.
pub(crate) struct Granted<'a> {
    pub(crate) found: Match<'a>,
    pub(crate) across: Vec<CounterCharge>,
    pub(crate) policies: Vec<Arc<str>>,
    pub(crate) way: Way,
}

/// What a call is decided on.
pub(crate) struct Case<'a, 'c> {
    pub(crate) bundle: &'a Bundle,
    pub(crate) task: &'a Task,
    pub(crate) live: &'c Live,
    pub(crate) above: &'c [Above<'a>],
    pub(crate) call: &'c Call<'c>,
    pub(crate) json: Option<&'c Json<'c>>,
    pub(crate) digest: &'c str,
    pub(crate) now: Now,
}

impl Plane {
    pub(crate) fn decide<'a>(&self, case: &Case<'a, '_>) -> Result<Granted<'a>, Refused<'a>> {
        let Case { bundle, task, live, above, call, json, digest, now } = *case;
        let action = bundle.actions.get(call.action);
        let write = action.is_none_or(|action| action.write);
        if let Some(reason) = standing(task, live, above, write) {
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
        let Some(json @ Json::Object(members)) = json else { return Err(Reason::Malformed.into()) };
        let args = typed(action, members)?;
        let agent = bundle.agents.get(task.agent.name.as_ref()).ok_or(Reason::PolicyNoPermit)?;
        if *agent.owner != *task.agent.owner {
            // The agent was given to another owner: what was agreed with the first no longer holds.
            return Err(Reason::PolicyNoPermit.into());
        }
        // What the control plane does for a task (open, issue) is no effect of the agent's own choosing.
        let own = call.pep != CONTROL_PLANE;
        if own && !task.may_do(call.action) {
            return Err(Failure::at(Hurdle::Action, None).into());
        }
        let reaches = |charge: &program::AcrossCharge<'_>| {
            let named = self.counters.name(task, call.action, charge, now.wall_ms);
            self.counters.reaches(&named).then_some(named)
        };
        let mut found = program::find(&Held {
            profile: &task.profile,
            task,
            live,
            above,
            action: call.action,
            resource: call.resource_id,
            planned: own && action.write,
            args: &args,
            json,
            wall_ms: now.wall_ms,
            reaches: &reaches,
        })?;
        let rule = found.rule;
        let shown = Shown { task, live, rule, call, args: &args, origins: &found.origins };
        let policies = match opinion(bundle, agent, action, &shown) {
            None => Err(Refused { rule: Some(rule), ..Reason::EngineError.into() }),
            Some(Opinion::Permit(policies)) => Ok(policies),
            Some(Opinion::Silent) => Err(Refused { rule: Some(rule), ..Reason::PolicyNoPermit.into() }),
            Some(Opinion::Error(policies)) => Err(Refused { policies, rule: Some(rule), ..Reason::PolicyError.into() }),
            Some(Opinion::Forbid(policies, reaction)) => {
                Err(Refused { policies, reaction, rule: Some(rule), ..Reason::PolicyForbids.into() })
            }
        }?;
        let way = way(rule, live, digest, now).map_err(|reason| Refused { rule: Some(rule), ..reason.into() })?;
        if matches!(way, Way::Ask(_) | Way::Asked(..)) {
            return Ok(Granted { found, across: Vec::new(), policies, way });
        }
        // Charged only now, when nothing else can refuse; another task may have been faster.
        let across = std::mem::take(&mut found.counters);
        if let Err(short) = self.counters.charge(&across) {
            let hurdle = found.across.get(short).map_or(Hurdle::Budget, program::AcrossCharge::hurdle);
            return Err(Failure::at(hurdle, Some(rule)).into());
        }
        Ok(Granted { found, across, policies, way })
    }
}

/// What stands against a call for the state of its task, or of one above it.
pub(crate) fn standing(task: &Task, live: &Live, above: &[Above<'_>], write: bool) -> Option<Reason> {
    let theirs = |(ancestor, live): &Above<'_>| {
        // A parent may well be parked while it waits for its child.
        ancestor.standing(live.state, write).filter(|reason| *reason != Reason::TaskParked)
    };
    task.standing(live.state, write).or_else(|| above.iter().find_map(theirs))
}

/// Whether somebody must be asked first, was asked, or has said yes or no.
fn way(rule: &Rule, live: &Live, digest: &str, now: Now) -> Result<Way, Reason> {
    let effect = rule.conduct.effect;
    if effect == Effect::Allow {
        return Ok(Way::Go);
    }
    let meets = live.story.as_deref().map_or(Meets::Nothing, |story| story.approvals.meet(digest, now.wall_ms));
    match meets {
        Meets::Nothing => Ok(Way::Ask(effect)),
        Meets::Pending(reference) => Ok(Way::Asked(effect, reference.to_owned())),
        Meets::Approved(reference) => Ok(Way::Approved(reference.to_owned())),
        Meets::Refused => Err(Reason::ApprovalRefused),
        Meets::Full => Err(Reason::ApprovalsFull),
    }
}

/// What the engines say; `None` where one could not be asked.
fn opinion(bundle: &Bundle, agent: &Agent, action: &Action, shown: &Shown<'_>) -> Option<Opinion> {
    let Shown { task, rule, call, args, .. } = *shown;
    let resource = crate::bundle::entity(&action.entity_type, call.resource_id);
    let mut cells = Vec::with_capacity(4);
    bundle.index.candidates(&agent.scopes, &action.scopes, &resource, &bundle.entities, &mut cells);
    let needs: Needs = cells.iter().fold(rule.cell.needs, |needs, cell| needs.and(cell.needs));
    let whole;
    let context = if needs.only_intent() {
        &rule.context
    } else {
        whole = shown.context(needs)?;
        &whole
    };
    let asked = cedar::Asked::new(&agent.uid, &action.uid, &resource, context, &bundle.entities);
    let own = asked.opinion([&rule.cell]);
    if cells.is_empty() && bundle.engines.is_empty() {
        return Some(own);
    }
    // Hand-written policies can only refuse: what a task may do is its profile's to say.
    let narrow = |opinion| if matches!(opinion, Opinion::Permit(_)) { Opinion::Silent } else { opinion };
    let mut opinion = combine(own, narrow(asked.opinion(cells)));
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

/// Arguments by their declared types. Both sides are in order of their names. One that is null is not there.
pub(crate) fn typed<'a>(
    action: &'a Action,
    members: &'a [(std::borrow::Cow<'a, str>, Json<'a>)],
) -> Result<Args<'a>, Reason> {
    let mut out = Vec::with_capacity(members.len());
    for (name, json) in members.iter().filter(|(_, json)| !matches!(json, Json::Null)) {
        let declared = action.args.iter().find(|(arg, _)| arg == name);
        let (arg, kind) = declared.ok_or(Reason::ArgumentUnknown)?;
        out.push((arg.as_str(), Value::typed(*kind, json).ok_or(Reason::ArgumentType)?));
    }
    Ok(out)
}
