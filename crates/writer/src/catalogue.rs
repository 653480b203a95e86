//! Where each task's records are, kept a little behind the chain.
//!
//! An index over (task, n) in the records' own transaction would write a page of its own for nearly
//! every decision: with many tasks that is most of what a durable decision costs (measured: 33 µs of
//! CPU a record with such an index, 15 µs without). So the entries wait here in order, and enter the
//! table `task_record` a few with each batch: neighbours share a page. What is behind is known: all
//! records up to the stored floor are in the table; a reader looks through the chain itself from there
//! on. A crash loses nothing, the chain is read again from the floor.
//!
//! A store without that table has an ordinary index instead, and nothing here does anything.

use std::collections::BTreeMap;

use rusqlite::{Connection, Statement, params};

/// Entries of one run. The chain that a reader may have to look through is at most twice as long.
const RUN: usize = 1 << 15;
/// Entries that enter the table with a batch, at least.
const STEP: usize = 64;

/// An entry: (task, n) and the sequence number.
pub(crate) type Entry = ((Box<str>, u64), u64);

/// Entries in the table's order.
type Entries = BTreeMap<(Box<str>, u64), u64>;

/// The table's statements, and the entries that are not in it yet.
pub(crate) struct Catalogue<'c> {
    insert: Statement<'c>,
    set_floor: Statement<'c>,
    /// The newest entries, of records that are durable.
    waiting: Entries,
    /// A whole run on its way into the table, and the floor once it is there.
    leaving: Entries,
    leaving_floor: u64,
    /// How many of `leaving` went into the transaction that is open.
    taken: usize,
}

impl<'c> Catalogue<'c> {
    /// The catalogue of a store that has one, with the entries behind the floor read from the chain.
    pub(crate) fn open(conn: &'c Connection) -> rusqlite::Result<Option<Self>> {
        let there = "SELECT count(*) FROM sqlite_schema WHERE name IN ('task_record', 'task_record_floor')";
        if conn.query_row(there, [], |row| row.get::<_, i64>(0))? != 2 {
            return Ok(None);
        }
        let mut catalogue = Self {
            insert: conn.prepare("INSERT INTO task_record(task, n, seq) VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING")?,
            set_floor: conn.prepare("UPDATE task_record_floor SET seq = ?1")?,
            waiting: Entries::new(),
            leaving: Entries::new(),
            leaving_floor: 0,
            taken: 0,
        };
        catalogue.reread(conn)?;
        Ok(Some(catalogue))
    }

    /// Forget, and read what is behind the floor from the chain.
    pub(crate) fn reread(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        self.waiting.clear();
        self.leaving.clear();
        self.taken = 0;
        let mut select = conn.prepare_cached(
            "SELECT task, n, seq FROM record \
             WHERE seq > (SELECT seq FROM task_record_floor) AND task IS NOT NULL ORDER BY seq",
        )?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let (n, seq): (i64, i64) = (row.get(1)?, row.get(2)?);
            self.waiting.insert((row.get(0)?, n.cast_unsigned()), seq.cast_unsigned());
        }
        Ok(())
    }

    /// The number of a task's last record, among those that are in no table yet.
    pub(crate) fn last_number(&self, task: &str) -> u64 {
        let all = (Box::from(task), 0)..=(Box::from(task), u64::MAX);
        let last = |entries: &Entries| entries.range(all.clone()).next_back().map_or(0, |((_, n), _)| *n);
        last(&self.waiting).max(last(&self.leaving))
    }

    /// Put some entries into the table, in the transaction that is open: `most` and at least a step.
    /// A run leaves when it is whole, or at once where `all`. `head` is the last durable sequence number.
    pub(crate) fn advance(&mut self, most: usize, all: bool, head: u64) -> rusqlite::Result<()> {
        self.taken = 0;
        if self.leaving.is_empty() {
            if self.waiting.is_empty() || (self.waiting.len() < RUN && !all) {
                return Ok(());
            }
            self.leaving = std::mem::take(&mut self.waiting);
            self.leaving_floor = head;
        }
        for ((task, n), seq) in self.leaving.iter().take(most.max(STEP)) {
            self.insert.execute(params![&**task, n.cast_signed(), seq.cast_signed()])?;
            self.taken += 1;
        }
        if self.taken == self.leaving.len() {
            self.set_floor.execute([self.leaving_floor.cast_signed()])?;
        }
        Ok(())
    }

    /// The open transaction has committed, with these new records in it.
    pub(crate) fn committed(&mut self, new: impl Iterator<Item = Entry>) {
        for _ in 0..std::mem::take(&mut self.taken) {
            self.leaving.pop_first();
        }
        self.waiting.extend(new);
    }

    /// Whether everything is in the table.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.leaving.is_empty()
    }
}
