//! What is to be seen of a task and of the plane: names and numbers, never an argument, a value or a key.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::approval::Approval;
use crate::call::Now;
use crate::ids;
use crate::instances::names;
use crate::plan::Plan;
use crate::plane::Plane;
use crate::profile::{Deviation, Profile};
use crate::record::{Body, list, pair};
use crate::story::{Breaches, Reports, Story};
use crate::task::Task;
use crate::value::write_decimal;
use crate::verdict::Reason;
use crate::write::{write_int, write_text};

/// What the profile's `must` still wants of a task.
pub(crate) fn missing<'a>(profile: &'a Profile, story: Option<&Story>) -> Vec<&'a str> {
    let done = |action: &str| {
        let place = profile.watched().iter().position(|watched| **watched == *action);
        place.is_some_and(|place| story.is_some_and(|story| story.done(place) > 0))
    };
    profile.must.iter().map(AsRef::as_ref).filter(|action| !done(action)).collect()
}

/// Append breaches by kind.
pub(crate) fn breaches(body: &mut Body, breaches: &Breaches) {
    let mut named: Vec<(&str, u32)> = Deviation::ALL.iter().map(|kind| kind.as_str()).zip(*breaches).collect();
    named.retain(|(_, count)| *count > 0);
    named.sort_unstable();
    if !named.is_empty() {
        object(body.name("breaches"), named.into_iter(), |out, count| write_int(out, i64::from(count)));
    }
}

fn plan(out: &mut Vec<u8>, plan: &Plan) {
    list(out, &plan.entries, |out, entry| {
        let mut body = Body::new(64);
        body.text("action", &entry.action);
        body.int("count", i64::from(entry.count));
        body.int("left", i64::from(entry.left()));
        out.extend_from_slice(&body.done());
    });
}

fn approval(task: &str, one: &Approval, wall_ms: i64) -> Vec<u8> {
    let mut body = Body::new(384);
    body.text("action", &one.action);
    body.int("asked_ms", one.asked_ms);
    body.text("call", &one.call);
    body.text("decision", &one.reference);
    body.text("kind", one.kind.as_str());
    pair(body.name("resource"), "id", &one.resource.1, "type", &one.resource.0);
    body.text("rule", &one.rule);
    body.text("state", one.standing(wall_ms).as_str());
    body.text("task", task);
    body.int("until_ms", one.until_ms);
    body.done()
}

impl Plane {
    /// What is asked for, of one task or of all: JSON objects.
    pub fn approvals(&self, task: Option<&str>, now: Now) -> Vec<Vec<u8>> {
        let mut tasks: Vec<Arc<Task>> = match task {
            Some(task) => self.task(task).into_iter().collect(),
            None => self.tasks.pin().values().cloned().collect(),
        };
        tasks.sort_unstable_by_key(|task| task.number);
        let mut out = Vec::new();
        for task in tasks {
            let live = task.live.lock();
            let Some(story) = live.story.as_deref() else { continue };
            let id = ids::task(&self.cfg.cell, task.number);
            out.extend(story.approvals.iter().map(|one| approval(&id, one, now.wall_ms)));
        }
        out
    }

    /// What a task has touched and done, as JSON: no value of an argument or a result.
    pub fn memory_json(&self, task: &str, now: Now) -> Option<Vec<u8>> {
        let found = self.task(task)?;
        let mut live = found.live.lock();
        // What it cannot take on stands against it at its next check.
        let _ = self.catch_up(&found, &mut live);
        let program = &found.profile.program;
        let empty = Story::default();
        let story = live.story.as_deref().unwrap_or(&empty);
        let mut body = Body::new(768);
        let approvals: Vec<&Approval> = story.approvals.iter().collect();
        list(body.name("approvals"), &approvals, |out, one| out.extend_from_slice(&approval(task, one, now.wall_ms)));
        let mut counts: Vec<(&str, u32)> = Deviation::ALL.iter().map(|k| k.as_str()).zip(story.breaches).collect();
        counts.retain(|(_, count)| *count > 0);
        counts.sort_unstable();
        object(body.name("breaches"), counts.into_iter(), |out, count| write_int(out, i64::from(count)));
        body.int("bytes", i64::try_from(story.memory.bytes()).unwrap_or(i64::MAX));
        body.list_of("children", story.children.iter().map(|child| ids::task(&self.cfg.cell, child.number)));
        let watched = found.profile.watched();
        let mut done: Vec<(&str, u32)> =
            watched.iter().enumerate().map(|(place, action)| (action.as_ref(), story.done(place))).collect();
        done.sort_unstable();
        object(body.name("done"), done.into_iter(), |out, count| write_int(out, i64::from(count)));
        body.int("entries", i64::try_from(story.memory.len()).unwrap_or(i64::MAX));
        body.bool("full", story.memory.full());
        body.text("instance", found.instance().rsplit('\0').next().unwrap_or_default());
        body.list("labels", names(program, Some(story), live.labels.all));
        body.list("missing", missing(&found.profile, Some(story)).into_iter());
        if let Some(parent) = found.parent() {
            body.text("parent", &ids::task(&self.cfg.cell, parent.number));
        }
        match &story.plan {
            None => body.name("plan").extend_from_slice(b"null"),
            Some(declared) => plan(body.name("plan"), declared),
        }
        list(body.name("results"), &story.reports, |out, one| {
            let Reports { action, pep, n, kept } = one;
            let mut row = Body::new(128);
            row.text("action", action);
            row.list("by", names(program, Some(story), program.static_labels(action)));
            row.int("kept", i64::from(*kept));
            row.int("n", i64::from(*n));
            row.text("pep", pep);
            out.extend_from_slice(&row.done());
        });
        body.text("task", task);
        Some(body.done())
    }

    /// A live task as JSON: names, state, counters, times. No argument, input or key.
    pub fn state_json(&self, task: &str, now: Now) -> Option<Vec<u8>> {
        let found = self.task(task)?;
        let live = found.live.lock();
        let mut body = Body::new(512);
        body.text("agent", &found.agent.name);
        body.text("binding", &found.binding);
        body.int("decisions", i64::try_from(live.k).unwrap_or(i64::MAX));
        body.int("ends_in_ms", found.hard_end.saturating_sub(now.mono_ms));
        body.text("owner", &found.agent.owner);
        body.text("principal", &found.principal);
        body.text("profile", &found.profile.name);
        body.text("profile_digest", &found.profile.digest);
        body.int("silent_in_ms", found.silent_at.load(Ordering::Relaxed).saturating_sub(self.heard(now)));
        body.text("state", live.state.as_str());
        body.text("task", task);
        let mut used: Vec<(&str, i64)> =
            found.profile.slots.iter().map(String::as_str).zip(live.used.iter().copied()).collect();
        used.sort_unstable();
        drop(live);
        object(body.name("used"), used.into_iter(), |out, amount| {
            out.push(b'"');
            write_decimal(out, amount);
            out.push(b'"');
        });
        let declared = found.profile.inputs.iter().zip(&found.inputs);
        let declared =
            declared.filter_map(|((name, _), input)| Some((name.as_ref(), input.as_ref()?.vouched_by.as_ref())));
        object(body.name("vouched_by"), declared, write_text);
        Some(body.done())
    }

    /// What the plane has done, as JSON.
    pub fn stats_json(&self) -> Vec<u8> {
        let counts = |counts: &[std::sync::atomic::AtomicU64]| {
            let mut out: Vec<(&'static str, i64)> = Reason::ALL
                .iter()
                .zip(counts)
                .map(|(reason, count)| {
                    (reason.as_str(), i64::try_from(count.load(Ordering::Relaxed)).unwrap_or(i64::MAX))
                })
                .filter(|(_, count)| *count > 0)
                .collect();
            out.sort_unstable();
            out
        };
        let int = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let mut body = Body::new(512);
        object(body.name("answers"), counts(&self.answers).into_iter(), write_int);
        body.text("bundle", self.bundle().as_ref().map_or("", |bundle| bundle.digest.as_ref()));
        body.text("cell", &self.cfg.cell);
        body.int("counters", int(self.counters.len()));
        let all: u64 = self.answers.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        body.int("decided", i64::try_from(all).unwrap_or(i64::MAX));
        body.int("deaf_ms", self.deaf.load(Ordering::Relaxed));
        body.int("epoch", i64::from(self.cfg.epoch));
        body.int("events_dropped", i64::try_from(self.events.dropped()).unwrap_or(i64::MAX));
        object(body.name("gaps"), counts(&self.gaps).into_iter(), write_int);
        body.text("node", &self.cfg.node);
        body.int("tasks", int(self.tasks.len()));
        body.done()
    }
}

/// Append an object.
pub(crate) fn object<'a, T>(
    out: &mut Vec<u8>,
    members: impl Iterator<Item = (&'a str, T)>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    out.push(b'{');
    for (i, (name, value)) in members.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write_text(out, name);
        out.push(b':');
        write(out, value);
    }
    out.push(b'}');
}
