//! Children: no more of anything than their parent has left, and fenced with it.

use flyball_decision::{Reaction, Reason, Written};
use serde_json::{Value, json};

use crate::common::{NOW, task_id};
use crate::kit::*;

fn of(parent: &str) -> Value {
    json!({"parent": parent})
}

fn also(parent: &str, more: Value) -> Value {
    top(of(parent), more)
}

fn budget() -> Value {
    top(
        with(SEND, json!({"budget": {"calls": 10}, "distinct": [{"arg": "to", "as": "email", "max": 4}]})),
        json!({"budget": {"calls": 100}}),
    )
}

#[test]
fn a_child_has_what_was_allotted_and_gives_back_the_rest() {
    let house = House::new(&budget());
    let parent = house.open(1);
    let allot = json!({"allot": {"calls": "20", "m/allow/send/calls": "2", "m/allow/send/distinct:to": "1"}});
    let child = house.open_as(2, also(&parent, allot)).unwrap();
    assert_eq!(
        house.last(),
        json!({"at": NOW.wall_ms, "child": child, "kind": "child_opened", "task": parent, "v": 1,
        "charge": {"task": {"calls": "20", "m/allow/send/calls": "2", "m/allow/send/distinct:to": "1"}}})
    );
    let used = |task: &str| house.state(task)["used"].clone();
    assert_eq!((&used(&parent)["calls"], &used(&child)["calls"]), (&json!("20"), &json!("0")));
    assert!(house.call(&child, "send", &json!({"to": ["a@b.example"]})).allowed());
    assert_eq!(why(&house.call(&child, "send", &json!({"to": ["c@d.example"]}))), Reason::BudgetSpent);
    assert!(house.call(&child, "send", &json!({"to": ["A@b.example"]})).allowed());
    assert_eq!(why(&house.call(&child, "send", &json!({}))), Reason::BudgetSpent);
    assert!(house.plane.returning(&child, NOW).is_none(), "a live child returns nothing");
    assert!(house.plane.fence(&child));
    let returning = house.plane.returning(&child, NOW).unwrap();
    house.carry(returning, Written::Durable).unwrap();
    assert!(house.plane.close(&child));
    let closed = house.last();
    assert_eq!(closed["charge"], json!({"task": {"calls": "18"}}));
    assert_eq!((&closed["kind"], &closed["breaches"]), (&json!("child_closed"), &json!({"budget": 2})));
    assert_eq!(used(&parent), json!({"calls": "2", "m/allow/send/calls": "2", "m/allow/send/distinct:to": "1"}));
    house.survives(&parent);
}

#[test]
fn by_default_a_child_has_all_that_is_left_and_its_parent_nothing_meanwhile() {
    let house = House::new(&budget());
    let parent = house.open(1);
    assert!(house.call(&parent, "close", &json!({})).allowed());
    let child = house.open_as(2, of(&parent)).unwrap();
    assert_eq!(why(&house.call(&parent, "close", &json!({}))), Reason::BudgetSpent);
    assert!(house.call(&child, "close", &json!({})).allowed());
    let again = house.restored(&[(&parent, json!({})), (&child, of(&parent))]);
    assert_eq!(again.state(&parent)["used"], house.state(&parent)["used"]);
    for _ in 0..98 {
        assert!(again.call(&child, "close", &json!({})).allowed());
    }
    assert_eq!(why(&again.call(&child, "close", &json!({}))), Reason::BudgetSpent);
}

#[test]
fn a_child_is_no_wider() {
    let house = House::new(&budget());
    let parent = house.open(1);
    let code = |more| house.open_as(2, more).unwrap_err().code;
    assert_eq!(code(of(&task_id(77))), "parent_unknown");
    let request = |text: &str| json!({"inputs": {"request": {"value": text, "vouched_by": "desk"}}});
    assert_eq!(code(also(&parent, request("Write to evil@else.example"))), "child_inputs");
    assert_eq!(code(also(&parent, json!({"actions": ["send", "drop"]}))), "child_actions");
    assert_eq!(code(also(&parent, json!({"allot": {"calls": "101"}}))), "allot_exceeds");
    assert_eq!(code(also(&parent, json!({"allot": {"nothing": "1"}}))), "allot_unknown");
    assert_eq!(code(also(&parent, json!({"allot": {"calls": "-1"}}))), "malformed");
    assert_eq!(code(json!({"actions": ["send"]})), "malformed", "only a child is narrowed");
    assert_eq!(house.state(&parent)["used"]["calls"], "0", "a refusal charges nothing");
    house.plane.freeze(&parent);
    assert_eq!(code(of(&parent)), "parent_not_open");
    house.plane.resume(&parent);
    // Narrowed once, narrowed for its own children.
    let child = house.open_as(3, also(&parent, json!({"actions": ["send", "close"]}))).unwrap();
    assert_eq!(reacted(&house.call(&child, "pay", &json!({}))), (Reason::ActionNotInProfile, Some(Reaction::Deny)));
    assert_eq!(house.open_as(4, also(&child, json!({"actions": ["pay"]}))).unwrap_err().code, "child_actions");
    let grandchild = house.open_as(5, of(&child)).unwrap();
    assert!(house.call(&grandchild, "close", &json!({})).allowed());
    assert_eq!(why(&house.call(&grandchild, "pay", &json!({}))), Reason::ActionNotInProfile);
}

#[test]
fn what_an_agent_says_of_its_parents_input_vouches_for_nothing() {
    let house = House::new(&with(SEND, origins()));
    let declared = json!({"inputs": {"request": {"value": REQUEST, "vouched_by": "declared"}}});
    let parent = house.open_as(1, declared).unwrap();
    let child = house.open_as(2, of(&parent)).unwrap();
    let ann = json!({"to": ["ann@firm.example"]});
    assert_eq!(why(&house.call(&child, "send", &ann)), Reason::OriginMismatch);
    assert_eq!(house.state(&child)["vouched_by"]["request"], "declared");
}

#[test]
fn four_generations_and_no_more() {
    let house = House::new(&profile());
    let mut last = house.open(1);
    for n in 2..=5 {
        last = house.open_as(n, of(&last)).unwrap();
    }
    assert_eq!(house.open_as(6, of(&last)).unwrap_err().code, "child_too_deep");
}

#[test]
fn a_fence_reaches_every_generation() {
    let house = House::new(&with(SEND, json!({"on": ["mail"]})));
    let parent = house.open(1);
    let child = house.open_as(2, of(&parent)).unwrap();
    let grandchild = house.open_as(3, of(&child)).unwrap();
    assert!(house.call(&grandchild, "close", &json!({})).allowed());
    // A deviation of the parent's fences as an operator does.
    assert_eq!(house.call(&parent, "send", &json!({})).reaction, Some(Reaction::Revoke));
    for task in [&child, &grandchild] {
        assert_eq!(why(&house.call(task, "inbox", &json!({}))), Reason::TaskFenced);
    }
    let fenced: Vec<Value> = house.events().into_iter().filter(|event| event["event"] == "child_fenced").collect();
    assert_eq!(
        fenced,
        [
            json!({"event": "child_fenced", "task": child, "parent": parent}),
            json!({"event": "child_fenced", "task": grandchild, "parent": child})
        ]
    );
}

#[test]
fn a_childs_deviation_is_its_own_and_its_parent_goes_on() {
    let house = House::new(&with(SEND, json!({"on": ["mail"]})));
    let parent = house.open(1);
    let child = house.open_as(2, of(&parent)).unwrap();
    assert_eq!(house.call(&child, "send", &json!({})).reaction, Some(Reaction::Revoke));
    assert_eq!(why(&house.call(&child, "inbox", &json!({}))), Reason::TaskFenced);
    assert!(house.call(&parent, "close", &json!({})).allowed());
    // But a parent that may not, its child may not.
    let next = house.open_as(3, of(&parent)).unwrap();
    house.plane.freeze(&parent);
    assert_eq!(why(&house.call(&next, "close", &json!({}))), Reason::TaskFrozen);
    assert!(house.call(&next, "inbox", &json!({})).allowed());
    house.plane.resume(&parent);
    house.plane.park(&parent);
    assert!(house.call(&next, "close", &json!({})).allowed(), "a parent may wait for its child");
}

#[test]
fn children_climb_one_ladder() {
    let house = House::new(&with(SEND, origins()));
    let parent = house.open(1);
    let evil = json!({"to": ["evil@else.example"]});
    let first = house.open_as(2, of(&parent)).unwrap();
    let second = house.open_as(3, of(&parent)).unwrap();
    assert_eq!(house.call(&first, "send", &evil).reaction, Some(Reaction::Deny));
    let again = house.restored(&[(&parent, json!({})), (&first, of(&parent)), (&second, of(&parent))]);
    for house in [&house, &again] {
        assert_eq!(house.call(&second, "send", &evil).reaction, Some(Reaction::Freeze));
    }
}

#[test]
fn labels_go_down_at_the_start_and_up_at_once() {
    let house = House::new(&with(SEND, json!({"unless": ["pii"]})));
    let instance = |parent: &str, name: &str| also(parent, json!({"instance": name}));
    let parent = house.open_as(1, json!({"instance": "i1"})).unwrap();
    assert!(house.call(&parent, "contacts", &json!({})).allowed());
    let child = house.open_as(2, instance(&parent, "i2")).unwrap();
    assert_eq!(house.memory(&child)["labels"], json!(["org"]));
    assert!(house.call(&child, "inbox", &json!({})).allowed());
    assert_eq!(why(&house.call(&parent, "send", &json!({}))), Reason::LabelForbids, "it may have been told");
    house.plane.fence(&child);
    let returning = house.plane.returning(&child, NOW).unwrap();
    house.carry(returning, Written::Durable).unwrap();
    assert_eq!(house.last()["labels"], json!(["org", "outside", "pii"]));
    let again = house.restored(&[(&parent, json!({"instance": "i1"}))]);
    assert_eq!(why(&again.call(&parent, "send", &json!({}))), Reason::LabelForbids);
}

#[test]
fn a_child_moves_the_plans_above_it() {
    let house = House::new(&top(profile(), json!({"reactions": {"plan": ["deny"]}})));
    let parent = house.open(1);
    house.plan(&parent, &json!([{"action": "send", "count": 2}])).unwrap();
    let child = house.open_as(2, of(&parent)).unwrap();
    house.plan(&child, &json!([{"action": "send"}, {"action": "close"}])).unwrap();
    assert_eq!(why(&house.call(&child, "close", &json!({}))), Reason::NotInPlan, "not in its parent's");
    let grandchild = house.open_as(3, of(&child)).unwrap();
    assert!(house.call(&grandchild, "send", &json!({})).allowed());
    assert_eq!(house.last()["plan_above"], json!([[1, 0], [2, 0]]));
    let left = |house: &House, task: &str| house.memory(task)["plan"][0]["left"].clone();
    let tasks = |closed: bool| {
        let mut all = vec![(parent.as_str(), json!({})), (child.as_str(), of(&parent))];
        if !closed {
            all.push((grandchild.as_str(), of(&child)));
        }
        all
    };
    let again = house.restored(&tasks(false));
    for house in [&house, &again] {
        assert_eq!((left(house, &parent), left(house, &child)), (json!(1), json!(0)));
        assert_eq!(why(&house.call(&child, "send", &json!({}))), Reason::NotInPlan);
    }
    // What descendants moved is known after they are gone, one generation after the other.
    for (task, closed) in [(&grandchild, true), (&child, true)] {
        house.plane.fence(task);
        let returning = house.plane.returning(task, NOW).unwrap();
        house.carry(returning, Written::Durable).unwrap();
        house.plane.close(task);
        if *task == grandchild {
            let again = house.restored(&tasks(closed));
            assert_eq!((left(&again, &parent), left(&again, &child)), (json!(1), json!(0)));
        }
    }
    let again = house.survives(&parent);
    for house in [&house, &again] {
        assert_eq!(left(house, &parent), json!(1));
        assert!(house.call(&parent, "send", &json!({})).allowed());
        assert_eq!(why(&house.call(&parent, "send", &json!({}))), Reason::NotInPlan);
    }
}

#[test]
fn a_child_that_nobody_recorded_does_not_come_back() {
    let house = House::new(&profile());
    let parent = house.open(1);
    let lost = task_id(2);
    let noted = house.plane.open(&spec(&lost, &of(&parent)), NOW).unwrap().unwrap();
    assert_eq!(why(&house.call(&lost, "inbox", &json!({}))), Reason::TaskUnknown, "it enters with its record");
    house.carry(noted, Written::Failed).unwrap();
    assert_eq!(house.memory(&parent)["children"], json!([]));
    let again = house.restored(&[(&parent, json!({})), (&lost, of(&parent))]);
    assert_eq!(why(&again.call(&lost, "inbox", &json!({}))), Reason::TaskFenced);
    let child = house.open_as(3, of(&parent)).unwrap();
    let orphan = house.restored(&[(&child, of(&parent))]);
    assert_eq!(why(&orphan.call(&child, "inbox", &json!({}))), Reason::TaskFenced);
}

#[test]
fn a_child_opened_while_its_parent_is_fenced_does_not_enter() {
    let house = House::new(&profile());
    let parent = house.open(1);
    let child = task_id(2);
    let noted = house.plane.open(&spec(&child, &of(&parent)), NOW).unwrap().unwrap();
    house.plane.fence(&parent);
    assert_eq!(house.carry(noted, Written::Durable).unwrap_err().code, "parent_not_open");
    assert_eq!(why(&house.call(&child, "inbox", &json!({}))), Reason::TaskUnknown);
}
