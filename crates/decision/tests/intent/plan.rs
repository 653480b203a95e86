//! Plans: declared before the outside could speak, they narrow effects and nothing else.

use flyball_decision::{Reaction, Reason, Written};
use serde_json::json;

use crate::common::NOW;
use crate::kit::*;

#[test]
fn writes_are_held_to_the_plan_and_reads_are_not() {
    let house = House::new(&with(SEND, origins()));
    let id = house.open(1);
    let ann = json!({"to": ["ANN@firm.example"]});
    house.plan(&id, &json!([{"action": "send", "count": 2, "args": ann}])).unwrap();
    assert_eq!(house.memory(&id)["plan"], json!([{"action": "send", "count": 2, "left": 2}]));
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    // Another spelling of the same address is the same address.
    let call = json!({"to": ["ann@firm.example"], "body": "b"});
    assert!(house.call(&id, "send", &call).allowed());
    assert_eq!(house.last()["plan"], 0);
    let again = house.survives(&id);
    for house in [&house, &again] {
        assert!(house.call(&id, "send", &call).allowed());
        assert_eq!(reacted(&house.call(&id, "send", &call)), (Reason::NotInPlan, Some(Reaction::Deny)));
        assert_eq!(why(&house.call(&id, "pay", &json!({}))), Reason::NotInPlan);
        assert_eq!(house.state(&id)["state"], "frozen");
    }
}

#[test]
fn each_element_of_an_argument_is_one_of_the_plans() {
    let house = House::new(&top(profile(), json!({"reactions": {"plan": ["deny"]}})));
    let id = house.open(1);
    house.plan(&id, &json!([{"action": "send", "count": 9, "args": {"to": ["a", "b"], "body": ""}}])).unwrap();
    for (args, fits) in [
        (json!({"to": ["b"]}), true),
        (json!({"to": ["b", "a", "b"], "body": "anything"}), true),
        (json!({"to": ["a", "c"]}), false),
        (json!({"to": ["A"]}), false),
        (json!({}), false),
        (json!({"to": []}), false),
    ] {
        assert_eq!(house.call(&id, "send", &args).allowed(), fits, "{args}");
    }
}

#[test]
fn what_did_not_happen_goes_back_into_the_plan() {
    let house = House::new(&profile());
    let id = house.open(1);
    house.plan(&id, &json!([{"action": "close"}])).unwrap();
    for written in [Written::Failed, Written::QueueFull] {
        house.call_with(&id, "gateway", "close", &json!({}), NOW, written);
    }
    let verdict = house.call(&id, "close", &json!({}));
    let draft = house.plane.return_charge(&id, "gateway", &verdict.decision, NOW).unwrap();
    house.note(&draft);
    let again = house.survives(&id);
    for house in [&house, &again] {
        assert!(house.call(&id, "close", &json!({})).allowed());
        assert_eq!(why(&house.call(&id, "close", &json!({}))), Reason::NotInPlan);
    }
}

#[test]
fn a_required_plan_comes_before_any_effect() {
    let house = House::new(&top(profile(), json!({"plan": "required"})));
    let id = house.open(1);
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    assert_eq!(reacted(&house.call(&id, "close", &json!({}))), (Reason::PlanRequired, Some(Reaction::Deny)));
    assert_eq!(house.plan(&id, &json!([{"action": "close"}])).unwrap_err().code, "plan_too_late");
    // What the control plane itself does for a task is held to no plan.
    assert_eq!(why(&house.call_at(&id, "flyball", "close", &json!({}), NOW)), Reason::Allowed);
}

#[test]
fn a_plan_is_declared_once_and_in_time() {
    let house = House::new(&profile());
    let id = house.open(1);
    let plan = json!([{"action": "close"}]);
    let twice = house.plane.declare_plan(&id, plan.to_string().as_bytes(), "agent", NOW).unwrap();
    assert_eq!(house.plan(&id, &plan).unwrap_err().code, "plan_exists");
    let code = |house: &House, id: &str, plan: &serde_json::Value| house.plan(id, plan).unwrap_err().code;
    house.carry(twice, Written::Failed).unwrap();
    for (bad, expected) in [
        (json!({}), "plan_malformed"),
        (json!([1]), "plan_malformed"),
        (json!([{"action": "close", "count": 0}]), "plan_malformed"),
        (json!([{"action": "close", "more": 1}]), "plan_malformed"),
        (json!([{"action": "close", "args": []}]), "plan_malformed"),
        (json!([{"action": "drop"}]), "plan_not_in_profile"),
    ] {
        assert_eq!(code(&house, &id, &bad), expected, "{bad}");
    }
    house.plan(&id, &plan).unwrap();
    assert_eq!(code(&house, &id, &plan), "plan_exists");
    assert_eq!(code(&house, "tsk_local_01jdxq00000000000000000zz9", &plan), "task_unknown");
    // A task of an instance that saw the outside may still come with a plan of its own: it has not begun.
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    let second = house.open(2);
    house.plan(&second, &plan).unwrap();
    let third = house.open(3);
    assert!(house.call(&third, "day", &json!({})).allowed());
    assert_eq!(code(&house, &third, &plan), "plan_too_late");
    assert!(house.plane.fence(&third));
    assert_eq!(code(&house, &third, &plan), "task_fenced");
    let house = House::new(&top(profile(), json!({"plan": "none"})));
    assert_eq!(code(&house, &house.open(1), &plan), "plan_not_in_profile");
}

#[test]
fn a_plan_at_open_is_as_good() {
    let house = House::new(&profile());
    let id = house.open_as(1, json!({"plan": [{"action": "close"}]})).unwrap();
    assert_eq!(why(&house.call(&id, "send", &json!({}))), Reason::NotInPlan);
    assert!(house.call(&id, "close", &json!({})).allowed());
    let code = |plan| house.open_as(2, json!({"plan": plan})).unwrap_err().code;
    assert_eq!(code(json!([{"action": "nothing"}])), "plan_not_in_profile");
    assert_eq!(code(json!(7)), "plan_malformed");
}
