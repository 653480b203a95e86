//! What a profile makes a task remember of what it did.

use std::sync::Arc;

use super::{PlanMode, Profile, Rule};
use crate::document;
use crate::needs::Needs;

/// Actions whose having been allowed some rule, or the end, asks for.
pub(super) fn watched(from: &document::Profile) -> Box<[Arc<str>]> {
    let rules = from.rules.iter().flat_map(|rule| rule.after.iter().chain(&rule.after_any).chain(&rule.before));
    let mut all: Vec<Arc<str>> = rules.chain(&from.must).map(|action| Arc::from(action.as_str())).collect();
    all.sort_unstable();
    all.dedup();
    all.into()
}

impl Profile {
    /// Actions whose having been allowed is counted, in order.
    pub(crate) fn watched(&self) -> &[Arc<str>] {
        &self.watched
    }

    /// The place of a watched action.
    pub(crate) fn watched_place(&self, action: &str) -> Option<u16> {
        let place = self.watched.iter().position(|watched| **watched == *action)?;
        u16::try_from(place).ok()
    }

    /// A rule of an action.
    pub(crate) fn rule(&self, action: &str, id: &str) -> Option<&Rule> {
        self.actions.get(action)?.iter().find(|rule| *rule.id == *id)
    }

    fn any(&self, is: impl Fn(&Rule) -> bool) -> bool {
        self.actions.values().flatten().any(is)
    }

    /// Whether it demands anything of arguments beyond bounds: a task then needs what it is held against.
    pub(crate) fn minded(&self) -> bool {
        self.program.keyed() || self.any(|rule| !rule.conduct.distinct.is_empty() || !rule.conduct.each.is_empty())
    }

    /// Whether it goes by what a task has touched.
    pub(crate) fn labels_matter(&self) -> bool {
        let looks = |rule: &Rule| !rule.conduct.unless.is_empty() || rule.cell.needs.has(Needs::LABELS);
        !self.never.is_empty() || self.plan == PlanMode::Required || self.any(looks)
    }

    /// Whether results matter to it: their values, their labels or how much they are.
    pub(crate) fn reports(&self) -> bool {
        let counted = |rule: &Rule| {
            let reported = &rule.conduct.reported;
            reported.rows.is_some() || reported.bytes.is_some() || reported.seconds.is_some()
        };
        self.minded() || self.labels_matter() || self.any(counted)
    }
}
