//! The way of one answer through a sink: submit, wait where it must be waited for, release.

use std::sync::Arc;

use crate::call::Now;
use crate::noted::Noted;
use crate::plane::{Plane, Refusal};
use crate::release::Checked;
use crate::sink::{Done, NotTaken, RecordDraft, Sink, Written};
use crate::verdict::{Reason, Verdict};

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// It is durable and counts; what its caller is told.
    Done(Vec<u8>),
    /// Its record is durable, but it came too late to count.
    Refused(Refusal),
    /// Its record is not known to be durable.
    Lost(Written),
}

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

    /// Write a change's record, let it count or be undone, and hand what became of it to `answer`, on the
    /// sink's thread. `answer` must not block. Called exactly once.
    pub fn carry<F>(self: &Arc<Self>, sink: &Arc<dyn Sink>, noted: Noted, answer: F)
    where
        F: FnOnce(Carried) + Send + 'static,
    {
        self.carry_by(|draft, done| sink.submit(draft, done), noted, answer);
    }

    /// The same for a change that nobody waits for: its record may gather with others, for milliseconds. One that
    /// could not be written is counted.
    pub fn carry_later(self: &Arc<Self>, sink: &Arc<dyn Sink>, noted: Noted) {
        let plane = Arc::clone(self);
        self.carry_by(
            |draft, done| sink.submit_later(draft, done),
            noted,
            move |carried| {
                if matches!(carried, Carried::Lost(_)) {
                    plane.count_gap(Reason::RecordFailed);
                }
            },
        );
    }

    fn carry_by<F>(
        self: &Arc<Self>,
        submit: impl FnOnce(RecordDraft, Done) -> Result<(), NotTaken>,
        mut noted: Noted,
        answer: F,
    ) where
        F: FnOnce(Carried) + Send + 'static,
    {
        let finish = |plane: &Self, noted: Noted, written: Written| match (plane.confirm(noted, written), written) {
            (Ok(told), Written::Durable) => Carried::Done(told),
            (Err(refusal), Written::Durable) => Carried::Refused(refusal),
            (_, written) => Carried::Lost(written),
        };
        let Some(draft) = noted.record.take() else {
            return answer(finish(self, noted, Written::Durable));
        };
        let waiting = Arc::new(parking_lot::Mutex::new(Some((noted, answer))));
        let (plane, later) = (Arc::clone(self), Arc::clone(&waiting));
        let done = Box::new(move |written| {
            let waiting = later.lock().take();
            if let Some((noted, answer)) = waiting {
                answer(finish(&plane, noted, written));
            }
        });
        if let Err(not) = submit(draft, done) {
            let waiting = waiting.lock().take();
            if let Some((noted, answer)) = waiting {
                answer(finish(self, noted, not.into()));
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
