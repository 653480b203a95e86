//! The writer's thread: take a batch, write it, tell everyone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_decision::Written;
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::chain::Head;
use crate::checkpoint::Checkpointer;
use crate::fault::Fault;
use crate::ledger::{Broken, Committed, Ledger, UnitOutcome};
use crate::queue::{DraftJob, More, Queue, Taken, UnitJob};
use crate::room::Room;
use crate::stats::Stats;
use crate::unit::{Home, Unit};

/// After this long without work the write-ahead log is moved into the database, off the path of
/// any decision.
const QUIET: Duration = Duration::from_millis(250);

/// What the thread shares with the writer's handles.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    pub(crate) stats: Stats,
    pub(crate) checkpointer: Checkpointer,
    /// The last durable head.
    pub(crate) head: Mutex<Head>,
    pub(crate) home: Mutex<Home>,
}

/// Tells everyone who waits, however the thread ends.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

/// The thread's body. `opened` is told whether the store can be used, and then dropped.
pub(crate) fn run(
    conn: &Connection,
    mut room: Room,
    shared: &Arc<Shared>,
    opened: std::sync::mpsc::SyncSender<Result<(), Fault>>,
) {
    let ended = Ended(Arc::clone(shared));
    let mut ledger = match Ledger::open(conn) {
        Ok(ledger) => ledger,
        Err(fault) => {
            drop(opened.send(Err(fault)));
            return;
        }
    };
    if let Ok(head) = ledger.known_head() {
        *shared.head.lock() = head;
    }
    drop(opened.send(Ok(())));
    drop(opened);
    let mut units = Vec::new();
    let mut drafts = Vec::new();
    let mut to_checkpoint = false;
    loop {
        match shared.queue.take(&mut units, &mut drafts, QUIET) {
            Taken::Closed => {
                while ledger.catch_up() {}
                break;
            }
            Taken::Quiet => {
                while shared.queue.is_empty() && ledger.catch_up() {
                    to_checkpoint = true;
                }
                if shared.queue.is_empty() && std::mem::take(&mut to_checkpoint) {
                    // A log that cannot be moved now is moved later; nothing waits on it.
                    drop(conn.execute_batch("PRAGMA wal_checkpoint(PASSIVE)"));
                }
            }
            Taken::Batch(more) => {
                to_checkpoint = true;
                write_batch(&mut ledger, shared, &mut units, &mut drafts, more);
                // Everyone has been told; who comes now waits at most for this.
                room.make(conn);
            }
        }
    }
    drop(ended);
}

/// Write one batch and settle all that was in it. The lists are empty afterwards.
fn write_batch(
    ledger: &mut Ledger<'_>,
    shared: &Shared,
    units: &mut Vec<UnitJob>,
    drafts: &mut Vec<DraftJob>,
    more: More,
) {
    let broken = match attempt(ledger, shared, units, drafts, more) {
        Ok(written) => return settle(written, units, drafts),
        Err(broken) => broken,
    };
    match broken {
        // A decision that cannot be written must not take a step of a revocation down with it.
        Broken::RolledBack { by_drafts: true, .. } if !units.is_empty() => {
            for job in drafts.drain(..) {
                job.settle(Written::Failed);
            }
            match attempt(ledger, shared, units, drafts, More::No) {
                Ok(written) => settle(written, units, drafts),
                Err(broken) => fail(broken, units, drafts),
            }
        }
        broken => fail(broken, units, drafts),
    }
}

fn attempt(
    ledger: &mut Ledger<'_>,
    shared: &Shared,
    units: &[UnitJob],
    drafts: &mut Vec<DraftJob>,
    more: More,
) -> Result<Committed, Broken> {
    let mut took = Duration::ZERO;
    let result = stage(ledger, shared, units, drafts, more, &mut took);
    match &result {
        Ok(written) => {
            if let Ok(head) = ledger.known_head() {
                *shared.head.lock() = head;
            }
            let conflicts = written.drafts.iter().filter(|written| !**written).count()
                + written.units.iter().filter(|one| matches!(one, UnitOutcome::Conflict(_))).count();
            let counted = (units.len() as u64, drafts.len() as u64, conflicts as u64);
            shared.stats.committed(counted.0, counted.1, counted.2, took);
            shared.checkpointer.committed(drafts.len());
        }
        Err(Broken::RolledBack { fault, .. }) => shared.stats.failed(fault.code(), false),
        Err(Broken::Unknown(fault)) => {
            shared.stats.failed(fault.code(), true);
            // The outcome is unknown: what the database says now is the head we build on.
            if let Ok(head) = ledger.known_head() {
                *shared.head.lock() = head;
            }
        }
    }
    result
}

/// Stage what was taken, and, where nobody waits for any of it, what still comes for a moment; then
/// commit. `took` is how long all that was, without the waiting.
fn stage(
    ledger: &mut Ledger<'_>,
    shared: &Shared,
    units: &[UnitJob],
    drafts: &mut Vec<DraftJob>,
    mut more: More,
    took: &mut Duration,
) -> Result<Committed, Broken> {
    let mut start = Instant::now();
    let home = shared.home.lock().clone();
    let only: Vec<&Unit> = units.iter().map(|job| &job.unit).collect();
    let mut open = ledger.begin(&only)?;
    let mut staged = 0;
    loop {
        ledger.add(&mut open, drafts.iter().skip(staged).map(|job| &job.draft), &home)?;
        if more == More::No {
            break;
        }
        staged = drafts.len();
        *took += start.elapsed();
        more = shared.queue.take_more(drafts);
        start = Instant::now();
    }
    let committed = ledger.commit(open);
    *took += start.elapsed();
    committed
}

fn settle(written: Committed, units: &mut Vec<UnitJob>, drafts: &mut Vec<DraftJob>) {
    for (job, outcome) in units.drain(..).zip(written.units) {
        job.settle(outcome);
    }
    for (job, written) in drafts.drain(..).zip(written.drafts) {
        job.settle(if written { Written::Durable } else { Written::Conflict });
    }
}

fn fail(broken: Broken, units: &mut Vec<UnitJob>, drafts: &mut Vec<DraftJob>) {
    let (fault, written) = match broken {
        Broken::RolledBack { fault, .. } => (fault, Written::Failed),
        Broken::Unknown(fault) => (fault, Written::Unknown),
    };
    for job in units.drain(..) {
        job.settle(UnitOutcome::Failed(fault.clone()));
    }
    for job in drafts.drain(..) {
        job.settle(written);
    }
}
