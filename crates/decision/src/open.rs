//! Tasks enter: opened, or restored from their records.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::apply::own;
use crate::bundle::Bundle;
use crate::call::Now;
use crate::children::{MAX_DEPTH, allot, inherit, narrow, pass_labels};
use crate::fold::{Fold, Stored};
use crate::ids;
use crate::instances::{labelled, names};
use crate::intent::{Given, MemoryKey};
use crate::json::Json;
use crate::noted::Noted;
use crate::plane::{Plane, Refusal};
use crate::profile::Profile;
use crate::settle::plan as plan_of;
use crate::task::{Agent, Bond, Input, Live, State, Task};
use crate::value::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    principal: Cow<'a, str>,
    #[serde(borrow)]
    agent: Cow<'a, str>,
    #[serde(borrow)]
    owner: Cow<'a, str>,
    #[serde(borrow)]
    profile: Cow<'a, str>,
    #[serde(borrow)]
    profile_digest: Cow<'a, str>,
    #[serde(borrow, default)]
    inputs: Option<&'a serde_json::value::RawValue>,
    #[serde(default)]
    #[allow(dead_code, reason = "part of the spec; the plane needs the hard end only")]
    opened_ms: i64,
    hard_end_ms: i64,
    heartbeat_ms: u32,
    #[serde(borrow)]
    data_key: Cow<'a, str>,
    #[serde(borrow, default)]
    state: Option<Cow<'a, str>>,
    #[serde(borrow)]
    binding: Cow<'a, str>,
    /// Which run of the agent it is part of; by default all of its principal's are one.
    #[serde(borrow, default)]
    instance: Option<Cow<'a, str>>,
    /// What that run has touched before.
    #[serde(default)]
    labels: Vec<String>,
    #[serde(borrow, default)]
    plan: Option<&'a serde_json::value::RawValue>,
    #[serde(borrow, default)]
    parent: Option<Cow<'a, str>>,
    #[serde(default)]
    actions: Option<Vec<String>>,
    #[serde(borrow, default)]
    allot: Option<&'a serde_json::value::RawValue>,
}

fn malformed(what: &str) -> Refusal {
    Refusal::new("malformed", format!("this is no task: {what}"))
}

impl Plane {
    /// Put a task whose `task_opened` record is durable into the table. A child enters with its own record
    /// in its parent's stream: then that is to be written and confirmed.
    pub fn open(&self, spec: &[u8], now: Now) -> Result<Option<Noted>, Refusal> {
        let spec: Spec<'_> = serde_json::from_slice(spec).map_err(|error| malformed(&error.to_string()))?;
        let parent = spec.parent.as_deref().map(|parent| self.parent(parent)).transpose()?;
        let allotted = match &parent {
            Some(parent) => {
                let asked = spec.allot.map(|raw| Json::parse(raw.get().as_bytes())).transpose();
                let asked = asked.map_err(|_| malformed("what is allotted is not JSON"))?;
                Some(allot(parent, &parent.live.lock(), asked.as_ref())?)
            }
            None => None,
        };
        let (task, state) = self.read(&spec, parent.as_ref(), allotted.clone(), now)?;
        let mut live = task.live.lock();
        live.state = state;
        if let Some(plan) = spec.plan {
            let json = Json::parse(plan.get().as_bytes()).map_err(|_| malformed("its plan is not JSON"))?;
            live.story().plan = Some(Box::new(plan_of(&task.profile, &json)?));
        }
        drop(live);
        match (parent, allotted) {
            (Some(parent), Some(allotted)) => self.adopt(task, &parent, &allotted, now).map(Some),
            _ => self.insert(task, now).map(|()| None),
        }
    }

    /// Put a task back after a restart: apply the changes that stand in its records, in order, each with
    /// what is sealed beside it. It gets one heartbeat interval, never past its hard end. A child whose
    /// parent is not there, or never recorded it, is fenced.
    pub fn restore(&self, spec: &[u8], records: &[Stored<'_>], now: Now) -> Result<(), Refusal> {
        let spec: Spec<'_> = serde_json::from_slice(spec).map_err(|error| malformed(&error.to_string()))?;
        let number = ids::parse_task(&self.cfg.cell, &spec.id);
        if number.is_some_and(|number| self.tasks.pin().contains_key(&number)) {
            return Err(Refusal::new("task_exists", "this task is in the table already"));
        }
        let parent = spec.parent.as_deref().and_then(|parent| self.parent(parent).ok());
        let allotted = parent.as_ref().and_then(|parent| {
            let live = parent.live.lock();
            let children = &live.story.as_deref()?.children;
            children.iter().find(|child| Some(child.number) == number).map(|child| child.allotted.clone())
        });
        let orphan = spec.parent.is_some() && allotted.is_none();
        let (task, state) = self.read(&spec, parent.as_ref(), allotted, now)?;
        let bundle = self.bundle();
        let reports = |name: &str| {
            let of = |bundle: &Bundle| bundle.peps.by_name(name).is_some_and(|pep| pep.may_report);
            bundle.as_ref().is_some_and(|bundle| of(bundle) || task.profile.reports() && own(bundle, name))
        };
        let mut live = task.live.lock();
        let mut above = task.above();
        let (cell, epoch) = (self.cfg.cell.as_str(), self.cfg.epoch);
        if let Some(plan) = spec.plan {
            let json = Json::parse(plan.get().as_bytes()).map_err(|_| malformed("its plan is not JSON"))?;
            live.story().plan = Some(Box::new(plan_of(&task.profile, &json)?));
        }
        let fold = Fold { plane: self, cell, epoch, id: &spec.id, task: &task, reports: &reports };
        fold.run(&mut live, &mut above, records).map_err(|what| Refusal::new("record_malformed", what))?;
        // The store may have fenced it in words that are not the plane's; what is final there is final here.
        let lost = orphan || above.iter().any(|(_, parent)| parent.state == State::Fenced);
        if state == State::Fenced || lost {
            live.state = State::Fenced;
        }
        if let Some((parent, theirs)) = above.first() {
            pass_labels(parent, theirs, &mut live);
        }
        drop(above);
        drop(live);
        self.insert(task, now)
    }

    fn parent(&self, id: &str) -> Result<Arc<Task>, Refusal> {
        self.task(id).ok_or_else(|| Refusal::new("parent_unknown", "the parent is not live here"))
    }

    /// What few tasks have.
    fn bond(
        &self,
        spec: &Spec<'_>,
        profile: &Profile,
        inputs: &mut [Option<Input>],
        key: &[u8; 32],
        parent: Option<&Arc<Task>>,
        allotted: Option<Box<[i64]>>,
    ) -> Result<Option<Box<Bond>>, Refusal> {
        let mut bond = Bond { allotted, ..Bond::default() };
        if let Some(parent) = parent {
            if parent.profile.digest != profile.digest {
                return Err(Refusal::new("child_profile", "a child runs its parent's profile"));
            }
            bond.depth = parent.bond.as_ref().map_or(0, |bond| bond.depth).saturating_add(1);
            if bond.depth > MAX_DEPTH {
                return Err(Refusal::new("child_too_deep", "a task has four generations of children at most"));
            }
            inherit(parent, inputs)?;
            bond.actions = narrow(parent, spec.actions.clone())?;
            bond.parent = Some(Arc::clone(parent));
        } else if spec.parent.is_none() && (spec.actions.is_some() || spec.allot.is_some()) {
            return Err(malformed("only a child is narrowed"));
        }
        if let Some(instance) = &spec.instance {
            bond.instance = Some(self.text(&format!("{}\0{instance}", spec.principal)));
        }
        if profile.minded() {
            let key = MemoryKey::new(key);
            bond.mind = Some((Given::new(&profile.program, inputs, &key), key));
        }
        let plain = bond.mind.is_none() && bond.instance.is_none() && bond.parent.is_none();
        Ok((!plain).then(|| Box::new(bond)))
    }

    fn read(
        &self,
        spec: &Spec<'_>,
        parent: Option<&Arc<Task>>,
        allotted: Option<Box<[i64]>>,
        now: Now,
    ) -> Result<(Task, State), Refusal> {
        let number =
            ids::parse_task(&self.cfg.cell, &spec.id).ok_or_else(|| malformed("its id is not of this cell"))?;
        let profile = self.profile(&spec.profile, &spec.profile_digest)?;
        let inputs = spec.inputs.map_or("{}", serde_json::value::RawValue::get);
        let mut inputs = self.inputs(&profile, inputs)?;
        let key = STANDARD.decode(spec.data_key.as_bytes()).map_err(|_| malformed("its data key is not base64"))?;
        let key: [u8; 32] = key.try_into().map_err(|_| malformed("its data key is not 32 bytes"))?;
        let state = match spec.state.as_deref() {
            None => State::Open,
            Some(word) => State::parse(word).ok_or_else(|| malformed("its state is unknown"))?,
        };
        if !(spec.binding.starts_with("jkt:") || spec.binding.starts_with("uid:")) {
            return Err(malformed("its binding is neither `jkt:` nor `uid:`"));
        }
        if spec.heartbeat_ms == 0 {
            return Err(malformed("its heartbeat is no time"));
        }
        let silent_at = self.heard(now).saturating_add(i64::from(spec.heartbeat_ms));
        let mut live = Live::new(state, profile.slots.len());
        let labels = labelled(&profile.program, &mut live, spec.labels.iter().map(AsRef::as_ref));
        live.labels.settle(labels.ok_or_else(|| malformed("it starts with more labels than a task can have"))?);
        let bond = self.bond(spec, &profile, &mut inputs, &key, parent, allotted)?;
        let hard_end = now.mono_ms.saturating_add(spec.hard_end_ms.saturating_sub(now.wall_ms));
        let task = Task {
            number,
            agent: self.agent(&spec.agent, &spec.owner),
            principal: self.text(&spec.principal),
            profile,
            binding: Box::from(spec.binding.as_ref()),
            inputs,
            key,
            hard_end: parent.map_or(hard_end, |parent| hard_end.min(parent.hard_end)),
            heartbeat_ms: spec.heartbeat_ms,
            silent_at: AtomicI64::new(silent_at),
            bond,
            live: Mutex::new(live),
        };
        Ok((task, state))
    }

    pub(crate) fn insert(&self, task: Task, now: Now) -> Result<(), Refusal> {
        let number = task.number;
        let deaf = now.mono_ms.saturating_sub(self.heard(now));
        let at = task.silent_at.load(Ordering::Relaxed).saturating_add(deaf).min(task.hard_end);
        if task.agent.stopping.load(Ordering::SeqCst) {
            return Err(Refusal::new("task_fenced", "every task of this agent is being fenced"));
        }
        let instance = Arc::clone(task.instance());
        self.instances.enter(&instance);
        let entered = self.enter(task);
        if entered.is_err() {
            self.instances.leave(&instance);
            return entered;
        }
        self.wheel.lock().put(at, number);
        Ok(())
    }

    /// Into the table, with what its instance has touched.
    fn enter(&self, task: Task) -> Result<(), Refusal> {
        let mut live = task.live.lock();
        // What it starts with, its instance has touched; and the other way round.
        let names: Vec<String> =
            names(&task.profile.program, live.story.as_deref(), live.labels.all).map(str::to_owned).collect();
        if !names.is_empty() {
            self.instances.attach(task.instance(), names.iter().map(String::as_str));
        }
        self.catch_up(&task, &mut live)
            .ok_or_else(|| malformed("its instance has more labels than a task can have"))?;
        drop(live);
        let number = task.number;
        if self.tasks.pin().try_insert(number, Arc::new(task)).is_err() {
            return Err(Refusal::new("task_exists", "this task is in the table already"));
        }
        Ok(())
    }

    /// The pinned profile: of the bundle in force, or of a live task that pinned it before.
    fn profile(&self, name: &str, digest: &str) -> Result<Arc<Profile>, Refusal> {
        let bundle = self.bundle().ok_or_else(|| Refusal::new("bundle_not_loaded", "no bundle is loaded"))?;
        let found = bundle.profiles.get(digest).filter(|profile| profile.name.as_ref() == name);
        found
            .map(Arc::clone)
            .ok_or_else(|| Refusal::new("profile_unknown", "the bundle has no profile of that name and digest"))
    }

    fn inputs(&self, profile: &Profile, text: &str) -> Result<Box<[Option<Input>]>, Refusal> {
        let json = Json::parse(text.as_bytes()).map_err(|_| malformed("its inputs are no object"))?;
        let Json::Object(members) = &json else { return Err(malformed("its inputs are no object")) };
        let mut out: Vec<Option<Input>> = profile.inputs.iter().map(|_| None).collect();
        for (name, given) in members {
            let place = profile.inputs.iter().position(|(input, _)| input.as_ref() == name);
            let (Some(slot), Some((_, kind))) =
                (place.and_then(|place| out.get_mut(place)), place.and_then(|place| profile.inputs.get(place)))
            else {
                return Err(malformed("an input that its profile does not have"));
            };
            let value = given.get("value").and_then(|value| Value::lenient(*kind, value));
            let value = value.ok_or_else(|| malformed("an input is not of its type"))?;
            if let (Value::Text(text), Some(place)) = (&value, place)
                && !profile.program.admits(place, text)
            {
                return Err(malformed("an input is not of its type"));
            }
            let vouched_by = given.get("vouched_by").and_then(Json::text).unwrap_or("declared");
            *slot = Some(Input { value: value.into_owned(), vouched_by: self.text(vouched_by) });
        }
        Ok(out.into_boxed_slice())
    }

    /// The one copy of a text that many tasks share.
    fn text(&self, text: &str) -> Arc<str> {
        let mut texts = self.texts.lock();
        if let Some(known) = texts.get(text) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(text);
        texts.insert(Arc::clone(&new));
        new
    }

    fn agent(&self, name: &str, owner: &str) -> Arc<Agent> {
        let (name, owner) = (self.text(name), self.text(owner));
        let mut agents = self.agents.lock();
        let key = (name, owner);
        if let Some(known) = agents.get(&key) {
            return Arc::clone(known);
        }
        let new = Arc::new(Agent {
            name: Arc::clone(&key.0),
            owner: Arc::clone(&key.1),
            stopping: AtomicBool::new(false),
            quota: AtomicI64::new(0),
        });
        agents.insert(key, Arc::clone(&new));
        new
    }
}
