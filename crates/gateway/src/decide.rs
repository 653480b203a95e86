//! Deciding, and telling what came of it.

use std::time::Duration;

use flyball_decision::{Call, Carried, Checked, Counted, Form, Noted, PepIdentity, Reason, Room, Verdict};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::kit::Kit;
use crate::meter::Meter;

/// One call of a task: what an enforcement point asks about.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The action's name.
    pub action: &'a str,
    /// The type of its resource: see [`Kit::form`].
    pub resource_type: &'a str,
    /// The resource's id.
    pub resource_id: &'a str,
    /// The arguments: a JSON object, or empty for none.
    pub args: &'a [u8],
}

/// Calls that may happen. Every record of them is durable.
#[derive(Clone, Debug)]
pub struct Allowed {
    /// The decisions' ids, one for each call, in their order.
    pub decisions: Vec<String>,
    /// What may come back, by call.
    pub rooms: Vec<Room>,
}

/// What was decided.
#[derive(Clone, Debug)]
pub enum Answer {
    /// All of it may happen.
    Allowed(Allowed),
    /// None of it may. A fault of ours is here too, by its reason (`Reason::our_fault`).
    Refused(Box<Verdict>),
}

impl<V: Clone + Send + Sync + 'static, U: Send + Sync + 'static> Kit<V, U> {
    /// How an action of the bundle in force is asked about; nothing where it declares none of that name.
    pub fn form(&self, action: &str) -> Option<Form> {
        self.parts.plane.form(action)
    }

    /// Whether a task's profile has any rule for an action. It permits nothing.
    pub fn has_rule(&self, task: &str, action: &str) -> bool {
        self.parts.plane.has_rule(task, action)
    }

    /// Decide calls that happen together or not at all. An allow is durable when this comes back.
    pub async fn decide(&self, task: &str, asks: &[Ask<'_>]) -> Answer {
        let refused = |reason| Answer::Refused(Box::new(Verdict::refused(reason)));
        let Some((pep, binding)) = self.pep() else { return refused(Reason::PepNotRegistered) };
        let calls: Vec<Call<'_>> = asks
            .iter()
            .map(|ask| Call {
                task,
                pep: &pep,
                binding: &binding,
                action: ask.action,
                resource_type: ask.resource_type,
                resource_id: ask.resource_id,
                args: ask.args,
            })
            .collect();
        let checked = match self.parts.plane.check_together(&calls, (self.parts.clock)()) {
            Ok(all) => all,
            Err(no) => {
                // A refusal leaves with its own reason, whatever becomes of its record.
                let Settled { verdict, .. } = self.settled(vec![*no]).await;
                return Answer::Refused(Box::new(verdict.unwrap_or_else(|| Verdict::refused(Reason::RecordFailed))));
            }
        };
        let rooms = checked.iter().map(Checked::room).collect();
        let Settled { allowed, verdict } = self.settled(checked).await;
        match verdict {
            None => Answer::Allowed(Allowed { decisions: allowed, rooms }),
            Some(verdict) => {
                for decision in &allowed {
                    self.not_done(task, &pep, decision);
                }
                Answer::Refused(Box::new(verdict))
            }
        }
    }

    /// Send records on their way, all of them before the first is waited for, so that they share a commit.
    async fn settled(&self, checked: Vec<Checked>) -> Settled {
        let parts = &self.parts;
        let waiting: Vec<oneshot::Receiver<Verdict>> = checked
            .into_iter()
            .map(|checked| {
                let (tell, told) = oneshot::channel();
                parts.plane.settle(&parts.sink, checked, parts.clock, move |verdict| drop(tell.send(verdict)));
                told
            })
            .collect();
        let mut settled = Settled { allowed: Vec::with_capacity(waiting.len()), verdict: None };
        let until = tokio::time::Instant::now() + parts.max_wait;
        for told in waiting {
            let verdict = tokio::time::timeout_at(until, told).await.ok().and_then(Result::ok).unwrap_or_else(|| {
                // The record may still become durable: decided, but never answered.
                parts.plane.count_gap(Reason::RecordFailed);
                Verdict::refused(Reason::RecordFailed)
            });
            if verdict.allowed() {
                settled.allowed.push(verdict.decision);
            } else {
                settled.verdict.get_or_insert(verdict);
            }
        }
        settled
    }

    /// A call was allowed and will not happen, because another of its statement was not: it costs nothing.
    fn not_done(&self, task: &str, pep: &str, decision: &str) {
        let parts = &self.parts;
        if let Ok(draft) = parts.plane.return_charge(task, pep, decision, (parts.clock)()) {
            let _ = parts.plane.note(&parts.sink, draft, Reason::RecordFailed);
        }
    }

    /// Tell what came back of an allowed call, once. Whether that is durable; a point that may not report tells nothing.
    pub async fn report(&self, task: &str, decision: &str, result: &[u8], meta: &[u8]) -> bool {
        let parts = &self.parts;
        let Some(noted) = self.noted(task, decision, result, meta) else { return false };
        let (tell, told) = oneshot::channel();
        parts.plane.carry(&parts.sink, noted, move |carried| drop(tell.send(carried)));
        matches!(timeout(parts.max_wait, told).await, Ok(Ok(Carried::Done(_))))
    }

    /// The same without waiting, for a result that nobody holds back for it. Its budgets are charged when this comes
    /// back; its record may gather with others for milliseconds.
    pub fn report_later(&self, task: &str, decision: &str, result: &[u8], meta: &[u8]) {
        if let Some(noted) = self.noted(task, decision, result, meta) {
            self.parts.plane.carry_later(&self.parts.sink, noted);
        }
    }

    /// A result taken note of, not durable yet.
    fn noted(&self, task: &str, decision: &str, result: &[u8], meta: &[u8]) -> Option<Noted> {
        let (pep, _) = self.pep()?;
        self.parts.plane.report_result(task, &pep, decision, result, meta, (self.parts.clock)()).ok()
    }

    /// The meter of a budget of a task, shared by its sessions here.
    pub fn meter(&self, task: &str, counted: Counted) -> Meter {
        self.meters.of(task, counted)
    }

    /// How long a decision may wait for its record.
    pub fn max_wait(&self) -> Duration {
        self.parts.max_wait
    }

    /// The name under which the bundle in force declares this gateway, and what records say of how it is known.
    fn pep(&self) -> Option<(String, String)> {
        let peps = self.parts.plane.peps();
        let pep = peps.by_identity(&PepIdentity::Gateway(self.parts.kind.to_owned()))?;
        Some((pep.name.clone(), format!("pep:gateway:{}", self.parts.kind)))
    }
}

/// What became of calls: the decisions that were allowed, and the first that was not.
struct Settled {
    allowed: Vec<String>,
    verdict: Option<Verdict>,
}
