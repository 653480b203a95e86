//! What follows a breach: a ladder of reactions for each kind.

#![allow(dead_code, reason = "the plane takes it up in its own time")]

use crate::document;
use crate::verdict::{Reaction, words};

words! {
    /// What kind of breach it is: each has a ladder of its own.
    Deviation {
        /// The profile does not name the action.
        Action = "action",
        /// Another resource than those named.
        Target = "target",
        /// An argument out of its bounds.
        Argument = "argument",
        /// An argument from elsewhere than demanded, or an action nobody asked for.
        Origin = "origin",
        /// Too early or too late.
        Order = "order",
        /// Not in the plan.
        Plan = "plan",
        /// A budget does not reach.
        Budget = "budget",
        /// A label forbids it.
        Flow = "flow",
    }
}

/// The ladders of a profile, by kind of breach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ladders {
    steps: [Box<[Reaction]>; Deviation::ALL.len()],
}

impl Ladders {
    /// Read the ladders. `all` is an older document's one word for every ladder.
    pub(crate) fn read(from: Option<&document::Reactions>, all: Option<&str>) -> Result<Self, String> {
        let empty = document::Reactions::default();
        let given = from.unwrap_or(&empty);
        let step = |words: &Option<Vec<String>>, default: &[Reaction]| match (words, all) {
            (Some(words), _) => ladder(words),
            (None, Some(word)) => ladder(&[word.to_owned()]),
            (None, None) => Ok(Box::from(default)),
        };
        let freeze = [Reaction::Deny, Reaction::Freeze];
        Ok(Self {
            steps: [
                step(&given.action, &freeze)?,
                step(&given.target, &[Reaction::Revoke])?,
                step(&given.argument, &freeze)?,
                step(&given.origin, &freeze)?,
                step(&given.order, &freeze)?,
                step(&given.plan, &freeze)?,
                step(&given.budget, &freeze)?,
                step(&given.flow, &freeze)?,
            ],
        })
    }

    /// The ladder of one kind.
    pub(crate) fn of(&self, kind: Deviation) -> &[Reaction] {
        self.steps.get(kind as usize).map_or(&[], AsRef::as_ref)
    }
}

/// The `n`-th step of a ladder, from 1; its last repeats. An empty ladder refuses only.
pub(crate) fn step(ladder: &[Reaction], n: u32) -> Reaction {
    let place = usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
    ladder.get(place).or(ladder.last()).copied().unwrap_or(Reaction::Deny)
}

/// A ladder of those words.
pub(crate) fn ladder(words: &[String]) -> Result<Box<[Reaction]>, String> {
    if words.is_empty() {
        return Err("a ladder of reactions has no step".to_owned());
    }
    words.iter().map(|word| Reaction::parse(word).ok_or_else(|| format!("`{word}` is no reaction"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_step_repeats() {
        let ladders = Ladders::read(None, None).unwrap();
        let origin = ladders.of(Deviation::Origin);
        assert_eq!([0, 1, 2, 9].map(|n| step(origin, n)), {
            use Reaction::{Deny, Freeze};
            [Deny, Deny, Freeze, Freeze]
        });
        assert_eq!(step(ladders.of(Deviation::Target), 1), Reaction::Revoke);
    }

    #[test]
    fn one_word_stands_for_every_ladder_that_is_not_written() {
        let given = document::Reactions { flow: Some(vec!["suspend".to_owned()]), ..document::Reactions::default() };
        let ladders = Ladders::read(Some(&given), Some("quarantine")).unwrap();
        assert_eq!(step(ladders.of(Deviation::Flow), 1), Reaction::Suspend);
        assert_eq!(step(ladders.of(Deviation::Budget), 5), Reaction::Quarantine);
        assert!(Ladders::read(None, Some("shrug")).is_err());
        assert!(ladder(&[]).is_err());
    }
}
