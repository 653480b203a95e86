//! Calls that wait for a person: asked for, settled once, used once, and a no where nobody answers.

use std::sync::Arc;

use crate::verdict::{Effect, words};

/// How long a question stays open, and an approval may be used.
pub(crate) const OPEN_MS: i64 = 600_000;
/// Questions of one task that may be open.
const PENDING: usize = 64;
/// Questions of one task that are remembered.
const REMEMBERED: usize = 512;

words! {
    /// Where a question stands.
    Standing {
        /// Nobody has answered.
        Pending = "pending",
        /// Yes: exactly that call, once.
        Approved = "approved",
        /// The call was made.
        Used = "used",
        /// No.
        Refused = "refused",
        /// Nobody answered in time, or the call was not made in time: no.
        Expired = "expired",
    }
}

/// One question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Approval {
    /// The decision that asked.
    pub(crate) reference: Box<str>,
    /// The call's digest.
    pub(crate) call: Box<str>,
    pub(crate) kind: Effect,
    pub(crate) action: Box<str>,
    pub(crate) resource: (Box<str>, Box<str>),
    pub(crate) rule: Arc<str>,
    pub(crate) asked_ms: i64,
    pub(crate) until_ms: i64,
    /// As settled; whether its time is over is asked for with the time.
    pub(crate) standing: Standing,
    /// An answer is on its way to the records.
    pub(crate) settling: bool,
}

impl Approval {
    /// Where it stands at a time.
    pub(crate) fn standing(&self, wall_ms: i64) -> Standing {
        match self.standing {
            Standing::Pending | Standing::Approved if wall_ms >= self.until_ms => Standing::Expired,
            other => other,
        }
    }
}

/// What a call that needs a person meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meets<'a> {
    /// Nothing: a question is to be asked.
    Nothing,
    /// A question that is open.
    Pending(&'a str),
    /// An approval.
    Approved(&'a str),
    /// A no.
    Refused,
    /// No room for another question.
    Full,
}

/// The questions of a task.
#[derive(Debug, Default)]
pub(crate) struct Approvals {
    all: Vec<Approval>,
}

impl Approvals {
    /// What a call with that digest meets.
    pub(crate) fn meet(&self, call: &str, wall_ms: i64) -> Meets<'_> {
        // The last one: those before it are used up.
        let known = self.all.iter().rev().find(|one| *one.call == *call);
        match known.map(|one| (one, one.standing(wall_ms))) {
            Some((one, Standing::Pending)) => return Meets::Pending(&one.reference),
            Some((one, Standing::Approved)) => return Meets::Approved(&one.reference),
            Some((_, Standing::Refused | Standing::Expired)) => return Meets::Refused,
            Some((_, Standing::Used)) | None => {}
        }
        let pending = self.all.iter().filter(|one| one.standing(wall_ms) == Standing::Pending).count();
        let kept = self.all.iter().filter(|one| one.standing != Standing::Used).count();
        if pending >= PENDING || kept >= REMEMBERED { Meets::Full } else { Meets::Nothing }
    }

    /// A question.
    pub(crate) fn ask(&mut self, approval: Approval) {
        if self.all.len() >= REMEMBERED
            && let Some(used) = self.all.iter().position(|one| one.standing == Standing::Used)
        {
            self.all.remove(used);
        }
        self.all.push(approval);
    }

    /// The question under a reference.
    pub(crate) fn get(&mut self, reference: &str) -> Option<&mut Approval> {
        self.all.iter_mut().find(|one| *one.reference == *reference)
    }

    /// A question that was never answered with a reference.
    pub(crate) fn forget(&mut self, reference: &str) {
        self.all.retain(|one| *one.reference != *reference || one.standing != Standing::Pending);
    }

    /// An approval is used, or was not after all.
    pub(crate) fn take(&mut self, reference: &str, used: bool) {
        if let Some(one) = self.get(reference) {
            match one.standing {
                Standing::Used if !used => one.standing = Standing::Approved,
                Standing::Used => {}
                _ if used => one.standing = Standing::Used,
                _ => {}
            }
        }
    }

    /// An answer, at a time.
    pub(crate) fn settle(&mut self, reference: &str, approved: bool, wall_ms: i64) {
        if let Some(one) = self.get(reference) {
            one.settling = false;
            if one.standing == Standing::Pending {
                one.standing = if approved { Standing::Approved } else { Standing::Refused };
                one.until_ms = wall_ms.saturating_add(OPEN_MS);
            }
        }
    }

    /// All of them, as they were asked.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Approval> {
        self.all.iter()
    }
}
