//! Labels: attached when a call is allowed, never taken off, and followed by the instance.

use flyball_decision::{Reason, Written};
use serde_json::{Value, json};

use crate::common::{NOW, policy};
use crate::kit::*;

#[test]
fn labels_attach_in_the_record_of_the_allow() {
    let house = House::new(&profile());
    let id = house.open(1);
    assert_eq!(house.memory(&id)["labels"], json!([]));
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    assert_eq!(house.last()["labels"], json!(["outside", "pii"]));
    assert_eq!(house.memory(&id)["labels"], json!(["outside", "pii"]));
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    assert_eq!(house.last().get("labels"), None, "they stand in a durable record");
    house.survives(&id);
}

#[test]
fn what_was_not_recorded_did_not_attach() {
    let house = House::new(&profile());
    let id = house.open(1);
    house.call_with(&id, "gateway", "inbox", &json!({}), NOW, Written::Failed);
    assert_eq!(house.memory(&id)["labels"], json!([]));
    house.call_with(&id, "gateway", "inbox", &json!({}), NOW, Written::Unknown);
    assert_eq!(house.memory(&id)["labels"], json!(["outside", "pii"]), "nobody can say: it holds");
}

#[test]
fn unless_and_never_after_refuse_what_comes_later() {
    let profile =
        top(with(SEND, json!({"unless": ["pii"]})), json!({"never": [{"after": "outside", "action": "pay"}]}));
    let house = House::new(&profile);
    let id = house.open(1);
    assert!(house.call(&id, "send", &json!({})).allowed());
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    let again = house.survives(&id);
    for house in [&house, &again] {
        assert_eq!(why(&house.call(&id, "send", &json!({}))), Reason::LabelForbids);
        assert_eq!(house.last()["breach"]["kind"], "flow");
        assert_eq!(why(&house.call(&id, "pay", &json!({}))), Reason::LabelForbids);
    }
}

#[test]
fn a_report_adds_labels_and_takes_none_away() {
    let house = House::new(&with(SEND, json!({"unless": ["secret"]})));
    let id = house.open(1);
    let verdict = house.call(&id, "contacts", &json!({}));
    let meta = json!({"labels": ["secret", "our-own"]});
    house.report_as(&id, "gateway", &verdict.decision, &json!([]), &meta).unwrap();
    assert_eq!(house.memory(&id)["labels"], json!(["org", "secret", "our-own"]));
    assert_eq!(why(&house.call(&id, "send", &json!({}))), Reason::LabelForbids);
    house.survives(&id);
}

/// An agent's own word can bind it, wherever something goes by labels; where nothing goes by results none is waited for.
#[test]
fn an_agents_own_word_of_labels_binds_it() {
    let told = |profile: &Value| {
        let house = House::new(profile);
        let id = house.open(1);
        let verdict = house.call_at(&id, "flyball", "contacts", &json!({}), NOW);
        let told = house.report_as(&id, "self", &verdict.decision, &json!([]), &json!({"labels": ["secret"]}));
        (told.map_err(|no| no.code), why(&house.call(&id, "send", &json!({}))))
    };
    for profile in [
        with(SEND, json!({"unless": ["secret"]})),
        top(profile(), json!({"never": [{"after": "secret", "action": "send"}]})),
    ] {
        let (told, then) = told(&profile);
        assert!(told.is_ok(), "{told:?}");
        assert_eq!(then, Reason::LabelForbids);
    }
    let (told, then) = told(&profile());
    assert_eq!((told.unwrap_err(), then), ("decision_unknown", Reason::Allowed));
}

#[test]
fn policies_see_labels_and_origins() {
    let sees = |text: &str| {
        let forbid = policy(
            "p",
            &format!("forbid(principal, action == Flyball::Action::\"send\", resource) when {{ {text} }};"),
        );
        let house = House::policed(&with(SEND, origins()), &[forbid]);
        let id = house.open(1);
        house.read(&id, "contacts", &json!([{"name": "Bob", "email": "bob@firm.example"}]));
        let to = |who: &str| why(&house.call(&id, "send", &json!({"to": [who]})));
        [to("ann@firm.example"), to("bob@firm.example")]
    };
    let (allowed, forbidden) = (Reason::Allowed, Reason::PolicyForbids);
    assert_eq!(sees("context.task.labels.contains(\"org\")"), [forbidden, forbidden]);
    assert_eq!(sees("context.task.labels.contains(\"pii\")"), [allowed, allowed]);
    assert_eq!(sees("context.origins has to && context.origins.to.contains(\"org\")"), [allowed, forbidden]);
    assert_eq!(sees("context.origins has to && context.origins.to.contains(\"user\")"), [forbidden, allowed]);
}

#[test]
fn labels_follow_the_instance_and_no_other() {
    let house = House::new(&with(SEND, json!({"unless": ["pii"]})));
    let instance = |name: &str| json!({"instance": name});
    let first = house.open_as(1, instance("pod-1")).unwrap();
    let beside = house.open_as(2, instance("pod-1")).unwrap();
    let other = house.open_as(3, instance("pod-2")).unwrap();
    assert!(house.call(&first, "inbox", &json!({})).allowed());
    // A task that was open already has them too, and so has the next one.
    assert_eq!(why(&house.call(&beside, "send", &json!({}))), Reason::LabelForbids);
    assert_eq!(house.last()["labels"], json!(["outside", "pii"]));
    let next = house.open_as(4, instance("pod-1")).unwrap();
    assert_eq!(house.memory(&next)["labels"], json!(["outside", "pii"]));
    assert!(house.call(&other, "send", &json!({})).allowed());
    // What the control plane hands back at open counts from the start.
    let started = house.open_as(5, json!({"instance": "pod-3", "labels": ["pii", "elsewhere"]})).unwrap();
    assert_eq!(why(&house.call(&started, "send", &json!({}))), Reason::LabelForbids);
    assert_eq!(house.memory(&started)["labels"], json!(["pii", "elsewhere"]));
}

#[test]
fn without_an_instance_all_tasks_of_a_principal_are_one() {
    let house = House::new(&with(SEND, json!({"unless": ["pii"]})));
    let (first, second) = (house.open(1), house.open(2));
    assert!(house.call(&first, "inbox", &json!({})).allowed());
    assert_eq!(why(&house.call(&second, "send", &json!({}))), Reason::LabelForbids);
    // While one of its tasks lives the instance is remembered, and no longer.
    for id in [&first, &second] {
        assert!(house.plane.fence(id) && house.plane.close(id));
    }
    assert!(house.call(&house.open(3), "send", &json!({})).allowed());
}

#[test]
fn sixty_four_labels_are_all_that_a_task_can_have() {
    let house = House::new(&profile());
    let many: Vec<Value> = (0..60).map(|n| json!(format!("l{n}"))).collect();
    assert_eq!(house.open_as(1, json!({"labels": many})).unwrap_err().code, "malformed");
    assert!(house.open_as(2, json!({"labels": many[..59]})).is_ok());
}

#[test]
fn a_label_that_something_goes_by_waits_for_its_record_whatever_the_class() {
    let buffered = |profile: &Value, action: &str| {
        let plane = crate::common::plane();
        let compiled = bundle(std::slice::from_ref(profile), &[]).to_string().replace("durable", "buffered");
        plane.load(compiled.as_bytes()).unwrap();
        let id = crate::common::task_id(1);
        plane.open(&spec(&id, &json!({})), NOW).unwrap();
        let call = flyball_decision::Call {
            task: &id,
            pep: "gateway",
            binding: "inproc",
            action,
            resource_type: "tool",
            resource_id: action,
            args: b"",
        };
        let first = plane.check(&call, NOW);
        let waits = !first.buffered;
        assert!(plane.release(first, Written::Durable, NOW).verdict.allowed());
        (waits, !plane.check(&call, NOW).buffered)
    };
    let wary = with(SEND, json!({"unless": ["pii"]}));
    assert_eq!(buffered(&wary, "inbox"), (true, false));
    assert_eq!(buffered(&wary, "contacts"), (false, false), "the organisation's own is no taint");
    assert_eq!(buffered(&profile(), "inbox"), (false, false), "nothing goes by it");
}
