//! Tests of a row that are decided when a result is reported.

use flyball_typed::{Date, Datum, Kind, words};

use smol_str::SmolStr;

use super::extract::{Report, whole};
use super::fact::Fact;
use super::form::Field;
use super::kinds::{hosts, readings};
use super::phrase::Phrase;
use super::place::{Named, Of, Test, What};
use super::program::Act;
use super::walk::Found;
use super::work::Work;
use super::{LabelSet, Leaf, MemoryKey, Path};

/// The greatest and the least of each field of a result that a test asks for.
pub(super) struct Extremes {
    all: Vec<(u16, Option<(Size, Size)>)>,
}

/// What can be ordered: a unit (a currency, say) and a size.
type Size = (u16, i64);

impl Extremes {
    /// Look through a result. A field in which something cannot be compared has no extreme.
    pub(super) fn of(act: &Act, found: &[Found<'_>], key: &MemoryKey) -> Self {
        let tests = act.takes.iter().flat_map(|take| take.tests.iter());
        let mut fields: Vec<u16> =
            tests.filter(|test| matches!(test.what, What::Max | What::Min)).filter_map(Test::field).collect();
        fields.sort_unstable();
        fields.dedup();
        let extreme = |field: u16| {
            let mut range: Option<(Size, Size)> = None;
            for found in found.iter().filter(|found| found.field == field) {
                let size = size(act, found, key)?;
                let (low, high) = range.unwrap_or((size, size));
                if low.0 != size.0 {
                    return None;
                }
                range = Some((low.min(size), high.max(size)));
            }
            range
        };
        Self { all: fields.into_iter().map(|field| (field, extreme(field))).collect() }
    }

    fn get(&self, field: u16) -> Option<(Size, Size)> {
        self.all.iter().find(|(other, _)| *other == field).and_then(|(_, range)| *range)
    }
}

/// The size of a value, if it has one reading and that has a size.
fn size(act: &Act, found: &Found<'_>, key: &MemoryKey) -> Option<Size> {
    let kind = act.form.fields.get(usize::from(found.field))?.kind.unwrap_or(Kind::Number);
    match readings(kind, found.leaf).as_slice() {
        [datum @ (Datum::Number(_) | Datum::Duration(_) | Datum::Money { .. })] => {
            let fact = Fact::of(datum, key);
            Some((fact.extra, fact.as_size()))
        }
        [Datum::Date(date)] => date.days().map(|days| (0, i64::from(days))),
        [Datum::Time(clock)] => Some((0, i64::from(clock.0))),
        [Datum::DateTime { date, time, offset }] => {
            let wall = i64::from(date.days()?) * 86_400 + i64::from(time.0);
            Some((u16::from(offset.is_some()), wall - i64::from(offset.unwrap_or(0)) * 60))
        }
        _ => None,
    }
}

impl Test {
    /// The field that is tested, if it is one of the row.
    fn field(&self) -> Option<u16> {
        match self.of {
            Of::Field(field) => Some(field),
            Of::Call(..) => None,
        }
    }
}

/// Whether a test holds in a row: its field, or the call's argument, is there, and every value of it passes.
pub(super) fn holds(
    report: &Report<'_>,
    act: &Act,
    test: &Test,
    row: &[Found<'_>],
    extremes: &Extremes,
    today: Option<Date>,
    work: &mut Work,
) -> bool {
    let field = match &test.of {
        Of::Field(field) => *field,
        Of::Call(path, kind) => return called(report, path, *kind, &test.what, today, work),
    };
    let kind = act.form.fields.get(usize::from(field)).and_then(|field| field.kind);
    let mut some = false;
    let all = row.iter().filter(|found| found.field == field).all(|found| {
        some = true;
        match &test.what {
            What::In(input) => report.given.mentions(*input, kind, found.leaf, report.key, today),
            What::Partly(input) => worded(report, *input, kind, found.leaf) > 0,
            What::Found(source, kind) => super::chain::found(report, *source, *kind, (found.leaf, false), today, work),
            What::Is(constant) => is(kind, found.leaf, constant),
            What::Max => extremes.get(field).is_some_and(|(_, high)| size(act, found, report.key) == Some(high)),
            What::Min => extremes.get(field).is_some_and(|(low, _)| size(act, found, report.key) == Some(low)),
        }
    });
    some && all
}

/// Whether a test of an argument of the call holds: it is there, and every value of it passes. It is the
/// agent's own word, so a text keeps its signs.
fn called(
    report: &Report<'_>,
    path: &Path,
    kind: Option<Kind>,
    what: &What,
    today: Option<Date>,
    work: &mut Work,
) -> bool {
    let Some(args) = report.call else { return false };
    let mut some = false;
    let all = path.leaves(args, &mut |leaf| {
        some = true;
        match (what, kind) {
            (What::In(input), None) => leaf.text().is_some_and(|text| {
                report.given.holds_phrase(*input, &Phrase::read(text, report.key), &mut Work::new())
            }),
            (What::In(input), kind) => report.given.mentions(*input, kind, leaf, report.key, today),
            (What::Partly(input), kind) => worded(report, *input, kind, leaf) > 0,
            (What::Found(source, kind), _) => super::chain::found(report, *source, *kind, (leaf, true), today, work),
            (What::Is(constant), kind) => is(kind, leaf, constant),
            (What::Max | What::Min, _) => false,
        }
    });
    some && all
}

/// How many different words of a value stand in an input. An address is meant by its local part, a host by all but
/// its last label.
fn worded(report: &Report<'_>, input: usize, kind: Option<Kind>, leaf: Leaf<'_>) -> usize {
    let text = match kind {
        None | Some(Kind::Text) => leaf.text().map(SmolStr::new),
        Some(kind) => match readings(kind, leaf).first() {
            Some(Datum::Str { kind: Kind::Email, normal }) => {
                normal.rsplit_once('@').map(|(local, _)| SmolStr::new(local))
            }
            Some(Datum::Str { kind: Kind::Url | Kind::Host, normal }) => {
                let read = hosts(normal);
                let host = match read.first() {
                    Some(Datum::Str { normal, .. }) => normal.as_str(),
                    _ => normal.as_str(),
                };
                Some(SmolStr::new(host.rsplit_once('.').map_or(host, |(labels, _)| labels)))
            }
            Some(_) => leaf.text().map(SmolStr::new),
            None => None,
        },
    };
    let words = text.map(|text| flyball_typed::read(Kind::Words, &text)).unwrap_or_default();
    words.iter().filter(|word| report.given.holds(input, word, report.key)).count()
}

/// The value by which an input names a row, as bits that stand for it, and how many of its words are there. A value
/// that a stranger can choose, an address, or the agent's own word is not named the better for more of them.
pub(super) fn named(
    report: &Report<'_>,
    act: &Act,
    named: &Named,
    row: &[Found<'_>],
    today: Option<Date>,
) -> Option<(u64, u16)> {
    let (mut bits, mut least) = (Vec::new(), None);
    let mut value = |kind: Option<Kind>, leaf: Leaf<'_>| {
        let count = worded(report, named.input, kind, leaf);
        least = Some(least.map_or(count, |least: usize| least.min(count)));
        bits.extend(
            whole(kind, leaf, report.key, today).iter().map(|fact| (fact.code.number(), fact.payload, fact.extra)),
        );
    };
    match &named.of {
        Of::Field(field) => {
            let kind = act.form.fields.get(usize::from(*field)).and_then(|field| field.kind);
            row.iter().filter(|found| found.field == *field).for_each(|found| value(kind, found.leaf));
        }
        Of::Call(path, kind) => {
            path.leaves(report.call?, &mut |leaf| {
                value(*kind, leaf);
                true
            });
        }
    }
    let count = least.filter(|count| *count > 0)?;
    bits.sort_unstable();
    bits.dedup();
    let mut bytes = Vec::with_capacity(bits.len() * 11);
    for (code, payload, extra) in bits {
        bytes.push(code);
        bytes.extend_from_slice(&payload.to_le_bytes());
        bytes.extend_from_slice(&extra.to_le_bytes());
    }
    // Whoever holds an address chose its name, whoever vouches for it.
    let own = |field: &Field| matches!(field.kind, None | Some(Kind::Text)) && !field.labels.meets(LabelSet::OUTSIDE);
    let ranks = match named.of {
        Of::Field(field) => act.form.fields.get(usize::from(field)).is_some_and(own),
        Of::Call(..) => false,
    };
    let rank = if ranks { u16::try_from(count).unwrap_or(u16::MAX).min(1 << 12) } else { 1 };
    Some((report.key.digest(&bytes), rank))
}

/// Whether a value is that constant: word by word for text, else in every reading.
fn is(kind: Option<Kind>, leaf: Leaf<'_>, text: &str) -> bool {
    match kind {
        None | Some(Kind::Text) => {
            leaf.text().is_some_and(|here| words(here).next().is_some() && words(here).eq(words(text)))
        }
        Some(kind) => {
            let constant = readings(kind, Leaf::Text(text));
            let here = readings(kind, leaf);
            !here.is_empty() && here.iter().all(|datum| constant.iter().any(|other| alike(datum, other)))
        }
    }
}

/// Whether two readings mean the same; a day without a year is that day of any year.
pub(super) fn alike(here: &Datum, there: &Datum) -> bool {
    match (here, there) {
        (Datum::Date(here), Datum::Date(there)) => here.matches(there),
        (Datum::Money { amount, currency: None }, Datum::Money { amount: other, .. }) => amount == other,
        (here, there) => here == there,
    }
}
