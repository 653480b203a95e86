//! Looking for a value in the sources of an origin.

use flyball_typed::{Date, Datum, Kind, email_host, without_www};

use super::demand::Origin;
use super::extract::whole;
use super::fact::{Code, Fact};
use super::given::{fits, settled};
use super::judge::Ask;
use super::kinds::{KindSet, readings, values};
use super::phrase::Phrase;
use super::place::Role;
use super::program::{Chosen, Join, Source};
use super::rows::alike;
use super::temporal::{CODES, Temporal};
use super::work::Work;
use super::{LabelSet, Leaf, Memory, Path};
use crate::json::Json;

/// Named rows that are told apart, at most: with more of them no name is one person's.
const MAX_NAMED: usize = 4096;

/// What is looked for.
pub(super) enum Sought<'a> {
    /// One reading of a value, and the same as a fact.
    Fact(&'a Datum, Fact),
    /// Words that stand one after another.
    Words(&'a Phrase),
}

/// Looks in the sources of one origin.
pub(super) struct Seeker<'a> {
    pub(super) ask: &'a Ask<'a>,
    pub(super) today: Option<Date>,
    pub(super) origin: &'a Origin,
    /// Fields with one of these labels do not count.
    pub(super) not_by: LabelSet,
    /// Where the arguments before this one were found.
    known: &'a [(&'a Path, LabelSet)],
    /// What the sources offer in days and times, and the spans, once that was asked for.
    temporal: Option<(Temporal, Vec<i64>)>,
    /// Whether another argument of the same element counts.
    tied: bool,
    /// The objects that the path to the value leads through, where it is tied to one.
    scope: Vec<&'a Json<'a>>,
}

/// Which element of the call's lists a value stands in.
#[derive(Clone, Copy)]
pub(super) struct Element<'a, 's> {
    pub(super) path: &'s Path,
    pub(super) scope: &'s [&'a Json<'a>],
    pub(super) args: &'a Json<'a>,
}

impl<'a> Element<'a, '_> {
    /// Everything that stands at another path, in the same element where both lead through its list.
    fn leaves(&self, other: &Path, each: &mut dyn FnMut(Leaf<'a>) -> bool) {
        let shared = self.path.shared(other);
        match self.scope.get(shared) {
            Some(within) if shared > 0 => other.rest(shared, within, each),
            _ => other.leaves(self.args, each),
        };
    }
}

/// The rows in which fields equal arguments.
pub(super) struct Rows {
    /// For each join: its place, and for each of the argument's values the facts of its readings.
    joins: Vec<(u16, Vec<Vec<Fact>>)>,
    /// For each name: its place, and the one value that is meant.
    named: Vec<(u16, Option<u64>)>,
}

impl Rows {
    /// Read the arguments that choose rows.
    pub(super) fn new(ask: &Ask<'_>, chosen: &Chosen, element: &Element<'_, '_>, today: Option<Date>) -> Self {
        let facts = |join: &Join| {
            let mut all = Vec::new();
            element.leaves(&join.path, &mut |leaf| {
                let facts = whole(join.kind, leaf, ask.key, today);
                if !facts.is_empty() {
                    all.push(facts);
                }
                all.len() < 64
            });
            (join.place, all)
        };
        let named = chosen.named.iter().map(|place| (*place, ask.memory.and_then(|memory| meant(memory, *place))));
        Self { joins: chosen.joins.iter().map(facts).collect(), named: named.collect() }
    }

    /// The same where only names choose.
    pub(super) fn named(memory: &Memory, chosen: &Chosen) -> Self {
        let named = chosen.named.iter().map(|place| (*place, meant(memory, *place)));
        Self { joins: Vec::new(), named: named.collect() }
    }

    /// Whether in that row every field equals one of its argument's values.
    pub(super) fn hold(&self, memory: &Memory, row: u32) -> bool {
        let names = self.named.iter().all(|(place, value)| {
            value.is_some_and(|value| memory.store.in_row(Fact::new(Code::NAMED, value), *place, row))
        });
        names
            && self.joins.iter().all(|(place, values)| {
                values.iter().any(|facts| facts.iter().all(|fact| memory.store.in_row(*fact, *place, row)))
            })
    }
}

/// A source; of anybody at a host, what names the host.
fn base<'a>(ask: &Ask<'a>, at: usize) -> Option<&'a Source> {
    match ask.program.source(at)? {
        Source::At(named) => ask.program.source(*named),
        source => Some(source),
    }
}

/// The one value by which rows are named at a place; nothing, where several are named as well as each other.
fn meant(memory: &Memory, place: u16) -> Option<u64> {
    let all = memory.store.of(Code::NAMED);
    if all.len() > MAX_NAMED {
        return None;
    }
    let here = || all.iter().filter(|entry| entry.place() == place).map(|entry| entry.fact());
    let best = here().map(|fact| fact.extra).max()?;
    let mut values = here().filter(|fact| fact.extra == best).map(|fact| fact.payload);
    let value = values.next()?;
    values.all(|other| other == value).then_some(value)
}

/// Whether a value is remembered at a place, in a row that counts.
pub(super) fn kept(memory: &Memory, place: u16, sought: &Sought<'_>, rows: &dyn Fn() -> Rows, work: &mut Work) -> bool {
    match sought {
        Sought::Fact(_, fact) => {
            let entries = memory.store.at_place(Fact { extra: 0x7fff, ..*fact }, place);
            if entries.is_empty() {
                return false;
            }
            let rows = rows();
            entries.iter().any(|entry| {
                work.spend(1).is_some()
                    && fits(*fact, std::iter::once(entry.fact().extra))
                    && rows.hold(memory, entry.row())
            })
        }
        Sought::Words(phrase) => {
            let rows = rows();
            memory.store.of(Code::SPAN).iter().filter(|span| span.place() == place).any(|span| {
                let text = memory.store.text(*span);
                work.spend(1 + text.len()).is_some()
                    && phrase.stands_in(text, memory.store.signs(*span), work)
                    && rows.hold(memory, span.row())
            })
        }
    }
}

impl<'a> Seeker<'a> {
    pub(super) fn new(
        ask: &'a Ask<'a>,
        origin: &'a Origin,
        not_by: LabelSet,
        known: &'a [(&'a Path, LabelSet)],
        today: Option<Date>,
    ) -> Self {
        let mut sources = origin.sources.iter().chain(origin.span.plus_from.iter());
        let tied = sources.any(|at| match base(ask, *at) {
            Some(Source::Arg(path)) => origin.path.shared(path) > 0,
            Some(Source::Result { chosen, .. }) => chosen.joins.iter().any(|join| origin.path.shared(&join.path) > 0),
            _ => false,
        });
        Self { ask, today, origin, not_by, known, temporal: None, tied, scope: Vec::new() }
    }

    /// Look for a value that stands in these objects.
    pub(super) fn within(&mut self, scope: &[&'a Json<'a>]) {
        if self.tied {
            self.scope.clear();
            self.scope.extend_from_slice(scope);
            self.temporal = None;
        }
    }

    fn element(&self) -> Element<'a, '_> {
        Element { path: &self.origin.path, scope: &self.scope, args: self.ask.args }
    }

    /// Whether some source is a result.
    pub(super) fn results(&self) -> bool {
        let mut sources = self.origin.sources.iter().chain(self.origin.span.plus_from.iter());
        sources.any(|at| matches!(base(self.ask, *at), Some(Source::Result { .. } | Source::Trusted)))
    }

    /// The labels of the first source that has it.
    pub(super) fn find(&mut self, sought: &Sought<'_>, work: &mut Work) -> Option<LabelSet> {
        if let (Sought::Fact(_, fact), Kind::Date | Kind::Time | Kind::DateTime) = (sought, self.origin.kind) {
            let (temporal, plus) = self.temporal.take().unwrap_or_else(|| self.offers());
            let found = temporal.matches(*fact, &self.origin.span, &plus, work);
            self.temporal = Some((temporal, plus));
            return found;
        }
        let origin = self.origin;
        origin.sources.iter().find_map(|at| self.find_in(*at, origin.kind, sought, work))
    }

    /// The same in one source, of a value of that type.
    fn find_in(&self, at: usize, kind: Kind, sought: &Sought<'_>, work: &mut Work) -> Option<LabelSet> {
        let ask = self.ask;
        match ask.program.source(at)? {
            Source::Input(input) => self.counts(LabelSet::USER).filter(|_| match sought {
                Sought::Fact(datum, _) => ask.given.holds(*input, datum, ask.key),
                Sought::Words(phrase) => ask.given.holds_phrase(*input, phrase, work),
            }),
            Source::Const(text) => self.same(kind, Leaf::Text(text), sought, work).then(LabelSet::default),
            Source::Arg(path) => {
                let labels = self.of_arg(path)?;
                let mut found = false;
                self.element().leaves(path, &mut |leaf| {
                    found = work.spend(1).is_some() && self.same(kind, leaf, sought, work);
                    !found && !work.spent()
                });
                found.then_some(labels)
            }
            Source::Trusted => self.trusted(sought, work),
            Source::At(named) => {
                let Sought::Fact(Datum::Str { kind: Kind::Email, normal }, _) = sought else { return None };
                let host = Datum::Str { kind: Kind::Host, normal: without_www(email_host(normal)?).into() };
                let fact = Fact::of(&host, ask.key);
                match ask.program.source(*named)? {
                    Source::At(_) => None,
                    _ => self.find_in(*named, Kind::Host, &Sought::Fact(&host, fact), work),
                }
            }
            Source::Result { place, chosen } => self.result(*place, chosen, sought, work),
        }
    }

    fn counts(&self, labels: LabelSet) -> Option<LabelSet> {
        (!labels.meets(self.not_by)).then_some(labels)
    }

    /// The labels of another argument. One that was found nowhere counts only where anybody may have
    /// written it.
    fn of_arg(&self, path: &Path) -> Option<LabelSet> {
        let mut known = self.known.iter().filter(|(other, _)| other.head() == path.head()).peekable();
        if known.peek().is_none() {
            return self.not_by.is_empty().then(LabelSet::default);
        }
        self.counts(known.fold(LabelSet::default(), |all, (_, labels)| all.and(*labels)))
    }

    /// Whether a constant or another argument is the same value, or has the same words in it.
    fn same(&self, kind: Kind, leaf: Leaf<'_>, sought: &Sought<'_>, work: &mut Work) -> bool {
        match sought {
            Sought::Fact(datum, _) => readings(kind, leaf).iter().any(|other| alike(datum, other)),
            Sought::Words(phrase) => leaf.text().is_some_and(|text| phrase.stands_in_text(text, self.ask.key, work)),
        }
    }

    fn trusted(&self, sought: &Sought<'_>, work: &mut Work) -> Option<LabelSet> {
        let memory = self.ask.memory?;
        let labels = |place: u16| {
            let place = self.ask.program.place(place).filter(|place| place.role == Role::Trusted)?;
            self.counts(place.labels)
        };
        match sought {
            Sought::Fact(_, fact) => memory.store.equal(*fact).iter().find_map(|entry| {
                work.spend(1)?;
                labels(entry.place()).filter(|_| fits(*fact, std::iter::once(entry.fact().extra)))
            }),
            Sought::Words(phrase) => memory.store.of(Code::SPAN).iter().find_map(|span| {
                let labels = labels(span.place())?;
                let text = memory.store.text(*span);
                work.spend(1 + text.len())?;
                phrase.stands_in(text, memory.store.signs(*span), work).then_some(labels)
            }),
        }
    }

    fn result(&self, place: u16, chosen: &Chosen, sought: &Sought<'_>, work: &mut Work) -> Option<LabelSet> {
        let memory = self.ask.memory?;
        let labels = self.counts(self.ask.program.place(place)?.labels)?;
        let rows = || Rows::new(self.ask, chosen, &self.element(), self.today);
        kept(memory, place, sought, &rows, work).then_some(labels)
    }

    /// Everything that the sources offer in days and times, and the spans that may be added.
    fn offers(&self) -> (Temporal, Vec<i64>) {
        let mut temporal = Temporal::default();
        for at in &self.origin.sources {
            self.offer(*at, &CODES, KindSet::sought(self.origin.kind), &mut |fact, labels| {
                temporal.add(fact, labels, self.today);
            });
        }
        let span = &self.origin.span;
        let mut plus: Vec<i64> = span.plus.to_vec();
        for at in &span.plus_from {
            let code = [Code::of(Kind::Duration)];
            self.offer(*at, &code, KindSet::one(Kind::Duration), &mut |fact, _| {
                plus.extend(fact.as_size().checked_mul(1000));
            });
        }
        plus.sort_unstable();
        plus.dedup();
        (temporal, plus)
    }

    /// Hand over what one source offers.
    fn offer(&self, at: usize, codes: &[Code], sought: KindSet, each: &mut dyn FnMut(Fact, LabelSet)) {
        let ask = self.ask;
        let mut read = |leaf: Leaf<'_>, labels: LabelSet| {
            values(Some(Kind::DateTime), sought, leaf, &mut |readings| {
                let facts = readings.iter().filter_map(|datum| settled(datum, ask.key, self.today));
                facts.for_each(|fact| each(fact, labels));
            });
        };
        match ask.program.source(at) {
            None | Some(Source::At(_)) => {}
            Some(Source::Const(text)) => read(Leaf::Text(text), LabelSet::default()),
            Some(Source::Arg(path)) => {
                if let Some(labels) = self.of_arg(path) {
                    let mut left = 64;
                    self.element().leaves(path, &mut |leaf| {
                        read(leaf, labels);
                        left -= 1;
                        left > 0
                    });
                }
            }
            Some(Source::Input(input)) => {
                if let Some(labels) = self.counts(LabelSet::USER) {
                    let entries = codes.iter().flat_map(|code| ask.given.store.of(*code));
                    let here = entries.filter(|entry| usize::from(entry.place()) == *input);
                    here.for_each(|entry| each(entry.fact(), labels));
                }
            }
            Some(Source::Trusted) => {
                let entries = codes.iter().flat_map(|code| ask.memory.map_or(&[][..], |memory| memory.store.of(*code)));
                for entry in entries {
                    let place = ask.program.place(entry.place()).filter(|place| place.role == Role::Trusted);
                    if let Some(labels) = place.and_then(|place| self.counts(place.labels)) {
                        each(entry.fact(), labels);
                    }
                }
            }
            Some(Source::Result { place, chosen }) => {
                let labels = ask.program.place(*place).and_then(|place| self.counts(place.labels));
                let Some((labels, memory)) = labels.zip(ask.memory) else { return };
                let rows = Rows::new(ask, chosen, &self.element(), self.today);
                let entries = codes.iter().flat_map(|code| memory.store.of(*code));
                let here = entries.filter(|entry| entry.place() == *place && rows.hold(memory, entry.row()));
                here.for_each(|entry| each(entry.fact(), labels));
            }
        }
    }
}
