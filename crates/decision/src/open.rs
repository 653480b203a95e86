//! Tasks enter: opened, or restored from their records.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use serde::Deserialize;

use crate::call::Now;
use crate::fold::Fold;
use crate::ids;
use crate::json::Json;
use crate::plane::{Plane, Refusal};
use crate::profile::Profile;
use crate::task::{Agent, Input, Live, State, Task};
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
}

fn malformed(what: &str) -> Refusal {
    Refusal::new("malformed", format!("this is no task: {what}"))
}

impl Plane {
    /// Put a task whose `task_opened` record is durable into the table.
    pub fn open(&self, spec: &[u8], now: Now) -> Result<(), Refusal> {
        let (task, state) = self.read(spec, now)?;
        task.live.lock().state = state;
        self.insert(task, now)
    }

    /// Put a task back after a restart: apply the changes that stand in its records, in order. It
    /// gets one heartbeat interval, never past its hard end.
    pub fn restore(&self, spec: &[u8], records: &[&[u8]], now: Now) -> Result<(), Refusal> {
        let (task, state) = self.read(spec, now)?;
        let peps = self.peps();
        let reports = |name: &str| peps.by_name(name).is_some_and(|pep| pep.may_report);
        let mut live = task.live.lock();
        let (cell, epoch) = (self.cfg.cell.as_str(), self.cfg.epoch);
        let fold = Fold { cell, epoch, task: task.number, profile: &task.profile, reports: &reports };
        fold.run(&mut live, records).map_err(|what| Refusal::new("record_malformed", what))?;
        // The store may have fenced it in words that are not the plane's; what is final there is final here.
        if state == State::Fenced {
            live.state = State::Fenced;
        }
        drop(live);
        self.insert(task, now)
    }

    fn read(&self, spec: &[u8], now: Now) -> Result<(Task, State), Refusal> {
        let spec: Spec<'_> = serde_json::from_slice(spec).map_err(|error| malformed(&error.to_string()))?;
        let number =
            ids::parse_task(&self.cfg.cell, &spec.id).ok_or_else(|| malformed("its id is not of this cell"))?;
        let profile = self.profile(&spec.profile, &spec.profile_digest)?;
        let inputs = spec.inputs.map_or("{}", serde_json::value::RawValue::get);
        let inputs = self.inputs(&profile, inputs)?;
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
        let live = Live { state, k: 0, used: vec![0; profile.slots.len()].into_boxed_slice(), pending: None };
        let task = Task {
            number,
            agent: self.agent(&spec.agent, &spec.owner),
            principal: self.text(&spec.principal),
            profile,
            binding: Box::from(spec.binding.as_ref()),
            inputs,
            key,
            hard_end: now.mono_ms.saturating_add(spec.hard_end_ms.saturating_sub(now.wall_ms)),
            heartbeat_ms: spec.heartbeat_ms,
            silent_at: AtomicI64::new(silent_at),
            live: Mutex::new(live),
        };
        Ok((task, state))
    }

    fn insert(&self, task: Task, now: Now) -> Result<(), Refusal> {
        let number = task.number;
        let deaf = now.mono_ms.saturating_sub(self.heard(now));
        let at = task.silent_at.load(Ordering::Relaxed).saturating_add(deaf).min(task.hard_end);
        if task.agent.stopping.load(Ordering::SeqCst) {
            return Err(Refusal::new("task_fenced", "every task of this agent is being fenced"));
        }
        if self.tasks.pin().try_insert(number, Arc::new(task)).is_err() {
            return Err(Refusal::new("task_exists", "this task is in the table already"));
        }
        self.wheel.lock().put(at, number);
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
