//! A bundle, tasks and calls for tests and examples.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use flyball_decision::{Call, Now, Plane, PlaneConfig, Released, Verdict, Written};
use serde_json::{Value, json};

pub const NOW: Now = Now { wall_ms: 1_800_000_000_000, mono_ms: 1_000_000 };

pub fn later(ms: i64) -> Now {
    Now { wall_ms: NOW.wall_ms + ms, mono_ms: NOW.mono_ms + ms }
}

pub const SCHEMA: &str = r#"
namespace Flyball {
  entity Group in [Group];
  entity Agent in [Group] = { "owner": String };
  entity Profile in [Group];
  entity Credential in [Group];
  entity table in [Group] = { "class"?: String };
  entity tool in [Group];
  type Intent = { "rule": String, "within": Bool };
  type Task = { "id": String, "profile": String, "owner": String, "inputs": { "ticket"?: String, "limit"?: decimal } };
  action "sql.select" appliesTo { principal: [Agent], resource: [table],
    context: { "task": Task, "args": { "columns"?: Set<String>, "n"?: Long }, "intent": Intent, "pep": String } };
  action "tool.refund" appliesTo { principal: [Agent], resource: [tool],
    context: { "task": Task, "args": { "amount"?: decimal, "order_id"?: String, "urgent"?: Bool }, "intent": Intent, "pep": String } };
  action "read" appliesTo { principal: [user], resource: [record], context: { "args": { "soft"?: Bool }, "pep": String } };
  entity user = { "role"?: String };
  entity record = { "status"?: String };
}
"#;

pub fn permit(id: &str, action: &str) -> Value {
    json!({"id": id, "file": "profiles/p.yaml", "line": 1, "text": format!(
        "permit(principal, action == Flyball::Action::\"{action}\", resource)\nwhen {{ context.intent.rule == \"{id}\" && context.intent.within }};")})
}

pub fn policy(id: &str, text: &str) -> Value {
    json!({"id": id, "file": "policies/p.cedar", "line": 10, "text": text})
}

/// Profile `p`: reads of two tables, refunds within the limit, once per ticket.
pub fn profile(reaction: &str) -> Value {
    json!({
        "name": "p", "digest": format!("sha256:p-{reaction}"),
        "policies": [permit("p/allow/1", "sql.select"), permit("p/allow/2", "tool.refund")],
        "inputs": {"limit": "decimal", "ticket": "string"},
        "rules": [
            {"id": "p/allow/1", "action": "sql.select", "on": ["orders.public.orders", "orders.open.*"], "where": [], "budget": {"sums": []}, "across": []},
            {"id": "p/allow/2", "action": "tool.refund", "on": ["refund"],
             "where": [{"arg": "amount", "op": "max", "value": {"input": "limit"}}],
             "budget": {"calls": 2, "sums": [{"arg": "amount", "max": {"input": "limit"}}]},
             "across": [{"per": {"input": "ticket"}, "window_ms": null, "calls": 3, "sums": []}]}
        ],
        "budget": {"calls": 1_000_000_000}, "checks_per_second": null, "reaction": reaction,
        "time": {"ttl_ms": 900_000, "heartbeat_ms": 5000}
    })
}

pub fn bundle(profiles: &[Value], policies: &[Value]) -> Value {
    json!({
        "digest": "sha256:bundle", "schema": SCHEMA,
        "entities": [
            {"uid": {"type": "Flyball::Group", "id": "support"}, "attrs": {}, "parents": []},
            {"uid": {"type": "Flyball::Group", "id": "secret"}, "attrs": {}, "parents": []},
            {"uid": {"type": "Flyball::table", "id": "orders.open.b"}, "attrs": {"class": "x"}, "parents": [{"type": "Flyball::Group", "id": "secret"}]},
            {"uid": {"type": "Flyball::user", "id": "bob"}, "attrs": {"role": "admin"}, "parents": []},
            {"uid": {"type": "Flyball::Agent", "id": "a"}, "attrs": {"owner": "o"}, "parents": [{"type": "Flyball::Group", "id": "support"}]}
        ],
        "agents": {"a": {"entity": "Flyball::Agent::\"a\"", "owner": "o"}},
        "resource_types": {"table": "Flyball::table", "tool": "Flyball::tool", "record": "Flyball::record"},
        "subject_types": {"user": "Flyball::user"},
        "actions": {
            "sql.select": {"effect": "read", "resource_type": "table", "class": "fast", "args": {"columns": "strings", "n": "long"}},
            "tool.refund": {"effect": "write", "resource_type": "tool", "class": "default",
                            "args": {"amount": "decimal", "order_id": "string", "urgent": "bool", "note": "any"}},
            "read": {"effect": "read", "resource_type": "record", "class": "default", "args": {"soft": "bool"}, "taskless": true}
        },
        "classes": {"default": {"mode": "enforce", "record": "durable"}, "fast": {"mode": "enforce", "record": "buffered"}},
        "peps": [
            {"name": "sdk", "identity": {"self": true}, "actions": ["sql.*", "tool.*"]},
            {"name": "gateway", "identity": {"spiffe": "spiffe://x/gw"}, "actions": ["tool.*", "read"], "may_report": true,
             "may_assert_subject": ["record"], "trust_properties": ["resource", "action"]}
        ],
        "policies": policies, "profiles": profiles
    })
}

pub fn plane() -> Plane {
    Plane::new(PlaneConfig { cell: "local".into(), node: "n".into(), epoch: 7, deployment_key: [9; 32] })
}

pub fn loaded(profiles: &[Value], policies: &[Value]) -> Plane {
    let plane = plane();
    plane.load(bundle(profiles, policies).to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    plane
}

pub fn task_id(number: u32) -> String {
    let alphabet = b"0123456789abcdefghjkmnpqrstvwxyz";
    let digits: String = (0..7).rev().map(|i| char::from(alphabet[(number >> (i * 5) & 31) as usize])).collect();
    format!("tsk_local_01jdxq0000000000000{digits}")[..36].to_owned()
}

pub fn spec(id: &str, digest: &str, ticket: &str) -> String {
    json!({
        "id": id, "principal": "spiffe://x/agent/a", "agent": "a", "owner": "o", "profile": "p", "profile_digest": digest,
        "inputs": {"ticket": {"value": ticket, "type": "string", "vouched_by": "declared"},
                   "limit": {"value": "100", "type": "decimal", "vouched_by": "desk"}},
        "opened_ms": NOW.wall_ms, "hard_end_ms": NOW.wall_ms + 900_000, "heartbeat_ms": 5000,
        "data_key": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=", "state": "open",
        "binding": "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    })
    .to_string()
}

pub fn open(plane: &Plane, number: u32, reaction: &str) -> String {
    let id = task_id(number);
    plane.open(spec(&id, &format!("sha256:p-{reaction}"), &format!("T-{number}")).as_bytes(), NOW).unwrap();
    id
}

pub fn select<'a>(task: &'a str, table: &'a str) -> Call<'a> {
    Call {
        task,
        pep: "sdk",
        binding: "inproc",
        action: "sql.select",
        resource_type: "table",
        resource_id: table,
        args: b"",
    }
}

pub fn refund<'a>(task: &'a str, args: &'a str) -> Call<'a> {
    Call {
        task,
        pep: "sdk",
        binding: "inproc",
        action: "tool.refund",
        resource_type: "tool",
        resource_id: "refund",
        args: args.as_bytes(),
    }
}

/// Check and release as if the sink had done that.
pub fn ask_with(plane: &Plane, call: &Call<'_>, written: Written, now: Now) -> Released {
    let mut checked = plane.check(call, now);
    checked.record = None;
    plane.release(checked, written, now)
}

pub fn ask(plane: &Plane, call: &Call<'_>) -> Verdict {
    ask_with(plane, call, Written::Durable, NOW).verdict
}

/// Records as a plane is given them back.
pub fn stored(records: &[(Vec<u8>, Option<Vec<u8>>)]) -> Vec<(&[u8], Option<&[u8]>)> {
    records.iter().map(|(body, sealed)| (body.as_slice(), sealed.as_deref())).collect()
}
