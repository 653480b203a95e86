//! Moving the write-ahead log into the database while decisions come, beside the writer.
//!
//! A commit that finds the log long moves all of it, and for that time nothing is written: tens of
//! milliseconds, in which the writer's thread takes whole slices of the processor from those who
//! decide. So a thread of its own moves the log often and a little at a time. A passive checkpoint
//! waits for nobody and nobody waits for it. What it leaves, the newest, is moved by the commit that
//! finds the log long; where this thread gets no processor that is all of it, as without it.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;

use crate::stats::Stats;

/// Records between two moves: a few hundred pages, about a millisecond of work.
const RECORDS: usize = 1024;

#[derive(Default)]
struct State {
    records: usize,
    closed: bool,
}

/// What the writer's thread and the thread that moves the log share.
#[derive(Default)]
pub(crate) struct Checkpointer {
    state: Mutex<State>,
    due: Condvar,
}

impl Checkpointer {
    /// So many more records were committed.
    pub(crate) fn committed(&self, records: usize) {
        let mut state = self.state.lock();
        state.records = state.records.saturating_add(records);
        let due = state.records >= RECORDS;
        drop(state);
        if due {
            self.due.notify_one();
        }
    }

    /// End the thread after what it is doing.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.due.notify_one();
    }

    /// The thread's body.
    pub(crate) fn run(&self, conn: &Connection, stats: &Stats) {
        loop {
            let mut seen = self.state.lock();
            while !seen.closed && seen.records < RECORDS {
                self.due.wait(&mut seen);
            }
            if seen.closed {
                return;
            }
            seen.records = 0;
            drop(seen);
            // A log that cannot be moved now is moved later; nothing waits on it.
            if conn.execute_batch("PRAGMA wal_checkpoint(PASSIVE)").is_ok() {
                stats.log_moved();
            }
        }
    }
}
