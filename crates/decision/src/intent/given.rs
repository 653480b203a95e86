//! What a task was given: its vouched inputs.

use std::borrow::Cow;

use flyball_typed::{Date, Datum, Kind, find_names, find_path_names, words};

use super::asked::hashed;
use super::fact::{Code, Fact, UNCLEAR};
use super::kinds::{KindSet, readings, values};
use super::phrase::Phrase;
use super::program::Today;
use super::store::{Store, stands_in};
use super::temporal::{CODES, Temporal, resolved};
use super::work::Work;
use super::{LabelSet, Leaf, MemoryKey, Program};
use crate::profile::Rule;
use crate::task::Input;
use crate::value::{Value, decimal_text};

/// What an input counts for nothing under: the agent's own word.
const DECLARED: &str = "declared";
/// Stands in place of a currency for an id that is written with a sign in front, and kept without it.
const BARE: u16 = 1;

/// What a task was given, read once when it opens. Only those inputs count that somebody vouched for.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// A place is an input's.
    pub(super) store: Store,
    /// One bit for each rule that must be asked for.
    asked: Box<[u64]>,
    /// The day that an input says it is.
    today: Option<Date>,
}

impl Given {
    /// Read the inputs.
    pub(crate) fn new(program: &Program, inputs: &[Option<Input>], key: &MemoryKey) -> Self {
        let mut given = Self { asked: vec![0; program.asked.len().div_ceil(64)].into(), ..Self::default() };
        let vouched = |at: usize| {
            let input = inputs.get(at)?.as_ref()?;
            (!matches!(input.vouched_by.as_ref(), DECLARED | "")).then_some(&input.value)
        };
        for (at, spec) in program.inputs.iter().enumerate() {
            let Some((value, place)) = vouched(at).zip(u16::try_from(at).ok()) else { continue };
            texts(value, |leaf| given.take(spec.kind, spec.sought, leaf, place, key));
            if program.today == Today::Input(at) {
                texts(value, |leaf| given.today = day(&readings(Kind::Date, leaf)).or(given.today));
            }
        }
        given.store.settle(&|_| true);
        if let Some(value) = program.request.and_then(vouched) {
            texts(value, |leaf| given.ask(program, leaf.text().unwrap_or("")));
        }
        given
    }

    fn take(&mut self, declared: Option<Kind>, sought: KindSet, leaf: Leaf<'_>, place: u16, key: &MemoryKey) {
        values(declared, sought, leaf, &mut |readings| {
            readings.iter().for_each(|datum| self.store.add(Fact::of(datum, key), place, 0));
        });
        if sought.has(Kind::Id) {
            self.names(declared, leaf, place, key);
        }
        if let Some(text) = leaf.text().filter(|_| sought.has(Kind::Text)) {
            self.store.add_words(&Phrase::read(text, key), key, place, 0);
        }
        if let (true, None | Some(Kind::Text), Leaf::Text(text)) = (sought.has(Kind::Path), declared, leaf) {
            find_path_names(text, &mut |normal| {
                self.store.add(Fact::of(&Datum::Str { kind: Kind::Path, normal }, key), place, 0);
            });
        }
    }

    /// Take on ids that are plain words, and all without a sign in front.
    fn names(&mut self, declared: Option<Kind>, leaf: Leaf<'_>, place: u16, key: &MemoryKey) {
        let mut name = |name: &str| {
            let mut add = |name: &str, extra: u16| {
                let id = Datum::Str { kind: Kind::Id, normal: name.into() };
                self.store.add(Fact { extra, ..Fact::of(&id, key) }, place, 0);
            };
            add(name, 0);
            if let Some(bare) = bare(name) {
                add(bare, BARE);
            }
        };
        match (declared, leaf) {
            (None | Some(Kind::Text), Leaf::Text(text)) => find_names(text, &mut |id| name(&id)),
            (Some(Kind::Id), leaf) => readings(Kind::Id, leaf).iter().for_each(|datum| {
                if let Datum::Str { normal, .. } = datum {
                    name(normal);
                }
            }),
            _ => {}
        }
    }

    fn ask(&mut self, program: &Program, request: &str) {
        if program.asked.is_empty() {
            return;
        }
        let folded: Vec<Cow<'_, str>> = words(request).collect();
        for (number, wording) in program.asked.iter().enumerate() {
            if wording.stands_in(&folded)
                && let Some(bits) = self.asked.get_mut(number / 64)
            {
                *bits |= 1 << (number % 64);
            }
        }
    }

    /// Whether the request asks for what the rule allows; a rule without such words is always asked for.
    pub(crate) fn asked(&self, rule: &Rule) -> bool {
        rule.demands.asked.is_none_or(|number| {
            let bits = self.asked.get(usize::from(number) / 64).copied().unwrap_or(0);
            bits & 1 << (number % 64) != 0
        })
    }

    /// Bytes it takes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.store.entries.capacity() * 16 + self.store.words.capacity() * 4 + self.asked.len() * 8
    }

    /// Which day it is; nothing, where a result is to say so and none did.
    pub(crate) fn today(&self, program: &Program, remembered: Option<Date>, wall_ms: i64) -> Option<Date> {
        match program.today {
            Today::Clock => i32::try_from(wall_ms.div_euclid(86_400_000)).ok().and_then(Date::from_days),
            Today::Input(_) => self.today,
            Today::Result => remembered,
        }
    }

    /// Whether words stand in an input.
    pub(super) fn holds_words(&self, input: usize, needle: &[u32]) -> bool {
        let spans = self.store.of(Code::SPAN).iter();
        spans.filter(|span| usize::from(span.place()) == input).any(|span| stands_in(needle, self.store.text(*span)))
    }

    /// Whether an argument's words, with their signs, stand in an input.
    pub(super) fn holds_phrase(&self, input: usize, phrase: &Phrase, work: &mut Work) -> bool {
        let spans = self.store.of(Code::SPAN).iter().filter(|span| usize::from(span.place()) == input);
        let mut texts = spans.map(|span| (self.store.text(*span), self.store.signs(*span)));
        texts.any(|(text, signs)| work.spend(1 + text.len()).is_some() && phrase.stands_in(text, signs, work))
    }

    /// Whether a value that is no day, time or text stands in an input. An id stands there too where one
    /// of both is written with a `#` or `@` in front; two different signs stay different.
    pub(super) fn holds(&self, input: usize, datum: &Datum, key: &MemoryKey) -> bool {
        let Ok(place) = u16::try_from(input) else { return false };
        let fact = Fact::of(datum, key);
        let extras = |fact: Fact| self.store.at_place(fact, place).iter().map(|entry| entry.fact().extra);
        let plain = |bare: &str| {
            let id = Datum::Str { kind: Kind::Id, normal: bare.into() };
            extras(Fact::of(&id, key)).any(|extra| extra == 0)
        };
        let bare = match datum {
            Datum::Str { kind: Kind::Id, normal } => bare(normal),
            _ => None,
        };
        fits(fact, extras(fact)) || bare.is_some_and(plain)
    }

    /// Take on an input's days, times and moments.
    pub(super) fn temporal(&self, input: usize, into: &mut Temporal, today: Option<Date>) {
        for code in CODES {
            for entry in self.store.of(code).iter().filter(|entry| usize::from(entry.place()) == input) {
                into.add(entry.fact(), LabelSet::USER, today);
            }
        }
    }

    /// Whether a whole value of a result's field stands in an input: every reading of it.
    pub(super) fn mentions(
        &self,
        input: usize,
        declared: Option<Kind>,
        leaf: Leaf<'_>,
        key: &MemoryKey,
        today: Option<Date>,
    ) -> bool {
        let kind = match declared {
            None | Some(Kind::Text) => {
                return leaf.text().is_some_and(|text| self.holds_words(input, &hashed(text, key)));
            }
            Some(kind) => kind,
        };
        let readings = readings(kind, leaf);
        if readings.is_empty() {
            return false;
        }
        if matches!(kind, Kind::Date | Kind::Time | Kind::DateTime) {
            let mut temporal = Temporal::default();
            self.temporal(input, &mut temporal, today);
            let (span, mut work) = (super::demand::Span::default(), Work::new());
            return readings.iter().all(|datum| {
                settled(datum, key, today).is_some_and(|fact| temporal.matches(fact, &span, &[], &mut work).is_some())
            });
        }
        readings.iter().all(|datum| self.holds(input, datum, key))
    }
}

/// A reading as a fact, a day word as its day; nothing, where that is not known.
pub(super) fn settled(datum: &Datum, key: &MemoryKey, today: Option<Date>) -> Option<Fact> {
    match datum {
        Datum::DayWord(word) => resolved(*word, today).map(Fact::date),
        datum => Some(Fact::of(datum, key)),
    }
}

/// Whether a value fits one of those with the same payload: a currency must be the same, and an amount
/// without one fits any.
pub(super) fn fits(fact: Fact, mut extras: impl Iterator<Item = u16>) -> bool {
    extras.any(|extra| extra != UNCLEAR && (fact.extra == 0 || fact.extra == extra))
}

/// An id without the sign in front of it.
fn bare(id: &str) -> Option<&str> {
    id.strip_prefix(['#', '@']).filter(|bare| !bare.is_empty())
}

/// The one day that a text means.
pub(super) fn day(readings: &[Datum]) -> Option<Date> {
    match readings {
        [Datum::Date(date) | Datum::DateTime { date, .. }] => Some(*date).filter(|date| date.year.is_some()),
        _ => None,
    }
}

/// The values of an input.
fn texts(value: &Value<'_>, mut each: impl FnMut(Leaf<'_>)) {
    match value {
        Value::Text(text) => each(Leaf::Text(text)),
        Value::Texts(texts) => texts.iter().for_each(|text| each(Leaf::Text(text))),
        Value::Long(number) => each(Leaf::Number(&number.to_string())),
        Value::Decimal(number) => each(Leaf::Number(&decimal_text(*number))),
        Value::Bool(yes) => each(Leaf::Bool(*yes)),
        Value::Any => {}
    }
}
