//! Approvals: asked for under a reference, bound to one call, used once, and a no where nobody answers.

use flyball_decision::{Effect, Reason, Written};
use serde_json::json;

use crate::common::NOW;
use crate::kit::*;

fn asks() -> House {
    House::new(&with(PAY, json!({"effect": "require_approval", "budget": {"calls": 5}})))
}

const PAY_IT: &str = r#"{"amount":"10","iban":"DE02120300000000202051"}"#;

fn pay() -> serde_json::Value {
    body(PAY_IT.as_bytes())
}

#[test]
fn a_call_is_asked_about_approved_and_made_once() {
    let house = asks();
    let id = house.open(1);
    let first = house.call(&id, "pay", &pay());
    assert_eq!((first.effect, why(&first)), (Effect::RequireApproval, Reason::ApprovalRequired));
    assert_eq!((first.approval.as_deref(), first.reaction), (Some(first.decision.as_str()), None));
    assert_eq!(house.state(&id)["used"]["m/allow/pay/calls"], "0", "nothing is charged yet");
    let again = house.call(&id, "pay", &pay());
    assert_eq!(again.approval, first.approval, "the same call has the same reference");
    let reference = first.approval.clone().unwrap();
    let listed: Vec<_> = house.plane.approvals(Some(&id), NOW).iter().map(|one| body(one)).collect();
    assert_eq!(
        listed,
        [json!({"action": "pay", "asked_ms": NOW.wall_ms, "call": first.digest, "decision": reference,
            "kind": "require_approval", "resource": {"id": "pay", "type": "tool"}, "rule": "m/allow/pay",
            "state": "pending", "task": id, "until_ms": NOW.wall_ms + 600_000})]
    );
    assert_eq!(
        house.events(),
        [json!({"event": "approval_asked", "task": id, "decision": reference, "kind": "require_approval"})]
    );
    assert_eq!(house.settle(&id, &reference, true, NOW).unwrap(), json!({"call": first.digest, "outcome": "approved"}));
    assert_eq!((&house.last()["by"], &house.last()["decision"]), (&json!("ops"), &json!(reference)));
    let restored = house.survives(&id);
    for house in [&house, &restored] {
        // Another call is another call.
        let other = house.call(&id, "pay", &json!({"amount": "11", "iban": "DE02120300000000202051"}));
        assert_eq!(other.effect, Effect::RequireApproval);
        let used = house.call(&id, "pay", &pay());
        assert!(used.allowed());
        assert_eq!(used.approval.as_deref(), Some(reference.as_str()));
        assert_eq!(house.last()["approval"], json!(reference));
        assert_eq!(house.state(&id)["used"]["m/allow/pay/calls"], "1");
        let next = house.call(&id, "pay", &pay());
        assert_eq!(next.effect, Effect::RequireApproval, "used once is used up");
        assert_ne!(next.approval.as_deref(), Some(reference.as_str()));
    }
    house.survives(&id);
}

#[test]
fn a_no_is_a_no_and_so_is_silence() {
    let house = asks();
    let id = house.open(1);
    let asked = house.call(&id, "pay", &pay()).approval.unwrap();
    house.settle(&id, &asked, false, NOW).unwrap();
    let no = house.call(&id, "pay", &pay());
    assert_eq!((no.effect, why(&no), no.reaction), (Effect::Deny, Reason::ApprovalRefused, None));
    assert_eq!(house.settle(&id, &asked, true, NOW).unwrap_err().code, "approval_settled");
    let other = json!({"amount": "11"});
    let silent = house.call(&id, "pay", &other).approval.unwrap();
    assert_eq!(house.settle(&id, &silent, true, minutes(11)).unwrap_err().code, "approval_expired");
    let late = |house: &House| why(&house.call_at(&id, "gateway", "pay", &other, minutes(11)));
    assert_eq!(late(&house), Reason::ApprovalRefused);
    let again = house.survives(&id);
    assert_eq!(
        (late(&again), why(&again.call(&id, "pay", &pay()))),
        (Reason::ApprovalRefused, Reason::ApprovalRefused)
    );
    // An approval that nobody used in time is none.
    let third = json!({"amount": "12"});
    let asked = house.call(&id, "pay", &third).approval.unwrap();
    house.settle(&id, &asked, true, minutes(9)).unwrap();
    assert_eq!(why(&house.call_at(&id, "gateway", "pay", &third, minutes(20))), Reason::ApprovalRefused);
    assert_eq!(house.settle(&id, "dec_x", true, NOW).unwrap_err().code, "approval_unknown");
    assert_eq!(house.settle("tsk_x", &asked, true, NOW).unwrap_err().code, "task_unknown");
}

#[test]
fn an_answer_counts_when_it_is_durable_and_is_given_once() {
    let house = asks();
    let id = house.open(1);
    let asked = house.call(&id, "pay", &pay()).approval.unwrap();
    let first = house.plane.settle_approval(&id, &asked, true, "ops", NOW).unwrap();
    assert_eq!(house.settle(&id, &asked, false, NOW).unwrap_err().code, "approval_settled", "one is on its way");
    assert_eq!(house.call(&id, "pay", &pay()).effect, Effect::RequireApproval);
    house.carry(first, Written::Failed).unwrap();
    house.settle(&id, &asked, true, NOW).unwrap();
    // The allow whose record fails gives the approval back.
    assert!(!house.call_with(&id, "gateway", "pay", &pay(), NOW, Written::Failed).allowed());
    assert!(house.call(&id, "pay", &pay()).allowed());
    house.survives(&id);
}

#[test]
fn a_question_leaves_only_with_its_record_and_past_the_fence() {
    let house = asks();
    let id = house.open(1);
    let failed = house.call_with(&id, "gateway", "pay", &pay(), NOW, Written::Failed);
    assert_eq!((failed.effect, why(&failed), failed.approval), (Effect::Deny, Reason::RecordFailed, None));
    assert!(house.plane.approvals(None, NOW).is_empty());
    let args = PAY_IT.as_bytes();
    let call = flyball_decision::Call {
        task: &id,
        pep: "gateway",
        binding: "inproc",
        action: "pay",
        resource_type: "tool",
        resource_id: "pay",
        args,
    };
    let mut checked = house.plane.check(&call, NOW);
    house.note(&checked.record.take().unwrap());
    house.plane.freeze(&id);
    let released = house.plane.release(checked, Written::Durable, NOW);
    house.note(released.record.as_ref().unwrap());
    assert_eq!(released.verdict.reasons, [Reason::OvertakenByFence, Reason::TaskFrozen]);
    assert_eq!((released.verdict.effect, released.verdict.approval), (Effect::Deny, None));
    assert!(house.plane.approvals(None, NOW).is_empty());
    house.plane.resume(&id);
    house.survives(&id);
}

#[test]
fn sixty_four_calls_of_a_task_may_wait() {
    let house = asks();
    let id = house.open(1);
    for n in 0..64 {
        assert_eq!(house.call(&id, "pay", &json!({"amount": n})).effect, Effect::RequireApproval);
    }
    let full = house.call(&id, "pay", &json!({"amount": 64}));
    assert_eq!((why(&full), full.reaction), (Reason::ApprovalsFull, None));
    assert_eq!(house.call(&id, "pay", &json!({"amount": 3})).effect, Effect::RequireApproval);
    let asked = house.call(&id, "pay", &json!({"amount": 3})).approval.unwrap();
    house.settle(&id, &asked, false, NOW).unwrap();
    assert_eq!(house.call(&id, "pay", &json!({"amount": 64})).effect, Effect::RequireApproval);
    house.survives(&id);
}

#[test]
fn a_step_up_is_told_from_an_approval() {
    let house = House::new(&with(PAY, json!({"effect": "step_up"})));
    let id = house.open(1);
    let asked = house.call(&id, "pay", &pay());
    assert_eq!((asked.effect, why(&asked)), (Effect::StepUp, Reason::StepUpRequired));
    house.settle(&id, &asked.approval.unwrap(), true, NOW).unwrap();
    assert!(house.survives(&id).call(&id, "pay", &pay()).allowed());
    assert!(house.call(&id, "pay", &pay()).allowed());
}

#[test]
fn what_is_approved_is_still_held_to_everything_else() {
    let house = House::new(&with(PAY, json!({"effect": "require_approval", "unless": ["pii"]})));
    let id = house.open(1);
    let asked = house.call(&id, "pay", &pay()).approval.unwrap();
    house.settle(&id, &asked, true, NOW).unwrap();
    assert!(house.call(&id, "inbox", &json!({})).allowed());
    assert_eq!(why(&house.call(&id, "pay", &pay())), Reason::LabelForbids);
}
