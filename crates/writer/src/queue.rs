//! The bounded queue to the writer's thread, in two lanes.
//!
//! Units of work of the control plane (which carry fences, revocations and receipts) have a lane of
//! their own and stand first in every batch: a flood of decisions can fill its own lane only.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_decision::{Done, NotTaken, RecordDraft, Written};
use parking_lot::{Condvar, Mutex};

use crate::fault::Fault;
use crate::ledger::UnitOutcome;
use crate::unit::Unit;

/// Decisions in one batch. It bounds how long a unit waits for the batch before its own.
const DRAFTS_PER_BATCH: usize = 4096;
/// Units in one batch.
const UNITS_PER_BATCH: usize = 256;
/// Units that may wait. Each belongs to a waiting thread of the control plane.
const UNITS_WAITING: usize = 4096;
/// Bytes of decisions that may wait.
const DRAFT_BYTES: usize = 64 << 20;

/// How long records that nobody waits for may gather. A commit for a few of them costs as much as
/// one for hundreds, and takes the processor from those who decide.
const GATHER: Duration = Duration::from_millis(8);
/// How many of them are enough.
const GATHERED: usize = 512;
/// How many of them are staged at a time while they gather. Staging them all at once would keep the
/// processor from those who decide for milliseconds.
const PORTION: usize = 32;

/// Whether somebody waits for a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Somebody does.
    Now,
    /// Nobody does; its answer has left.
    Later,
}

/// A decision's record that waits to be written.
pub(crate) struct DraftJob {
    pub(crate) draft: RecordDraft,
    /// Taken when called. Once queued and dropped uncalled, it reports a failure.
    done: Option<Done>,
}

impl DraftJob {
    pub(crate) fn settle(mut self, written: Written) {
        if let Some(done) = self.done.take() {
            done(written);
        }
    }
}

/// What a waiting record holds of memory, about.
fn bytes_of(draft: &RecordDraft) -> usize {
    let sealed = draft.sealed.as_ref().map_or(0, Vec::len);
    draft.body.len().saturating_add(sealed).saturating_add(128)
}

impl Drop for DraftJob {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Written::Failed);
        }
    }
}

/// Where the thread that handed in a unit waits.
#[derive(Default)]
pub(crate) struct UnitWait {
    outcome: Mutex<Option<UnitOutcome>>,
    settled: Condvar,
}

impl UnitWait {
    pub(crate) fn wait(&self) -> UnitOutcome {
        let mut outcome = self.outcome.lock();
        loop {
            if let Some(outcome) = outcome.take() {
                return outcome;
            }
            self.settled.wait(&mut outcome);
        }
    }

    fn settle(&self, outcome: UnitOutcome) {
        *self.outcome.lock() = Some(outcome);
        self.settled.notify_one();
    }
}

/// A unit of work that waits to be written.
pub(crate) struct UnitJob {
    pub(crate) unit: Unit,
    wait: Option<Arc<UnitWait>>,
}

impl UnitJob {
    pub(crate) fn new(unit: Unit) -> (Self, Arc<UnitWait>) {
        let wait = Arc::new(UnitWait::default());
        (Self { unit, wait: Some(Arc::clone(&wait)) }, wait)
    }

    pub(crate) fn settle(mut self, outcome: UnitOutcome) {
        if let Some(wait) = self.wait.take() {
            wait.settle(outcome);
        }
    }
}

impl Drop for UnitJob {
    fn drop(&mut self) {
        if let Some(wait) = self.wait.take() {
            wait.settle(UnitOutcome::Failed(Fault::Closed));
        }
    }
}

#[derive(Default)]
struct Waiting {
    units: VecDeque<UnitJob>,
    drafts: VecDeque<DraftJob>,
    draft_bytes: usize,
    closed: bool,
    asleep: bool,
    /// Somebody waits for one of the drafts.
    awaited: bool,
    /// Where nobody waits for what is being gathered: until when it may be, and how many there are
    /// of it outside of this queue, staged already.
    gathering: Option<(Instant, usize)>,
}

impl Waiting {
    /// How much longer the batch may gather; `None` when it is to be written now.
    fn may_gather(&self) -> Option<Duration> {
        let (until, staged) = self.gathering?;
        let gathered = self.drafts.len().saturating_add(staged);
        if self.closed || self.awaited || !self.units.is_empty() || gathered >= GATHERED {
            return None;
        }
        until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// Whether some of the batch is staged already, and the writer's thread sees to the time.
    fn is_staging(&self) -> bool {
        self.gathering.is_some_and(|(_, staged)| staged > 0)
    }

    /// Whether there is something for the writer's thread to do now.
    fn is_due(&self) -> bool {
        self.drafts.len() >= PORTION || self.may_gather().is_none()
    }

    /// No more goes into the batch that was being gathered. What is left over is written next,
    /// without delay.
    fn batch_ends(&mut self) {
        self.awaited = !self.drafts.is_empty();
        self.gathering = None;
    }

    /// Move the drafts that wait, as many as go into one batch; whether it may gather more. Called
    /// while the units that go with them still wait: those end the gathering.
    fn hand_over(&mut self, drafts: &mut Vec<DraftJob>) -> More {
        let more = if self.may_gather().is_some() { More::Yes } else { More::No };
        let some = self.drafts.len().min(DRAFTS_PER_BATCH);
        let from = drafts.len();
        drafts.extend(self.drafts.drain(..some));
        let taken: usize = drafts.iter().skip(from).map(|job| bytes_of(&job.draft)).sum();
        self.draft_bytes = self.draft_bytes.saturating_sub(taken);
        match more {
            More::Yes => self.gathering = self.gathering.map(|(until, _)| (until, drafts.len())),
            More::No => self.batch_ends(),
        }
        more
    }
}

/// The queue.
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    draft_limit: usize,
}

/// Whether more may be staged with what was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// Nobody waits for any of it: what still comes may be.
    Yes,
    /// Somebody waits, or it has gathered for long enough: it is to be committed now.
    No,
}

/// What `take` found.
pub(crate) enum Taken {
    /// Something to write.
    Batch(More),
    /// Nothing for as long as was asked.
    Quiet,
    /// Closed, and everything has been taken.
    Closed,
}

impl Queue {
    pub(crate) fn new(draft_limit: usize) -> Self {
        Self { waiting: Mutex::default(), arrived: Condvar::new(), draft_limit }
    }

    /// Queue a decision's record, or refuse it at once: full or closed. `done` is then not called.
    pub(crate) fn push_draft(&self, draft: RecordDraft, done: Done, pace: Pace) -> Result<(), NotTaken> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(NotTaken::Closed);
        }
        let bytes = bytes_of(&draft);
        let would_hold = waiting.draft_bytes.saturating_add(bytes);
        if waiting.drafts.len() >= self.draft_limit || would_hold > DRAFT_BYTES {
            return Err(NotTaken::Full);
        }
        let job = DraftJob { draft, done: Some(done) };
        waiting.draft_bytes = would_hold;
        waiting.drafts.push_back(job);
        let first = waiting.drafts.len() == 1;
        match pace {
            Pace::Now => waiting.awaited = true,
            Pace::Later if first && waiting.gathering.is_none() => {
                waiting.gathering = Some((Instant::now() + GATHER, 0));
            }
            Pace::Later => {}
        }
        // The first of a batch wakes the thread so that it sees to the time; later ones, when they
        // are a portion.
        if (first && !waiting.is_staging()) || waiting.is_due() {
            self.wake(waiting);
        }
        Ok(())
    }

    /// Queue a unit of work, or refuse it at once.
    pub(crate) fn push_unit(&self, job: UnitJob) -> Result<(), Fault> {
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(Fault::Closed);
        }
        if waiting.units.len() >= UNITS_WAITING {
            return Err(Fault::QueueFull);
        }
        waiting.units.push_back(job);
        self.wake(waiting);
        Ok(())
    }

    fn wake(&self, mut waiting: parking_lot::MutexGuard<'_, Waiting>) {
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.arrived.notify_one();
        }
    }

    /// Take the next batch: units first, then decisions, each lane in its order.
    pub(crate) fn take(&self, units: &mut Vec<UnitJob>, drafts: &mut Vec<DraftJob>, quiet: Duration) -> Taken {
        let mut waiting = self.waiting.lock();
        while waiting.units.is_empty() && waiting.drafts.is_empty() {
            if waiting.closed {
                return Taken::Closed;
            }
            waiting.asleep = true;
            if self.arrived.wait_for(&mut waiting, quiet).timed_out() {
                waiting.asleep = false;
                if waiting.units.is_empty() && waiting.drafts.is_empty() && !waiting.closed {
                    return Taken::Quiet;
                }
            }
        }
        self.gather(&mut waiting);
        let more = waiting.hand_over(drafts);
        let some = waiting.units.len().min(UNITS_PER_BATCH);
        units.extend(waiting.units.drain(..some));
        Taken::Batch(more)
    }

    /// Wait for the next portion of a batch that may gather, and take it.
    pub(crate) fn take_more(&self, drafts: &mut Vec<DraftJob>) -> More {
        let mut waiting = self.waiting.lock();
        self.gather(&mut waiting);
        if waiting.units.is_empty() {
            return waiting.hand_over(drafts);
        }
        // A unit of work does not wait for decisions to be staged before it.
        waiting.batch_ends();
        More::No
    }

    /// Wait until there is a portion, or the batch may gather no more.
    fn gather(&self, waiting: &mut parking_lot::MutexGuard<'_, Waiting>) {
        while waiting.drafts.len() < PORTION
            && let Some(left) = waiting.may_gather()
        {
            waiting.asleep = true;
            self.arrived.wait_for(waiting, left);
            waiting.asleep = false;
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.units.is_empty() && waiting.drafts.is_empty()
    }

    /// Take nothing more in. What is queued is still written.
    pub(crate) fn close(&self) {
        self.waiting.lock().closed = true;
        self.arrived.notify_one();
    }

    /// Drop what is left, so that everyone who waits is told.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        let units = std::mem::take(&mut waiting.units);
        let drafts = std::mem::take(&mut waiting.drafts);
        waiting.draft_bytes = 0;
        drop(waiting);
        drop((units, drafts));
    }

    /// Decisions waiting, and their bytes.
    pub(crate) fn depth(&self) -> (usize, usize) {
        let waiting = self.waiting.lock();
        (waiting.drafts.len(), waiting.draft_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(queue: &Queue, pace: Pace) {
        let draft =
            RecordDraft { task: None, kind: "decided", at_ms: 0, body: Vec::new(), sealed: None, counters: Vec::new() };
        assert_eq!(queue.push_draft(draft, Box::new(|_| ()), pace), Ok(()));
    }

    fn take(queue: &Queue, drafts: &mut Vec<DraftJob>) -> (More, usize) {
        let mut units = Vec::new();
        match queue.take(&mut units, drafts, Duration::ZERO) {
            Taken::Batch(more) => (more, units.len()),
            Taken::Quiet | Taken::Closed => unreachable!(),
        }
    }

    /// A portion of records that nobody waits for is taken as soon as it is there, and may gather more.
    #[test]
    fn a_portion_may_gather_more() {
        let (queue, mut drafts) = (Queue::new(1000), Vec::new());
        (0..PORTION).for_each(|_| draft(&queue, Pace::Later));
        assert_eq!(take(&queue, &mut drafts), (More::Yes, 0));
        (0..PORTION).for_each(|_| draft(&queue, Pace::Later));
        assert_eq!((queue.take_more(&mut drafts), drafts.len()), (More::Yes, 2 * PORTION));
        (0..GATHERED).for_each(|_| draft(&queue, Pace::Later));
        assert_eq!((queue.take_more(&mut drafts), drafts.len()), (More::No, 2 * PORTION + GATHERED));
    }

    /// A unit of work that comes with records that could gather is committed with them at once; one that
    /// comes while they gather ends the gathering, and is taken next.
    #[test]
    fn a_unit_ends_the_gathering() {
        let (queue, mut drafts) = (Queue::new(1000), Vec::new());
        let unit = || UnitJob::new(Unit { statements: Vec::new(), records: Vec::new() }).0;
        draft(&queue, Pace::Later);
        assert!(queue.push_unit(unit()).is_ok());
        assert_eq!(take(&queue, &mut drafts), (More::No, 1));
        (0..PORTION).for_each(|_| draft(&queue, Pace::Later));
        assert_eq!(take(&queue, &mut drafts), (More::Yes, 0));
        draft(&queue, Pace::Later);
        assert!(queue.push_unit(unit()).is_ok());
        assert_eq!((queue.take_more(&mut drafts), drafts.len()), (More::No, 1 + PORTION));
        assert_eq!((take(&queue, &mut drafts), drafts.len()), ((More::No, 1), 2 + PORTION));
    }

    /// A record that somebody waits for is committed at once, with all that gathered before it.
    #[test]
    fn a_record_that_is_waited_for_ends_the_gathering() {
        let (queue, mut drafts) = (Queue::new(1000), Vec::new());
        (0..PORTION).for_each(|_| draft(&queue, Pace::Later));
        assert_eq!(take(&queue, &mut drafts), (More::Yes, 0));
        draft(&queue, Pace::Now);
        assert_eq!((queue.take_more(&mut drafts), drafts.len()), (More::No, PORTION + 1));
        draft(&queue, Pace::Now);
        draft(&queue, Pace::Later);
        assert_eq!(take(&queue, &mut drafts), (More::No, 0));
    }
}
