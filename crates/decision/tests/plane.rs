//! The table: opening, deadlines, fences of many, bundles that are refused, decisions without a task.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use common::*;
use flyball_decision::{Due, PepIdentity, Plane, Reason, TasklessCall, Written};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

#[test]
fn only_whole_tasks_are_opened() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = task_id(1);
    let good: Value = serde_json::from_str(&spec(&id, "sha256:p-freeze", "T-1")).unwrap();
    let mut broken = Vec::new();
    for (name, value) in [
        ("id", json!("tsk_other_01jdxq00000000000000000001")),
        ("data_key", json!("c2hvcnQ=")),
        ("data_key", json!("!")),
        ("binding", json!("inproc")),
        ("state", json!("asleep")),
        ("heartbeat_ms", json!(0)),
        ("unheard_of", json!(1)),
        ("inputs", json!({"other": {"value": "x"}})),
        ("inputs", json!({"limit": {"value": "1e3"}})),
        ("hard_end_ms", json!("soon")),
    ] {
        let mut spec = good.clone();
        spec[name] = value;
        broken.push(spec);
    }
    for spec in broken {
        assert_eq!(plane.open(spec.to_string().as_bytes(), NOW).unwrap_err().code, "malformed", "{spec}");
    }
    let mut other = good.clone();
    other["profile_digest"] = json!("sha256:other");
    assert_eq!(plane.open(other.to_string().as_bytes(), NOW).unwrap_err().code, "profile_unknown");
    plane.open(good.to_string().as_bytes(), NOW).unwrap();
    assert_eq!(plane.open(good.to_string().as_bytes(), NOW).unwrap_err().code, "task_exists");
}

#[test]
fn due_tells_each_task_once_a_second_until_it_is_fenced() {
    let plane = loaded(&[profile("freeze")], &[]);
    let ids: Vec<String> = (0..50).map(|number| open(&plane, number, "freeze")).collect();
    assert!(plane.due(later(4999), 100).is_empty());
    for id in &ids[..25] {
        plane.heartbeat(id, later(4000)).unwrap();
    }
    let mut silent: Vec<String> = Vec::new();
    // In small helpings, as many calls as it takes.
    loop {
        let some = plane.due(later(5200), 7);
        assert!(some.len() <= 7 && some.iter().all(|(_, why)| *why == Due::HeartbeatMissed));
        if some.is_empty() {
            break;
        }
        silent.extend(some.into_iter().map(|(id, _)| id));
    }
    silent.sort();
    assert_eq!(silent, ids[25..]);
    assert!(plane.due(later(5300), 100).is_empty());
    for id in &ids[26..] {
        assert!(plane.fence(id) && !plane.fence(id));
    }
    assert_eq!(plane.due(later(6400), 100), [(ids[25].clone(), Due::HeartbeatMissed)]);
}

#[test]
fn an_agent_or_owner_is_fenced_whole() {
    let plane = loaded(&[profile("freeze")], &[]);
    let ids: Vec<String> = (0..20).map(|number| open(&plane, number, "freeze")).collect();
    assert!(plane.fence_agent("b").is_empty() && plane.fence_owner("x").is_empty());
    assert!(plane.fence(&ids[0]));
    assert_eq!(plane.fence_agent("a").len(), 19);
    assert!(ids.iter().all(|id| ask(&plane, &select(id, "orders.public.orders")).reasons == [Reason::TaskFenced]));
    assert!(!plane.resume(&ids[3]));
    // A new task of the agent may be opened: whether the agent may is the control plane's to say.
    let id = open(&plane, 99, "freeze");
    assert_eq!(plane.fence_owner("o"), std::slice::from_ref(&id));
    assert!(plane.close(&id) && !plane.close(&id));
    assert_eq!(plane.tasks(Some("a"), Some("o")).len(), 20);
    let id = open(&plane, 100, "freeze");
    assert!(!plane.close(&id), "a live task is not forgotten");
}

/// While the tasks of an agent are fenced one after the other, none of them is allowed anything and none is opened.
#[test]
fn an_agent_is_fenced_at_once_and_not_task_by_task() {
    let plane = Arc::new(loaded(&[profile("freeze")], &[]));
    let ids: Vec<String> = (0..20).map(|number| open(&plane, number, "freeze")).collect();
    let seen: Arc<Mutex<Vec<(bool, bool)>>> = Arc::default();
    let (within, into, all) = (Arc::downgrade(&plane), Arc::clone(&seen), ids.clone());
    plane.on_fence(Box::new(move |_| {
        let Some(plane) = within.upgrade() else { return };
        let allowed = all.iter().any(|id| ask(&plane, &select(id, "orders.public.orders")).allowed());
        let opened = plane.open(spec(&task_id(99), "sha256:p-freeze", "T-99").as_bytes(), NOW).is_ok();
        into.lock().unwrap().push((allowed, opened));
    }));
    assert_eq!(plane.fence_agent("a").len(), 20);
    assert_eq!(*seen.lock().unwrap(), [(false, false); 20]);
}

fn refused(change: impl Fn(&mut Value)) -> flyball_decision::LoadError {
    let mut document =
        bundle(&[profile("freeze")], &[policy("good", "forbid(principal, action, resource) when { false };")]);
    change(&mut document);
    Plane::validate(document.to_string().as_bytes()).unwrap_err()
}

#[test]
fn a_bad_bundle_is_refused_with_its_place_and_the_old_one_stays() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let bad = bundle(
        &[profile("freeze")],
        &[policy("typo", "forbid(principal, action, resource)\nwhen {\n  context.argz has x };")],
    );
    let error = plane.load(bad.to_string().as_bytes()).unwrap_err();
    let found = &error.diagnostics[0];
    assert_eq!((found.policy.as_str(), found.file.as_str(), found.line), ("typo", "policies/p.cedar", 12), "{found:?}");
    assert!(found.column > 1, "{found:?}");
    assert!(ask(&plane, &select(&id, "orders.public.orders")).allowed());
    let syntax = refused(|document| {
        document["policies"][0]["text"] = json!("forbid(principal, action, resource\nwhen { true };");
    });
    assert_eq!((syntax.code, syntax.diagnostics[0].line), ("bundle_invalid", 11), "{syntax:?}");
    assert_eq!(refused(|document| document["schema"] = json!("entity")).diagnostics[0].file, "schema");
    assert_eq!(refused(|document| document["unheard_of"] = json!(1)).code, "bundle_malformed");
    let wrong: [fn(&mut Value); 12] = [
        |document| document["classes"]["default"]["mode"] = json!("observe"),
        |document| document["actions"]["sql.select"]["effect"] = json!("maybe"),
        |document| document["actions"]["sql.select"]["class"] = json!("none"),
        |document| document["peps"][0]["name"] = json!("flyball"),
        |document| document["peps"][0]["identity"] = json!({"spiffe": "spiffe://x/gw"}),
        |document| document["peps"][1]["trust_properties"] = json!(["everything"]),
        |document| document["policies"][0]["annotations"] = json!({"on_deny": "shout"}),
        |document| document["profiles"][0]["reaction"] = json!("shout"),
        |document| document["profiles"][0]["rules"][1]["where"][0]["op"] = json!("near"),
        |document| document["profiles"][0]["rules"][1]["where"][0]["value"] = json!({"input": "none"}),
        |document| document["profiles"][0]["rules"][1]["budget"]["sums"][0]["arg"] = json!("order_id"),
        |document| document["entities"][0]["attrs"] = json!({"unknown": 1}),
    ];
    for (number, change) in wrong.into_iter().enumerate() {
        assert_eq!(refused(change).code, "bundle_invalid", "{number}");
    }
}

fn taskless<'a>(subject: &'a str, record: &'a str) -> TasklessCall<'a> {
    TasklessCall {
        pep: "gateway",
        binding: "pep:gateway",
        subject_type: "user",
        subject_id: subject,
        subject_properties: b"",
        action: "read",
        action_properties: b"",
        resource_type: "record",
        resource_id: record,
        resource_properties: b"",
        context: b"",
    }
}

#[test]
fn without_a_task_only_what_is_trusted_counts() {
    let plane = loaded(
        &[],
        &[
            policy(
                "admins",
                "permit(principal, action == Flyball::Action::\"read\", resource) when { principal has role && principal.role == \"admin\" };",
            ),
            policy(
                "public",
                "permit(principal, action == Flyball::Action::\"read\", resource) when { resource has status && resource.status == \"public\" };",
            ),
            policy(
                "soft",
                "forbid(principal, action == Flyball::Action::\"read\", resource) when { context.args has soft && context.args.soft };",
            ),
        ],
    );
    let ask = |call: TasklessCall<'_>| {
        let mut checked = plane.evaluate(&call, NOW);
        let record = checked.record.take();
        let verdict = plane.release(checked, Written::Durable, NOW).verdict;
        assert_eq!(record.is_none(), verdict.decision.is_empty());
        verdict.reasons[0]
    };
    let base = taskless("alice", "r");
    assert_eq!(ask(taskless("bob", "r")), Reason::Allowed);
    assert_eq!(ask(base), Reason::PolicyNoPermit);
    // This enforcement point is trusted for the resource and the action, not for the subject.
    assert_eq!(ask(TasklessCall { subject_properties: br#"{"role":"admin"}"#, ..base }), Reason::PolicyNoPermit);
    assert_eq!(
        ask(TasklessCall { resource_properties: br#"{"status":"public","unknown":[1]}"#, ..base }),
        Reason::Allowed
    );
    assert_eq!(ask(TasklessCall { resource_properties: br#"{"status":7}"#, ..base }), Reason::ArgumentType);
    assert_eq!(
        ask(TasklessCall { action_properties: br#"{"soft":true}"#, ..taskless("bob", "r") }),
        Reason::PolicyForbids
    );
    assert_eq!(
        ask(TasklessCall { action_properties: br#"{"soft":"yes"}"#, ..taskless("bob", "r") }),
        Reason::ArgumentType
    );
    assert_eq!(ask(TasklessCall { action_properties: b"{", ..base }), Reason::Malformed);
    assert_eq!(ask(TasklessCall { pep: "nobody", ..base }), Reason::PepNotRegistered);
    assert_eq!(ask(TasklessCall { pep: "sdk", ..base }), Reason::PepActionNotRegistered);
    assert_eq!(ask(TasklessCall { resource_type: "table", ..base }), Reason::PepActionNotRegistered);
    assert_eq!(ask(TasklessCall { subject_type: "ghost", ..base }), Reason::ResourceTypeUnknown);
    assert_eq!(ask(TasklessCall { action: "tool.refund", ..base }), Reason::ActionUnknown);
    for (written, reason) in [
        (Written::Failed, Reason::RecordFailed),
        (Written::QueueFull, Reason::QueueFull),
        (Written::Unknown, Reason::RecordFailed),
    ] {
        let checked = plane.evaluate(&taskless("bob", "r"), NOW);
        assert_eq!(plane.release(checked, written, NOW).verdict.reasons, [reason]);
    }
    let table = plane.peps();
    assert_eq!(table.by_identity(&PepIdentity::Spiffe("spiffe://x/gw".into())).unwrap().name, "gateway");
    assert_eq!(table.by_identity(&PepIdentity::Uid(0)), None);
}

#[test]
fn equality_and_events_show_no_argument() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let mut checked = plane.check(&refund(&id, r#"{"amount":999,"order_id":"secret-order"}"#), NOW);
    let record = checked.record.take().unwrap();
    let verdict = plane.release(checked, Written::Durable, NOW).verdict;
    let mut shown = format!("{verdict:?}{record:?}");
    for bytes in
        plane.take_events(10).into_iter().chain([record.body, plane.state_json(&id, NOW).unwrap(), plane.stats_json()])
    {
        shown.push_str(&String::from_utf8(bytes).unwrap());
    }
    assert!(!shown.contains("secret-order") && !shown.contains("999"), "{shown}");
}
