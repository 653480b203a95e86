//! A mail agent's bundle, its task, and what is done with it.

use std::cell::RefCell;

use flyball_decision::{Call, Noted, Now, Plane, Reaction, Reason, Refusal, Verdict, Written};
use serde_json::{Value, json};

use crate::common::{self, NOW, later, permit, task_id};

pub type Stored = (Vec<u8>, Option<Vec<u8>>);

pub const REQUEST: &str = "Write to ann@firm.example about the offsite on 2024-05-15, and pay invoice INV-7.";

const SCHEMA: &str = r#"
namespace Flyball {
  entity Group in [Group];
  entity Agent in [Group] = { "owner": String };
  entity tool in [Group];
  type Intent = { "rule": String, "within": Bool };
  type Task = { "id": String, "profile": String, "owner": String, "inputs": { "request"?: String }, "labels": Set<String> };
  action "inbox", "contacts", "day", "close" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": {}, "intent": Intent, "origins": {}, "pep": String } };
  action "send" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": { "to"?: Set<String>, "body"?: String }, "intent": Intent,
               "origins": { "to"?: Set<String>, "body"?: Set<String> }, "pep": String } };
  action "pay" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": { "iban"?: String, "amount"?: decimal }, "intent": Intent,
               "origins": { "iban"?: Set<String>, "amount"?: Set<String> }, "pep": String } };
}
"#;

fn spec_of(kind: &str, by: &str, labels: &[&str]) -> Value {
    json!({"spec": {"type": kind, "by": by, "labels": labels}})
}

/// Rules of the profile, by place: inbox, contacts, day, send, pay, close.
pub fn profile() -> Value {
    let actions = ["inbox", "contacts", "day", "send", "pay", "close"];
    let rules: Vec<Value> =
        actions.iter().map(|action| json!({"id": format!("m/allow/{action}"), "action": action})).collect();
    let policies: Vec<Value> = actions.iter().map(|action| permit(&format!("m/allow/{action}"), action)).collect();
    json!({
        "name": "m", "digest": "sha256:m", "policies": policies, "inputs": {"request": "text"},
        "labels": ["user", "org", "outside", "pii", "secret"],
        "sources": [
            {"input": "request"},
            {"result": {"action": "contacts", "field": "email", "rows": []}},
            {"result": {"action": "inbox", "field": "iban", "rows": []}}
        ],
        "rules": rules
    })
}

/// The profile with one rule's members set.
pub fn with(rule: usize, members: Value) -> Value {
    and(profile(), rule, members)
}

/// Another rule's members, too.
pub fn and(mut profile: Value, rule: usize, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        profile["rules"][rule][name] = value.clone();
    }
    profile
}

/// The profile with members of its own set.
pub fn top(mut profile: Value, members: Value) -> Value {
    for (name, value) in members.as_object().unwrap() {
        profile[name] = value.clone();
    }
    profile
}

/// Recipients come from the request or the contacts.
pub fn origins() -> Value {
    json!({"origins": [{"arg": "to", "as": "email", "sources": [0, 1]}]})
}

pub const INBOX: usize = 0;
pub const SEND: usize = 3;
pub const PAY: usize = 4;

pub fn bundle(profiles: &[Value], policies: &[Value]) -> Value {
    let action = |effect: &str, args: Value, returns: Value| json!({"effect": effect, "resource_type": "tool", "class": "default", "args": args, "returns": returns});
    let mail = json!({"list": {"map": {
        "sender": spec_of("email", "outside", &[]), "body": spec_of("text", "outside", &["pii"]),
        "iban": spec_of("iban", "outside", &[])}}});
    let contacts =
        json!({"list": {"map": {"name": spec_of("text", "org", &[]), "email": spec_of("email", "org", &[])}}});
    json!({
        "digest": "sha256:mail", "schema": SCHEMA,
        "entities": [{"uid": {"type": "Flyball::Agent", "id": "a"}, "attrs": {"owner": "o"}, "parents": []}],
        "agents": {"a": {"entity": "Flyball::Agent::\"a\"", "owner": "o"}},
        "resource_types": {"tool": "Flyball::tool"},
        "actions": {
            "inbox": action("read", json!({}), mail), "contacts": action("read", json!({}), contacts),
            "day": action("read", json!({}), spec_of("date", "org", &[])),
            "send": action("write", json!({"to": "strings", "body": "string"}), spec_of("any", "org", &[])),
            "pay": action("write", json!({"iban": "string", "amount": "decimal"}), spec_of("any", "org", &[])),
            "close": action("write", json!({}), spec_of("any", "org", &[]))
        },
        "classes": {"default": {"mode": "enforce", "record": "durable"}},
        "peps": [
            {"name": "sdk", "identity": {"self": true}, "actions": ["*"], "may_report": true},
            {"name": "gateway", "identity": {"spiffe": "spiffe://x/gw"}, "actions": ["*"], "may_report": true}
        ],
        "policies": policies, "profiles": profiles
    })
}

pub fn spec(id: &str, more: &Value) -> Vec<u8> {
    let mut spec = json!({
        "id": id, "principal": "spiffe://x/agent/a", "agent": "a", "owner": "o", "profile": "m",
        "profile_digest": "sha256:m",
        "inputs": {"request": {"value": REQUEST, "type": "string", "vouched_by": "desk"}},
        "opened_ms": NOW.wall_ms, "hard_end_ms": NOW.wall_ms + 90_000_000, "heartbeat_ms": 90_000_000,
        "data_key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "state": "open",
        "binding": "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    });
    for (name, value) in more.as_object().unwrap() {
        spec[name] = value.clone();
    }
    spec.to_string().into_bytes()
}

/// A plane with one profile, and what was written of each task.
pub struct House {
    pub plane: Plane,
    profile: Value,
    policies: Vec<Value>,
    pub records: RefCell<Vec<(String, Stored)>>,
}

impl House {
    pub fn new(profile: &Value) -> Self {
        Self::policed(profile, &[])
    }

    pub fn policed(profile: &Value, policies: &[Value]) -> Self {
        let plane = common::plane();
        let compiled = bundle(std::slice::from_ref(profile), policies).to_string();
        plane.load(compiled.as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
        Self { plane, profile: profile.clone(), policies: policies.to_vec(), records: RefCell::default() }
    }

    pub fn open(&self, number: u32) -> String {
        self.open_as(number, json!({})).unwrap()
    }

    pub fn open_as(&self, number: u32, more: Value) -> Result<String, Refusal> {
        let id = task_id(number);
        if let Some(child) = self.plane.open(&spec(&id, &more), NOW)? {
            self.carry(child, Written::Durable)?;
        }
        Ok(id)
    }

    pub fn note(&self, draft: &flyball_decision::RecordDraft) {
        let task = draft.task.clone().unwrap();
        self.records.borrow_mut().push((task, (draft.body.clone(), draft.sealed.clone())));
    }

    /// Write a change and let it count.
    pub fn carry(&self, mut noted: Noted, written: Written) -> Result<Value, Refusal> {
        if let Some(draft) = noted.record.take()
            && written == Written::Durable
        {
            self.note(&draft);
        }
        let answer = self.plane.confirm(noted, written)?;
        Ok(if answer.is_empty() { Value::Null } else { serde_json::from_slice(&answer).unwrap() })
    }

    pub fn call(&self, task: &str, action: &str, args: &Value) -> Verdict {
        self.call_at(task, "gateway", action, args, NOW)
    }

    pub fn call_at(&self, task: &str, pep: &str, action: &str, args: &Value, now: Now) -> Verdict {
        self.call_with(task, pep, action, args, now, Written::Durable)
    }

    pub fn call_with(&self, task: &str, pep: &str, action: &str, args: &Value, now: Now, written: Written) -> Verdict {
        let args = args.to_string();
        let call = Call {
            task,
            pep,
            binding: "inproc",
            action,
            resource_type: "tool",
            resource_id: action,
            args: args.as_bytes(),
        };
        let mut checked = self.plane.check(&call, now);
        if let Some(draft) = checked.record.take()
            && (written == Written::Durable || body(&draft.body).get("reaction").is_some())
        {
            self.note(&draft);
        }
        let released = self.plane.release(checked, written, now);
        if let Some(draft) = &released.record {
            self.note(draft);
        }
        released.verdict
    }

    pub fn report(&self, task: &str, decision: &str, result: &Value) -> Result<Value, Refusal> {
        self.report_as(task, "gateway", decision, result, &json!({}))
    }

    pub fn report_as(
        &self,
        task: &str,
        pep: &str,
        decision: &str,
        result: &Value,
        meta: &Value,
    ) -> Result<Value, Refusal> {
        let (result, meta) = (result.to_string(), meta.to_string());
        let noted = self.plane.report_result(task, pep, decision, result.as_bytes(), meta.as_bytes(), NOW)?;
        self.carry(noted, Written::Durable)
    }

    /// Call a read and report what came back.
    pub fn read(&self, task: &str, action: &str, result: &Value) -> Value {
        let verdict = self.call(task, action, &json!({}));
        assert!(verdict.allowed(), "{action}: {verdict:?}");
        self.report(task, &verdict.decision, result).unwrap()
    }

    pub fn plan(&self, task: &str, plan: &Value) -> Result<Value, Refusal> {
        let noted = self.plane.declare_plan(task, plan.to_string().as_bytes(), "agent", NOW)?;
        self.carry(noted, Written::Durable)
    }

    pub fn settle(&self, task: &str, reference: &str, approved: bool, now: Now) -> Result<Value, Refusal> {
        let noted = self.plane.settle_approval(task, reference, approved, "ops", now)?;
        self.carry(noted, Written::Durable)
    }

    pub fn memory(&self, task: &str) -> Value {
        serde_json::from_slice(&self.plane.memory_json(task, NOW).unwrap()).unwrap()
    }

    pub fn state(&self, task: &str) -> Value {
        serde_json::from_slice(&self.plane.state_json(task, NOW).unwrap()).unwrap()
    }

    pub fn events(&self) -> Vec<Value> {
        self.plane.take_events(1000).iter().map(|event| body(event)).collect()
    }

    /// The last record's body.
    pub fn last(&self) -> Value {
        body(&self.records.borrow().last().unwrap().1.0)
    }

    /// Another plane, with these tasks restored from their records, in that order.
    pub fn restored(&self, tasks: &[(&str, Value)]) -> Self {
        let again = Self::policed(&self.profile, &self.policies);
        for (task, more) in tasks {
            let records = self.records.borrow();
            let own: Vec<Stored> = records.iter().filter(|(of, _)| of == task).map(|(_, one)| one.clone()).collect();
            again.plane.restore(&spec(task, more), &common::stored(&own), NOW).unwrap();
        }
        again
    }

    /// Nothing of a task is lost over a restart.
    pub fn survives(&self, task: &str) -> Self {
        let again = self.restored(&[(task, json!({}))]);
        assert_eq!(again.memory(task), self.memory(task));
        let (mut one, mut other) = (self.state(task), again.state(task));
        for state in [&mut one, &mut other] {
            state["silent_in_ms"] = Value::Null;
        }
        assert_eq!(one, other);
        again
    }
}

pub fn body(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

pub fn why(verdict: &Verdict) -> Reason {
    verdict.reasons[0]
}

pub fn reacted(verdict: &Verdict) -> (Reason, Option<Reaction>) {
    (why(verdict), verdict.reaction)
}

pub fn minutes(n: i64) -> Now {
    later(n * 60_000)
}
