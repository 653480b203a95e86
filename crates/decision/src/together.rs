//! What gateways need that carry several calls at once, and carry their results themselves.

use crate::call::{Call, Now};
use crate::plane::Plane;
use crate::profile::Rule;
use crate::release::Checked;
use crate::task::Live;
use crate::value::{Kind, ONE};
use std::sync::Arc;

/// How a declared action is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The type of its resource.
    pub resource_type: String,
    /// Its arguments and their types (`string`, `long`, `decimal`, `bool`, `strings`, `any`), in order of their names.
    pub args: Vec<(String, &'static str)>,
}

/// A budget for what comes back, in whole rows or bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Its number among the counters of the task: calls with the same number share it.
    pub slot: u16,
    /// What was reported so far.
    pub used: u64,
    /// What may be reported at most.
    pub limit: u64,
}

/// What may come back of an allowed call, where its rule bounds that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Rows.
    pub rows: Option<Counted>,
    /// Bytes.
    pub bytes: Option<Counted>,
}

impl Room {
    /// Under a rule, as the task stands now.
    pub(crate) fn of(rule: &Rule, live: &Live) -> Self {
        let whole = |amount: i64| u64::try_from(amount.max(0)).unwrap_or(0);
        let counted = |of: Option<(usize, i64)>| {
            let (slot, limit) = of?;
            // What was used is rounded up and what is left down.
            let used = live.used.get(slot).copied().unwrap_or(i64::MAX).saturating_add(ONE - 1) / ONE;
            Some(Counted { slot: u16::try_from(slot).ok()?, used: whole(used), limit: whole(limit / ONE) })
        };
        let reported = &rule.conduct.reported;
        Self { rows: counted(reported.rows), bytes: counted(reported.bytes) }
    }
}

impl Checked {
    /// Whether it will be allowed, if its record becomes durable and no fence comes before.
    pub fn allows(&self) -> bool {
        self.verdict.allowed()
    }

    /// What may come back of it.
    pub const fn room(&self) -> Room {
        self.room
    }
}

impl Plane {
    /// Evaluate calls of one task that happen together or not at all: all of them, where each is allowed; else the
    /// one that is not, and none of the others is charged or recorded.
    ///
    /// # Errors
    /// The first call that is not allowed: a denial or a question, to be settled like any other.
    pub fn check_together(&self, calls: &[Call<'_>], now: Now) -> Result<Vec<Checked>, Box<Checked>> {
        let mut all: Vec<Checked> = Vec::with_capacity(calls.len());
        for call in calls {
            let checked = self.check(call, now);
            if checked.allows() {
                all.push(checked);
                continue;
            }
            // The last first: what a call moved stands on what those before it did.
            for held in all.into_iter().rev().filter_map(|before| before.held) {
                self.undo(&held);
            }
            return Err(Box::new(checked));
        }
        Ok(all)
    }

    /// How an action of the bundle in force is asked about; nothing where it declares none of that name.
    pub fn form(&self, action: &str) -> Option<Form> {
        let bundle = self.bundle()?;
        let action = bundle.actions.get(action).filter(|action| !action.taskless)?;
        let args = action.args.iter().map(|(name, kind)| (name.clone(), word(*kind))).collect();
        Some(Form { resource_type: action.resource_type.clone(), args })
    }

    /// Whose a live task is: the identity that opened it.
    pub fn principal(&self, task: &str) -> Option<Arc<str>> {
        self.task(task).map(|task| Arc::clone(&task.principal))
    }

    /// Whether a live task's profile has any rule for an action: no permission, it says which doors are worth showing.
    pub fn has_rule(&self, task: &str, action: &str) -> bool {
        self.task(task).is_some_and(|task| task.profile.actions.contains_key(action) && task.may_do(action))
    }
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Long => "long",
        Kind::Decimal => "decimal",
        Kind::Bool => "bool",
        Kind::Texts => "strings",
        Kind::Any => "any",
    }
}
