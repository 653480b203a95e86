//! The way of one answer through a sink: submit, wait where it must be waited for, release.

use std::sync::Arc;

use crate::call::Now;
use crate::plane::Plane;
use crate::release::Checked;
use crate::sink::{RecordDraft, Sink, Written};
use crate::verdict::{Reason, Verdict};

/// The time now, asked for when it is needed.
pub type Clock = fn() -> Now;

impl Plane {
    /// Write what `checked` has to write, release it, and hand the verdict to `answer`: at once for
    /// a buffered class, else when the record's fate is known, on the sink's thread. `answer` must
    /// not block. Called exactly once.
    pub fn settle<F>(self: &Arc<Self>, sink: &Arc<dyn Sink>, mut checked: Checked, clock: Clock, answer: F)
    where
        F: FnOnce(Verdict) + Send + 'static,
    {
        let Some(draft) = checked.record.take() else {
            return answer(self.let_go(sink, checked, Written::Durable, clock));
        };
        if checked.buffered {
            let taken = self.note(sink, draft, Reason::RecordFailed);
            return answer(self.let_go(sink, checked, taken, clock));
        }
        // Shared with the closure, because a sink that refuses drops the closure uncalled.
        let waiting = Arc::new(parking_lot::Mutex::new(Some((checked, answer))));
        let (plane, theirs, later) = (Arc::clone(self), Arc::clone(sink), Arc::clone(&waiting));
        let done = Box::new(move |written| {
            let waiting = later.lock().take();
            if let Some((checked, answer)) = waiting {
                answer(plane.let_go(&theirs, checked, written, clock));
            }
        });
        if let Err(not) = sink.submit(draft, done) {
            let waiting = waiting.lock().take();
            if let Some((checked, answer)) = waiting {
                answer(self.let_go(sink, checked, not.into(), clock));
            }
        }
    }

    /// Queue a record that nobody waits for; if it fails later, that is counted.
    pub fn note(self: &Arc<Self>, sink: &Arc<dyn Sink>, draft: RecordDraft, gap: Reason) -> Written {
        let plane = Arc::clone(self);
        let done = Box::new(move |written| {
            if written != Written::Durable {
                plane.count_gap(gap);
            }
        });
        sink.submit_later(draft, done).map_or_else(Into::into, |()| Written::Durable)
    }

    fn let_go(self: &Arc<Self>, sink: &Arc<dyn Sink>, checked: Checked, written: Written, clock: Clock) -> Verdict {
        let released = self.release(checked, written, clock());
        if let Some(record) = released.record
            && self.note(sink, record, Reason::OvertakenByFence) != Written::Durable
        {
            self.count_gap(Reason::OvertakenByFence);
        }
        released.verdict
    }
}
