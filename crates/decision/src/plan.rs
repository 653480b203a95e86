//! The effects that an agent said it means to make. A plan only narrows.

use std::sync::Arc;

use crate::intent::{Demands, planned};
use crate::json::Json;
use crate::profile::{Profile, Rule};

/// Entries of one plan at most.
const MAX_ENTRIES: usize = 256;
/// How often one entry may stand for a call.
const MAX_COUNT: i64 = 1_000_000;

/// One effect that is meant.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) action: Arc<str>,
    pub(crate) count: u32,
    pub(crate) moved: u32,
    /// Canonical JSON of the arguments that it names.
    args: Vec<u8>,
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
    /// Names an action that the profile does not have.
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
        let stands =
            |entry: &Entry| *entry.action == *action && entry.left() > 0 && holds(&entry.args, &rule.demands, args);
        self.entries.iter().position(stands).and_then(|place| u16::try_from(place).ok())
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
    let (action, _) = profile.actions.get_key_value(action).ok_or(NotPlanned::NotInProfile)?;
    let count = match json.get("count") {
        None => 1,
        Some(count) => {
            count.whole().filter(|count| (1..=MAX_COUNT).contains(count)).ok_or(wrong("a count is 1 or more"))?
        }
    };
    let mut args = Vec::new();
    match json.get("args") {
        None => args.extend_from_slice(b"{}"),
        // A name that the action does not have stands for no call: it narrows to nothing.
        Some(named @ Json::Object(_)) => named.write(&mut args),
        Some(_) => return Err(wrong("the arguments of a plan's entry are an object")),
    }
    Ok(Entry { action: Arc::clone(action), count: u32::try_from(count).unwrap_or(1), moved: 0, args })
}

/// Whether each element of every argument that an entry names is one of the entry's: by its meaning, where
/// the rule compares it so, else exactly. A call without the argument is another one.
fn holds(named: &[u8], demands: &Demands, args: &Json<'_>) -> bool {
    let Ok(Json::Object(members)) = Json::parse(named) else { return false };
    members.into_iter().filter(|(_, value)| !nothing(value)).all(|(name, value)| {
        if demands.typed().any(|(path, _)| path.as_str() == name) {
            return planned(demands, &Json::Object(vec![(name, value)]), args);
        }
        let (mut meant, mut given) = (Vec::new(), Vec::new());
        elements(&value, &mut meant);
        if let Some(value) = args.get(&name) {
            elements(value, &mut given);
        }
        !given.is_empty() && given.iter().all(|one| meant.contains(one))
    })
}

/// What one allow moved: (levels up, entry), one for every plan that the call is held to.
pub(crate) type Moves = Vec<(u8, u16)>;
