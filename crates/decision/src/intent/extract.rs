//! From a result to what is kept of it.

use flyball_typed::{Date, Datum, Kind, words};

use super::asked::hashed;
use super::fact::{Code, Fact, UNCLEAR};
use super::given::{day, settled};
use super::kinds::{KindSet, readings, values};
use super::phrase::Phrase;
use super::place::{Cited, Role, Take, What};
use super::program::Act;
use super::rows::{Extremes, holds, named};
use super::store::{MAX_BYTES, Store};
use super::walk::{Found, Walk, uses};
use super::work::Work;
use super::{Given, Kept, LabelSet, Leaf, Memory, MemoryKey, Program};
use crate::json::Json;

/// Values that only explain, of one result, at most.
const EXPLAINED: usize = 64;
/// Words of a text that is kept only to explain, at most.
const EXPLAINED_WORDS: usize = 16;
/// Bytes of a text that is searched only to explain.
const EXPLAINED_TEXT: usize = 4096;
/// Values of one argument of a call that are remembered with each row, at most.
const MAX_CITED: usize = 64;
/// Characters of a word with a digit that is recognised where it must not leave.
const TOKEN: usize = 4;

/// What a result is read with.
#[derive(Clone, Copy)]
pub(crate) struct Report<'a> {
    pub(crate) program: &'a Program,
    pub(crate) given: &'a Given,
    /// For the day that an earlier result said it is.
    pub(crate) memory: Option<&'a Memory>,
    pub(crate) key: &'a MemoryKey,
    /// Those arguments of the call that made the result which rows are chosen by.
    pub(crate) call: Option<&'a Json<'a>>,
    pub(crate) wall_ms: i64,
}

/// Take from a result what the profile may ask for. `number` is its number among the action's
/// results, from 1.
pub(crate) fn extract(report: &Report<'_>, action: &str, number: u32, result: &Json<'_>) -> Kept {
    let Some((place, act)) = report.program.act(action) else {
        let mut kept = Kept::new(report.program, u16::MAX, number, 0);
        kept.labels = LabelSet::OUTSIDE;
        return kept;
    };
    let parsed = structured(act, result);
    let result = parsed.as_ref().unwrap_or(result);
    let uses = uses(report.program, place);
    let walk = Walk::new(&act.form, &uses, result);
    let own = act.today.and_then(|field| today(&walk.found, field));
    let remembered = own.or(report.memory.and_then(Memory::today));
    let today = report.given.today(report.program, remembered, report.wall_ms);
    let mut text = Vec::with_capacity(1024);
    result.write(&mut text);
    text.extend_from_slice(format!("{today:?}").as_bytes());
    if let Some(call) = report.call {
        call.write(&mut text);
    }
    let mut kept = Kept::new(report.program, place, number, report.key.result(&text));
    kept.labels = walk.labels;
    kept.full = walk.full;
    kept.today = own;
    let mut taker =
        Taker { report, act, today, store: Store::default(), explained: 0, chosen: Vec::new(), work: Work::new() };
    let once = |place: u16| report.program.place(place).is_none_or(|place| !place.adds);
    let extremes = Extremes::of(act, &walk.found, report.key);
    let mut rest = walk.found.as_slice();
    while let Some(first) = rest.first() {
        let len = rest.partition_point(|found| found.row == first.row);
        let (row, more) = rest.split_at(len);
        rest = more;
        taker.row(row, &extremes);
        // Values come in thousands of one kind or another: they are put in order now and then, so
        // that what repeats itself does not count against what can be kept.
        if taker.store.weight() > MAX_BYTES {
            taker.store.settle(&once);
            if taker.store.weight() > MAX_BYTES {
                kept.full = true;
                break;
            }
        }
    }
    if !taker.chosen.is_empty() {
        // What is read again once the result is there that chooses its rows is another result.
        text.extend_from_slice(&taker.chosen);
        kept.digest = report.key.result(&text);
    }
    taker.store.settle(&once);
    if taker.store.weight() > MAX_BYTES {
        kept.full = true;
        taker.store = Store::default();
    }
    kept.store = taker.store;
    kept
}

/// Labels of what a result holds, where nothing of it is kept.
pub(crate) fn content(program: &Program, action: &str, result: &Json<'_>) -> LabelSet {
    let Some((_, act)) = program.act(action) else { return LabelSet::OUTSIDE };
    let parsed = structured(act, result);
    Walk::new(&act.form, &[], parsed.as_ref().unwrap_or(result)).labels
}

/// A string where a structure is declared, read as JSON if it is JSON.
fn structured<'a>(act: &Act, result: &'a Json<'_>) -> Option<Json<'a>> {
    match (&act.form.root, result) {
        (super::form::Node::Leaf(_), _) => None,
        (_, Json::Text(text)) => Json::parse(text.as_bytes()).ok(),
        _ => None,
    }
}

/// The day that a result says it is.
fn today(found: &[Found<'_>], field: u16) -> Option<Date> {
    let found = found.iter().find(|found| found.field == field)?;
    day(&readings(Kind::Date, found.leaf)).or_else(|| day(&readings(Kind::DateTime, found.leaf)))
}

struct Taker<'a> {
    report: &'a Report<'a>,
    act: &'a Act,
    today: Option<Date>,
    store: Store,
    explained: usize,
    /// Of sources whose rows another result chooses: which rows count.
    chosen: Vec<u8>,
    /// What is left of the work on rows that are chosen by other texts.
    work: Work,
}

impl Taker<'_> {
    fn row(&mut self, row: &[Found<'_>], extremes: &Extremes) {
        // What a source took of a field needs no explanation.
        let mut taken: Vec<(u16, KindSet)> = Vec::new();
        let act = self.act;
        for take in &act.takes {
            let mut leaves = row.iter().filter(|found| found.field == take.field).peekable();
            if leaves.peek().is_none() {
                continue;
            }
            let explains = take.role == Role::Explain;
            let mut sought = take.sought;
            if explains {
                let known = taken.iter().filter(|(field, _)| *field == take.field);
                sought = known.fold(sought, |sought, (_, kinds)| sought.less(*kinds));
                if sought.is_empty() || self.explained >= EXPLAINED {
                    continue;
                }
            } else {
                let (report, today, work) = (self.report, self.today, &mut self.work);
                let all = take.tests.iter().all(|test| holds(report, act, test, row, extremes, today, work));
                if take.tests.iter().any(|test| matches!(test.what, What::Found(..))) {
                    self.chosen.push(u8::from(all));
                }
                if !all {
                    continue;
                }
            }
            let names = take.named.iter().map(|one| Some((one.place, named(self.report, act, one, row, self.today)?)));
            let Some(names) = names.collect::<Option<Vec<_>>>() else { continue };
            for (place, (value, rank)) in names {
                let number = row.first().map_or(0, |found| found.row);
                self.store.add(Fact { extra: rank, ..Fact::new(Code::NAMED, value) }, place, number);
            }
            for found in leaves {
                self.value(take, sought, found);
            }
            taken.push((take.field, sought));
            for (field, place) in &take.joins {
                row.iter().filter(|found| found.field == *field).for_each(|found| self.join(*place, found));
            }
            if let (Some(call), Some(first)) = (self.report.call, row.first()) {
                take.calls.iter().for_each(|cited| self.cited(cited, call, first.row));
            }
        }
    }

    fn value(&mut self, take: &Take, sought: KindSet, found: &Found<'_>) {
        let key = self.report.key;
        let declared = self.act.form.fields.get(usize::from(take.field)).and_then(|field| field.kind);
        let explains = take.role == Role::Explain;
        let mut leaf = found.leaf;
        if let (true, Leaf::Text(text)) = (explains, leaf) {
            leaf = Leaf::Text(beginning(text));
        }
        let adds = self.report.program.place(take.place).is_some_and(|place| place.adds);
        let (today, store, explained) = (self.today, &mut self.store, &mut self.explained);
        values(declared, sought, leaf, &mut |readings| {
            if explains && *explained >= EXPLAINED {
                return;
            }
            // Among ids that are found in texts, those with a digit are worth a place.
            let worth = |datum: &&Datum| match datum {
                Datum::Str { kind: Kind::Id, normal } => !explains || normal.contains(|c: char| c.is_numeric()),
                _ => true,
            };
            for fact in readings.iter().filter(worth).filter_map(|datum| settled(datum, key, today)) {
                store.add(fact, take.place, found.row);
                if adds && readings.len() > 1 {
                    store.add(Fact { extra: UNCLEAR, ..fact }, take.place, found.row);
                }
                *explained += usize::from(explains);
            }
        });
        let Some(text) = leaf.text().filter(|_| sought.has(Kind::Text)) else { return };
        let phrase = Phrase::read(text, key);
        if !explains || phrase.words.len() <= EXPLAINED_WORDS && *explained < EXPLAINED {
            store.add_words(&phrase, key, take.place, found.row);
            *explained += usize::from(explains);
        }
        if take.role == Role::Labelled {
            for token in words(text).filter(|word| is_token(word)) {
                store.add(Fact::new(Code::TOKEN, key.token(&token)), take.place, found.row);
            }
        }
    }

    fn cited(&mut self, cited: &Cited, call: &Json<'_>, row: u32) {
        let mut left = MAX_CITED;
        cited.path.leaves(call, &mut |leaf| {
            for fact in whole(cited.kind, leaf, self.report.key, self.today) {
                self.store.add(fact, cited.place, row);
            }
            left -= 1;
            left > 0
        });
    }

    fn join(&mut self, place: u16, found: &Found<'_>) {
        let declared = self.act.form.fields.get(usize::from(found.field)).and_then(|field| field.kind);
        for fact in whole(declared, found.leaf, self.report.key, self.today) {
            self.store.add(fact, place, found.row);
        }
    }
}

/// A whole value of a field, as facts that an argument can be compared with: one for each reading.
pub(super) fn whole(declared: Option<Kind>, leaf: Leaf<'_>, key: &MemoryKey, today: Option<Date>) -> Vec<Fact> {
    match declared {
        None | Some(Kind::Text) => {
            let hashed = leaf.text().map(|text| hashed(text, key)).unwrap_or_default();
            let some = (!hashed.is_empty()).then(|| Fact::new(Code::WHOLE, key.sequence(&hashed)));
            some.into_iter().collect()
        }
        Some(kind) => readings(kind, leaf).iter().filter_map(|datum| settled(datum, key, today)).collect(),
    }
}

/// Whether a word is like an identifier: it has a digit and is not short.
pub(super) fn is_token(word: &str) -> bool {
    word.chars().any(char::is_numeric) && word.chars().nth(TOKEN - 1).is_some()
}

/// The beginning of a text, as far as it is searched only to explain.
fn beginning(text: &str) -> &str {
    let end = (0..=EXPLAINED_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    end.and_then(|end| text.get(..end)).unwrap_or("")
}
