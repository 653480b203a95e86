//! Order: what must come first or last, what was asked for, and which failure is told.

use flyball_decision::{Reason, Written};
use serde_json::json;

use crate::common::NOW;
use crate::kit::*;

#[test]
fn after_and_before_go_by_what_was_allowed() {
    let house = House::new(&with(SEND, json!({"after": ["contacts"], "before": ["close"]})));
    let id = house.open(1);
    let send = json!({"to": [], "body": "x"});
    assert_eq!(why(&house.call(&id, "send", &send)), Reason::OutOfOrder);
    assert!(house.call(&id, "contacts", &json!({})).allowed());
    assert!(house.call(&id, "send", &send).allowed());
    assert!(house.call(&id, "close", &json!({})).allowed());
    let again = house.survives(&id);
    assert_eq!(why(&house.call(&id, "send", &send)), Reason::OutOfOrder);
    assert_eq!(why(&again.call(&id, "send", &send)), Reason::OutOfOrder);
}

#[test]
fn what_did_not_happen_counts_for_no_order() {
    let house = House::new(&with(SEND, json!({"after": ["contacts"]})));
    let id = house.open(1);
    let contacts = |written| house.call_with(&id, "gateway", "contacts", &json!({}), NOW, written);
    for written in [Written::Failed, Written::QueueFull, Written::Unknown] {
        assert!(!contacts(written).allowed());
    }
    let given_back = contacts(Written::Durable);
    let draft = house.plane.return_charge(&id, "gateway", &given_back.decision, NOW).unwrap();
    house.note(&draft);
    assert_eq!(house.memory(&id)["done"], json!({"contacts": 0}));
    assert_eq!(why(&house.call(&id, "send", &json!({}))), Reason::OutOfOrder);
    house.survives(&id);
}

#[test]
fn must_is_told_at_the_end() {
    let house = House::new(&top(profile(), json!({"must": ["send", "close"]})));
    let id = house.open(1);
    assert!(house.call(&id, "close", &json!({})).allowed());
    assert_eq!(house.memory(&id)["missing"], json!(["send"]));
    assert!(house.plane.fence(&id) && house.plane.close(&id));
    assert_eq!(house.events(), [json!({"event": "must_missing", "missing": ["send"], "task": id})]);
}

#[test]
fn only_what_the_request_asks_for() {
    let asked = |words: &str| with(SEND, json!({"asked": [words]}));
    let house = House::new(&asked("write to"));
    assert!(house.call(&house.open(1), "send", &json!({})).allowed());
    let house = House::new(&asked("delete*"));
    assert_eq!(why(&house.call(&house.open(1), "send", &json!({}))), Reason::NotAskedFor);
}

#[test]
fn the_furthest_failure_of_an_actions_rules_is_told_and_the_first_rule_that_holds_decides() {
    let mut profile = with(SEND, json!({"after": ["day"]}));
    let second = json!({"id": "m/allow/send2", "action": "send", "where": [{"arg": "body", "op": "length", "value": {"const": 3}}],
        "effect": "require_approval"});
    profile["rules"].as_array_mut().unwrap().push(second);
    profile["policies"].as_array_mut().unwrap().push(crate::common::permit("m/allow/send2", "send"));
    let house = House::new(&profile);
    let id = house.open(1);
    assert_eq!(why(&house.call(&id, "send", &json!({}))), Reason::OutOfOrder);
    assert_eq!(why(&house.call(&id, "send", &json!({"body": "long"}))), Reason::ArgumentOutOfBounds);
    assert_eq!(house.last()["rule"], "m/allow/send2");
    assert_eq!(house.last()["breach"], json!({"arg": "body", "kind": "argument", "rule": "m/allow/send2"}));
    let house = House::new(&profile);
    let id = house.open(1);
    assert_eq!(why(&house.call(&id, "send", &json!({"body": "abc"}))), Reason::ApprovalRequired);
    assert!(house.call(&id, "day", &json!({})).allowed());
    assert!(house.call(&id, "send", &json!({"body": "abc"})).allowed());
    assert_eq!(house.last()["rule"], "m/allow/send");
}

#[test]
fn a_null_argument_is_absent() {
    let house =
        House::new(&with(SEND, json!({"origins": [{"arg": "to", "as": "email", "sources": [0], "required": true}]})));
    let id = house.open(1);
    let verdict = house.call(&id, "send", &json!({"to": null}));
    assert_eq!(reacted(&verdict), (Reason::ArgumentMissing, None));
    assert!(house.call(&id, "send", &json!({"to": ["ann@firm.example"], "body": null})).allowed());
}
