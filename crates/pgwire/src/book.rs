//! The book of one session: what was sent, what the server confirmed, which names stand for what.
//! No I/O here.
//!
//! After an error the server skips to the next Sync, and the gateway learns of it later. A name that
//! was to be given meanwhile was never given: were it taken as given, an Execute could be decided for
//! one statement and run another. So a definition waits in line and counts before its confirmation
//! only for what follows it up to the same Sync, which is skipped with it.

use crate::close::Close;
use crate::message::Params;
use crate::port::{Allowance, Judged};
use ahash::AHashMap;
use flyball_pgsql::Session;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;

/// Messages in flight.
pub const MOST_IN_FLIGHT: usize = 4_096;
/// Names of each kind.
pub const MOST_NAMES: usize = 4_096;

/// A statement that was judged.
#[derive(Debug)]
pub struct Statement {
    pub judged: Judged,
    /// Types of its parameters: those that its Parse named, then all of them, as the server described them.
    pub types: Mutex<Vec<u32>>,
}

/// A portal or cursor: a statement with its parameters.
#[derive(Debug, Clone)]
pub struct Bound {
    pub statement: Arc<Statement>,
    pub params: Params,
    /// Made by DECLARE: it may outlive its transaction.
    pub cursor: bool,
}

/// A run that was allowed.
pub struct Run {
    pub allowance: Arc<dyn Allowance>,
    pub rows: u64,
    pub bytes: u64,
    /// How many completions are to come.
    pub parts: usize,
    pub bound: Bound,
}

pub enum Entry {
    Parse(String, Arc<Statement>),
    Bind(String, Bound),
    CloseStatement(String),
    ClosePortal(String),
    Run(Box<Run>),
    /// In its place went what fails: the error for the client.
    Refused(Vec<u8>),
    Sync,
}

/// What a name was found to stand for.
#[derive(Debug)]
pub enum Named<T> {
    Found(T),
    Absent,
    /// A definition is in flight from before a Sync: it is not known yet.
    Wait,
}

#[derive(Default)]
pub struct Book {
    line: VecDeque<(u64, Entry)>,
    epoch: u64,
    /// Statements whose parameters the client asked to be described, in order.
    described: VecDeque<(u64, Option<Arc<Statement>>)>,
    /// The epoch that the server answers now.
    answering: u64,
    statements: AHashMap<String, Arc<Statement>>,
    portals: AHashMap<String, Bound>,
    /// The server takes rows now.
    pub copying_in: bool,
    /// A COPY FROM went upstream, and the server has not said yet whether it takes rows.
    pub awaiting_copy: bool,
    /// The server failed and passes over all that comes before the Sync, which the client has not sent yet.
    skipping: bool,
}

enum Of<T> {
    Is(T),
    Gone,
    Other,
}

impl Book {
    /// Put in line what was sent. After a COPY FROM the server's word on it is to be awaited, unless it is passed over.
    pub fn sent(&mut self, entry: Entry) -> Result<(), Close> {
        if self.line.len() >= MOST_IN_FLIGHT || self.statements.len() + self.portals.len() >= 2 * MOST_NAMES {
            return Err(Close::Pipeline);
        }
        if let Entry::Run(run) = &entry {
            self.awaiting_copy = run.bound.statement.judged.judgement().copies_in && !self.skipping;
        }
        let sync = matches!(entry, Entry::Sync);
        self.line.push_back((self.epoch, entry));
        self.epoch += u64::from(sync);
        Ok(())
    }

    /// Whether the server passes over what comes before the next Sync. A Query is passed over there, too, and is
    /// not answered.
    pub const fn skipping(&self) -> bool {
        self.skipping
    }

    /// Whether something from before the last Sync is in flight.
    pub fn behind(&self) -> bool {
        self.line.front().is_some_and(|(epoch, _)| *epoch != self.epoch)
    }

    fn named<T>(&self, of: impl Fn(&Entry) -> Of<T>, confirmed: Option<T>) -> Named<T> {
        for (epoch, entry) in self.line.iter().rev() {
            match (of(entry), *epoch == self.epoch) {
                (Of::Other, _) => {}
                (_, false) => return Named::Wait,
                (Of::Is(found), true) => return Named::Found(found),
                (Of::Gone, true) => return Named::Absent,
            }
        }
        confirmed.map_or(Named::Absent, Named::Found)
    }

    pub fn statement(&self, name: &str) -> Named<Arc<Statement>> {
        let of = |entry: &Entry| match entry {
            Entry::Parse(n, statement) if n == name => Of::Is(statement.clone()),
            Entry::CloseStatement(n) if n == name => Of::Gone,
            Entry::Run(run) => match &run.bound.statement.judged.judgement().session {
                Some(Session::Prepare(n)) if n == name => Of::Is(run.bound.statement.clone()),
                Some(Session::Deallocate(Some(n))) if n == name => Of::Gone,
                Some(Session::Deallocate(None) | Session::Discard) => Of::Gone,
                _ => Of::Other,
            },
            _ => Of::Other,
        };
        self.named(of, self.statements.get(name).cloned())
    }

    pub fn portal(&self, name: &str) -> Named<Bound> {
        let of = |entry: &Entry| match entry {
            Entry::Bind(n, bound) if n == name => Of::Is(bound.clone()),
            Entry::ClosePortal(n) if n == name => Of::Gone,
            Entry::Run(run) => match &run.bound.statement.judged.judgement().session {
                Some(Session::Declare(n)) if n == name => Of::Is(Bound { cursor: true, ..run.bound.clone() }),
                Some(Session::Close(Some(n))) if n == name => Of::Gone,
                Some(Session::Close(None) | Session::Discard) => Of::Gone,
                _ => Of::Other,
            },
            _ => Of::Other,
        };
        self.named(of, self.portals.get(name).cloned())
    }

    /// The client asks what a statement's parameters are.
    pub fn describe(&mut self, name: &str) -> Result<(), Close> {
        if self.described.len() >= MOST_IN_FLIGHT {
            return Err(Close::Pipeline);
        }
        let statement = if let Named::Found(statement) = self.statement(name) { Some(statement) } else { None };
        self.described.push_back((self.epoch, statement));
        Ok(())
    }

    /// `ParameterDescription`. After an error none come until the Sync, where those that are left are forgotten: so
    /// each is for the first that waits.
    pub fn types(&mut self, types: Vec<u32>) -> Result<(), Close> {
        match self.described.pop_front() {
            Some((epoch, statement)) if epoch == self.answering => {
                if let Some(statement) = statement {
                    *statement.types.lock() = types;
                }
                Ok(())
            }
            _ => Err(Close::OutOfStep),
        }
    }

    fn front(&mut self) -> Result<Entry, Close> {
        self.line.pop_front().map(|e| e.1).ok_or(Close::OutOfStep)
    }

    /// The first in line, which the server has answered.
    fn answered(&mut self) -> Result<Entry, Close> {
        if self.skipping { Err(Close::OutOfStep) } else { self.front() }
    }

    /// `1`, `2`, `3`: what was sent is confirmed.
    pub fn confirmed(&mut self, kind: u8) -> Result<(), Close> {
        match (kind, self.answered()?) {
            (b'1', Entry::Parse(name, statement)) => {
                self.statements.insert(name, statement);
            }
            (b'2', Entry::Bind(name, bound)) => {
                self.portals.insert(name, bound);
            }
            (b'3', Entry::CloseStatement(name)) => {
                self.statements.remove(&name);
            }
            (b'3', Entry::ClosePortal(name)) => {
                self.portals.remove(&name);
            }
            _ => return Err(Close::OutOfStep),
        }
        Ok(())
    }

    /// A run came to its end; it, where that was its last part. `suspended` defines nothing.
    pub fn completed(&mut self, suspended: bool) -> Result<Option<Box<Run>>, Close> {
        if let Some((_, Entry::Run(run))) = self.line.front_mut() {
            run.parts = run.parts.saturating_sub(1);
            if run.parts > 0 {
                return Ok(None);
            }
        }
        let Entry::Run(run) = self.answered()? else { return Err(Close::OutOfStep) };
        self.copying_in = false;
        if !suspended {
            self.define(&run);
        }
        Ok(Some(run))
    }

    fn define(&mut self, run: &Run) {
        let statement = &run.bound.statement;
        match &statement.judged.judgement().session {
            Some(Session::Prepare(name)) => {
                self.statements.insert(name.clone(), statement.clone());
            }
            Some(Session::Deallocate(Some(name))) => {
                self.statements.remove(name);
            }
            Some(Session::Deallocate(None)) => self.statements.clear(),
            Some(Session::Declare(name)) => {
                self.portals.insert(name.clone(), Bound { cursor: true, ..run.bound.clone() });
            }
            Some(Session::Close(Some(name))) => {
                self.portals.remove(name);
            }
            Some(Session::Close(None)) => self.portals.clear(),
            Some(Session::Discard) => {
                self.statements.clear();
                self.portals.clear();
            }
            _ => {}
        }
    }

    /// The server failed: all up to the Sync is skipped, and what the client sends before it, too. The runs among
    /// what was sent, and the error to send in the place of the server's, where the first was a refusal of ours.
    pub fn failed(&mut self) -> (Vec<Run>, Option<Vec<u8>>) {
        self.copying_in = false;
        self.awaiting_copy = false;
        let own = match self.line.front_mut() {
            Some((_, Entry::Refused(error))) if !self.skipping => Some(std::mem::take(error)),
            _ => None,
        };
        let runs = self.skip();
        self.skipping = self.line.is_empty();
        (runs, own)
    }

    /// Leave out what stands before the Sync. The runs among it.
    fn skip(&mut self) -> Vec<Run> {
        let mut runs = Vec::new();
        while self.line.front().is_some_and(|(_, entry)| !matches!(entry, Entry::Sync)) {
            if let Some((_, Entry::Run(run))) = self.line.pop_front() {
                runs.push(*run);
            }
        }
        runs
    }

    /// `ReadyForQuery`, with the transaction's status. The runs that were skipped.
    pub fn ready(&mut self, status: u8) -> Result<Vec<Run>, Close> {
        let skipped = if std::mem::take(&mut self.skipping) { self.skip() } else { Vec::new() };
        let Entry::Sync = self.front()? else { return Err(Close::OutOfStep) };
        self.answering += 1;
        let answering = self.answering;
        self.described.retain(|(epoch, _)| *epoch >= answering);
        if status == b'I' {
            self.portals.retain(|_, bound| bound.cursor);
        }
        Ok(skipped)
    }

    /// `CopyInResponse`.
    pub fn copy_in(&mut self) -> Result<(), Close> {
        match self.line.front() {
            Some((_, Entry::Run(run))) if run.bound.statement.judged.judgement().copies_in => {
                self.copying_in = true;
                self.awaiting_copy = false;
                Ok(())
            }
            _ => Err(Close::OutOfStep),
        }
    }

    /// A row of that many bytes comes back: whether it may.
    pub fn row(&mut self, bytes: u64) -> Result<(), Close> {
        let Some((_, Entry::Run(run))) = self.line.front_mut().filter(|_| !self.skipping) else {
            return Err(Close::OutOfStep);
        };
        if !run.allowance.row(bytes) {
            return Err(Close::Spent);
        }
        run.rows += 1;
        run.bytes += bytes;
        Ok(())
    }

    /// All runs that are left when the connection ends.
    pub fn rest(&mut self) -> Vec<Run> {
        let runs = self.line.drain(..).filter_map(|(_, e)| if let Entry::Run(run) = e { Some(*run) } else { None });
        runs.collect()
    }
}
