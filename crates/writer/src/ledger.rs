//! One batch, one transaction.
//!
//! Invariants kept here:
//! - W1: sequence numbers and hashes are given when a batch is taken; the head moves only after COMMIT.
//! - W2: a unit whose guard fails takes back its own changes and nobody else's.
//! - W3: after any failure the head and the record numbers are read from the database again. The
//!   outcome of a failed COMMIT is unknown, so nothing remembered may be built on.

mod transaction;

use flyball_decision::{CounterCharge, RecordDraft};
use rusqlite::{Connection, Statement, params, params_from_iter};

use crate::catalogue::{Catalogue, Entry};
use crate::chain::Head;
use crate::fault::{Fault, is_constraint};
use crate::numbers::Numbers;
use crate::unit::{Home, Unit};

/// Entries of the catalogue that are written at a time where nothing waits.
const CATCH_UP: usize = 1024;

/// What became of a unit of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitOutcome {
    /// Durable; the sequence numbers of its records.
    Durable(Vec<u64>),
    /// A guard did not hold; nothing of it was written.
    Conflict(String),
    /// The store could not make it durable, or refused its SQL.
    Failed(Fault),
}

/// A transaction that did not commit.
#[derive(Debug)]
pub(crate) enum Broken {
    /// Surely not written. `by_drafts`: it was a decision's record that could not be written.
    RolledBack { fault: Fault, by_drafts: bool },
    /// COMMIT itself failed: written or not, nobody can say.
    Unknown(Fault),
}

/// What became of the members of a batch that committed. For drafts: whether each was written;
/// false means that a counter would have gone past its limit.
pub(crate) struct Committed {
    pub(crate) units: Vec<UnitOutcome>,
    pub(crate) drafts: Vec<bool>,
}

/// The write connection's statements, and the head of the chain.
pub(crate) struct Ledger<'c> {
    conn: &'c Connection,
    begin: Statement<'c>,
    commit: Statement<'c>,
    savepoint: Statement<'c>,
    release: Statement<'c>,
    undo: Statement<'c>,
    version: Statement<'c>,
    insert: Statement<'c>,
    last_n: Statement<'c>,
    charge: Statement<'c>,
    give_back: Statement<'c>,
    head: Option<Head>,
    seen_version: Option<i64>,
    numbers: Numbers,
    /// Where the store has one instead of an index over (task, n).
    catalogue: Option<Catalogue<'c>>,
    /// Entries for it, of the transaction that is open.
    entries: Vec<Entry>,
}

impl<'c> Ledger<'c> {
    /// Prepare the statements and read the head. Fails where the schema is not there yet.
    pub(crate) fn open(conn: &'c Connection) -> Result<Self, Fault> {
        let catalogue = Catalogue::open(conn)?;
        let last_n = match catalogue {
            None => "SELECT max(n) FROM record WHERE task = ?1",
            Some(_) => "SELECT max(n) FROM task_record WHERE task = ?1",
        };
        let mut ledger = Self {
            conn,
            begin: conn.prepare("BEGIN IMMEDIATE")?,
            commit: conn.prepare("COMMIT")?,
            savepoint: conn.prepare("SAVEPOINT unit")?,
            release: conn.prepare("RELEASE unit")?,
            undo: conn.prepare("ROLLBACK TO unit")?,
            version: conn.prepare("PRAGMA data_version")?,
            insert: conn.prepare(
                "INSERT INTO record(seq, task, n, kind, at_ms, body, sealed, hash) \
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            last_n: conn.prepare(last_n)?,
            charge: conn.prepare(
                "INSERT INTO counter(key, unit, used, cell, home, epoch) \
                 VALUES(?1, ?2, ?3, ?4, ?5, ?6) \
                 ON CONFLICT(key, unit) DO UPDATE \
                 SET used = used + excluded.used, home = excluded.home, epoch = excluded.epoch \
                 WHERE excluded.used <= ?7 - used",
            )?,
            give_back: conn.prepare("UPDATE counter SET used = max(0, used + ?3) WHERE key = ?1 AND unit = ?2")?,
            head: None,
            seen_version: None,
            numbers: Numbers::default(),
            catalogue,
            entries: Vec::new(),
        };
        ledger.known_head()?;
        Ok(ledger)
    }

    /// The last durable head; read from the database where it is not known.
    pub(crate) fn known_head(&mut self) -> Result<Head, Fault> {
        if let Some(head) = self.head {
            return Ok(head);
        }
        let mut select = self.conn.prepare_cached("SELECT seq, hash FROM record ORDER BY seq DESC LIMIT 1")?;
        let mut rows = select.query([])?;
        let head = match rows.next()? {
            None => Head::genesis(),
            Some(row) => Head {
                seq: row.get::<_, i64>(0)?.try_into().map_err(|_| Fault::Corrupt)?,
                hash: row.get::<_, [u8; 32]>(1)?,
            },
        };
        self.head = Some(head);
        Ok(head)
    }

    /// Bring the catalogue up to the head, in steps: called where nothing waits. False when there is
    /// nothing left to do, or it cannot be done now.
    pub(crate) fn catch_up(&mut self) -> bool {
        if self.catalogue.as_ref().is_none_or(Catalogue::is_complete) || self.begin.execute([]).is_err() {
            return false;
        }
        let done = self.look_for_strangers().and_then(|()| {
            let head = self.known_head()?;
            self.advance_catalogue(true)?;
            self.commit.execute([])?;
            self.committed(head);
            Ok(())
        });
        if done.is_err() {
            self.roll_back();
            self.seen_version = None;
        }
        done.is_ok()
    }

    fn advance_catalogue(&mut self, all: bool) -> rusqlite::Result<()> {
        let (most, head) = (self.entries.len() * 2, self.head.map_or(0, |head| head.seq));
        match &mut self.catalogue {
            None => Ok(()),
            Some(catalogue) if all => catalogue.advance(CATCH_UP, true, head),
            Some(catalogue) => catalogue.advance(most, false, head),
        }
    }

    fn committed(&mut self, head: Head) {
        self.head = Some(head);
        if let Some(catalogue) = &mut self.catalogue {
            catalogue.committed(self.entries.drain(..));
        }
    }

    /// Forget what is remembered (W3), and end the transaction if SQLite has not.
    fn roll_back(&mut self) {
        self.head = None;
        self.numbers.clear();
        self.entries.clear();
        if !self.conn.is_autocommit() {
            // Where even this fails, the next BEGIN fails too, and so does all that waits on it.
            drop(self.conn.execute_batch("ROLLBACK"));
        }
    }

    /// Under the write lock: has anybody else written since our last transaction, or do we not know
    /// what our own last one did? Then nothing remembered counts.
    fn look_for_strangers(&mut self) -> Result<(), Fault> {
        let version: i64 = self.version.query_row([], |row| row.get(0))?;
        if self.seen_version != Some(version) {
            self.head = None;
            self.numbers.clear();
            if let Some(catalogue) = &mut self.catalogue {
                catalogue.reread(self.conn)?;
            }
            self.seen_version = Some(version);
        }
        Ok(())
    }

    fn stage_units(&mut self, units: &[&Unit]) -> Result<(Head, Vec<UnitOutcome>), Fault> {
        self.look_for_strangers()?;
        let mut head = self.known_head()?;
        let mut outcomes = Vec::with_capacity(units.len());
        for unit in units {
            self.savepoint.execute([])?;
            self.numbers.mark();
            let entries = self.entries.len();
            let outcome = match self.stage_unit(head, unit) {
                Ok((next, seqs)) => {
                    head = next;
                    self.numbers.keep();
                    UnitOutcome::Durable(seqs)
                }
                Err(refused) => {
                    // Some errors end the whole transaction, and faults of the disk are everybody's.
                    if let UnitOutcome::Failed(fault) = &refused
                        && !matches!(fault, Fault::Refused(_))
                    {
                        return Err(fault.clone());
                    }
                    if self.conn.is_autocommit() {
                        return Err(Fault::Refused("the transaction was ended".to_owned()));
                    }
                    self.undo.execute([])?;
                    self.numbers.rewind();
                    self.entries.truncate(entries);
                    refused
                }
            };
            self.release.execute([])?;
            outcomes.push(outcome);
        }
        Ok((head, outcomes))
    }

    fn stage_unit(&mut self, mut head: Head, unit: &Unit) -> Result<(Head, Vec<u64>), UnitOutcome> {
        let refuse = |error: rusqlite::Error| {
            if is_constraint(&error) {
                UnitOutcome::Conflict(error.to_string())
            } else {
                UnitOutcome::Failed(error.into())
            }
        };
        for (at, statement) in unit.statements.iter().enumerate() {
            if !statement.changes_rows_only() {
                let text = format!("statement {at} is no INSERT, UPDATE, DELETE or REPLACE");
                return Err(UnitOutcome::Failed(Fault::Refused(text)));
            }
            let mut prepared = self.conn.prepare_cached(&statement.sql).map_err(refuse)?;
            let changed = prepared.execute(params_from_iter(&statement.params)).map_err(refuse)? as u64;
            if let Some(expect) = statement.expect
                && changed != expect
            {
                let text = format!("statement {at} changed {changed} rows where {expect} must change");
                return Err(UnitOutcome::Conflict(text));
            }
        }
        let mut seqs = Vec::with_capacity(unit.records.len());
        for record in &unit.records {
            head = self
                .append(
                    head,
                    record.task.as_deref(),
                    &record.kind,
                    record.at_ms,
                    &record.body,
                    record.sealed.as_deref(),
                )
                .map_err(|error| UnitOutcome::Failed(error.into()))?;
            seqs.push(head.seq);
        }
        Ok((head, seqs))
    }

    fn stage_drafts<'d>(
        &mut self,
        mut head: Head,
        drafts: impl Iterator<Item = &'d RecordDraft>,
        home: &Home,
    ) -> Result<(Head, Vec<bool>), Fault> {
        let mut written = Vec::with_capacity(drafts.size_hint().0);
        for draft in drafts {
            let charged = match draft.counters.as_slice() {
                [] => true,
                [one] => self.charge_one(one, home)?,
                many => self.charge_all(many, home)?,
            };
            if charged {
                head = self.append(
                    head,
                    draft.task.as_deref(),
                    draft.kind,
                    draft.at_ms,
                    &draft.body,
                    draft.sealed.as_deref(),
                )?;
            }
            written.push(charged);
        }
        Ok((head, written))
    }

    /// All charges of one record, or none of them.
    fn charge_all(&mut self, charges: &[CounterCharge], home: &Home) -> Result<bool, Fault> {
        self.savepoint.execute([])?;
        let mut held = true;
        for charge in charges {
            held = self.charge_one(charge, home)?;
            if !held {
                self.undo.execute([])?;
                break;
            }
        }
        self.release.execute([])?;
        Ok(held)
    }

    /// Charge one counter across tasks; false where that would pass its limit.
    fn charge_one(&mut self, charge: &CounterCharge, home: &Home) -> Result<bool, Fault> {
        let CounterCharge { key, unit, amount, limit } = charge;
        if *amount < 0 {
            self.give_back.execute(params![key, unit, amount])?;
            return Ok(true);
        }
        if amount > limit {
            return Ok(false);
        }
        let changed = self.charge.execute(params![key, unit, amount, home.cell, home.node, home.epoch, limit])?;
        Ok(changed == 1)
    }

    /// The number of a task's last record, 0 where it has none.
    fn last_number(&mut self, task: &str) -> rusqlite::Result<u64> {
        if let Some(last) = self.numbers.get(task) {
            return Ok(last);
        }
        let last: Option<i64> = self.last_n.query_row([task], |row| row.get(0))?;
        let behind = self.catalogue.as_ref().map_or(0, |catalogue| catalogue.last_number(task));
        Ok(u64::try_from(last.unwrap_or(0)).unwrap_or(0).max(behind))
    }

    /// Insert one record after `head`; the head after it.
    fn append(
        &mut self,
        head: Head,
        task: Option<&str>,
        kind: &str,
        at_ms: i64,
        body: &[u8],
        sealed: Option<&[u8]>,
    ) -> rusqlite::Result<Head> {
        let n = match task {
            None => 0,
            Some(task) => self.last_number(task)?.saturating_add(1),
        };
        let next = head.next(n, task, body, sealed);
        let stored_n = task.map(|_| n.cast_signed());
        self.insert.execute(params![
            next.seq.cast_signed(),
            task,
            stored_n,
            kind,
            at_ms,
            body,
            sealed,
            &next.hash[..]
        ])?;
        if let Some(task) = task {
            self.numbers.set(task, n);
            if self.catalogue.is_some() {
                self.entries.push(((task.into(), n), next.seq));
            }
        }
        Ok(next)
    }
}
