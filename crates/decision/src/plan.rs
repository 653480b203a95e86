//! The effects that an agent said it means to make. A plan only narrows.

use std::sync::Arc;

use flyball_typed::{Datum, Kind, Readings};

use crate::intent::{Path, values};
use crate::json::Json;
use crate::profile::{Profile, Rule};

/// Entries of one plan at most.
const MAX_ENTRIES: usize = 256;
/// How often one entry may stand for a call.
const MAX_COUNT: i64 = 1_000_000;

/// One argument of an entry, and what it may be.
#[derive(Debug)]
struct Arg {
    path: Path,
    /// Canonical JSON of each element.
    exact: Vec<Vec<u8>>,
    /// The same, read as a type; filled for each type that a rule asks for.
    typed: Vec<(Kind, Vec<Readings>)>,
}

/// One effect that is meant.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) action: Arc<str>,
    pub(crate) count: u32,
    pub(crate) moved: u32,
    args: Vec<Arg>,
}

impl Entry {
    /// How often it may still stand for a call.
    pub(crate) fn left(&self) -> u32 {
        self.count.saturating_sub(self.moved)
    }
}

/// A declared plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) entries: Vec<Entry>,
}

/// Why a plan is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotPlanned {
    Malformed(&'static str),
    /// Names an action, or an argument of one, that the profile does not have.
    NotInProfile,
}

/// Whether an element is nothing: absent, for a plan as for a rule.
fn nothing(json: &Json<'_>) -> bool {
    match json {
        Json::Null => true,
        Json::Text(text) => text.is_empty(),
        Json::List(items) => items.is_empty(),
        _ => false,
    }
}

/// Every element of a value: lists add nothing.
fn elements(json: &Json<'_>, out: &mut Vec<Vec<u8>>) {
    match json {
        Json::List(items) => items.iter().for_each(|item| elements(item, out)),
        one if nothing(one) => {}
        one => {
            let mut bytes = Vec::new();
            one.write(&mut bytes);
            out.push(bytes);
        }
    }
}

impl Plan {
    /// Read a plan for a profile.
    pub(crate) fn read(profile: &Profile, json: &Json<'_>) -> Result<Self, NotPlanned> {
        let Json::List(items) = json else { return Err(NotPlanned::Malformed("a plan is a list of actions")) };
        if items.len() > MAX_ENTRIES {
            return Err(NotPlanned::Malformed("a plan has 256 entries at most"));
        }
        Ok(Self { entries: items.iter().map(|item| entry(profile, item)).collect::<Result<_, _>>()? })
    }

    /// The first entry with something left that stands for a call under a rule.
    pub(crate) fn find(&self, action: &str, rule: &Rule, args: &Json<'_>) -> Option<u16> {
        let place = self
            .entries
            .iter()
            .position(|entry| *entry.action == *action && entry.left() > 0 && entry.args.iter().all(|arg| holds(arg, rule, args)));
        place.and_then(|place| u16::try_from(place).ok())
    }

    /// An entry stood for calls, or gives them back.
    pub(crate) fn shift(&mut self, entry: u16, count: u32, forward: bool) {
        if let Some(entry) = self.entries.get_mut(usize::from(entry)) {
            entry.moved = if forward { entry.moved.saturating_add(count) } else { entry.moved.saturating_sub(count) };
        }
    }
}

fn entry(profile: &Profile, json: &Json<'_>) -> Result<Entry, NotPlanned> {
    let wrong = NotPlanned::Malformed;
    let Json::Object(members) = json else { return Err(wrong("an entry of a plan is an object")) };
    if members.iter().any(|(name, _)| !matches!(name.as_ref(), "action" | "args" | "count")) {
        return Err(wrong("an entry of a plan has the members action, count and args"));
    }
    let action = json.get("action").and_then(Json::text).ok_or(wrong("an entry of a plan names an action"))?;
    let (action, rules) = profile.actions.get_key_value(action).ok_or(NotPlanned::NotInProfile)?;
    let count = match json.get("count") {
        None => 1,
        Some(count) => count.whole().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or(wrong("a count is 1 or more"))?,
    };
    let args = match json.get("args") {
        None => Vec::new(),
        Some(whole @ Json::Object(members)) => members
            .iter()
            .filter(|(_, value)| !nothing(value))
            .map(|(name, value)| arg(rules, name, value, whole))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(wrong("the arguments of a plan's entry are an object")),
    };
    Ok(Entry { action: Arc::clone(action), count: u32::try_from(count).unwrap_or(1), moved: 0, args })
}

fn arg(rules: &[Rule], name: &str, value: &Json<'_>, whole: &Json<'_>) -> Result<Arg, NotPlanned> {
    let path = Path::parse(name).filter(|path| path.head() == name).ok_or(NotPlanned::NotInProfile)?;
    let mut exact = Vec::new();
    elements(value, &mut exact);
    let mut typed: Vec<(Kind, Vec<Readings>)> = Vec::new();
    for kind in rules.iter().filter_map(|rule| kind_of(rule, name)) {
        if !typed.iter().any(|(known, _)| *known == kind) {
            // What has no reading of the type matches nothing of it.
            typed.push((kind, values(kind, &path, whole).unwrap_or_default()));
        }
    }
    Ok(Arg { path, exact, typed })
}

/// Whether each element of a call's argument is one of the entry's. A call without the argument is another one.
fn holds(arg: &Arg, rule: &Rule, args: &Json<'_>) -> bool {
    let Some(given) = args.get(arg.path.head()).filter(|given| !nothing(given)) else { return false };
    match kind_of(rule, arg.path.as_str()) {
        Some(kind) => {
            let Some(meant) = arg.typed.iter().find(|(known, _)| *known == kind).map(|(_, meant)| meant) else {
                return false;
            };
            let Some(given) = values(kind, &arg.path, args) else { return false };
            !given.is_empty() && given.iter().all(|one| meant.iter().any(|other| same(one, other)))
        }
        None => {
            let mut given_elements = Vec::new();
            elements(given, &mut given_elements);
            !given_elements.is_empty() && given_elements.iter().all(|one| arg.exact.contains(one))
        }
    }
}

/// The type that a rule reads an argument as. Running text is compared as it stands.
fn kind_of(rule: &Rule, arg: &str) -> Option<Kind> {
    rule.demands.kind_of(arg).filter(|kind| *kind != Kind::Text)
}

/// Whether a value is the one that was meant: each reading of it is one of the other's.
fn same(given: &Readings, meant: &Readings) -> bool {
    let is = |one: &Datum, other: &Datum| match (one, other) {
        (Datum::Date(one), Datum::Date(other)) => one.matches(other),
        _ => one == other,
    };
    !given.is_empty() && given.iter().all(|one| meant.iter().any(|other| is(one, other)))
}

/// What one allow moved: (levels up, entry), one for every plan that the call is held to.
pub(crate) type Moves = Vec<(u8, u16)>;
