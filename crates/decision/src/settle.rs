//! What people and agents say of a task that runs: answers to its questions, and its plan.

use std::sync::Arc;

use crate::approval::Standing;
use crate::call::Now;
use crate::intent::LabelSet;
use crate::json::Json;
use crate::noted::{Change, Noted};
use crate::plan::{NotPlanned, Plan};
use crate::plane::{Plane, Refusal};
use crate::profile::{PlanMode, Profile};
use crate::record::{Body, draft, sha256};
use crate::seal::seal;
use crate::sink::RecordDraft;
use crate::task::State;

/// What a plan's sealed form is bound to, beside its task.
pub(crate) const PLAN: &str = "plan";

/// Read a plan for a profile.
pub(crate) fn plan(profile: &Profile, json: &Json<'_>) -> Result<Plan, Refusal> {
    if profile.plan == PlanMode::None {
        return Err(Refusal::new("plan_not_in_profile", "the profile takes no plan"));
    }
    Plan::read(profile, json).map_err(|not| match not {
        NotPlanned::Malformed(what) => Refusal::new("plan_malformed", what),
        NotPlanned::NotInProfile => {
            Refusal::new("plan_not_in_profile", "the plan names what the profile does not have")
        }
    })
}

impl Plane {
    /// Note that somebody answered a question, once. The control plane says who; a task's own token never
    /// comes here.
    pub fn settle_approval(
        &self,
        task: &str,
        decision: &str,
        approved: bool,
        by: &str,
        now: Now,
    ) -> Result<Noted, Refusal> {
        let found = self.task(task).ok_or_else(Refusal::unknown)?;
        let mut live = found.live.lock();
        if live.state == State::Fenced {
            return Err(Refusal::new("task_fenced", "the task is fenced; nothing of it is to be answered"));
        }
        let one = live.story.as_deref_mut().and_then(|story| story.approvals.get(decision));
        let one = one.ok_or_else(|| Refusal::new("approval_unknown", "no call of the task waits under that name"))?;
        match one.standing(now.wall_ms) {
            Standing::Pending if !one.settling => {}
            Standing::Expired if one.standing == Standing::Pending => {
                return Err(Refusal::new("approval_expired", "nobody answered in time, so the answer was no"));
            }
            _ => return Err(Refusal::new("approval_settled", "it was answered before")),
        }
        one.settling = true;
        let call = one.call.clone();
        drop(live);
        let outcome = if approved { "approved" } else { "refused" };
        let mut body = Body::new(320);
        body.int("at", now.wall_ms);
        body.text("by", by);
        body.text("call", &call);
        body.text("decision", decision);
        body.text("kind", "approval_settled");
        body.text("outcome", outcome);
        body.text("task", task);
        body.int("v", 1);
        let mut answer = Body::new(128);
        answer.text("call", &call);
        answer.text("outcome", outcome);
        let change = Change::Approval { task: found, reference: Box::from(decision), approved, at_ms: now.wall_ms };
        Ok(Noted { record: Some(draft(task, "approval_settled", body, now)), answer: answer.done(), change })
    }

    /// Hold a task to the effects that its agent means to make. Only while nothing that the outside could
    /// write was seen: later it would be the outside's plan.
    pub fn declare_plan(&self, task: &str, plan: &[u8], by: &str, now: Now) -> Result<Noted, Refusal> {
        let found = self.task(task).ok_or_else(Refusal::unknown)?;
        let json = Json::parse(plan).map_err(|_| Refusal::new("plan_malformed", "the plan is not JSON"))?;
        let read = self::plan(&found.profile, &json)?;
        let mut canonical = Vec::with_capacity(plan.len());
        json.write(&mut canonical);
        let mut live = found.live.lock();
        if live.state == State::Fenced {
            return Err(Refusal::new("task_fenced", "the task is fenced; that is final"));
        }
        let story = live.story.as_deref();
        if story.is_some_and(|story| story.plan.is_some() || story.declaring) {
            return Err(Refusal::new("plan_exists", "the task has a plan; a plan is declared once"));
        }
        let caught = self.catch_up(&found, &mut live);
        // A task that has not begun takes its plan whatever its instance saw before: it came with it.
        let begun = live.k > 0;
        if caught.is_none() || begun && live.labels.all.meets(LabelSet::OUTSIDE) {
            return Err(Refusal::new("plan_too_late", "the task has seen what the outside could write"));
        }
        let n = live.k + 1;
        let sealed = seal(&found.key, self.cfg.epoch, n, task, PLAN, &canonical);
        let sealed = sealed.ok_or_else(|| Refusal::new("engine_error", "the plan could not be sealed"))?;
        live.k = n;
        live.story().declaring = true;
        drop(live);
        let mut body = Body::new(256);
        body.int("at", now.wall_ms);
        body.text("by", by);
        body.text("digest", &sha256(&canonical));
        body.text("kind", "plan_declared");
        body.int("n", i64::try_from(n).unwrap_or(i64::MAX));
        body.text("task", task);
        body.int("v", 1);
        let record = RecordDraft { sealed: Some(sealed), ..draft(task, "plan_declared", body, now) };
        let change = Change::Plan { task: Arc::clone(&found), plan: Box::new(read) };
        Ok(Noted { record: Some(record), answer: Vec::new(), change })
    }
}
