//! Children: tasks that get no more than what is left of their parent's.

use std::sync::Arc;

use crate::call::Now;
use crate::ids;
use crate::instances::{labelled, names};
use crate::json::Json;
use crate::noted::{Change, Noted};
use crate::plane::{Plane, Refusal};
use crate::profile::Profile;
use crate::program::number;
use crate::record::{Body, charge, draft, list};
use crate::sink::{RecordDraft, Written};
use crate::story::{Child, Story, Tally};
use crate::task::{Charge, Input, Live, State, Task};
use crate::value::parse_decimal;
use crate::write::write_int;

/// Generations below a task that nobody opened for another.
pub(crate) const MAX_DEPTH: u8 = 4;

/// The limit of each counter of a task, by slot.
pub(crate) fn limits(profile: &Profile, task: &Task) -> Vec<i64> {
    let mut out = vec![0; profile.slots.len()];
    let mut set = |slot: usize, limit: i64| {
        if let Some(place) = out.get_mut(slot) {
            *place = task.allotted(slot).map_or(limit, |given| given.min(limit));
        }
    };
    if let Some((slot, limit)) = profile.total {
        set(slot, limit);
    }
    for rule in profile.actions.values().flatten() {
        let reported = &rule.conduct.reported;
        for (slot, limit) in [rule.calls, reported.rows, reported.bytes, reported.seconds].into_iter().flatten() {
            set(slot, limit);
        }
        for sum in &rule.sums {
            set(sum.slot, number(&sum.max, task).unwrap_or(0));
        }
        for distinct in &rule.conduct.distinct {
            set(distinct.slot, distinct.max);
        }
    }
    out
}

/// What a child is given of each counter: what was asked for, else all that is left.
pub(crate) fn allot(task: &Task, live: &Live, asked: Option<&Json<'_>>) -> Result<Box<[i64]>, Refusal> {
    let limits = limits(&task.profile, task);
    let mut out: Vec<i64> =
        limits.iter().zip(&live.used).map(|(limit, used)| limit.saturating_sub(*used).max(0)).collect();
    let members = match asked {
        None | Some(Json::Null) => &[][..],
        Some(Json::Object(members)) => members,
        Some(_) => return Err(Refusal::new("malformed", "what is allotted is no object")),
    };
    for (name, amount) in members {
        let slot = task.profile.slot(name).and_then(|slot| out.get_mut(slot));
        let left = slot.ok_or_else(|| Refusal::new("allot_unknown", "the profile has no budget of that name"))?;
        let amount = amount.text().and_then(parse_decimal).filter(|amount| *amount >= 0);
        let amount = amount.ok_or_else(|| Refusal::new("malformed", "an amount is a number in a text"))?;
        if amount > *left {
            return Err(Refusal::new("allot_exceeds", "the parent has less than that left"));
        }
        *left = amount;
    }
    Ok(out.into_boxed_slice())
}

/// The charge of those amounts.
pub(crate) fn charge_of(amounts: &[i64]) -> Charge {
    let slots = (0_u16..).zip(amounts).filter(|(_, amount)| **amount != 0);
    Charge { slots: slots.map(|(slot, amount)| (slot, *amount)).collect() }
}

/// A child's inputs: a part of its parent's, and vouched for as they are there.
pub(crate) fn inherit(parent: &Task, inputs: &mut [Option<Input>]) -> Result<(), Refusal> {
    for (mine, theirs) in inputs.iter_mut().zip(&parent.inputs) {
        let Some(input) = mine else { continue };
        let same = theirs.as_ref().filter(|theirs| theirs.value == input.value);
        let same = same.ok_or_else(|| Refusal::new("child_inputs", "an input is not its parent's"))?;
        input.vouched_by = Arc::clone(&same.vouched_by);
    }
    Ok(())
}

/// A child's actions: a part of its parent's.
pub(crate) fn narrow(parent: &Task, actions: Option<Vec<String>>) -> Result<Option<Box<[Box<str>]>>, Refusal> {
    let theirs = parent.bond.as_ref().and_then(|bond| bond.actions.as_ref());
    let Some(actions) = actions else { return Ok(theirs.cloned()) };
    let within = |action: &String| match theirs {
        Some(theirs) => theirs.iter().any(|known| **known == **action),
        None => parent.profile.actions.contains_key(action.as_str()),
    };
    if !actions.iter().all(within) {
        return Err(Refusal::new("child_actions", "an action is not its parent's"));
    }
    Ok(Some(actions.into_iter().map(Box::from).collect()))
}

/// What the parent has touched, the child has touched.
pub(crate) fn pass_labels(parent: &Task, theirs: &Live, mine: &mut Live) {
    let program = &parent.profile.program;
    let all = names(program, theirs.story.as_deref(), theirs.labels.all);
    // They run the same profile, so there are bits enough.
    if let Some(set) = labelled(program, mine, all) {
        mine.labels.all = mine.labels.all.and(set);
    }
}

fn slots<'a>(profile: &'a Profile, charge: &Charge) -> Vec<(&'a str, i64)> {
    let named = |(slot, amount): &(u16, i64)| Some((profile.slots.get(usize::from(*slot))?.as_str(), *amount));
    charge.slots.iter().filter_map(named).collect()
}

impl Plane {
    /// Charge the parent for a child that is to enter; its record stands in the parent's stream.
    pub(crate) fn adopt(&self, task: Task, parent: &Arc<Task>, allotted: &[i64], now: Now) -> Result<Noted, Refusal> {
        if self.tasks.pin().contains_key(&task.number) {
            return Err(Refusal::new("task_exists", "this task is in the table already"));
        }
        let charged = charge_of(allotted);
        let mut live = parent.live.lock();
        if let Some(why) = parent.standing(live.state, true).or_else(|| parent.late(now, self.heard(now))) {
            return Err(Refusal::new("parent_not_open", format!("the parent opens no children: {why}")));
        }
        // Between the look at what is left and here another child may have come.
        let limits = limits(&parent.profile, parent);
        let short =
            limits.iter().zip(&live.used).zip(allotted).any(|((limit, used), given)| {
                *given > 0 && used.checked_add(*given).is_none_or(|total| total > *limit)
            });
        if short {
            return Err(Refusal::new("allot_exceeds", "the parent has less than that left"));
        }
        live.charge(&charged, 1);
        live.story().children.push(Child { number: task.number, allotted: Box::from(allotted) });
        drop(live);
        let id = ids::task(&self.cfg.cell, parent.number);
        let mut body = Body::new(320);
        body.int("at", now.wall_ms);
        let mut named = slots(&parent.profile, &charged);
        if !named.is_empty() {
            charge(body.name("charge"), &mut named, &[]);
        }
        body.text("child", &ids::task(&self.cfg.cell, task.number));
        body.text("kind", "child_opened");
        body.text("task", &id);
        body.int("v", 1);
        let record = Some(draft(&id, "child_opened", body, now));
        let change = Change::Child { parent: Arc::clone(parent), task: Box::new(task), charge: charged, now };
        Ok(Noted { record, answer: Vec::new(), change })
    }

    /// The child's record has met its fate: it enters, or its parent gets everything back.
    pub(crate) fn confirm_child(
        &self,
        parent: &Arc<Task>,
        task: Task,
        charge: &Charge,
        written: Written,
        now: Now,
    ) -> Result<(), Refusal> {
        let mut live = parent.live.lock();
        if written == Written::Durable {
            // Under the parent's lock: a fence either sees this child or is seen here.
            if parent.standing(live.state, false).is_some() {
                return Err(Refusal::new("parent_not_open", "the parent was fenced meanwhile"));
            }
            // Nobody else can have the child's lock yet.
            pass_labels(parent, &live, &mut task.live.lock());
            return self.insert(task, now);
        }
        if written != Written::Unknown {
            live.charge(charge, -1);
            live.story().children.retain(|child| child.number != task.number);
        }
        Ok(())
    }

    /// What a fenced child gives back to its parent, where both are live: the record of its end in the
    /// parent's stream. Nothing for a task without a parent.
    pub fn returning(&self, task: &str, now: Now) -> Option<Noted> {
        let task = self.task(task)?;
        let parent = task.parent().filter(|parent| self.tasks.pin().contains_key(&parent.number))?;
        let live = task.live.lock();
        if live.state != State::Fenced {
            return None;
        }
        let theirs = parent.live.lock();
        let allotted = theirs.story.as_ref()?.children.iter().find(|child| child.number == task.number)?;
        let left: Vec<i64> =
            allotted.allotted.iter().zip(&live.used).map(|(given, used)| given.saturating_sub(*used)).collect();
        drop(theirs);
        let charged = charge_of(&left);
        let record = self.child_closed(&task, &live, parent, &charged, now);
        drop(live);
        let change = Change::Return { parent: Arc::clone(parent), child: task.number, charge: charged };
        Some(Noted { record: Some(record), answer: Vec::new(), change })
    }

    fn child_closed(&self, task: &Task, live: &Live, parent: &Task, charged: &Charge, now: Now) -> RecordDraft {
        let id = ids::task(&self.cfg.cell, parent.number);
        let empty = Story::default();
        let story = live.story.as_deref().unwrap_or(&empty);
        let mut body = Body::new(384);
        body.int("at", now.wall_ms);
        let breaches = story.all_breaches();
        crate::view::breaches(&mut body, &breaches);
        let mut named = slots(&parent.profile, charged);
        if !named.is_empty() {
            charge(body.name("charge"), &mut named, &[]);
        }
        body.text("child", &ids::task(&self.cfg.cell, task.number));
        body.text("kind", "child_closed");
        if !live.labels.all.is_empty() {
            body.list("labels", names(&task.profile.program, Some(story), live.labels.all));
        }
        if !story.tally.is_empty() {
            let out = body.name("plan");
            list(out, &story.tally, |out, Tally { up, entry, count }| {
                let numbers = [i64::from(*up) - 1, i64::from(*entry), i64::from(*count)];
                list(out, &numbers, |out, number| write_int(out, *number));
            });
        }
        body.text("task", &id);
        body.int("v", 1);
        draft(&id, "child_closed", body, now)
    }

    /// Fence what stands below a fenced task.
    pub(crate) fn fence_children(&self, task: &Task) {
        let mut below = self.children_of(task);
        while let Some((child, parent)) = below.pop() {
            if child.become_state(State::Fenced) {
                self.tell_fenced(child.number);
                let cell = &self.cfg.cell;
                self.events.child_fenced(&ids::task(cell, child.number), &ids::task(cell, parent));
            }
            below.extend(self.children_of(&child));
        }
    }

    /// The live children of a fenced task.
    fn children_of(&self, task: &Task) -> Vec<(Arc<Task>, u128)> {
        let live = task.live.lock();
        let Some(story) = live.story.as_deref().filter(|_| live.state == State::Fenced) else { return Vec::new() };
        let numbers: Vec<u128> = story.children.iter().map(|child| child.number).collect();
        drop(live);
        let tasks = self.tasks.pin();
        numbers.iter().filter_map(|number| Some((Arc::clone(tasks.get(number)?), task.number))).collect()
    }
}
