//! A task's live state as a fold of its records. Replay applies the changes that stand in them and
//! never evaluates again.

use std::sync::Arc;

use ahash::AHashMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::apply::{Change, shift, unmake};
use crate::approval::{Approval, OPEN_MS, Standing};
use crate::deviation::{count, kind_of};
use crate::ids;
use crate::instances::{Above, labelled};
use crate::intent::Kept;
use crate::json::Json;
use crate::plan::Moves;
use crate::plane::Plane;
use crate::profile::{Deviation, Profile};
use crate::report::give_back;
use crate::seal::unseal;
use crate::settle::{PLAN, plan};
use crate::story::{Breaches, Child};
use crate::task::{Asked, Charge, Live, Pending, State, Task};
use crate::value::{ONE, parse_decimal};
use crate::verdict::{Effect, Reaction, Reason};

/// A record as it is restored: its body, and what stands sealed beside it.
pub(crate) type Stored<'a> = (&'a [u8], Option<&'a [u8]>);

/// What records are read against.
pub(crate) struct Fold<'a> {
    pub(crate) plane: &'a Plane,
    pub(crate) cell: &'a str,
    /// This node's epoch: numbers given in it are not given again.
    pub(crate) epoch: u32,
    pub(crate) id: &'a str,
    pub(crate) task: &'a Task,
    /// Whether results of what an enforcement point asks for may be reported.
    pub(crate) reports: &'a dyn Fn(&str) -> bool,
}

/// What a `not_released` may have to take back, by decision.
type Answered = AHashMap<(u32, u64), Change>;

/// What was sealed beside a record is not to be read.
struct Unreadable;

impl Fold<'_> {
    /// Apply records in order. The error says what cannot be read: a record that is not understood
    /// leaves nothing to trust.
    pub(crate) fn run(&self, live: &mut Live, above: &mut [Above<'_>], records: &[Stored<'_>]) -> Result<(), String> {
        live.state = State::Open;
        let mut answered = Answered::new();
        for (i, (body, sealed)) in records.iter().enumerate() {
            let wrong = |what: &str| format!("record {} of the task: {what}", i + 1);
            let json = Json::parse(body).map_err(|_| wrong("not JSON"))?;
            if json.get("v").and_then(Json::whole) != Some(1) {
                return Err(wrong("of a version that this build does not know"));
            }
            let kind = json.get("kind").and_then(Json::text).ok_or_else(|| wrong("without a kind"))?;
            self.apply(live, above, &mut answered, kind, &json, *sealed).ok_or_else(|| wrong("incomplete"))?;
        }
        Ok(())
    }

    fn apply(
        &self,
        live: &mut Live,
        above: &mut [Above<'_>],
        answered: &mut Answered,
        kind: &str,
        json: &Json<'_>,
        sealed: Option<&[u8]>,
    ) -> Option<()> {
        let decision = || ids::parse_decision(self.cell, self.task.number, text(json, "decision")?);
        match kind {
            "decided" => self.decided(live, above, answered, json, sealed)?,
            "not_released" => {
                let (epoch, k) = decision()?;
                live.forget(epoch, k);
                // None: the record of the decision itself never came to be.
                if let Some(change) = answered.remove(&(epoch, k)) {
                    unmake(live, self.task, &change);
                }
            }
            "charge_returned" => {
                let (epoch, k) = decision()?;
                let charge = charge(&self.task.profile, json)?;
                match live.pending(epoch, k).and_then(|pending| pending.call.take()) {
                    Some(call) => give_back(self.task, live, above, &Asked { charge, ..*call }),
                    None => live.charge(&charge, -1),
                }
                live.forget(epoch, k);
            }
            "result_reported" => self.reported(live, above, decision()?, json, sealed)?,
            "plan_declared" => {
                live.k = live.k.max(u64::try_from(json.get("n")?.whole()?).ok()?);
                let plain = unseal(&self.task.key, self.id, PLAN, sealed?)?;
                live.story().plan = Some(Box::new(plan(&self.task.profile, &Json::parse(&plain).ok()?).ok()?));
            }
            "approval_settled" => {
                // An older record names the call only, and nothing waited for it.
                if let Some(reference) = json.get("decision").and_then(Json::text) {
                    let approved = text(json, "outcome")? == "approved";
                    live.story().approvals.settle(reference, approved, json.get("at")?.whole()?);
                }
            }
            "child_opened" => {
                let charge = charge(&self.task.profile, json)?;
                live.charge(&charge, 1);
                let mut allotted = vec![0; self.task.profile.slots.len()];
                for (slot, amount) in &charge.slots {
                    *allotted.get_mut(usize::from(*slot))? = *amount;
                }
                let number = ids::parse_task(self.cell, text(json, "child")?)?;
                live.story().children.push(Child { number, allotted: allotted.into_boxed_slice() });
            }
            "child_closed" => self.child_closed(live, above, json)?,
            "task_state" => {
                let to = State::parse(text(json, "to")?)?;
                if live.state.may_become(to) {
                    live.state = to;
                }
            }
            "fenced" | "task_closed" => live.state = State::Fenced,
            // Everything else changes nothing that the plane keeps.
            _ => {}
        }
        Some(())
    }

    fn decided(
        &self,
        live: &mut Live,
        above: &mut [Above<'_>],
        answered: &mut Answered,
        json: &Json<'_>,
        sealed: Option<&[u8]>,
    ) -> Option<()> {
        let (epoch, k) = ids::parse_decision(self.cell, self.task.number, text(json, "decision")?)?;
        // A number names a decision, and seals its arguments: never twice. Those of another epoch are no numbers of
        // this one, but the task has begun.
        live.k = live.k.max(if epoch == self.epoch { k } else { 1 });
        let profile = &self.task.profile;
        let charged = charge(profile, json)?;
        live.charge(&charged, 1);
        self.labels(live, above, json)?;
        let mut change = Change { plan: moves(json)?, ..Change::default() };
        shift(live, above, &change.plan, true);
        for value in list(json, "distinct")? {
            let Json::List(pair) = value else { return None };
            let [slot, hash] = pair.as_slice() else { return None };
            let place = profile.slot(slot.text()?)?;
            let hash = u64::from_str_radix(hash.text()?, 16).ok()?;
            if live.story().distinct.replay(u16::try_from(place).ok()?, hash) {
                *live.used.get_mut(place)? += ONE;
            }
        }
        if let Some(reaction) = json.get("reaction") {
            live.state = live.state.after(Reaction::parse(reaction.text()?)?);
            let reason = list(json, "reasons")?.first().and_then(Json::text).and_then(Reason::parse);
            if let Some(kind) = reason.and_then(kind_of) {
                count(live, above, kind);
            }
        }
        let effect = Effect::parse(text(json, "effect")?)?;
        let reference = json.get("approval").and_then(Json::text);
        let action = json.get("action").and_then(Json::text).unwrap_or("");
        let rule = json.get("rule").and_then(Json::text).unwrap_or("");
        match effect {
            Effect::Allow => {
                if let Some(reference) = reference {
                    live.story().approvals.take(reference, true);
                }
                change.done = profile.watched_place(action);
                if let Some(place) = change.done {
                    live.story().count_done(place, profile.watched().len(), true);
                }
                let pep = json.get("pep").and_then(Json::text).unwrap_or("");
                if (self.reports)(pep) {
                    let call = Asked {
                        charge: charged,
                        pep: Arc::from(pep),
                        action: Arc::from(action),
                        rule: Arc::from(rule),
                        done: change.done,
                        plan: change.plan.clone(),
                        cited: self.cited(action, text(json, "decision")?, sealed).ok()?,
                    };
                    live.remember(Pending { k, epoch, reported: false, call: Some(Box::new(call)) });
                }
            }
            Effect::RequireApproval | Effect::StepUp if reference == Some(text(json, "decision")?) => {
                let asked_ms = json.get("at")?.whole()?;
                let resource = json.get("resource")?;
                live.story().approvals.ask(Approval {
                    reference: Box::from(reference?),
                    call: Box::from(text(json, "call")?),
                    kind: effect,
                    action: Box::from(action),
                    resource: (Box::from(text(resource, "type")?), Box::from(text(resource, "id")?)),
                    rule: Arc::from(rule),
                    asked_ms,
                    until_ms: asked_ms.saturating_add(OPEN_MS),
                    standing: Standing::Pending,
                    settling: false,
                });
                change.asked = Some(reference?.to_owned());
            }
            _ => {}
        }
        if change.done.is_some() || change.asked.is_some() {
            answered.insert((epoch, k), change);
        }
        Some(())
    }

    /// Of the arguments that stand sealed beside a decision, those that choose rows of its result.
    fn cited(&self, action: &str, decision: &str, sealed: Option<&[u8]>) -> Result<Option<Box<[u8]>>, Unreadable> {
        let program = &self.task.profile.program;
        if !program.cites(action) {
            return Ok(None);
        }
        // A call without arguments seals nothing.
        let plain = sealed.map_or(Some(b"{}".to_vec()), |sealed| unseal(&self.task.key, self.id, decision, sealed));
        let plain = plain.ok_or(Unreadable)?;
        Ok(program.cited(action, &Json::parse(&plain).map_err(|_| Unreadable)?))
    }

    fn reported(
        &self,
        live: &mut Live,
        above: &mut [Above<'_>],
        (epoch, k): (u32, u64),
        json: &Json<'_>,
        sealed: Option<&[u8]>,
    ) -> Option<()> {
        live.reported(epoch, k);
        // One of before results were kept says only that there was one.
        let Some(n) = json.get("n") else { return Some(()) };
        live.k = live.k.max(u64::try_from(n.whole()?).ok()?);
        live.charge(&charge(&self.task.profile, json)?, 1);
        self.labels(live, above, json)?;
        let kept = json.get("kept").and_then(Json::whole).and_then(|kept| u32::try_from(kept).ok())?;
        live.story().reported(&Arc::from(text(json, "action")?), text(json, "pep")?, kept);
        if json.get("self") == Some(&Json::Bool(true)) || self.task.mind().is_none() {
            return Some(());
        }
        let plain = unseal(&self.task.key, self.id, text(json, "decision")?, sealed?)?;
        let plain = Json::parse(&plain).ok()?;
        let bytes = STANDARD.decode(text(&plain, "kept")?).ok()?;
        let program = &self.task.profile.program;
        // What was kept for another version is lost, and what needs it is refused: nothing is made up.
        let action = text(json, "action")?;
        let number = u32::try_from(json.get("result")?.whole()?).ok()?;
        let kept = Kept::from_bytes(program, &bytes).unwrap_or_else(|_| Kept::lost(program, action, number));
        live.story().memory.keep(program, &kept);
        Some(())
    }

    fn child_closed(&self, live: &mut Live, above: &mut [Above<'_>], json: &Json<'_>) -> Option<()> {
        live.charge(&charge(&self.task.profile, json)?, -1);
        let number = ids::parse_task(self.cell, text(json, "child")?)?;
        live.story().children.retain(|child| child.number != number);
        self.labels(live, above, json)?;
        let mut breaches = Breaches::default();
        if let Some(Json::Object(members)) = json.get("breaches") {
            for (kind, count) in members {
                *breaches.get_mut(Deviation::parse(kind)? as usize)? = u32::try_from(count.whole()?).ok()?;
            }
        }
        live.story().inherit(&breaches);
        for (_, ancestor) in above.iter_mut() {
            ancestor.story().inherit(&breaches);
        }
        for moved in list(json, "plan")? {
            let [up, entry, count] = numbers(moved)?;
            let moves = Moves::from([(u8::try_from(up).ok()?, u16::try_from(entry).ok()?)]);
            for _ in 0..count.clamp(0, 1_000_000) {
                shift(live, above, &moves, true);
            }
        }
        Some(())
    }

    /// Labels that a record attached.
    fn labels(&self, live: &mut Live, above: &mut [Above<'_>], json: &Json<'_>) -> Option<()> {
        let names: Vec<&str> = list(json, "labels")?.iter().map(Json::text).collect::<Option<_>>()?;
        if !names.is_empty() {
            let set = labelled(&self.task.profile.program, live, names.into_iter())?;
            self.plane.settle_labels(self.task, live, above, set);
        }
        Some(())
    }
}

fn text<'j>(json: &'j Json<'_>, name: &str) -> Option<&'j str> {
    json.get(name)?.text()
}

/// The items of a member that is a list; none where it is not there.
fn list<'j, 'a>(json: &'j Json<'a>, name: &str) -> Option<&'j [Json<'a>]> {
    match json.get(name) {
        None => Some(&[]),
        Some(Json::List(items)) => Some(items),
        Some(_) => None,
    }
}

fn numbers<const N: usize>(json: &Json<'_>) -> Option<[i64; N]> {
    let Json::List(items) = json else { return None };
    let numbers: Vec<i64> = items.iter().map(Json::whole).collect::<Option<_>>()?;
    numbers.try_into().ok()
}

/// Entries of plans that a decision moved.
fn moves(json: &Json<'_>) -> Option<Moves> {
    let mut moves = Moves::new();
    if let Some(entry) = json.get("plan") {
        moves.push((0, u16::try_from(entry.whole()?).ok()?));
    }
    for above in list(json, "plan_above")? {
        let [up, entry] = numbers(above)?;
        moves.push((u8::try_from(up).ok()?, u16::try_from(entry).ok()?));
    }
    Some(moves)
}

/// What a record charged to the task's own counters. A counter that the profile does not have is an error.
fn charge(profile: &Profile, json: &Json<'_>) -> Option<Charge> {
    let mut out = Charge::default();
    let Some(task) = json.get("charge").and_then(|charge| charge.get("task")) else { return Some(out) };
    let Json::Object(members) = task else { return None };
    for (name, amount) in members {
        let slot = u16::try_from(profile.slot(name)?).ok()?;
        out.slots.push((slot, parse_decimal(amount.text()?)?));
    }
    Some(out)
}
