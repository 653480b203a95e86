//! Rows that are chosen by what another result said before: the page that the named mail links to.

use flyball_typed::{Date, Kind};

use super::asked::hashed;
use super::extract::Report;
use super::fact::Code;
use super::given::settled;
use super::kinds::readings;
use super::phrase::Phrase;
use super::program::Source;
use super::seek::{Rows, Sought, kept};
use super::work::Work;
use super::{Leaf, Memory};

/// Whether a value was found in a source of results by the time at which the row came: every reading of it. The
/// agent's `own` word keeps its signs, as an argument does.
pub(super) fn found(
    report: &Report<'_>,
    source: usize,
    kind: Option<Kind>,
    (leaf, own): (Leaf<'_>, bool),
    today: Option<Date>,
    work: &mut Work,
) -> bool {
    let Some(memory) = report.memory else { return false };
    let Some(Source::Result { place, chosen }) = report.program.source(source) else { return false };
    let rows = || Rows::named(memory, chosen);
    let Some(kind) = kind else {
        let Some(text) = leaf.text() else { return false };
        if own {
            let phrase = Phrase::read(text, report.key);
            return !phrase.words.is_empty() && kept(memory, *place, &Sought::Words(&phrase), &rows, work);
        }
        let words = hashed(text, report.key);
        return !words.is_empty() && mentions(memory, *place, &words, &rows(), work);
    };
    let readings = readings(kind, leaf);
    !readings.is_empty()
        && readings.iter().all(|datum| {
            settled(datum, report.key, today)
                .is_some_and(|fact| kept(memory, *place, &Sought::Fact(datum, fact), &rows, work))
        })
}

/// Whether words stand in a text at a place one after another, whatever signs they have.
fn mentions(memory: &Memory, place: u16, words: &[u32], rows: &Rows, work: &mut Work) -> bool {
    memory.store.of(Code::SPAN).iter().filter(|span| span.place() == place).any(|span| {
        let text = memory.store.text(*span);
        work.spend(1 + text.len()).is_some() && super::store::stands_in(words, text) && rows.hold(memory, span.row())
    })
}
