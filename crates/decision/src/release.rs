//! The last step of every answer: the look at the fence, atomic with letting go.

use std::sync::Arc;

use crate::apply::{Change, unmake};
use crate::call::Now;
use crate::decide::standing;
use crate::ids;
use crate::plane::{Plane, count};
use crate::record::Body;
use crate::sink::{CounterCharge, RecordDraft, Written};
use crate::task::{Charge, Task};
use crate::together::Room;
use crate::verdict::{Effect, Reason, Verdict};

/// A call that was evaluated and charged, and whose answer may not leave yet. Only `check` and
/// `evaluate` make one; only `release` turns it into a verdict.
#[must_use = "an answer leaves through Plane::release"]
#[derive(Debug)]
pub struct Checked {
    /// To be made durable before `release`, or beside it where `buffered`. None: nothing to write.
    pub record: Option<RecordDraft>,
    /// The access class lets the answer leave before the record is durable.
    pub buffered: bool,
    pub(crate) verdict: Verdict,
    pub(crate) held: Option<Held>,
    pub(crate) room: Room,
}

/// What an allow, or a question to a person, holds until it is released.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) task: Arc<Task>,
    pub(crate) write: bool,
    pub(crate) k: u64,
    pub(crate) charge: Charge,
    pub(crate) across: Vec<CounterCharge>,
    pub(crate) change: Change,
}

/// The answer, and one more record to write where an allow could not leave.
#[must_use]
#[derive(Debug)]
pub struct Released {
    /// The answer.
    pub verdict: Verdict,
    /// `not_released`; nobody waits for it.
    pub record: Option<RecordDraft>,
}

impl Checked {
    /// A refusal that writes nothing.
    pub(crate) fn unrecorded(reason: Reason) -> Self {
        Self { record: None, buffered: false, verdict: Verdict::refused(reason), held: None, room: Room::default() }
    }
}

impl Plane {
    /// Look at the fence once more, atomically, and let the answer go. For a record that nobody
    /// waits for (`buffered`, or none) pass `Durable` once the sink has taken it.
    pub fn release(&self, checked: Checked, written: Written, now: Now) -> Released {
        let Checked { record, mut verdict, held, .. } = checked;
        drop(record);
        let Some(held) = held else {
            if written != Written::Durable {
                let why = if written == Written::QueueFull { Reason::QueueFull } else { Reason::RecordFailed };
                // A refusal leaves whatever became of its record, with its own reason.
                if verdict.effect != Effect::Deny {
                    verdict = Verdict {
                        effect: Effect::Deny,
                        reasons: vec![why],
                        policies: Vec::new(),
                        approval: None,
                        ..verdict
                    };
                }
                self.count_gap(why);
            }
            return Released { verdict, record: None };
        };
        let late = |task: &Task| task.late(now, self.heard(now)).filter(|reason| *reason == Reason::TaskExpired);
        let (reasons, written_note) = match written {
            Written::Durable | Written::Unknown => {
                let Held { task, write, k, change, .. } = &held;
                let mut live = task.live.lock();
                let mut above = task.above();
                let durable = written == Written::Durable;
                self.settle_change(task, &mut live, &mut above, change, durable);
                let mut reasons = vec![Reason::RecordFailed];
                if durable {
                    match standing(task, &live, &above, *write).or_else(|| late(task)) {
                        None => {
                            drop(above);
                            drop(live);
                            self.ask_somebody(&held, &verdict);
                            return Released { verdict, record: None };
                        }
                        Some(why) => reasons = vec![Reason::OvertakenByFence, why],
                    }
                }
                unmake(&mut live, task, change);
                live.forget(self.cfg.epoch, *k);
                (reasons, true)
            }
            Written::Conflict => {
                let once = held.across.iter().any(|charge| charge.unit == "calls");
                self.undo(&held);
                (vec![if once { Reason::OncePerSpent } else { Reason::BudgetSpent }], true)
            }
            Written::Failed => {
                self.undo(&held);
                (vec![Reason::RecordFailed], false)
            }
            Written::QueueFull => {
                self.undo(&held);
                (vec![Reason::QueueFull], false)
            }
        };
        let first = reasons.first().copied().unwrap_or(Reason::RecordFailed);
        count(&self.answers, first);
        if !written_note {
            self.count_gap(first);
        }
        let record = written_note.then(|| {
            let mut body = Body::new(256);
            body.int("at", now.wall_ms);
            body.text("call", &verdict.digest);
            body.text("decision", &verdict.decision);
            body.text("kind", "not_released");
            body.text("reason", first.as_str());
            let id = ids::task(&self.cfg.cell, held.task.number);
            body.text("task", &id);
            body.int("v", 1);
            let body = body.done();
            RecordDraft {
                task: Some(id),
                kind: "not_released",
                at_ms: now.wall_ms,
                body,
                sealed: None,
                counters: Vec::new(),
            }
        });
        verdict.effect = Effect::Deny;
        verdict.reasons = reasons;
        verdict.policies.clear();
        verdict.approval = None;
        Released { verdict, record }
    }

    /// A new question has left: somebody is to hear of it.
    fn ask_somebody(&self, held: &Held, verdict: &Verdict) {
        if let Some(reference) = &held.change.asked {
            self.events.approval_asked(&ids::task(&self.cfg.cell, held.task.number), reference, verdict.effect);
        }
    }
}
