//! The handle to the writer's thread.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use flyball_decision::{Done, NotTaken, RecordDraft, Sink};
use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};

use crate::chain::Head;
use crate::checkpoint::Checkpointer;
use crate::fault::Fault;
use crate::ledger::UnitOutcome;
use crate::queue::{Pace, Queue, UnitJob};
use crate::reader::Readers;
use crate::room::Room;
use crate::stats::{Stats, disk_sync};
use crate::unit::{Home, Unit};
use crate::worker::{Shared, run};

/// How long the write lock is waited for. Nobody else should ever hold it; one who does is not
/// waited for longer than a caller would wait for an answer.
const BUSY: Duration = Duration::from_secs(1);

/// Pages of write-ahead log after which a commit moves it into the database. SQLite's default of
/// 1000 would do it several times a second under load.
const CHECKPOINT_PAGES: u32 = 8192;

/// The one write connection, on its own thread.
pub struct Writer {
    shared: Arc<Shared>,
    readers: Readers,
    /// The writer's thread, and the one that moves the log.
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// The process that has the threads; a forked child has only a picture of them.
    process: u32,
}

impl Writer {
    /// Open a store whose schema is already there. `queue_limit`: decisions that may wait.
    pub fn open(path: &Path, queue_limit: usize) -> Result<Self, Fault> {
        Self::open_with(path, queue_limit, || {})
    }

    /// The same; `prepare` is called first on the writer's thread, for what its owner wants of it.
    pub fn open_with(path: &Path, queue_limit: usize, prepare: fn()) -> Result<Self, Fault> {
        let (conn, beside) = (connect(path)?, connect(path)?);
        let shared = Arc::new(Shared {
            queue: Queue::new(queue_limit),
            stats: Stats::default(),
            checkpointer: Checkpointer::default(),
            head: Mutex::new(Head::genesis()),
            home: Mutex::new(Home::default()),
        });
        shared.stats.disk(disk_sync(path));
        let room = Room::of(path);
        let (tell, opened) = sync_channel(1);
        let theirs = Arc::clone(&shared);
        let thread = Builder::new()
            .name("flyball-writer".to_owned())
            .spawn(move || {
                prepare();
                run(&conn, room, &theirs, tell);
            })
            .map_err(|_| Fault::Io)?;
        opened.recv().unwrap_or(Err(Fault::Closed))?;
        let readers = Readers::new(path);
        let writer = Self { shared, readers, threads: Mutex::new(vec![thread]), process: std::process::id() };
        let theirs = Arc::clone(&writer.shared);
        let mover = Builder::new()
            .name("flyball-log".to_owned())
            .spawn(move || theirs.checkpointer.run(&beside, &theirs.stats))
            .map_err(|_| Fault::Io)?;
        writer.threads.lock().push(mover);
        Ok(writer)
    }

    /// Where counters across tasks are at home from now on.
    pub fn set_home(&self, home: Home) {
        *self.shared.home.lock() = home;
    }

    /// Write a unit of work and wait until it is durable, or surely refused.
    pub fn commit(&self, unit: Unit) -> UnitOutcome {
        let (job, wait) = UnitJob::new(unit);
        match self.shared.queue.push_unit(job) {
            Ok(()) => wait.wait(),
            Err(fault) => UnitOutcome::Failed(fault),
        }
    }

    /// Read with one statement, beside the writer. More than `limit` rows is an error.
    pub fn query(&self, sql: &str, params: &[Value], limit: usize) -> Result<Vec<Vec<Value>>, Fault> {
        self.readers.query(sql, params, limit)
    }

    /// The last durable sequence number and chain hash.
    pub fn head(&self) -> Head {
        *self.shared.head.lock()
    }

    /// What it has done, as a JSON object.
    pub fn stats_json(&self) -> String {
        let (queued, bytes) = self.shared.queue.depth();
        self.shared.stats.json(queued, bytes)
    }

    /// Write what is queued, then close. May be called twice.
    pub fn close(&self) {
        self.shared.queue.close();
        self.shared.checkpointer.close();
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        for thread in threads {
            // A thread that panicked has told everyone already (worker::Ended).
            drop(thread.join());
        }
        self.readers.close();
    }
}

impl Sink for Writer {
    /// Queue a decision's record. `done` is called on the writer's thread.
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        self.shared.queue.push_draft(draft, done, Pace::Now).inspect_err(|_| self.shared.stats.refused())
    }

    fn submit_later(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        self.shared.queue.push_draft(draft, done, Pace::Later).inspect_err(|_| self.shared.stats.refused())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            self.close();
        } else {
            // After a fork there is no thread to wait for, and no connection of ours to close.
            std::mem::forget(std::mem::take(self.threads.get_mut()));
            std::mem::forget(Arc::clone(&self.shared));
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Fault::Refused("the store cannot use a write-ahead log".to_owned()));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", "ON")?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "journal_size_limit", 64 << 20)?;
    conn.pragma_update(None, "cache_size", -16_384)?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}
