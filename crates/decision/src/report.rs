//! What comes back after a decision: results, charges that were not used, approvals; and what is to
//! be seen of a task and of the plane.

use std::sync::atomic::Ordering;

use crate::call::Now;
use crate::ids;
use crate::json::Json;
use crate::plane::{Plane, Refusal};
use crate::record::{Body, charge, sha256};
use crate::sink::RecordDraft;
use crate::value::write_decimal;
use crate::verdict::Reason;
use crate::write::write_text;

fn draft(task: &str, kind: &'static str, body: Body, now: Now) -> RecordDraft {
    RecordDraft {
        task: Some(task.to_owned()),
        kind,
        at_ms: now.wall_ms,
        body: body.done(),
        sealed: None,
        counters: Vec::new(),
    }
}

impl Plane {
    /// Find the remembered decision that an enforcement point speaks of, and do something with it.
    fn pending<T>(
        &self,
        task: &str,
        pep: &str,
        decision: &str,
        act: impl FnOnce(&crate::task::Task, &mut crate::task::Live, (u32, u64)) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let found = self.task(task).ok_or_else(Refusal::unknown)?;
        let peps = self.peps();
        if !peps.by_name(pep).is_some_and(|pep| pep.may_report) {
            return Err(Refusal::new("pep_may_not_report", "this enforcement point may not report"));
        }
        let unknown = || Refusal::new("decision_unknown", "no such allowed decision of this task is open");
        let number = ids::parse_decision(&self.cfg.cell, found.number, decision).ok_or_else(unknown)?;
        let mut live = found.live.lock();
        let pending = live.pending(number.0, number.1).ok_or_else(unknown)?;
        if *pending.pep != *pep {
            return Err(Refusal::new("pep_mismatch", "another enforcement point asked for this decision"));
        }
        if pending.reported {
            return Err(Refusal::new("already_reported", "the result of this decision was reported"));
        }
        act(&found, &mut live, number)
    }

    /// Take note of a call's result: once, for an allowed decision of this task, by the enforcement
    /// point that asked for it. The record is the caller's to write.
    pub fn report_result(
        &self,
        task: &str,
        pep: &str,
        decision: &str,
        result: &[u8],
        now: Now,
    ) -> Result<RecordDraft, Refusal> {
        let json = Json::parse(result).map_err(|_| Refusal::new("malformed", "the result is not JSON"))?;
        let mut canonical = Vec::with_capacity(result.len());
        json.write(&mut canonical);
        self.pending(task, pep, decision, |_, live, (epoch, k)| {
            if let Some(pending) = live.pending(epoch, k) {
                pending.reported = true;
            }
            let mut body = Body::new(320);
            body.int("at", now.wall_ms);
            body.text("decision", decision);
            body.text("digest", &sha256(&canonical));
            body.text("kind", "result_reported");
            body.text("pep", pep);
            body.text("task", task);
            body.int("v", 1);
            Ok(draft(task, "result_reported", body, now))
        })
    }

    /// Give back what an allowed call that did not happen was charged in the task's own counters.
    /// What was charged across tasks stays spent: that is for people to settle.
    pub fn return_charge(&self, task: &str, pep: &str, decision: &str, now: Now) -> Result<RecordDraft, Refusal> {
        self.pending(task, pep, decision, |found, live, (epoch, k)| {
            let back = live.pending(epoch, k).map(|pending| pending.charge.clone()).unwrap_or_default();
            live.charge(&back, -1);
            live.forget(epoch, k);
            let mut named: Vec<(&str, i64)> = back
                .slots
                .iter()
                .filter_map(|(slot, amount)| Some((found.profile.slots.get(usize::from(*slot))?.as_str(), *amount)))
                .collect();
            let mut body = Body::new(320);
            body.int("at", now.wall_ms);
            charge(body.name("charge"), &mut named, &[]);
            body.text("decision", decision);
            body.text("kind", "charge_returned");
            body.text("pep", pep);
            body.text("task", task);
            body.int("v", 1);
            Ok(draft(task, "charge_returned", body, now))
        })
    }

    /// Note that somebody approved a call or did not. Nothing in this version asks for approval, so
    /// the plane keeps nothing of it.
    pub fn settle_approval(
        &self,
        task: &str,
        call: &str,
        approved: bool,
        by: &str,
        now: Now,
    ) -> Result<RecordDraft, Refusal> {
        self.task(task).ok_or_else(Refusal::unknown)?;
        let digest = call.strip_prefix("sha256:").unwrap_or("");
        if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Refusal::new("malformed", "a call is named by its digest, `sha256:…`"));
        }
        let mut body = Body::new(320);
        body.int("at", now.wall_ms);
        body.text("by", by);
        body.text("call", call);
        body.text("kind", "approval_settled");
        body.text("outcome", if approved { "approved" } else { "refused" });
        body.text("task", task);
        body.int("v", 1);
        Ok(draft(task, "approval_settled", body, now))
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
        object(body.name("answers"), counts(&self.answers).into_iter(), crate::write::write_int);
        body.text("bundle", self.bundle().as_ref().map_or("", |bundle| bundle.digest.as_ref()));
        body.text("cell", &self.cfg.cell);
        body.int("counters", int(self.counters.len()));
        let all: u64 = self.answers.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        body.int("decided", i64::try_from(all).unwrap_or(i64::MAX));
        body.int("deaf_ms", self.deaf.load(Ordering::Relaxed));
        body.int("epoch", i64::from(self.cfg.epoch));
        body.int("events_dropped", i64::try_from(self.events.dropped()).unwrap_or(i64::MAX));
        object(body.name("gaps"), counts(&self.gaps).into_iter(), crate::write::write_int);
        body.text("node", &self.cfg.node);
        body.int("tasks", int(self.tasks.len()));
        body.done()
    }
}

fn object<'a, T>(out: &mut Vec<u8>, members: impl Iterator<Item = (&'a str, T)>, write: impl Fn(&mut Vec<u8>, T)) {
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
