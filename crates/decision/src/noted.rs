//! A change that waits for its record: what restricts holds at once, what permits only when it is durable.

use std::sync::Arc;

use crate::call::Now;
use crate::intent::{Kept, LabelSet};
use crate::plan::Plan;
use crate::plane::{Plane, Refusal};
use crate::sink::{RecordDraft, Written};
use crate::task::{Charge, Task};

/// A change of a task that is not durable yet. Write `record`, then say through [`Plane::confirm`] what
/// became of it.
#[must_use = "a change counts only after Plane::confirm"]
#[derive(Debug)]
pub struct Noted {
    /// To be made durable. None: nothing is to be written.
    pub record: Option<RecordDraft>,
    /// What the caller is told once it is durable: a JSON object, or empty.
    pub answer: Vec<u8>,
    pub(crate) change: Change,
}

/// What counts once the record is durable.
#[derive(Debug)]
pub(crate) enum Change {
    /// A result.
    Report(Box<Report>),
    /// An answer to a question.
    Approval { task: Arc<Task>, reference: Box<str>, approved: bool, at_ms: i64 },
    /// A plan.
    Plan { task: Arc<Task>, plan: Box<Plan> },
    /// A child enters.
    Child { parent: Arc<Task>, task: Box<Task>, charge: Charge, now: Now },
    /// A child has gone: what it did not use goes back.
    Return { parent: Arc<Task>, child: u128, charge: Charge },
}

/// A result on its way.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) task: Arc<Task>,
    pub(crate) decision: (u32, u64),
    pub(crate) action: Arc<str>,
    pub(crate) pep: Box<str>,
    /// Labels that the record carries, and those of them that this result attached.
    pub(crate) labels: LabelSet,
    pub(crate) attached: LabelSet,
    pub(crate) charge: Charge,
    pub(crate) kept: Option<Kept>,
}

impl Plane {
    /// Let a change count, or undo it where its record failed. A refusal: it came too late.
    pub fn confirm(&self, noted: Noted, written: Written) -> Result<Vec<u8>, Refusal> {
        let durable = written == Written::Durable;
        // Nobody can say: what restricts stays, what permits does not come.
        let undo = matches!(written, Written::Failed | Written::QueueFull | Written::Conflict);
        match noted.change {
            Change::Report(report) => self.confirm_report(*report, durable, undo),
            Change::Approval { task, reference, approved, at_ms } => {
                if let Some(story) = task.live.lock().story.as_deref_mut() {
                    if durable {
                        story.approvals.settle(&reference, approved, at_ms);
                    } else if undo && let Some(one) = story.approvals.get(&reference) {
                        one.settling = false;
                    }
                }
            }
            Change::Plan { task, plan } => {
                let mut live = task.live.lock();
                let story = live.story();
                story.declaring = false;
                if durable {
                    story.plan = Some(plan);
                }
            }
            Change::Child { parent, task, charge, now } => self.confirm_child(&parent, *task, &charge, written, now)?,
            Change::Return { parent, child, charge } => {
                let mut live = parent.live.lock();
                if durable {
                    live.charge(&charge, -1);
                }
                if let Some(story) = live.story.as_deref_mut() {
                    story.children.retain(|one| one.number != child);
                }
            }
        }
        Ok(noted.answer)
    }

    fn confirm_report(&self, report: Report, durable: bool, undo: bool) {
        let Report { task, decision, action, pep, labels, attached, charge, kept } = report;
        let mut live = task.live.lock();
        let mut above = task.above();
        let count = kept.as_ref().map_or(0, |kept| u32::try_from(kept.len()).unwrap_or(u32::MAX));
        if durable {
            live.reported(decision.0, decision.1);
            self.settle_labels(&task, &mut live, &mut above, labels);
            if let Some(kept) = &kept {
                live.story().memory.keep(&task.profile.program, kept);
            }
        } else if undo {
            live.labels.detach(attached);
            live.charge(&charge, -1);
            if let Some(pending) = live.pending(decision.0, decision.1) {
                pending.reported = false;
            }
            if let Some(story) = live.story.as_deref_mut() {
                story.unreported(&action, &pep, count);
            }
        }
    }
}
