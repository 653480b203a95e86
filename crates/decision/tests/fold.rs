//! A task restored from its records stands where the live one stood, and both where a simple model says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use common::*;
use flyball_decision::{Call, Written};
use proptest::prelude::*;
use serde_json::Value;

#[derive(Clone, Debug)]
enum Step {
    Refund(i64, u8),
    Select(bool),
    Move(u8),
    Return(usize),
    Report(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..60_0000_i64, 0..5_u8).prop_map(|(amount, fate)| Step::Refund(amount, fate)),
        2 => any::<bool>().prop_map(Step::Select),
        2 => (0..5_u8).prop_map(Step::Move),
        1 => (0..8_usize).prop_map(Step::Return),
        1 => (0..8_usize).prop_map(Step::Report),
    ];
    proptest::collection::vec(step, 0..40)
}

const STATES: [&str; 5] = ["open", "frozen", "suspended", "parked", "fenced"];

fn arrow(from: &str, to: &str) -> bool {
    match from {
        "open" => to != "open",
        "frozen" => ["open", "suspended", "fenced"].contains(&to),
        "suspended" | "parked" => ["open", "fenced"].contains(&to),
        _ => false,
    }
}

fn state(plane: &flyball_decision::Plane, id: &str) -> (String, Value) {
    let json: Value = serde_json::from_slice(&plane.state_json(id, NOW).unwrap()).unwrap();
    (json["state"].as_str().unwrap().to_owned(), json["used"].clone())
}

fn units(used: &Value, name: &str) -> i64 {
    let text = used[name].as_str().unwrap();
    let (whole, places) = text.split_once('.').unwrap_or((text, ""));
    whole.parse::<i64>().unwrap() * 10_000 + format!("{places:0<4}").parse::<i64>().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn fold_is_live_is_model(steps in steps(), reaction in 0..5_usize) {
        let reaction = ["deny", "freeze", "suspend", "revoke", "quarantine"][reaction];
        let mut wide = profile(reaction);
        wide["rules"][1]["budget"]["calls"] = 5.into();
        wide["rules"][1]["across"] = serde_json::json!([]);
        let plane = loaded(&[wide.clone()], &[]);
        let id = open(&plane, 1, reaction);
        let mut records: Vec<(Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        // The model: a state, what is spent, and the allowed refunds that may still be returned.
        let (mut at, mut calls, mut refunds, mut sum) = ("open", 0_i64, 0_i64, 0_i64);
        let mut pending: Vec<(String, i64, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Refund(amount, fate) => {
                    let args = format!("{{\"amount\":\"{}.{:04}\"}}", amount / 10_000, amount % 10_000);
                    let call = Call { pep: "gateway", ..refund(&id, &args) };
                    let written = [Written::Durable, Written::Durable, Written::Failed, Written::QueueFull, Written::Conflict][fate as usize];
                    let mut checked = plane.check(&call, NOW);
                    let body = checked.record.take().unwrap().body;
                    // A change of state is told by its record whatever the sink does with the answer's.
                    let moving = serde_json::from_slice::<Value>(&body).unwrap().get("reaction").is_some();
                    let verdict = plane.release(checked, written, NOW).verdict;
                    let open = at == "open";
                    let fits = amount <= 100_0000 && sum + amount <= 100_0000 && refunds < 5;
                    prop_assert_eq!(verdict.allowed(), open && fits && written == Written::Durable);
                    if written == Written::Durable || moving {
                        records.push((body, None));
                    }
                    if verdict.allowed() {
                        (calls, refunds, sum) = (calls + 1, refunds + 1, sum + amount);
                        pending.push((verdict.decision, amount, false));
                    } else if open && !fits {
                        at = match reaction { "deny" => at, "freeze" => "frozen", "suspend" => "suspended", _ => "fenced" };
                    }
                }
                Step::Select(inside) => {
                    let call = select(&id, if inside { "orders.public.orders" } else { "orders.public.customers" });
                    let mut checked = plane.check(&call, NOW);
                    records.push((checked.record.take().unwrap().body, None));
                    let verdict = plane.release(checked, Written::Durable, NOW).verdict;
                    let runs = at == "open" || at == "frozen";
                    prop_assert_eq!(verdict.allowed(), runs && inside);
                    if verdict.allowed() {
                        calls += 1;
                    } else if runs {
                        let to = match reaction { "deny" => at, "freeze" => "frozen", "suspend" => "suspended", _ => "fenced" };
                        at = if arrow(at, to) { to } else { at };
                    }
                }
                Step::Move(to) => {
                    let to = STATES[to as usize];
                    let moved = match to {
                        "open" => plane.resume(&id), "frozen" => plane.freeze(&id), "suspended" => plane.suspend(&id),
                        "parked" => plane.park(&id), _ => plane.fence(&id),
                    };
                    prop_assert_eq!(moved, arrow(at, to));
                    if moved {
                        at = to;
                        let kind = if to == "fenced" { "fenced" } else { "task_state" };
                        records.push((format!("{{\"v\":1,\"kind\":\"{kind}\",\"to\":\"{to}\"}}").into_bytes(), None));
                    }
                }
                Step::Return(which) => {
                    let known = pending.get(which).cloned();
                    let decision = known.as_ref().map_or("dec_x", |known| known.0.as_str());
                    let draft = plane.return_charge(&id, "gateway", decision, NOW);
                    prop_assert_eq!(draft.is_ok(), known.as_ref().is_some_and(|known| !known.2));
                    if let (Ok(draft), Some((_, amount, _))) = (draft, known) {
                        records.push((draft.body, None));
                        (calls, refunds, sum) = (calls - 1, refunds - 1, sum - amount);
                        pending.remove(which);
                    }
                }
                Step::Report(which) => {
                    let known = pending.get(which).cloned();
                    let decision = known.as_ref().map_or("dec_x", |known| known.0.as_str());
                    let noted = plane.report_result(&id, "gateway", decision, b"{\"rows\":1}", b"", NOW);
                    // Once, and no more.
                    prop_assert_eq!(noted.is_ok(), known.as_ref().is_some_and(|known| !known.2));
                    if let Ok(mut noted) = noted {
                        let draft = noted.record.take().unwrap();
                        plane.confirm(noted, Written::Durable).unwrap();
                        records.push((draft.body, draft.sealed));
                        pending[which].2 = true;
                    }
                }
            }
        }
        let live = state(&plane, &id);
        prop_assert_eq!(live.0.as_str(), at);
        prop_assert_eq!(units(&live.1, "calls"), calls * 10_000);
        prop_assert_eq!(units(&live.1, "p/allow/2/calls"), refunds * 10_000);
        prop_assert_eq!(units(&live.1, "p/allow/2/sum:amount"), sum);
        let again = loaded(&[wide], &[]);
        let bodies = stored(&records);
        again.restore(spec(&id, &format!("sha256:p-{reaction}"), "T-1").as_bytes(), &bodies, NOW).unwrap();
        prop_assert_eq!(state(&again, &id), live);
        // What may still be returned is remembered too.
        for (decision, _, reported) in &pending {
            prop_assert_eq!(again.return_charge(&id, "gateway", decision, NOW).is_ok(), !reported);
        }
    }
}

#[test]
fn records_that_cannot_be_read_restore_nothing() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = task_id(1);
    for bad in [
        "{",
        "{}",
        r#"{"v":2,"kind":"fenced"}"#,
        r#"{"v":1,"kind":"decided"}"#,
        r#"{"v":1,"kind":"task_state","to":"asleep"}"#,
        &format!(
            r#"{{"v":1,"kind":"decided","decision":"dec_local_{}_1_1","effect":"allow","charge":{{"task":{{"nothing":"1"}}}}}}"#,
            &id[10..]
        ),
    ] {
        let spec = spec(&id, "sha256:p-freeze", "T-1");
        assert_eq!(
            plane.restore(spec.as_bytes(), &[(bad.as_bytes(), None)], NOW).unwrap_err().code,
            "record_malformed",
            "{bad}"
        );
        assert!(plane.tasks(None, None).is_empty());
    }
}

#[test]
fn a_restored_task_gets_one_heartbeat_and_no_more_than_its_end() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = task_id(1);
    let late = later(897_000);
    plane.restore(spec(&id, "sha256:p-freeze", "T-1").as_bytes(), &[], late).unwrap();
    assert!(plane.due(later(899_900), 10).is_empty());
    assert_eq!(plane.due(later(900_200), 10), [(id, flyball_decision::Due::HardEnd)]);
}

#[test]
fn a_number_is_never_given_twice_in_one_epoch() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let first = plane.check(&select(&id, "orders.public.orders"), NOW).record.unwrap();
    let again = loaded(&[profile("freeze")], &[]);
    again.restore(spec(&id, "sha256:p-freeze", "T-1").as_bytes(), &[(&first.body, None)], NOW).unwrap();
    assert!(ask(&again, &select(&id, "orders.public.orders")).decision.ends_with("_7_2"));
}
