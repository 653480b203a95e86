//! One call held against one rule's demands.

use std::cmp::Ordering;

use flyball_typed::{Date, Datum, Kind, path_parent};

use super::demand::{Aggregate, Fold, Never, Op, Origin};
use super::explain::{seen, wanted};
use super::fact::{Code, Fact};
use super::given::settled;
use super::kinds::readings;
use super::phrase::Phrase;
use super::seek::{Element, Rows, Seeker, Sought};
use super::work::Work;
use super::{Breach, BreachKind, Given, LabelSet, Leaf, Memory, MemoryKey, Path, Program};
use crate::json::Json;
use crate::profile::{Rule, Test};

/// Values of one argument that are looked at, at most.
const MAX_LEAVES: usize = 4096;

/// Folders that a path lies in, one in the other, that are looked for.
const MAX_FOLDERS: usize = 64;

/// A call and a rule that it is held against.
#[derive(Clone, Copy)]
pub(crate) struct Ask<'a> {
    pub(crate) program: &'a Program,
    pub(crate) rule: &'a Rule,
    pub(crate) given: &'a Given,
    pub(crate) memory: Option<&'a Memory>,
    pub(crate) key: &'a MemoryKey,
    /// The call's arguments: an object.
    pub(crate) args: &'a Json<'a>,
    pub(crate) wall_ms: i64,
}

/// Labels of the fields that arguments were found in, in order of the arguments' names.
pub(crate) type Origins<'a> = Vec<(&'a str, LabelSet)>;

impl Ask<'_> {
    /// Which day it is.
    pub(super) fn today(&self) -> Option<Date> {
        self.given.today(self.program, self.memory.and_then(Memory::today), self.wall_ms)
    }

    /// Whether results were not all kept.
    pub(super) fn full(&self) -> bool {
        self.memory.is_some_and(Memory::full)
    }
}

/// Hold the call against the rule's aggregates, free texts and origins, in the order of the hurdles.
pub(crate) fn judge<'a>(ask: &Ask<'a>) -> Result<Origins<'a>, Breach> {
    let demands = &ask.rule.demands;
    if demands.is_empty() {
        return Ok(Vec::new());
    }
    let today = ask.today();
    let mut work = Work::new();
    for aggregate in &demands.aggregates {
        added_up(ask, aggregate, today, &mut work)?;
    }
    for free in &demands.free {
        if free.path.length(ask.args) > free.max {
            return Err(Breach::of(BreachKind::TooLong, &free.path));
        }
    }
    let mut known: Vec<(&Path, LabelSet)> = Vec::with_capacity(demands.origins.len());
    for origin in &demands.origins {
        let labels = origin_of(ask, origin, &known, today, &mut work)?;
        known.push((&origin.path, labels));
    }
    for never in &demands.never {
        decided(ask, never)?;
    }
    for free in demands.free.iter().filter(|free| !free.without.is_empty()) {
        super::flow::carries_nothing(ask, free, &mut work)?;
    }
    let mut origins: Origins<'a> = Vec::with_capacity(known.len());
    for (path, labels) in known {
        match origins.iter_mut().find(|(name, _)| *name == path.head()) {
            Some((_, all)) => *all = all.and(labels),
            None => origins.push((path.head(), labels)),
        }
    }
    origins.sort_unstable_by_key(|(name, _)| *name);
    Ok(origins)
}

/// Where the values of one argument come from.
fn origin_of(
    ask: &Ask<'_>,
    origin: &Origin,
    known: &[(&Path, LabelSet)],
    today: Option<Date>,
    work: &mut Work,
) -> Result<LabelSet, Breach> {
    let mut seeker = Seeker::new(ask, origin, origin.not_by.and(origin.never), known, today);
    let mut labels = LabelSet::default();
    let (mut count, mut failed) = (0, None);
    origin.path.scoped(ask.args, &mut |leaf, scope| {
        count += 1;
        seeker.within(scope);
        let found = if count > MAX_LEAVES { None } else { leaf_labels(&mut seeker, leaf, work) };
        match found {
            Some(found) => labels = labels.and(found),
            None => failed = Some((leaf, scope.to_vec())),
        }
        failed.is_none()
    });
    let Some((leaf, scope)) = failed else {
        if origin.required && !origin.path.filled(ask.args) {
            return Err(Breach::of(BreachKind::Missing, &origin.path));
        }
        return Ok(labels);
    };
    let mut breach = Breach::of(BreachKind::Origin, &origin.path);
    breach.as_ = Some(origin.kind);
    breach.wanted = wanted(ask.program, &origin.sources);
    breach.kind = if count > MAX_LEAVES || work.spent() {
        BreachKind::Malformed
    } else if seeker.results() && ask.full() {
        BreachKind::MemoryFull
    } else if !origin.never.is_empty() {
        // The rule itself would have had it; what holds whatever a rule says does not.
        let mut seeker = Seeker::new(ask, origin, origin.not_by, known, today);
        seeker.within(&scope);
        match leaf_labels(&mut seeker, leaf, work) {
            Some(_) => BreachKind::Flow,
            None => BreachKind::Origin,
        }
    } else {
        BreachKind::Origin
    };
    breach.seen = seen(ask, origin.kind, leaf, today);
    Err(breach)
}

/// The labels of where one value was found: every reading of it must be found.
fn leaf_labels(seeker: &mut Seeker<'_>, leaf: Leaf<'_>, work: &mut Work) -> Option<LabelSet> {
    let (ask, kind) = (seeker.ask, seeker.origin.kind);
    if kind == Kind::Text {
        let phrase = Phrase::read(leaf.text()?, ask.key);
        return if phrase.words.is_empty() { None } else { seeker.find(&Sought::Words(&phrase), work) };
    }
    let readings = readings(kind, leaf);
    if readings.is_empty() {
        return None;
    }
    // Who decides a new word is not known, so none may where it matters.
    let mut new = if seeker.not_by.is_empty() { seeker.origin.new_words } else { 0 };
    readings.iter().try_fold(LabelSet::default(), |labels, datum| {
        let fact = settled(datum, ask.key, seeker.today)?;
        let found = match datum {
            Datum::Str { kind: Kind::Path, normal } if seeker.origin.below => below(seeker, normal, work),
            _ => seeker.find(&Sought::Fact(datum, fact), work),
        };
        match found {
            None if new > 0 && !work.spent() => {
                new -= 1;
                Some(labels)
            }
            found => Some(labels.and(found?)),
        }
    })
}

/// The labels of where a path was found, or a folder that it lies in. The root is no folder that anybody names.
fn below(seeker: &mut Seeker<'_>, path: &str, work: &mut Work) -> Option<LabelSet> {
    let key = seeker.ask.key;
    let folders = std::iter::successors(Some(path), |path| path_parent(path).filter(|parent| *parent != "/"));
    folders.take(MAX_FOLDERS).find_map(|folder| {
        let datum = Datum::Str { kind: Kind::Path, normal: folder.into() };
        let fact = Fact::of(&datum, key);
        seeker.find(&Sought::Fact(&datum, fact), work)
    })
}

/// Hold a number against all values of a source together: those of the action's latest result.
fn added_up(ask: &Ask<'_>, aggregate: &Aggregate, today: Option<Date>, work: &mut Work) -> Result<(), Breach> {
    if !aggregate.path.filled(ask.args) {
        return Err(Breach::of(BreachKind::Missing, &aggregate.path));
    }
    let mut breach = Breach::of(BreachKind::Bounds, &aggregate.path);
    breach.as_ = Some(aggregate.kind);
    breach.wanted = wanted(ask.program, &[aggregate.source]);
    if let Some(fixed) = aggregate.fixed {
        let (mut count, total) = (0, (0, i128::from(fixed)));
        let holds = aggregate.path.leaves(ask.args, &mut |leaf| {
            count += 1;
            count <= MAX_LEAVES && bounds(ask, aggregate, leaf, total)
        });
        return if holds { Ok(()) } else { Err(breach) };
    }
    if ask.full() {
        breach.kind = BreachKind::MemoryFull;
        return Err(breach);
    }
    let Some((_, chosen)) = ask.program.sum(aggregate.source) else { return Err(breach) };
    // What another argument of the same element chooses is not the same for all of them.
    let tied = chosen.joins.iter().any(|join| aggregate.path.shared(&join.path) > 0);
    let (mut count, mut holds, mut known) = (0, true, None);
    aggregate.path.scoped(ask.args, &mut |leaf, scope| {
        count += 1;
        let element = Element { path: &aggregate.path, scope, args: ask.args };
        let total = match known {
            Some(total) if !tied => total,
            _ => total(ask, aggregate, &element, today, work),
        };
        known = Some(total);
        holds = count <= MAX_LEAVES && total.is_some_and(|total| bounds(ask, aggregate, leaf, total));
        holds
    });
    if holds { Ok(()) } else { Err(breach) }
}

/// Whether every reading of a number is on the right side of a total.
fn bounds(ask: &Ask<'_>, aggregate: &Aggregate, leaf: Leaf<'_>, total: (u16, i128)) -> bool {
    let readings = readings(aggregate.kind, leaf);
    !readings.is_empty()
        && readings.iter().all(|datum| {
            let fact = Fact::of(datum, ask.key);
            let order = i128::from(fact.as_size()).cmp(&total.1);
            (fact.extra == 0 || fact.extra == total.0)
                && match aggregate.op {
                    Op::Max => order != Ordering::Greater,
                    Op::Min => order != Ordering::Less,
                    Op::Equal => order == Ordering::Equal,
                }
        })
}

/// The unit and size of an aggregate; nothing, where there are no values or they have no one unit.
fn total(
    ask: &Ask<'_>,
    aggregate: &Aggregate,
    element: &Element<'_, '_>,
    today: Option<Date>,
    work: &mut Work,
) -> Option<(u16, i128)> {
    let (place, chosen) = ask.program.sum(aggregate.source)?;
    let memory = ask.memory?;
    let rows = Rows::new(ask, chosen, element, today);
    let entries = memory.store.of(Code::of(aggregate.kind));
    work.spend(entries.len())?;
    // What is read twice, and was another in between, is not there twice.
    let latest = memory.latest(ask.program.place(*place)?.action);
    let here = entries.iter().filter(|entry| entry.place() == *place && latest.contains(&entry.row()));
    let here = here.filter(|entry| rows.hold(memory, entry.row()));
    here.map(|entry| entry.fact()).try_fold(None, |total: Option<(u16, i128)>, fact| {
        let size = i128::from(fact.as_size());
        match total {
            None => Some(Some((fact.extra, size))),
            // Two currencies, or a value that has several sizes beside its unclear one.
            Some((unit, _)) if unit != fact.extra => None,
            Some((unit, total)) => Some(Some((
                unit,
                match aggregate.fold {
                    Fold::Sum => total + size,
                    Fold::Min => total.min(size),
                    Fold::Max => total.max(size),
                },
            ))),
        }
    })?
}

/// Whether everything at a path that some writers may never decide is decided by somebody else: each
/// value was found by an origin, which leaves those writers out, or is one of the rule's own constants.
fn decided(ask: &Ask<'_>, never: &Never) -> Result<(), Breach> {
    let there = never.path.count(ask.args);
    let origins = || ask.rule.demands.origins.iter().map(|origin| &origin.path);
    if there == 0 || origins().any(|path| path.leads_to(&never.path)) {
        return Ok(());
    }
    let mut below: Vec<&Path> = Vec::new();
    for path in origins().filter(|path| never.path.leads_to(path)) {
        if !below.iter().any(|other| other.leads_to(path)) {
            below.retain(|other| !path.leads_to(other));
            below.push(path);
        }
    }
    if below.iter().map(|path| path.count(ask.args)).sum::<usize>() == there {
        return Ok(());
    }
    let constant = |bound: &crate::profile::Bound| {
        bound.arg == never.path.as_str() && matches!(bound.test, Test::Equal(_) | Test::OneOf(_))
    };
    if ask.rule.bounds.iter().any(constant) {
        return Ok(());
    }
    Err(Breach::of(BreachKind::Flow, &never.path))
}
