//! One live task: small, and consistent under its own lock.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use crate::call::Now;
use crate::instances::Above;
use crate::intent::{Given, MemoryKey};
use crate::plan::Moves;
use crate::profile::Profile;
use crate::story::{Labels, Story};
use crate::value::Value;
use crate::verdict::{Reaction, Reason, words};

words! {
    /// Where a task stands.
    State {
        /// It may act.
        Open = "open",
        /// Reads go on, effects are refused.
        Frozen = "frozen",
        /// Waiting without privilege.
        Parked = "parked",
        /// Everything is refused until it is resumed.
        Suspended = "suspended",
        /// Final.
        Fenced = "fenced",
    }
}

impl State {
    /// The arrows of `flyball.task.task.ARROWS`; closing forgets the task here.
    pub(crate) const fn may_become(self, to: Self) -> bool {
        match self {
            Self::Open => !matches!(to, Self::Open),
            Self::Frozen => matches!(to, Self::Open | Self::Suspended | Self::Fenced),
            Self::Suspended | Self::Parked => matches!(to, Self::Open | Self::Fenced),
            Self::Fenced => false,
        }
    }

    /// Where a deviation takes a task.
    pub(crate) fn after(self, reaction: Reaction) -> Self {
        let to = match reaction {
            Reaction::Deny => return self,
            Reaction::Freeze => Self::Frozen,
            Reaction::Suspend => Self::Suspended,
            Reaction::Revoke | Reaction::Quarantine => Self::Fenced,
        };
        if self.may_become(to) { to } else { self }
    }
}

/// An agent, shared by its tasks.
#[derive(Debug)]
pub(crate) struct Agent {
    pub(crate) name: Arc<str>,
    pub(crate) owner: Arc<str>,
    /// Set while all of its tasks are being fenced, so that none slips through meanwhile.
    pub(crate) stopping: AtomicBool,
    /// When its quota of checks is whole again, in microseconds of monotonic time.
    pub(crate) quota: AtomicI64,
}

impl Agent {
    /// Take one check from the quota: `rate` a second, with one second's worth in hand.
    pub(crate) fn take(&self, rate: u32, now: Now) -> bool {
        let now = now.mono_ms.saturating_mul(1000);
        let each = 1_000_000 / i64::from(rate.max(1));
        let take = |whole: i64| {
            let next = whole.max(now).saturating_add(each);
            (next.saturating_sub(now) <= 1_000_000).then_some(next)
        };
        self.quota.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// One input of a task.
#[derive(Debug)]
pub(crate) struct Input {
    pub(crate) value: Value<'static>,
    /// Who says so: an issuer, or `declared` by the agent itself.
    pub(crate) vouched_by: Arc<str>,
}

/// What a charge moved in the task's own counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// (slot, amount in 1/10000ths)
    pub(crate) slots: Vec<(u16, i64)>,
}

/// An allowed decision whose result may still be reported, or charge returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) k: u64,
    pub(crate) epoch: u32,
    pub(crate) reported: bool,
    /// Nothing any more, once its result stands in the records.
    pub(crate) call: Option<Box<Asked>>,
}

/// The call of such a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) charge: Charge,
    pub(crate) pep: Arc<str>,
    pub(crate) action: Arc<str>,
    pub(crate) rule: Arc<str>,
    /// What else is given back where the call did not happen: its place among the watched actions, its
    /// entries of plans.
    pub(crate) done: Option<u16>,
    pub(crate) plan: Moves,
    /// Arguments that choose rows of its own result, as JSON.
    pub(crate) cited: Option<Box<[u8]>>,
}

/// Decisions remembered for reports, at most.
pub(crate) const PENDING: usize = 256;

/// What changes with each decision.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) state: State,
    /// The last change of labels of instances that it has seen.
    pub(crate) seen: u32,
    /// Number of the last decision in this epoch.
    pub(crate) k: u64,
    /// By slot of the profile, in 1/10000ths.
    pub(crate) used: Box<[i64]>,
    /// Only where some enforcement point reports.
    #[allow(clippy::box_collection, reason = "a task without any pays 8 bytes for it and not 32")]
    pub(crate) pending: Option<Box<VecDeque<Pending>>>,
    pub(crate) labels: Labels,
    /// Only where it has done something that is more than counted.
    pub(crate) story: Option<Box<Story>>,
}

impl Live {
    /// Nothing done yet.
    pub(crate) fn new(state: State, slots: usize) -> Self {
        Self {
            state,
            seen: 0,
            k: 0,
            used: vec![0; slots].into_boxed_slice(),
            pending: None,
            labels: Labels::default(),
            story: None,
        }
    }

    /// What it has done, begun where it is empty.
    pub(crate) fn story(&mut self) -> &mut Story {
        self.story.get_or_insert_default()
    }

    /// Add (or with `-1` take back) a charge.
    pub(crate) fn charge(&mut self, charge: &Charge, sign: i64) {
        for (slot, amount) in &charge.slots {
            if let Some(used) = self.used.get_mut(usize::from(*slot)) {
                *used = used.saturating_add(amount.saturating_mul(sign)).max(0);
            }
        }
    }

    /// Remember an allowed decision.
    pub(crate) fn remember(&mut self, pending: Pending) {
        let all = self.pending.get_or_insert_default();
        if all.len() >= PENDING {
            all.pop_front();
        }
        all.push_back(pending);
    }

    /// The remembered decision of that number.
    pub(crate) fn pending(&mut self, epoch: u32, k: u64) -> Option<&mut Pending> {
        self.pending.as_mut()?.iter_mut().find(|pending| pending.epoch == epoch && pending.k == k)
    }

    /// The result of a decision stands in the records.
    pub(crate) fn reported(&mut self, epoch: u32, k: u64) {
        if let Some(pending) = self.pending(epoch, k) {
            pending.reported = true;
            pending.call = None;
        }
    }

    /// Forget a decision.
    pub(crate) fn forget(&mut self, epoch: u32, k: u64) {
        if let Some(all) = self.pending.as_mut() {
            all.retain(|pending| pending.epoch != epoch || pending.k != k);
        }
    }
}

/// One live task.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) number: u128,
    pub(crate) agent: Arc<Agent>,
    pub(crate) principal: Arc<str>,
    /// Pinned: a new bundle does not change it.
    pub(crate) profile: Arc<Profile>,
    pub(crate) binding: Box<str>,
    /// By place in the profile's inputs.
    pub(crate) inputs: Box<[Option<Input>]>,
    pub(crate) key: [u8; 32],
    /// Monotonic milliseconds.
    pub(crate) hard_end: i64,
    pub(crate) heartbeat_ms: u32,
    /// When it counts as silent, in heard time: monotonic time less all deaf time.
    pub(crate) silent_at: AtomicI64,
    /// Only where its profile or its parent gives it any of this.
    pub(crate) bond: Option<Box<Bond>>,
    pub(crate) live: Mutex<Live>,
}

/// What few tasks have: an intent over arguments, an instance of its own, a parent.
#[derive(Debug, Default)]
pub(crate) struct Bond {
    /// What it was given, and the key to what it remembers.
    pub(crate) mind: Option<(Given, MemoryKey)>,
    /// Principal and instance.
    pub(crate) instance: Option<Arc<str>>,
    pub(crate) parent: Option<Arc<Task>>,
    pub(crate) depth: u8,
    /// Narrower than the profile.
    pub(crate) actions: Option<Box<[Box<str>]>>,
    /// By slot: what the parent gave.
    pub(crate) allotted: Option<Box<[i64]>>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Profile").field("name", &self.name).field("digest", &self.digest).finish_non_exhaustive()
    }
}

impl Task {
    /// What stands against a call for its time, if anything. `heard` is heard time.
    pub(crate) fn late(&self, now: Now, heard: i64) -> Option<Reason> {
        if now.mono_ms >= self.hard_end {
            return Some(Reason::TaskExpired);
        }
        (heard > self.silent_at.load(Ordering::Relaxed)).then_some(Reason::HeartbeatMissed)
    }

    /// What stands against a call for the task's state, if anything. Call it under the task's lock.
    pub(crate) fn standing(&self, state: State, write: bool) -> Option<Reason> {
        if state == State::Fenced || self.agent.stopping.load(Ordering::SeqCst) {
            return Some(Reason::TaskFenced);
        }
        match state {
            State::Suspended => Some(Reason::TaskSuspended),
            State::Parked => Some(Reason::TaskParked),
            State::Frozen if write => Some(Reason::TaskFrozen),
            _ => None,
        }
    }

    /// What it was given, and the key to what it remembers.
    pub(crate) fn mind(&self) -> Option<&(Given, MemoryKey)> {
        self.bond.as_ref()?.mind.as_ref()
    }

    /// Which run of the agent it is part of.
    pub(crate) fn instance(&self) -> &Arc<str> {
        self.bond.as_ref().and_then(|bond| bond.instance.as_ref()).unwrap_or(&self.principal)
    }

    /// Its parent, if it is a child.
    pub(crate) fn parent(&self) -> Option<&Arc<Self>> {
        self.bond.as_ref()?.parent.as_ref()
    }

    /// What it may spend under a counter, if its parent gave it less than the profile.
    pub(crate) fn allotted(&self, slot: usize) -> Option<i64> {
        self.bond.as_ref()?.allotted.as_ref()?.get(slot).copied()
    }

    /// Whether its parent left it the action.
    pub(crate) fn may_do(&self, action: &str) -> bool {
        let narrowed = self.bond.as_ref().and_then(|bond| bond.actions.as_ref());
        narrowed.is_none_or(|actions| actions.iter().any(|known| **known == *action))
    }

    /// Those above it, locked, the nearest first. Taken under its own lock: always upwards.
    pub(crate) fn above(&self) -> Vec<Above<'_>> {
        let mut out = Vec::new();
        let mut next = self.parent();
        while let Some(parent) = next {
            out.push((parent.as_ref(), parent.live.lock()));
            next = parent.parent();
        }
        out
    }

    /// Move along an arrow. Idempotent: `true` only if this call moved it.
    pub(crate) fn become_state(&self, to: State) -> bool {
        let mut live = self.live.lock();
        let may = live.state.may_become(to);
        if may {
            live.state = to;
        }
        may
    }

    /// The value of an input.
    pub(crate) fn input(&self, place: usize) -> Option<&Value<'static>> {
        self.inputs.get(place)?.as_ref().map(|input| &input.value)
    }
}
