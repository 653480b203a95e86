//! What was demanded of a value, and where it was seen instead.

use flyball_typed::{Date, Kind};

use super::asked::hashed;
use super::fact::{Code, Fact};
use super::given::settled;
use super::judge::Ask;
use super::kinds::readings;
use super::store::{Entry, stands_in};
use super::{Leaf, Program, Seen};

/// Places that are named, at most.
const MOST: usize = 8;
/// Words of remembered texts that are looked through.
const WORDS: usize = 65_536;

/// The sources, as an author writes them.
pub(super) fn wanted(program: &Program, sources: &[usize]) -> Vec<Box<str>> {
    sources.iter().map(|at| Box::from(program.source_text(*at))).collect()
}

/// Where a value was seen, in the order of the results.
pub(super) fn seen(ask: &Ask<'_>, kind: Kind, leaf: Leaf<'_>, today: Option<Date>) -> Vec<Seen> {
    let Some(memory) = ask.memory else { return Vec::new() };
    let mut entries: Vec<Entry> = Vec::new();
    if kind == Kind::Text {
        let words = leaf.text().map(|text| hashed(text, ask.key)).unwrap_or_default();
        let mut left = WORDS;
        for span in memory.store.of(Code::SPAN) {
            let text = memory.store.text(*span);
            let Some(rest) = left.checked_sub(text.len()) else { break };
            left = rest;
            if stands_in(&words, text) {
                entries.push(*span);
            }
        }
    } else {
        for fact in readings(kind, leaf).iter().filter_map(|datum| settled(datum, ask.key, today)) {
            entries.extend(memory.store.equal(fact).iter().take(WORDS));
            // A moment that stands nowhere: perhaps its day does.
            if let (Kind::DateTime, Some(date)) = (kind, fact.as_date()) {
                entries.extend(memory.store.equal(Fact::date(date)).iter().take(WORDS));
            }
        }
    }
    entries.sort_unstable_by_key(|entry| entry.row());
    let mut out: Vec<Seen> = Vec::new();
    for entry in entries {
        let Some((act, field)) = ask.program.place(entry.place()).and_then(|place| ask.program.whose(place)) else {
            continue;
        };
        let seen = Seen {
            action: Box::from(act.name.as_ref()),
            field: field.name.clone(),
            result: memory.result(entry.row()),
            by: field.by.clone(),
        };
        if !out.contains(&seen) {
            out.push(seen);
        }
        if out.len() >= MOST {
            break;
        }
    }
    out
}
