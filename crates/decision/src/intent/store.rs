//! Facts in 16 bytes each, in order, and words of texts: how inputs and results are remembered.

use super::MemoryKey;
use super::fact::{Code, Fact};
use super::phrase::Phrase;

/// Stands in place of a currency for a text whose words have signs.
const SIGNED: u16 = 1;

/// Rows that a memory tells apart, at most.
pub(crate) const MAX_ROWS: u32 = 1 << 20;
/// Bytes of facts and words that one task remembers, at most.
pub(crate) const MAX_BYTES: usize = MAX_ENTRIES * 16;
/// Facts that one task remembers, at most.
pub(crate) const MAX_ENTRIES: usize = 65_536;

/// One fact, and where it was: a place of the program and a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    payload: u64,
    /// From the highest bit: code (5), place (16), row (20), extra (15), unused (8).
    tag: u64,
}

impl Entry {
    /// Put one together. Rows are below [`MAX_ROWS`].
    pub(crate) fn new(fact: Fact, place: u16, row: u32) -> Self {
        let tag = u64::from(fact.code.number()) << 59
            | u64::from(place) << 43
            | u64::from(row & (MAX_ROWS - 1)) << 23
            | u64::from(fact.extra & 0x7fff) << 8;
        Self { payload: fact.payload, tag }
    }

    /// Read one back; `None` where it holds no fact.
    pub(crate) fn from_parts(payload: u64, tag: u64) -> Option<Self> {
        let code = u8::try_from(tag >> 59).ok().and_then(Code::from_number);
        (code.is_some() && tag.trailing_zeros() >= 8).then_some(Self { payload, tag })
    }

    /// Both halves.
    pub(crate) const fn parts(self) -> (u64, u64) {
        (self.payload, self.tag)
    }

    /// The fact.
    pub(crate) fn fact(self) -> Fact {
        Fact { code: self.code(), payload: self.payload, extra: (self.tag >> 8 & 0x7fff) as u16 }
    }

    /// What kind of fact it is.
    pub(crate) fn code(self) -> Code {
        Code::from_number((self.tag >> 59) as u8).unwrap_or(Code::TOKEN)
    }

    /// The place of the program.
    pub(crate) fn place(self) -> u16 {
        u16::try_from(self.tag >> 43 & 0xffff).unwrap_or(u16::MAX)
    }

    /// The row.
    pub(crate) fn row(self) -> u32 {
        u32::try_from(self.tag >> 23 & u64::from(MAX_ROWS - 1)).unwrap_or(u32::MAX)
    }

    /// The same in another row.
    #[must_use]
    pub(crate) const fn in_row(self, row: u32) -> Self {
        let mask = ((MAX_ROWS - 1) as u64) << 23;
        Self { payload: self.payload, tag: self.tag & !mask | (row as u64) << 23 & mask }
    }

    /// The same at another beginning, for a text's words.
    #[must_use]
    pub(crate) const fn at(self, start: u32) -> Self {
        Self { payload: self.payload & !0xffff_ffff | start as u64, tag: self.tag }
    }

    /// Where a text's words begin.
    pub(crate) const fn start(self) -> u32 {
        (self.payload & 0xffff_ffff) as u32
    }

    /// By code, value, place, row.
    pub(crate) const fn order(self) -> (u8, u64, u64) {
        ((self.tag >> 59) as u8, self.payload, self.tag)
    }
}

/// Facts in order, and words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) entries: Vec<Entry>,
    /// Texts one after another; each ends with a 0, and so do the signs of one that has any.
    pub(crate) words: Vec<u32>,
}

impl Store {
    /// Add a fact; call [`Store::settle`] before looking anything up.
    pub(crate) fn add(&mut self, fact: Fact, place: u16, row: u32) {
        self.entries.push(Entry::new(fact, place, row));
    }

    /// Add a text's words. An empty text is none.
    pub(super) fn add_words(&mut self, phrase: &Phrase, key: &MemoryKey, place: u16, row: u32) {
        let Ok(start) = u32::try_from(self.words.len()) else { return };
        if phrase.words.is_empty() {
            return;
        }
        let check = key.sequence(&phrase.words) >> 32 << 32;
        let extra = u16::from(!phrase.signs.is_empty()) * SIGNED;
        self.add(Fact { extra, ..Fact::new(Code::SPAN, check | u64::from(start)) }, place, row);
        self.words.extend_from_slice(&phrase.words);
        self.words.push(0);
        if extra == SIGNED {
            self.words.extend_from_slice(phrase.signs.as_flattened());
            self.words.push(0);
        }
    }

    /// Add the text of another store's entry; the entry as it stands here.
    pub(super) fn add_text(&mut self, from: &Self, entry: Entry) -> Option<Entry> {
        let start = u32::try_from(self.words.len()).ok()?;
        self.words.extend_from_slice(from.whole(entry));
        Some(entry.at(start))
    }

    /// Put everything in order: once each, where a place says so.
    pub(crate) fn settle(&mut self, once: &dyn Fn(u16) -> bool) {
        self.entries.sort_unstable_by_key(|entry| entry.order());
        self.entries.dedup_by(|one, other| one == other && once(one.place()));
        self.entries.shrink_to_fit();
        self.words.shrink_to_fit();
    }

    /// Bytes of facts and words.
    pub(crate) fn weight(&self) -> usize {
        self.entries.len() * 16 + self.words.len() * 4
    }

    fn slice(&self, from: (u8, u64, u64), to: (u8, u64, u64)) -> &[Entry] {
        let begin = self.entries.partition_point(|entry| entry.order() < from);
        let rest = self.entries.get(begin..).unwrap_or(&[]);
        let len = rest.partition_point(|entry| entry.order() <= to);
        rest.get(..len).unwrap_or(&[])
    }

    /// Every fact of a code.
    pub(crate) fn of(&self, code: Code) -> &[Entry] {
        self.slice((code.number(), 0, 0), (code.number(), u64::MAX, u64::MAX))
    }

    /// Every fact of a code with a payload from one to another.
    pub(crate) fn between(&self, code: Code, from: u64, to: u64) -> &[Entry] {
        self.slice((code.number(), from, 0), (code.number(), to, u64::MAX))
    }

    /// Whether it is as [`Store::settle`] leaves it, and every text's words are there.
    pub(crate) fn sound(&self) -> bool {
        let ordered = self.entries.windows(2).all(|pair| matches!(pair, [a, b] if a.order() <= b.order()));
        let ended = self.words.last().is_none_or(|word| *word == 0);
        let begins = |entry: &Entry| {
            let start = usize::try_from(entry.start()).unwrap_or(usize::MAX);
            self.words.get(start).is_some_and(|word| *word != 0)
                && start.checked_sub(1).is_none_or(|before| self.words.get(before) == Some(&0))
        };
        ordered && ended && self.of(Code::SPAN).iter().all(begins)
    }

    /// Every fact of that value, whatever its extra.
    pub(crate) fn equal(&self, fact: Fact) -> &[Entry] {
        self.slice((fact.code.number(), fact.payload, 0), (fact.code.number(), fact.payload, u64::MAX))
    }

    /// Whether that value stands at that place, in any row.
    pub(crate) fn at_place(&self, fact: Fact, place: u16) -> &[Entry] {
        let (low, high) = (Entry::new(Fact { extra: 0, ..fact }, place, 0), Entry::new(fact, place, MAX_ROWS - 1));
        let (code, payload, tag) = high.order();
        self.slice(low.order(), (code, payload, tag | 0x7f_ffff))
    }

    /// Whether that value stands at that place in that row.
    pub(crate) fn in_row(&self, fact: Fact, place: u16, row: u32) -> bool {
        let low = Entry::new(Fact { extra: 0, ..fact }, place, row).order();
        !self.slice(low, (low.0, low.1, low.2 | 0x7f_ffff)).is_empty()
    }

    /// The words of a text.
    pub(crate) fn text(&self, entry: Entry) -> &[u32] {
        run(self.from(entry))
    }

    /// The signs of its words: places from 1, and the signs there.
    pub(super) fn signs(&self, entry: Entry) -> &[u32] {
        if entry.fact().extra != SIGNED {
            return &[];
        }
        let rest = self.from(entry);
        run(rest.get(run(rest).len() + 1..).unwrap_or(&[]))
    }

    /// Both, each with the 0 behind it.
    pub(super) fn whole(&self, entry: Entry) -> &[u32] {
        let signs = if entry.fact().extra == SIGNED { self.signs(entry).len() + 1 } else { 0 };
        let rest = self.from(entry);
        rest.get(..run(rest).len() + 1 + signs).unwrap_or(&[])
    }

    fn from(&self, entry: Entry) -> &[u32] {
        usize::try_from(entry.start()).ok().and_then(|start| self.words.get(start..)).unwrap_or(&[])
    }
}

/// What stands before the first 0.
fn run(words: &[u32]) -> &[u32] {
    let len = words.iter().position(|word| *word == 0).unwrap_or(words.len());
    words.get(..len).unwrap_or(&[])
}

/// Whether some words stand in a text one after another. Linear in both. Nothing stands nowhere.
pub(crate) fn stands_in(needle: &[u32], text: &[u32]) -> bool {
    let Some(first) = needle.first() else { return false };
    if needle.len() > text.len() {
        return false;
    }
    if needle.len() < 8 {
        // Short ones, which is nearly all: no table pays.
        return text.windows(needle.len()).any(|window| window.first() == Some(first) && window == needle);
    }
    let mut found = false;
    occurrences(needle, text, &mut |_| {
        found = true;
        false
    });
    found
}

/// Hand over every place at which some words begin in a text, until `each` says to stop. Linear in both.
pub(crate) fn occurrences(needle: &[u32], text: &[u32], each: &mut dyn FnMut(usize) -> bool) {
    if needle.is_empty() || needle.len() > text.len() {
        return;
    }
    // Knuth, Morris, Pratt: how much of the needle still fits after a word that does not.
    let mut falls = vec![0_usize; needle.len()];
    let mut fits = 0;
    let fall = |falls: &[usize], fits: usize| fits.checked_sub(1).and_then(|at| falls.get(at)).copied().unwrap_or(0);
    for place in 1..needle.len() {
        let word = needle.get(place);
        while fits > 0 && needle.get(fits) != word {
            fits = fall(&falls, fits);
        }
        fits += usize::from(needle.get(fits) == word);
        if let Some(fall) = falls.get_mut(place) {
            *fall = fits;
        }
    }
    fits = 0;
    for (at, word) in text.iter().enumerate() {
        while fits > 0 && needle.get(fits) != Some(word) {
            fits = fall(&falls, fits);
        }
        fits += usize::from(needle.get(fits) == Some(word));
        if fits == needle.len() {
            if !each(at + 1 - fits) {
                return;
            }
            fits = fall(&falls, fits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn words_are_found_as_a_plain_search_finds_them(
            needle in proptest::collection::vec(1_u32..3, 0..12), text in proptest::collection::vec(1_u32..3, 0..60)
        ) {
            let plain = !needle.is_empty() && text.windows(needle.len()).any(|window| window == needle);
            prop_assert_eq!(stands_in(&needle, &text), plain);
        }

        #[test]
        fn a_value_is_found_exactly_where_it_was_put(
            put in proptest::collection::vec((0_u64..6, 0_u16..3, 0_u32..4, 0_u16..3), 0..40),
            ask in (0_u64..6, 0_u16..3, 0_u32..4)
        ) {
            let mut store = Store::default();
            let code = Code::from_number(5).unwrap();
            for (payload, place, row, extra) in &put {
                store.add(Fact { code, payload: *payload, extra: *extra }, *place, *row);
            }
            store.add(Fact::new(Code::from_number(6).unwrap(), ask.0), ask.1, ask.2);
            store.settle(&|_| true);
            let (payload, place, row) = ask;
            let fact = Fact { code, payload, extra: 2 };
            let there = put.iter().any(|(p, q, r, _)| (*p, *q, *r) == (payload, place, row));
            prop_assert_eq!(store.in_row(fact, place, row), there);
            let places = put.iter().any(|(p, q, ..)| (*p, *q) == (payload, place));
            prop_assert_eq!(!store.at_place(fact, place).is_empty(), places);
            prop_assert_eq!(!store.equal(fact).is_empty(), put.iter().any(|(p, ..)| *p == payload));
        }

        #[test]
        fn entries_say_what_was_put_in(payload in any::<u64>(), place in any::<u16>(), row in 0..MAX_ROWS, extra in 0_u16..1 << 15, code in 0_u8..19) {
            let fact = Fact { code: Code::from_number(code).unwrap(), payload, extra };
            let entry = Entry::new(fact, place, row);
            prop_assert_eq!((entry.fact(), entry.place(), entry.row()), (fact, place, row));
            let (payload, tag) = entry.parts();
            prop_assert_eq!(Entry::from_parts(payload, tag), Some(entry));
            prop_assert_eq!(entry.in_row(7).row(), 7);
            prop_assert_eq!(entry.in_row(7).in_row(row), entry);
        }
    }
}
