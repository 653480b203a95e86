//! What a task remembers of results.

use std::ops::Range;

use flyball_typed::Date;

use super::fact::Code;
use super::place::Role;
use super::store::{Entry, MAX_BYTES, MAX_ROWS, Store};
use super::{Kept, Program};

/// Bytes of values that only explain, at most.
const EXPLAINED: usize = 8192;

/// What a task remembers of results. Nothing that a rule may ask for is ever forgotten: where
/// something does not fit, the memory says so.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(super) store: Store,
    results: Vec<Remembered>,
    /// The latest result of each action.
    latest: Vec<Latest>,
    rows: u32,
    explained: usize,
    today: Option<Date>,
    full: bool,
}

/// A result of which something is remembered.
#[derive(Clone, Copy, Debug)]
struct Remembered {
    digest: u64,
    first_row: u32,
    /// Its number among the action's results, and the action's number: 16 bits each would not do.
    number: u32,
    action: u16,
}

/// The latest result of an action: its number, and the rows it has here. One that repeats an earlier
/// result has the rows of that.
#[derive(Debug)]
struct Latest {
    action: u16,
    number: u32,
    rows: Range<u32>,
}

impl Memory {
    /// Remember what a result left behind; `false`: it does not fit, and the memory is full.
    pub(crate) fn keep(&mut self, program: &Program, kept: &Kept) -> bool {
        self.today = kept.today.or(self.today);
        self.full |= kept.full;
        let again = |result: &Remembered| result.action == kept.action && result.digest == kept.digest;
        let late = self.latest.iter().any(|latest| latest.action == kept.action && latest.number > kept.number);
        let adds = program.adds(kept.action);
        // The very same result again says nothing new, but where it is added up and another came in between.
        if let Some(at) = self.results.iter().rposition(again) {
            let begin = |at: usize| self.results.get(at).map_or(self.rows, |result| result.first_row);
            let rows = begin(at)..begin(at + 1);
            if !adds || late || self.latest(kept.action) == rows {
                self.is_latest(kept, rows);
                return !self.full;
            }
        }
        if adds && !late {
            // Only the latest result is added up: what earlier ones left for that makes room.
            let old =
                |entry: &Entry| program.place(entry.place()).is_some_and(|at| at.adds && at.action == kept.action);
            self.store.entries.retain(|entry| !old(entry));
        }
        let before = self.rows;
        let new = self.new_entries(program, kept, self.explained < EXPLAINED);
        let added = weight(&new, kept);
        if self.store.weight() + added <= MAX_BYTES {
            self.merge(program, kept, &new);
        } else {
            self.forget_explanations(program);
            let new = self.new_entries(program, kept, false);
            if self.store.weight() + weight(&new, kept) <= MAX_BYTES {
                self.merge(program, kept, &new);
            } else {
                self.full = true;
            }
        }
        self.is_latest(kept, before..self.rows);
        !self.full
    }

    /// Note a result as its action's latest, unless a later one is here already.
    fn is_latest(&mut self, kept: &Kept, rows: Range<u32>) {
        let Kept { action, number, .. } = *kept;
        match self.latest.iter_mut().find(|latest| latest.action == action) {
            Some(latest) if latest.number > number => {}
            Some(latest) => *latest = Latest { action, number, rows },
            None => self.latest.push(Latest { action, number, rows }),
        }
    }

    /// What of it is not here yet.
    fn new_entries(&self, program: &Program, kept: &Kept, explain: bool) -> Vec<Entry> {
        let late = self.latest.iter().any(|latest| latest.action == kept.action && latest.number > kept.number);
        let here = |entry: &Entry| {
            let fact = entry.fact();
            if fact.code == Code::SPAN {
                let check = fact.payload >> 32 << 32;
                let spans = self.store.between(Code::SPAN, check, check | 0xffff_ffff).iter();
                let mut spans = spans.filter(|span| span.place() == entry.place());
                return spans.any(|span| self.store.whole(*span) == kept.store.whole(*entry));
            }
            self.store.at_place(fact, entry.place()).iter().any(|other| other.fact() == fact)
        };
        let mut out: Vec<Entry> = Vec::new();
        for entry in &kept.store.entries {
            let Some(place) = program.place(entry.place()) else { continue };
            if (place.role == Role::Explain && !explain) || (place.once && here(entry)) || (place.adds && late) {
                continue;
            }
            // The same value in another row of this result.
            let twin = |last: &Entry| last.fact() == entry.fact() && last.place() == entry.place();
            if place.once && out.last().is_some_and(twin) {
                continue;
            }
            out.push(*entry);
        }
        out
    }

    fn merge(&mut self, program: &Program, kept: &Kept, new: &[Entry]) {
        if new.is_empty() {
            return;
        }
        let mut rows: Vec<u32> = new.iter().map(|entry| entry.row()).collect();
        rows.sort_unstable();
        rows.dedup();
        let after = u32::try_from(rows.len()).ok().and_then(|more| self.rows.checked_add(more));
        let Some(after) = after.filter(|after| *after < MAX_ROWS) else {
            self.full = true;
            return;
        };
        // Tasks are many and results few: room is not doubled.
        self.store.entries.reserve_exact(new.len() + self.store.entries.len() / 8);
        let mut added = 0;
        for entry in new {
            let row = rows.partition_point(|row| *row < entry.row());
            let mut moved = entry.in_row(self.rows.saturating_add(u32::try_from(row).unwrap_or(u32::MAX)));
            let mut weight = 16;
            if moved.code() == Code::SPAN {
                let text = kept.store.whole(*entry).len();
                self.store.words.reserve_exact(text);
                let Some(here) = self.store.add_text(&kept.store, moved) else { continue };
                moved = here;
                weight += text * 4;
            }
            if program.place(entry.place()).is_some_and(|place| place.role == Role::Explain) {
                added += weight;
            }
            self.store.entries.push(moved);
        }
        // Two runs that are in order each.
        self.store.entries.sort_by_key(|entry| entry.order());
        self.explained += added;
        let first_row = self.rows;
        self.results.reserve_exact(1);
        self.results.push(Remembered { digest: kept.digest, first_row, number: kept.number, action: kept.action });
        self.rows = after;
    }

    /// Drop what only explains.
    fn forget_explanations(&mut self, program: &Program) {
        let old = std::mem::take(&mut self.store);
        for entry in &old.entries {
            if program.place(entry.place()).is_none_or(|place| place.role == Role::Explain) {
                continue;
            }
            let mut moved = *entry;
            if entry.code() == Code::SPAN {
                let Some(here) = self.store.add_text(&old, *entry) else { continue };
                moved = here;
            }
            self.store.entries.push(moved);
        }
        self.store.entries.sort_by_key(|entry| entry.order());
        self.explained = EXPLAINED;
    }

    /// Whether something could not be remembered.
    pub(crate) const fn full(&self) -> bool {
        self.full
    }

    /// Values remembered.
    pub(crate) fn len(&self) -> usize {
        self.store.entries.len()
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.store.entries.capacity() * 16
            + self.store.words.capacity() * 4
            + self.results.capacity() * size_of::<Remembered>()
            + self.latest.capacity() * size_of::<Latest>()
    }

    /// Results of an action so far.
    #[cfg(test)]
    pub(crate) fn results(&self, program: &Program, action: &str) -> u32 {
        let number = program.act(action).map(|(number, _)| number);
        self.latest.iter().find(|latest| Some(latest.action) == number).map_or(0, |latest| latest.number)
    }

    /// The rows of an action's latest result.
    pub(super) fn latest(&self, action: u16) -> Range<u32> {
        self.latest.iter().find(|latest| latest.action == action).map_or(0..0, |latest| latest.rows.clone())
    }

    /// Which day the last result said it is.
    pub(crate) const fn today(&self) -> Option<Date> {
        self.today
    }

    /// The number of the result that a row is of.
    pub(super) fn result(&self, row: u32) -> u32 {
        let after = self.results.partition_point(|result| result.first_row <= row);
        after.checked_sub(1).and_then(|at| self.results.get(at)).map_or(0, |result| result.number)
    }
}

/// Bytes that new entries take, with their words.
fn weight(new: &[Entry], kept: &Kept) -> usize {
    let words = new.iter().filter(|entry| entry.code() == Code::SPAN).map(|entry| kept.store.whole(*entry).len());
    new.len() * 16 + words.sum::<usize>() * 4
}
