//! What comes back after a decision: results, and charges that were not used.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::apply::{own, shift};
use crate::call::Now;
use crate::ids;
use crate::instances::{Above, labelled, names};
use crate::intent::{self, Kept, LabelSet, content, extract};
use crate::json::Json;
use crate::noted::{Change, Noted, Report};
use crate::plane::{Plane, Refusal};
use crate::profile::Rule;
use crate::record::{Body, charge, draft, sha256};
use crate::seal::seal;
use crate::sink::RecordDraft;
use crate::task::{Asked, Charge, Live, Task};
use crate::value::ONE;

/// The name under which an agent reports its own results.
const SELF: &str = "self";
/// A result beyond this stands in its record as a digest only.
const MAX_SEALED: usize = 256 * 1024;
/// Labels that one report may bring.
const MAX_LABELS: usize = 16;

/// What is said of a result beside itself.
#[derive(Default)]
struct Meta<'a> {
    labels: Vec<&'a str>,
    rows: Option<i64>,
    bytes: Option<i64>,
    ms: Option<i64>,
}

impl<'a> Meta<'a> {
    fn read(json: &'a Json<'a>) -> Result<Self, Refusal> {
        let wrong = |what: &str| Refusal::new("malformed", format!("what is said of the result: {what}"));
        let Json::Object(members) = json else { return Err(wrong("no object")) };
        let mut meta = Self::default();
        for (name, value) in members {
            let amount = || value.whole().filter(|n| *n >= 0).map(Some).ok_or_else(|| wrong("no whole number"));
            match (name.as_ref(), value) {
                ("labels", Json::List(items)) if items.len() <= MAX_LABELS => {
                    let labels = items.iter().map(|item| item.text().filter(|text| fits(text)));
                    meta.labels = labels.collect::<Option<_>>().ok_or_else(|| wrong("no name of a label"))?;
                }
                ("rows", _) => meta.rows = amount()?,
                ("bytes", _) => meta.bytes = amount()?,
                ("ms", _) => meta.ms = amount()?,
                _ => return Err(wrong("a member that is not known")),
            }
        }
        Ok(meta)
    }
}

fn fits(label: &str) -> bool {
    (1..=64).contains(&label.len()) && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
}

/// Elements of the outermost list; anything else is one.
fn rows(result: &Json<'_>) -> i64 {
    match result {
        Json::List(items) => i64::try_from(items.len()).unwrap_or(i64::MAX),
        _ => 1,
    }
}

/// What a result is charged to the rule under which it was asked for.
fn spent(rule: Option<&Rule>, meta: &Meta<'_>, result: &Json<'_>, length: usize, believed: bool) -> Charge {
    let Some(rule) = rule else { return Charge::default() };
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    // An agent that speaks of itself can only bind itself: no less than what is seen here.
    let amount = |said: Option<i64>, seen: i64| match said {
        Some(said) if believed => said,
        Some(said) => said.max(seen),
        None => seen,
    };
    let reported = &rule.conduct.reported;
    let all = [
        (reported.rows, amount(meta.rows, rows(result)).saturating_mul(ONE)),
        (reported.bytes, amount(meta.bytes, length).saturating_mul(ONE)),
        (reported.seconds, meta.ms.unwrap_or(0).saturating_mul(ONE / 1000)),
    ];
    let charged = all.into_iter().filter_map(|(slot, amount)| Some((u16::try_from(slot?.0).ok()?, amount)));
    Charge { slots: charged.filter(|(_, amount)| *amount > 0).collect() }
}

/// A result in its record, and what is kept of it sealed beside.
struct Written<'a> {
    task: &'a str,
    decision: &'a str,
    pep: &'a str,
    call: &'a Asked,
    digest: String,
    /// The n-th of its action.
    number: u32,
    self_reported: bool,
    kept: usize,
    full: bool,
    n: u64,
}

impl Written<'_> {
    fn draft(&self, labels: &[String], charged: &mut [(&str, i64)], sealed: Vec<u8>, now: Now) -> RecordDraft {
        let mut body = Body::new(384);
        body.text("action", &self.call.action);
        body.int("at", now.wall_ms);
        if !charged.is_empty() {
            charge(body.name("charge"), charged, &[]);
        }
        body.text("decision", self.decision);
        body.text("digest", &self.digest);
        if self.full {
            body.bool("full", true);
        }
        body.int("kept", i64::try_from(self.kept).unwrap_or(i64::MAX));
        body.text("kind", "result_reported");
        if !labels.is_empty() {
            body.list("labels", labels.iter().map(String::as_str));
        }
        body.int("n", i64::try_from(self.n).unwrap_or(i64::MAX));
        body.text("pep", self.pep);
        body.int("result", i64::from(self.number));
        if self.self_reported {
            body.bool("self", true);
        }
        body.text("task", self.task);
        body.int("v", 1);
        RecordDraft { sealed: Some(sealed), ..draft(self.task, "result_reported", body, now) }
    }

    fn answer(&self) -> Vec<u8> {
        let mut body = Body::new(80);
        body.bool("full", self.full);
        body.int("kept", i64::try_from(self.kept).unwrap_or(i64::MAX));
        body.int("result", i64::from(self.number));
        body.bool("self_reported", self.self_reported);
        body.done()
    }
}

impl Plane {
    /// Find the remembered decision that an enforcement point speaks of.
    fn pending<'l>(
        &self,
        task: &Task,
        live: &'l mut Live,
        pep: &str,
        decision: &str,
    ) -> Result<((u32, u64), &'l Asked), Refusal> {
        let bundle = self.bundle();
        let peps = self.peps();
        if pep != SELF && !peps.by_name(pep).is_some_and(|pep| pep.may_report) {
            return Err(Refusal::new("pep_may_not_report", "this enforcement point may not report"));
        }
        let unknown = || Refusal::new("decision_unknown", "no such allowed decision of this task is open");
        let number = ids::parse_decision(&self.cfg.cell, task.number, decision).ok_or_else(unknown)?;
        let pending = live.pending(number.0, number.1).ok_or_else(unknown)?;
        let already = || Refusal::new("already_reported", "the result of this decision was reported");
        let (reported, call) = (pending.reported, pending.call.as_deref().ok_or_else(already)?);
        // An agent speaks of the calls that its own process asked for, and of no gateway's.
        let its = pep == SELF && bundle.is_some_and(|bundle| own(&bundle, &call.pep));
        if *call.pep != *pep && !its {
            return Err(Refusal::new("pep_mismatch", "another enforcement point asked for this decision"));
        }
        if reported { Err(already()) } else { Ok((number, call)) }
    }

    /// Take note of a call's result: once, for an allowed decision of this task, by the enforcement
    /// point that asked for it. It charges and labels at once; its values count when the record is durable.
    pub fn report_result(
        &self,
        task: &str,
        pep: &str,
        decision: &str,
        result: &[u8],
        meta: &[u8],
        now: Now,
    ) -> Result<Noted, Refusal> {
        let found = self.task(task).ok_or_else(Refusal::unknown)?;
        let json =
            Json::parse(result).map_err(|_| Refusal::new("malformed", "the result is not JSON, or too large"))?;
        let meta_json = Json::parse(if meta.is_empty() { b"{}" } else { meta });
        let meta_json = meta_json.map_err(|_| Refusal::new("malformed", "what is said of the result is not JSON"))?;
        let meta = Meta::read(&meta_json)?;
        let mut canonical = Vec::with_capacity(result.len());
        json.write(&mut canonical);
        let self_reported = pep == SELF || self.bundle().is_some_and(|bundle| own(&bundle, pep));
        let profile = &found.profile;

        let mut live = found.live.lock();
        let (id, call) = self.pending(&found, &mut live, pep, decision)?;
        let call = call.clone();
        let said = labelled(&profile.program, &mut live, meta.labels.iter().copied());
        let said = said.ok_or_else(|| Refusal::new("malformed", "more labels than a task can have"))?;
        let number = live.story.as_deref().map_or(0, |story| story.results(&call.action)).saturating_add(1);
        let kept = (!self_reported).then(|| keep(&found, &live, &call, number, &json, now)).flatten();
        let count = kept.as_ref().map_or(0, Kept::len);
        let n = live.k.saturating_add(1);
        let blob = blob(kept.as_ref(), &canonical);
        let sealed = seal(&found.key, self.cfg.epoch, n, task, decision, &blob);
        let sealed = sealed.ok_or_else(|| Refusal::new("engine_error", "the result could not be sealed"))?;

        // From here on nothing fails.
        live.k = n;
        if let Some(pending) = live.pending(id.0, id.1) {
            pending.reported = true;
        }
        live.story().reported(&call.action, pep, u32::try_from(count).unwrap_or(u32::MAX));
        let content = match &kept {
            Some(kept) => kept.labels(),
            None if self_reported => LabelSet::default(),
            None => content(&profile.program, &call.action, &json),
        };
        let labels = said.and(content);
        let attached = labels.less(live.labels.all);
        live.labels.all = live.labels.all.and(labels);
        let rule = profile.rule(&call.action, &call.rule);
        let charged = spent(rule, &meta, &json, result.len(), !self_reported);
        live.charge(&charged, 1);
        let fresh = live.labels.fresh();
        let label_names: Vec<String> =
            names(&profile.program, live.story.as_deref(), fresh).map(str::to_owned).collect();
        let full = kept.as_ref().is_some_and(Kept::full) || live.story.as_deref().is_some_and(|s| s.memory.full());
        drop(live);
        let written = Written {
            task,
            decision,
            pep,
            call: &call,
            digest: sha256(&canonical),
            number,
            self_reported,
            kept: count,
            full,
            n,
        };
        let record = written.draft(&label_names, &mut named(&found, &charged), sealed, now);
        let answer = written.answer();
        let change = Change::Report(Box::new(Report {
            task: Arc::clone(&found),
            decision: id,
            action: Arc::clone(&call.action),
            pep: Box::from(pep),
            labels: fresh,
            attached,
            charge: charged,
            kept,
        }));
        Ok(Noted { record: Some(record), answer, change })
    }

    /// Give back what an allowed call that did not happen was charged in the task's own counters, and its
    /// place in order and plan. What was charged across tasks stays spent: that is for people to settle.
    pub fn return_charge(&self, task: &str, pep: &str, decision: &str, now: Now) -> Result<RecordDraft, Refusal> {
        // An agent's own word binds it and never widens: what it spent is spent, whatever it says became of it.
        if pep == SELF || self.bundle().is_some_and(|bundle| own(&bundle, pep)) {
            return Err(Refusal::new("pep_may_not_report", "the agent itself gives nothing back"));
        }
        let found = self.task(task).ok_or_else(Refusal::unknown)?;
        let mut live = found.live.lock();
        let (id, call) = self.pending(&found, &mut live, pep, decision)?;
        let call = call.clone();
        let mut above = found.above();
        give_back(&found, &mut live, &mut above, &call);
        live.forget(id.0, id.1);
        let mut body = Body::new(320);
        body.int("at", now.wall_ms);
        charge(body.name("charge"), &mut named(&found, &call.charge), &[]);
        body.text("decision", decision);
        body.text("kind", "charge_returned");
        body.text("pep", pep);
        body.text("task", task);
        body.int("v", 1);
        Ok(draft(task, "charge_returned", body, now))
    }
}

/// A call did not happen: what it was charged, its place in order, its entries of plans.
pub(crate) fn give_back(task: &Task, live: &mut Live, above: &mut [Above<'_>], call: &Asked) {
    live.charge(&call.charge, -1);
    if let Some(place) = call.done {
        live.story().count_done(place, task.profile.watched().len(), false);
    }
    shift(live, above, &call.plan, false);
}

/// What the profile may ask for of a result.
fn keep(task: &Task, live: &Live, asked: &Asked, number: u32, result: &Json<'_>, now: Now) -> Option<Kept> {
    let (given, key) = task.mind()?;
    let memory = live.story.as_deref().map(|story| &story.memory);
    let program = &task.profile.program;
    let call = asked.cited.as_deref().and_then(|cited| Json::parse(cited).ok());
    let report = intent::Report { program, given, memory, key, call: call.as_ref(), wall_ms: now.wall_ms };
    Some(extract(&report, &asked.action, number, result))
}

/// What is sealed beside a result's record.
fn blob(kept: Option<&Kept>, result: &[u8]) -> Vec<u8> {
    let kept = STANDARD.encode(kept.map(Kept::to_bytes).unwrap_or_default());
    let mut body = Body::new(kept.len() + result.len().min(MAX_SEALED) + 32);
    body.text("kept", &kept);
    if result.len() <= MAX_SEALED {
        body.name("result").extend_from_slice(result);
    }
    body.done()
}

/// A charge by the names of its counters.
fn named<'a>(task: &'a Task, charge: &Charge) -> Vec<(&'a str, i64)> {
    let slots = &task.profile.slots;
    let name = |(slot, amount): &(u16, i64)| Some((slots.get(usize::from(*slot))?.as_str(), *amount));
    charge.slots.iter().filter_map(name).collect()
}
