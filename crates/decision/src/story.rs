//! What a task has done beyond its counters: breaches, order, plan, approvals, distinct values, memory.
//!
//! Only tasks that have any of it pay for it. All of it is a fold of the task's records.

use std::sync::Arc;

use crate::approval::Approvals;
use crate::distinct::DistinctSet;
use crate::intent::{LabelSet, Memory};
use crate::plan::Plan;
use crate::profile::Deviation;

/// Breaches by kind.
pub(crate) type Breaches = [u32; Deviation::ALL.len()];

/// Results of one action, by one enforcement point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reports {
    pub(crate) action: Arc<str>,
    pub(crate) pep: Arc<str>,
    /// How many.
    pub(crate) n: u32,
    /// Values kept of them.
    pub(crate) kept: u32,
}

/// A child that is open, and what it was given of each of the parent's counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Child {
    pub(crate) number: u128,
    pub(crate) allotted: Box<[i64]>,
}

/// An entry of an ancestor's plan that this task and its descendants moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Levels up; 1 is the parent.
    pub(crate) up: u8,
    pub(crate) entry: u16,
    pub(crate) count: u32,
}

/// What a task has done.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) breaches: Breaches,
    /// Those of its descendants.
    pub(crate) family: Breaches,
    /// By place in the profile's watched actions: how often it was allowed.
    pub(crate) done: Box<[u32]>,
    pub(crate) distinct: DistinctSet,
    pub(crate) plan: Option<Box<Plan>>,
    /// A plan is on its way to the records.
    pub(crate) declaring: bool,
    pub(crate) tally: Vec<Tally>,
    pub(crate) approvals: Approvals,
    pub(crate) memory: Memory,
    pub(crate) reports: Vec<Reports>,
    /// Labels that the profile does not know, on the bits after its own.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) children: Vec<Child>,
}

impl Story {
    /// Another breach of that kind.
    pub(crate) fn breach(&mut self, kind: Deviation) {
        if let Some(count) = self.breaches.get_mut(kind as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Breaches of descendants.
    pub(crate) fn inherit(&mut self, breaches: &Breaches) {
        for (mine, theirs) in self.family.iter_mut().zip(breaches) {
            *mine = mine.saturating_add(*theirs);
        }
    }

    /// Breaches of the task and its descendants, by kind.
    pub(crate) fn all_breaches(&self) -> Breaches {
        let mut all = self.breaches;
        for (mine, theirs) in all.iter_mut().zip(self.family) {
            *mine = mine.saturating_add(theirs);
        }
        all
    }

    /// How often a watched action was allowed.
    pub(crate) fn done(&self, place: usize) -> u32 {
        self.done.get(place).copied().unwrap_or(0)
    }

    /// A watched action was allowed, or did not happen after all.
    pub(crate) fn count_done(&mut self, place: u16, watched: usize, happened: bool) {
        if self.done.len() < watched {
            self.done = vec![0; watched].into_boxed_slice();
        }
        if let Some(count) = self.done.get_mut(usize::from(place)) {
            *count = if happened { count.saturating_add(1) } else { count.saturating_sub(1) };
        }
    }

    /// How many results of an action were reported.
    pub(crate) fn results(&self, action: &str) -> u32 {
        self.reports.iter().filter(|reports| *reports.action == *action).fold(0, |sum, one| sum.saturating_add(one.n))
    }

    /// Another result of an action.
    pub(crate) fn reported(&mut self, action: &Arc<str>, pep: &str, kept: u32) {
        let known = self.reports.iter_mut().find(|one| *one.action == **action && *one.pep == *pep);
        if let Some(known) = known {
            known.n = known.n.saturating_add(1);
            known.kept = known.kept.saturating_add(kept);
        } else {
            self.reports.push(Reports { action: Arc::clone(action), pep: Arc::from(pep), n: 1, kept });
        }
    }

    /// The last result did not become durable.
    pub(crate) fn unreported(&mut self, action: &str, pep: &str, kept: u32) {
        if let Some(known) = self.reports.iter_mut().find(|one| *one.action == *action && *one.pep == *pep) {
            known.n = known.n.saturating_sub(1);
            known.kept = known.kept.saturating_sub(kept);
        }
        self.reports.retain(|one| one.n > 0);
    }

    /// This task or a descendant moved an entry of an ancestor's plan, or gave it back.
    pub(crate) fn moved_above(&mut self, up: u8, entry: u16, count: u32, forward: bool) {
        let place = self.tally.iter().position(|tally| tally.up == up && tally.entry == entry);
        match place.and_then(|place| self.tally.get_mut(place)) {
            Some(tally) if forward => tally.count = tally.count.saturating_add(count),
            Some(tally) => tally.count = tally.count.saturating_sub(count),
            None if forward => self.tally.push(Tally { up, entry, count }),
            None => {}
        }
        self.tally.retain(|tally| tally.count > 0);
    }
}

/// Labels of a task: those that hold, and those of them that stand in a durable record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    pub(crate) all: LabelSet,
    pub(crate) durable: LabelSet,
}

impl Labels {
    /// What holds now and later, whatever becomes of a record.
    pub(crate) fn settle(&mut self, labels: LabelSet) {
        self.all = self.all.and(labels);
        self.durable = self.durable.and(labels);
    }

    /// The record that would have carried these failed. What another record carried stays.
    pub(crate) fn detach(&mut self, labels: LabelSet) {
        self.all = self.all.less(labels.less(self.durable));
    }

    /// What the next record carries.
    pub(crate) fn fresh(&self) -> LabelSet {
        self.all.less(self.durable)
    }
}
