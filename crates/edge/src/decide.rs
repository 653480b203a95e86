//! From a request to a verdict: which call it is, and waiting until its record is durable.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use flyball_decision::{Call, Checked, Reason, TasklessCall, Verdict};
use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::answer::Problem;
use crate::auth::Caller;
use crate::authzen::Evaluation;
use crate::inbox::Awaited;
use crate::worker::{Shared, Worker};

/// A call that was evaluated; its verdict comes when its record is durable.
pub(crate) struct Pending {
    shared: Arc<Shared>,
    state: State,
}

enum State {
    Released(Verdict),
    Waiting(Awaited<Verdict>),
}

impl Worker {
    /// Evaluate and charge a call, and send its record on its way.
    pub(crate) fn decide(self: &Rc<Self>, caller: &Caller<'_>, one: &Evaluation<'_>) -> Result<Pending, Problem> {
        let state = match &one.task {
            Some(task) => self.task_call(caller, one, task),
            None => self.taskless_call(caller, one)?,
        };
        Ok(Pending { shared: Arc::clone(&self.shared), state })
    }

    /// Evaluate and charge a call of a task that was proved, and send its record on its way.
    pub(crate) fn decide_call(self: &Rc<Self>, call: &Call<'_>) -> Pending {
        let checked = self.shared.plane.check(call, (self.shared.clock)());
        Pending { shared: Arc::clone(&self.shared), state: self.send(checked) }
    }

    /// A call of a task. What the body names never outranks the token: it must say the same.
    fn task_call(self: &Rc<Self>, caller: &Caller<'_>, one: &Evaluation<'_>, task: &str) -> State {
        let plane = &self.shared.plane;
        let refused = |reason| State::Released(Verdict::refused(reason));
        let Some(token) = &caller.token else {
            return refused(Reason::PepTaskProof);
        };
        if *task != token.task {
            return refused(Reason::TaskMismatch);
        }
        if let Some((principal, agent)) = plane.names_of(task)
            && (*token.principal != *principal || (*one.subject.id != *principal && *one.subject.id != *agent))
        {
            return refused(Reason::TaskMismatch);
        }
        let call = Call {
            task,
            pep: caller.pep.map_or("", |pep| pep.name.as_str()),
            binding: &caller.binding,
            action: &one.action.name,
            resource_type: &one.resource.kind,
            resource_id: &one.resource.id,
            args: one.action.properties.unwrap_or_default().as_bytes(),
        };
        let checked = plane.check(&call, (self.shared.clock)());
        self.send(checked)
    }

    /// A question without a task: for an enforcement point that may assert subjects.
    fn taskless_call(self: &Rc<Self>, caller: &Caller<'_>, one: &Evaluation<'_>) -> Result<State, Problem> {
        let pep = caller
            .pep
            .filter(|pep| caller.pep_connected && pep.may_assert_subject.iter().any(|kind| *kind == one.resource.kind));
        let Some(pep) = pep else {
            return Err(Problem::forbidden(
                "without `context.task` only an enforcement point that may assert subjects for this \
                 type of resource may ask",
            ));
        };
        let bytes = |text: Option<&'_ str>| text.unwrap_or_default().as_bytes().to_vec();
        let call = TasklessCall {
            pep: &pep.name,
            binding: &caller.binding,
            subject_type: &one.subject.kind,
            subject_id: &one.subject.id,
            subject_properties: &bytes(one.subject.properties),
            action: &one.action.name,
            action_properties: &bytes(one.action.properties),
            resource_type: &one.resource.kind,
            resource_id: &one.resource.id,
            resource_properties: &bytes(one.resource.properties),
            context: &bytes(one.context),
        };
        let checked = self.shared.plane.evaluate(&call, (self.shared.clock)());
        Ok(self.send(checked))
    }

    /// Queue a checked call's record. The verdict is released when that is durable, or at once where
    /// there is nothing to wait for.
    fn send(self: &Rc<Self>, checked: Checked) -> State {
        let Shared { plane, sink, clock, .. } = &*self.shared;
        if checked.record.is_none() || checked.buffered {
            let answer = Arc::new(Mutex::new(None));
            let theirs = Arc::clone(&answer);
            plane.settle(sink, checked, *clock, move |verdict| *theirs.lock() = Some(verdict));
            let verdict = answer.lock().take();
            return State::Released(verdict.unwrap_or_else(|| Verdict::refused(Reason::EngineError)));
        }
        let awaited = self.slots.reserve();
        let (inbox, slot) = (self.slots.inbox(), awaited.slot());
        plane.settle(sink, checked, *clock, move |verdict| inbox.settle(slot, verdict));
        State::Waiting(awaited)
    }
}

impl Pending {
    /// The verdict; a fault of our own is a problem (503), not a decision.
    pub(crate) async fn finish(self) -> Result<Verdict, Problem> {
        let Self { shared, state } = self;
        let verdict = match state {
            State::Released(verdict) => verdict,
            State::Waiting(awaited) => {
                within(shared.max_wait, awaited).await.unwrap_or_else(|| {
                    // The record may still become durable: decided, but never answered.
                    shared.plane.count_gap(Reason::RecordFailed);
                    Verdict::refused(Reason::RecordFailed)
                })
            }
        };
        match verdict.reasons.first() {
            Some(Reason::QuotaExceeded) if !verdict.allowed() => Err(Problem::other(
                StatusCode::TOO_MANY_REQUESTS,
                Reason::QuotaExceeded.as_str(),
                "too many checks; slow down",
            )),
            Some(reason) if is_fault(*reason) && !verdict.allowed() => {
                Err(Problem::fault(reason.as_str(), "nothing was decided; this is a fault of the governor's"))
            }
            _ => Ok(verdict),
        }
    }
}

async fn within(limit: Duration, awaited: Awaited<Verdict>) -> Option<Verdict> {
    timeout(limit, awaited.wait()).await.ok().flatten()
}

/// Faults for which no decision stands in the records. A policy that errs is a decision: denied.
fn is_fault(reason: Reason) -> bool {
    matches!(reason, Reason::QueueFull | Reason::RecordFailed | Reason::EngineError | Reason::BundleNotLoaded)
}
