//! What follows a breach: ladders by kind, thresholds over all, and a bound on hard reactions.

use flyball_decision::{Reaction, Reason};
use serde_json::json;

use crate::common::NOW;
use crate::kit::*;

#[test]
fn each_kind_climbs_its_own_ladder_and_a_restart_forgets_no_step() {
    let profile = top(
        and(
            with(SEND, json!({"where": [{"arg": "body", "op": "length", "value": {"const": 3}}]})),
            PAY,
            json!({"after": ["day"]}),
        ),
        json!({"reactions": {"argument": ["deny", "deny", "freeze"], "order": ["deny", "suspend"]}}),
    );
    let house = House::new(&profile);
    let id = house.open(1);
    let long = json!({"body": "long"});
    assert_eq!(reacted(&house.call(&id, "send", &long)), (Reason::ArgumentOutOfBounds, Some(Reaction::Deny)));
    assert_eq!(reacted(&house.call(&id, "pay", &json!({}))), (Reason::OutOfOrder, Some(Reaction::Deny)));
    assert_eq!(reacted(&house.call(&id, "send", &long)), (Reason::ArgumentOutOfBounds, Some(Reaction::Deny)));
    assert_eq!(house.memory(&id)["breaches"], json!({"argument": 2, "order": 1}));
    let again = house.survives(&id);
    for house in [&house, &again] {
        assert_eq!(reacted(&house.call(&id, "send", &long)).1, Some(Reaction::Freeze));
        assert_eq!(why(&house.call(&id, "close", &json!({}))), Reason::TaskFrozen);
        assert!(house.call(&id, "inbox", &json!({})).allowed());
    }
}

#[test]
fn the_defaults_are_deny_then_freeze_and_revoke_for_another_target() {
    let house = House::new(&with(SEND, json!({"on": ["mail"]})));
    let id = house.open(1);
    assert_eq!(reacted(&house.call(&id, "send", &json!({}))), (Reason::ResourceNotInProfile, Some(Reaction::Revoke)));
    assert_eq!(house.state(&id)["state"], "fenced");
    let house = House::new(&with(SEND, origins()));
    let id = house.open(1);
    let evil = json!({"to": ["evil@else.example"]});
    assert_eq!(reacted(&house.call(&id, "send", &evil)), (Reason::OriginMismatch, Some(Reaction::Deny)));
    assert_eq!(reacted(&house.call(&id, "send", &evil)), (Reason::OriginMismatch, Some(Reaction::Freeze)));
}

#[test]
fn thresholds_count_all_breaches_and_the_harder_counts() {
    let profile = top(
        and(with(SEND, origins()), PAY, json!({"after": ["day"]})),
        json!({"denials": [[3, "revoke"]], "reactions": {"origin": ["deny"], "order": ["deny"]}}),
    );
    let house = House::new(&profile);
    let id = house.open(1);
    let evil = json!({"to": ["evil@else.example"]});
    assert_eq!(house.call(&id, "send", &evil).reaction, Some(Reaction::Deny));
    assert_eq!(house.call(&id, "pay", &json!({})).reaction, Some(Reaction::Deny));
    let again = house.survives(&id);
    assert_eq!(house.call(&id, "send", &evil).reaction, Some(Reaction::Revoke));
    assert_eq!(again.call(&id, "pay", &json!({})).reaction, Some(Reaction::Revoke));
}

#[test]
fn a_rules_own_word_stands_in_place_of_the_ladder() {
    let house = House::new(&and(with(SEND, origins()), SEND, json!({"on_breach": ["suspend"]})));
    let id = house.open(1);
    assert_eq!(house.call(&id, "send", &json!({"to": ["evil@else.example"]})).reaction, Some(Reaction::Suspend));
}

#[test]
fn above_a_rate_hard_reactions_are_freezes_and_somebody_is_paged() {
    let profile = top(with(SEND, json!({"on": ["mail"]})), json!({"most_per_minute": 3}));
    let house = House::new(&profile);
    let ids: Vec<String> = (0..5).map(|n| house.open(n)).collect();
    let reactions: Vec<_> = ids.iter().map(|id| house.call(id, "send", &json!({})).reaction.unwrap()).collect();
    assert_eq!(reactions, [Reaction::Revoke, Reaction::Revoke, Reaction::Revoke, Reaction::Freeze, Reaction::Freeze]);
    let paged: Vec<_> = house.events().into_iter().filter(|event| event["event"] == "reactions_degraded").collect();
    assert_eq!(paged.len(), 2);
    assert_eq!((&paged[0]["profile"], &paged[0]["task"]), (&json!("m"), &json!(ids[3])));
    assert_eq!(house.last()["reaction"], "freeze");
    // A minute later the next is what the profile says.
    let next = house.open(9);
    assert_eq!(house.call_at(&next, "gateway", "send", &json!({}), minutes(2)).reaction, Some(Reaction::Revoke));
}

#[test]
fn mistakes_and_our_own_faults_are_no_breaches() {
    let house = House::new(&with(SEND, json!({"where": [{"arg": "body", "op": "length", "value": {"const": 3}}]})));
    let id = house.open(1);
    for args in [json!({}), json!({"body": 1}), json!({"x": 1})] {
        assert_eq!(house.call(&id, "send", &args).reaction, None, "{args}");
    }
    assert_eq!(house.call_at(&id, "nobody", "send", &json!({}), NOW).reaction, None);
    assert_eq!(house.memory(&id)["breaches"], json!({}));
}
