//! The live plane: the table of tasks, the bundle in force, and what moves a task.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use ahash::{AHashMap, RandomState};
use flyball_httpcall::Routes;
use parking_lot::{Mutex, RwLock};

use crate::bundle::Bundle;
use crate::call::Now;
use crate::counters::Counters;
use crate::diagnostic::{LoadError, LoadReport};
use crate::events::{Events, Waker};
use crate::ids;
use crate::instances::Instances;
use crate::pep::PepTable;
use crate::task::{Agent, State, Task};
use crate::verdict::Reason;
use crate::wheel::Wheel;

/// What a plane is made with.
#[derive(Clone)]
pub struct PlaneConfig {
    /// The cell, as it stands in ids.
    pub cell: String,
    /// This node's name.
    pub node: String,
    /// This node's epoch: grows with every start, and stays below 2^31.
    pub epoch: u32,
    /// Keys the counters across tasks.
    pub deployment_key: [u8; 32],
}

/// What could not be done, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// One word.
    pub code: &'static str,
    /// For people.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    pub(crate) fn unknown() -> Self {
        Self::new("task_unknown", "no such task is live here")
    }
}

/// Time out of which a task is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Its heartbeat is missed.
    HeartbeatMissed,
    /// Its hard end has come.
    HardEnd,
}

impl Due {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HeartbeatMissed => "heartbeat_missed",
            Self::HardEnd => "hard_end",
        }
    }
}

/// Agents by name and owner.
type Agents = AHashMap<(Arc<str>, Arc<str>), Arc<Agent>>;

/// Told a task's id from the moment it is fenced. Called on the thread that fences: must not block.
pub type FenceHook = Box<dyn Fn(&str) + Send + Sync>;

/// A due task is told again after this long, until it is fenced.
const TELL_AGAIN_MS: i64 = 1000;

/// The live decision plane. Shared by reference between threads.
pub struct Plane {
    pub(crate) cfg: PlaneConfig,
    pub(crate) tasks: papaya::HashMap<u128, Arc<Task>, RandomState>,
    pub(crate) bundle: RwLock<Option<Arc<Bundle>>>,
    pub(crate) agents: Mutex<Agents>,
    /// Texts that many tasks share.
    pub(crate) texts: Mutex<ahash::AHashSet<Arc<str>>>,
    pub(crate) counters: Counters,
    pub(crate) events: Events,
    /// Those who hold something open for tasks.
    hooks: RwLock<Vec<FenceHook>>,
    pub(crate) wheel: Mutex<Wheel>,
    pub(crate) instances: Instances,
    /// Hard reactions of late, by profile.
    pub(crate) hard: Mutex<AHashMap<Arc<str>, VecDeque<i64>>>,
    /// Milliseconds in which nobody could have been heard.
    pub(crate) deaf: AtomicI64,
    /// Number of the last decision without a task.
    pub(crate) taskless: AtomicU64,
    /// Answers, by reason.
    pub(crate) answers: Vec<AtomicU64>,
    /// Denials that went unrecorded, by reason.
    pub(crate) gaps: Vec<AtomicU64>,
}

impl Plane {
    /// An empty plane: every check is refused until a bundle is loaded.
    pub fn new(cfg: PlaneConfig) -> Self {
        let counts = || Reason::ALL.iter().map(|_| AtomicU64::new(0)).collect();
        Self {
            counters: Counters::new(&cfg.deployment_key),
            cfg,
            tasks: papaya::HashMap::builder().hasher(RandomState::new()).build(),
            bundle: RwLock::new(None),
            agents: Mutex::default(),
            texts: Mutex::default(),
            events: Events::default(),
            hooks: RwLock::default(),
            wheel: Mutex::default(),
            instances: Instances::default(),
            hard: Mutex::default(),
            deaf: AtomicI64::new(0),
            taskless: AtomicU64::new(0),
            answers: counts(),
            gaps: counts(),
        }
    }

    /// Validate a compiled bundle and swap it in whole; on an error the one in force stays.
    pub fn load(&self, compiled: &[u8]) -> Result<LoadReport, LoadError> {
        let (bundle, report) = Bundle::load(compiled)?;
        // The old one is dropped outside the lock: that can take a while.
        let old = self.bundle.write().replace(Arc::new(bundle));
        drop(old);
        Ok(report)
    }

    /// Validate only.
    pub fn validate(compiled: &[u8]) -> Result<LoadReport, LoadError> {
        Bundle::load(compiled).map(|(_, report)| report)
    }

    /// The bundle in force.
    pub(crate) fn bundle(&self) -> Option<Arc<Bundle>> {
        self.bundle.read().clone()
    }

    /// The declared enforcement points.
    pub fn peps(&self) -> Arc<PepTable> {
        self.bundle().map_or_else(Arc::default, |bundle| Arc::clone(&bundle.peps))
    }

    /// Which HTTP requests are which action.
    pub fn routes(&self) -> Arc<Routes> {
        self.bundle().map_or_else(Arc::default, |bundle| Arc::clone(&bundle.routes))
    }

    /// Whether a bundle is loaded: without one every check is refused.
    pub fn is_ready(&self) -> bool {
        self.bundle.read().is_some()
    }

    /// A live task.
    pub(crate) fn task(&self, id: &str) -> Option<Arc<Task>> {
        let number = ids::parse_task(&self.cfg.cell, id)?;
        self.tasks.pin().get(&number).cloned()
    }

    /// Principal and agent of a live task: what a request's subject may be called.
    pub fn names_of(&self, task: &str) -> Option<(Arc<str>, Arc<str>)> {
        let task = self.task(task)?;
        Some((Arc::clone(&task.principal), Arc::clone(&task.agent.name)))
    }

    /// Set a counter across tasks to what stands in the store. `used` in 1/10000ths.
    pub fn set_counter(&self, key: &str, unit: &str, used: i64) {
        self.counters.set(key, unit, used);
    }

    /// Monotonic time without the time in which nobody could have been heard.
    pub(crate) fn heard(&self, now: Now) -> i64 {
        now.mono_ms.saturating_sub(self.deaf.load(Ordering::Relaxed))
    }

    /// Count a heartbeat; milliseconds until the next is due. A late one is refused: the task is
    /// as good as fenced.
    pub fn heartbeat(&self, task: &str, now: Now) -> Result<i64, Refusal> {
        let task = self.task(task).ok_or_else(Refusal::unknown)?;
        let heard = self.heard(now);
        let live = task.live.lock();
        if live.state == State::Fenced {
            return Err(Refusal::new("task_fenced", "the task is fenced; that is final"));
        }
        if let Some(late) = task.late(now, heard) {
            return Err(Refusal::new(late.as_str(), "the task's time is over"));
        }
        let next = i64::from(task.heartbeat_ms);
        task.silent_at.store(heard.saturating_add(next), Ordering::Relaxed);
        drop(live);
        Ok(next.min(task.hard_end.saturating_sub(now.mono_ms)))
    }

    /// Nobody could be heard for `ms`: heartbeat deadlines move by that, hard ends do not.
    pub fn deaf(&self, ms: i64) {
        self.deaf.fetch_add(ms.max(0), Ordering::Relaxed);
    }

    /// Tasks whose time has come. Told again every second until they are fenced.
    pub fn due(&self, now: Now, limit: usize) -> Vec<(String, Due)> {
        let mut out = Vec::new();
        let heard = self.heard(now);
        let deaf = now.mono_ms.saturating_sub(heard);
        let mut wheel = self.wheel.lock();
        let mut again = Vec::new();
        while out.len() < limit {
            let Some(number) = wheel.next(now.mono_ms) else { break };
            let Some(task) = self.tasks.pin().get(&number).cloned() else { continue };
            if task.live.lock().state == State::Fenced {
                continue;
            }
            let silent_at = task.silent_at.load(Ordering::Relaxed);
            let due = if now.mono_ms >= task.hard_end {
                Due::HardEnd
            } else if heard > silent_at {
                Due::HeartbeatMissed
            } else {
                again.push((silent_at.saturating_add(deaf).min(task.hard_end), number));
                continue;
            };
            out.push((ids::task(&self.cfg.cell, number), due));
            again.push((now.mono_ms.saturating_add(TELL_AGAIN_MS), number));
        }
        for (at, number) in again {
            wheel.put(at, number);
        }
        out
    }

    /// Call `hook` for every task that is fenced from now on, whoever fences it: the way for those who hold
    /// connections open for tasks. It may be told a task twice.
    pub fn on_fence(&self, hook: FenceHook) {
        self.hooks.write().push(hook);
    }

    /// A task was fenced. No lock of a task is held here.
    pub(crate) fn tell_fenced(&self, number: u128) {
        let hooks = self.hooks.read();
        if !hooks.is_empty() {
            let id = ids::task(&self.cfg.cell, number);
            hooks.iter().for_each(|hook| hook(&id));
        }
    }

    fn become_state(&self, task: &str, to: State) -> bool {
        self.task(task).is_some_and(|task| task.become_state(to))
    }

    /// Refuse everything until resumed.
    pub fn suspend(&self, task: &str) -> bool {
        self.become_state(task, State::Suspended)
    }

    /// Wait without privilege until resumed.
    pub fn park(&self, task: &str) -> bool {
        self.become_state(task, State::Parked)
    }

    /// Refuse effects until resumed.
    pub fn freeze(&self, task: &str) -> bool {
        self.become_state(task, State::Frozen)
    }

    /// Open again. A fenced task stays fenced.
    pub fn resume(&self, task: &str) -> bool {
        self.become_state(task, State::Open)
    }

    /// Fence for good, and every child with it. From its return on no check of them is allowed; `true` if
    /// this call did it.
    pub fn fence(&self, task: &str) -> bool {
        let Some(task) = self.task(task) else { return false };
        let did = task.become_state(State::Fenced);
        self.tell_fenced(task.number);
        self.fence_children(&task);
        did
    }

    /// Fence every task of an agent; those that this call fenced.
    pub fn fence_agent(&self, agent: &str) -> Vec<String> {
        self.fence_where(|one| one.name.as_ref() == agent)
    }

    /// Fence every task of an owner's agents; those that this call fenced.
    pub fn fence_owner(&self, owner: &str) -> Vec<String> {
        self.fence_where(|one| one.owner.as_ref() == owner)
    }

    fn fence_where(&self, is: impl Fn(&Agent) -> bool) -> Vec<String> {
        let agents: Vec<Arc<Agent>> = self.agents.lock().values().filter(|one| is(one)).map(Arc::clone).collect();
        // At once for all of them; the table is walked after.
        for agent in &agents {
            agent.stopping.store(true, Ordering::SeqCst);
        }
        let mut out = Vec::new();
        for (number, task) in &self.tasks.pin() {
            if is(&task.agent) && task.become_state(State::Fenced) {
                self.tell_fenced(*number);
                out.push(ids::task(&self.cfg.cell, *number));
            }
            if is(&task.agent) {
                self.fence_children(task);
            }
        }
        for agent in &agents {
            agent.stopping.store(false, Ordering::SeqCst);
        }
        out
    }

    /// Forget a fenced task; any other stays. A child's [`Plane::returning`] comes before it.
    pub fn close(&self, task: &str) -> bool {
        let Some(task) = self.task(task) else { return false };
        let live = task.live.lock();
        if live.state != State::Fenced {
            return false;
        }
        let missing = crate::view::missing(&task.profile, live.story.as_deref());
        if !missing.is_empty() {
            self.events.must_missing(&ids::task(&self.cfg.cell, task.number), &missing);
        }
        drop(live);
        if self.tasks.pin().remove(&task.number).is_none() {
            return false;
        }
        self.instances.leave(task.instance());
        let mut texts = self.texts.lock();
        let instance = task.bond.as_ref().and_then(|bond| bond.instance.as_ref());
        for text in std::iter::once(&task.principal).chain(instance) {
            // Nobody but the set, this task and this copy has it: the last task that used it is going.
            if Arc::strong_count(text) <= 2 {
                texts.remove(text);
            }
        }
        true
    }

    /// The live tasks, of one agent or owner if given.
    pub fn tasks(&self, agent: Option<&str>, owner: Option<&str>) -> Vec<String> {
        let wanted = |one: &Agent| {
            agent.is_none_or(|name| one.name.as_ref() == name) && owner.is_none_or(|name| one.owner.as_ref() == name)
        };
        let mut numbers: Vec<u128> =
            self.tasks.pin().iter().filter(|(_, task)| wanted(&task.agent)).map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|number| ids::task(&self.cfg.cell, number)).collect()
    }

    /// The one task of a principal that is not fenced, or else its one fenced task; None where it has none or
    /// several. It looks at every task of the table.
    pub fn only_task_of(&self, principal: &str) -> Option<String> {
        let guard = self.tasks.pin();
        let own: Vec<_> = guard.iter().filter(|(_, task)| *task.principal == *principal).collect();
        let (fenced, open): (Vec<_>, Vec<_>) =
            own.into_iter().partition(|(_, task)| task.live.lock().state == State::Fenced);
        match (open.as_slice(), fenced.as_slice()) {
            ([(number, _)], _) | ([], [(number, _)]) => Some(ids::task(&self.cfg.cell, **number)),
            _ => None,
        }
    }

    /// Take events for the control plane: JSON objects.
    pub fn take_events(&self, most: usize) -> Vec<Vec<u8>> {
        self.events.take(most)
    }

    /// Called whenever there is an event; must not block.
    pub fn set_waker(&self, waker: Waker) {
        self.events.set_waker(waker);
    }

    /// Count a denial that could not be recorded (a refusal of the edge's own, a buffered record that failed).
    pub fn count_gap(&self, reason: Reason) {
        count(&self.gaps, reason);
    }
}

/// One more of that reason.
pub(crate) fn count(counts: &[AtomicU64], reason: Reason) {
    if let Some(count) = counts.get(reason as usize) {
        count.fetch_add(1, Ordering::Relaxed);
    }
}
