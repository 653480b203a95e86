//! Every reason is reachable, and each means what it says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod common;

use common::*;
use flyball_decision::{Effect, Reaction, Reason, Written};
use serde_json::{Value, json};

fn why(verdict: &flyball_decision::Verdict) -> Reason {
    assert_eq!(verdict.allowed(), verdict.reasons == [Reason::Allowed]);
    verdict.reasons[0]
}

fn body(record: Option<&flyball_decision::RecordDraft>) -> Value {
    serde_json::from_slice(&record.unwrap().body).unwrap()
}

#[test]
fn a_call_within_the_intent_is_allowed_and_recorded() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let checked = plane.check(&refund(&id, r#"{"amount":12.50,"order_id":"o","note":{"x":[1]}}"#), NOW);
    assert!(!checked.buffered);
    let record = checked.record.clone().unwrap();
    let read = body(Some(&record));
    assert_eq!(read["charge"]["task"], json!({"calls": "1", "p/allow/2/calls": "1", "p/allow/2/sum:amount": "12.5"}));
    assert_eq!(read["charge"]["across"][0]["key"], record.counters[0].key);
    assert_eq!((read["effect"].as_str(), read["rule"].as_str()), (Some("allow"), Some("p/allow/2")));
    assert_eq!(flyball_decision::canonical(&record.body).unwrap(), record.body);
    // What was asked stands sealed beside it, and nowhere in the open.
    assert!(record.sealed.is_some() && !String::from_utf8(record.body).unwrap().contains("order_id"));
    let verdict = plane.release(checked, Written::Durable, NOW).verdict;
    assert_eq!(why(&verdict), Reason::Allowed);
    assert_eq!(verdict.policies[0].as_ref(), "p/allow/2");
    assert!(verdict.decision.ends_with("_7_1") && verdict.digest.starts_with("sha256:"));
}

#[test]
fn the_digest_is_of_the_call_and_not_of_its_spelling() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let digest = |args: &str| ask_with(&plane, &refund(&id, args), Written::Failed, NOW).verdict.digest;
    assert_eq!(digest(r#"{"amount":1,"order_id":"o"}"#), digest(r#" { "order_id" : "\u006f", "amount":1 } "#));
    assert_ne!(digest(r#"{"amount":1}"#), digest(r#"{"amount":2}"#));
}

#[test]
fn faults_before_any_task_write_nothing_and_are_counted() {
    let empty = plane();
    let id = task_id(1);
    assert_eq!(why(&ask(&empty, &select(&id, "orders.public.orders"))), Reason::BundleNotLoaded);
    let plane = loaded(&[profile("freeze")], &[]);
    let checked = plane.check(&select(&id, "orders.public.orders"), NOW);
    assert!(checked.record.is_none());
    assert_eq!(why(&plane.release(checked, Written::Durable, NOW).verdict), Reason::TaskUnknown);
    let stats: Value = serde_json::from_slice(&plane.stats_json()).unwrap();
    assert_eq!(stats["gaps"]["task_unknown"], 1);
}

#[test]
fn proof_and_enforcement_point() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let base = select(&id, "orders.public.orders");
    let with = |pep, binding| ask(&plane, &flyball_decision::Call { pep, binding, ..base });
    assert_eq!(why(&with("nobody", "inproc")), Reason::PepNotRegistered);
    assert_eq!(why(&with("gateway", "inproc")), Reason::PepActionNotRegistered);
    assert_eq!(why(&with("sdk", "")), Reason::PepTaskProof);
    assert_eq!(why(&with("sdk", "jkt:other")), Reason::NotBound);
    assert_eq!(why(&with("sdk", "uid:0")), Reason::NotBound);
    assert_eq!(why(&with("flyball", "uid:0")), Reason::PepNotRegistered);
    for (pep, binding) in [
        ("sdk", "inproc"),
        ("sdk", "pep:x"),
        ("sdk", "jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ("flyball", "inproc"),
    ] {
        assert_eq!(why(&with(pep, binding)), Reason::Allowed, "{pep} {binding}");
    }
}

#[test]
fn what_the_bundle_does_not_know_is_refused_and_no_deviation() {
    let plane = loaded(&[profile("revoke")], &[]);
    let id = open(&plane, 1, "revoke");
    let base = select(&id, "orders.public.orders");
    let ask = |call: flyball_decision::Call<'_>| {
        let verdict = ask(&plane, &call);
        assert_eq!(verdict.reaction, None);
        why(&verdict)
    };
    assert_eq!(ask(flyball_decision::Call { action: "sql.drop", ..base }), Reason::ActionUnknown);
    assert_eq!(ask(flyball_decision::Call { pep: "gateway", action: "read", ..base }), Reason::ActionUnknown);
    assert_eq!(ask(flyball_decision::Call { resource_type: "tool", ..base }), Reason::ResourceTypeUnknown);
    for (args, reason) in [
        (r#"{"x":1}"#, Reason::ArgumentUnknown),
        (r#"{"n":1.5}"#, Reason::ArgumentType),
        (r#"{"n":"1"}"#, Reason::ArgumentType),
        (r#"{"columns":[1]}"#, Reason::ArgumentType),
        ("{", Reason::Malformed),
        ("[]", Reason::Malformed),
        (r#"{"n":1,"n":1}"#, Reason::Malformed),
        (r#"{"n":9223372036854775808}"#, Reason::ArgumentType),
    ] {
        assert_eq!(ask(flyball_decision::Call { args: args.as_bytes(), ..base }), reason, "{args}");
    }
    assert_eq!(ask(refund(&id, "{}")), Reason::ArgumentMissing);
    assert_eq!(ask(refund(&id, r#"{"amount":1.00001}"#)), Reason::ArgumentType);
    // An argument that is null is not there.
    assert_eq!(ask(flyball_decision::Call { args: br#"{"n":null,"x":null}"#, ..base }), Reason::Allowed);
    assert_eq!(ask(refund(&id, r#"{"amount":null}"#)), Reason::ArgumentMissing);
    assert_eq!(ask(base), Reason::Allowed);
}

#[test]
fn deviations_react_at_once_and_refuse_the_call_itself() {
    for (reaction, after) in [
        ("deny", Reason::Allowed),
        ("freeze", Reason::TaskFrozen),
        ("suspend", Reason::TaskSuspended),
        ("revoke", Reason::TaskFenced),
        ("quarantine", Reason::TaskFenced),
    ] {
        let plane = loaded(&[profile(reaction)], &[]);
        for (number, call, reason) in [
            (1, ("sql.select", "table", "orders.public.customers", ""), Reason::ResourceNotInProfile),
            (2, ("tool.refund", "tool", "refund", r#"{"amount":101}"#), Reason::ArgumentOutOfBounds),
            (3, ("tool.refund", "tool", "refund", r#"{"amount":-1}"#), Reason::ArgumentOutOfBounds),
        ] {
            let id = open(&plane, number, reaction);
            let (action, resource_type, resource_id, args) = call;
            let call =
                flyball_decision::Call { action, resource_type, resource_id, args: args.as_bytes(), ..select(&id, "") };
            let checked = plane.check(&call, NOW);
            assert_eq!(body(checked.record.as_ref())["reaction"], reaction);
            let verdict = plane.release(checked, Written::Failed, NOW).verdict;
            // The record failed, and the reaction stands all the same.
            assert_eq!((why(&verdict), verdict.reaction), (reason, Reaction::parse(reaction)));
            let event: Value = serde_json::from_slice(&plane.take_events(10)[0]).unwrap();
            assert_eq!((event["task"].as_str(), event["reaction"].as_str()), (Some(id.as_str()), Some(reaction)));
            assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), after);
        }
    }
}

#[test]
fn an_action_outside_the_profile_is_a_deviation() {
    let mut narrow = profile("suspend");
    narrow["rules"].as_array_mut().unwrap().truncate(1);
    narrow["policies"].as_array_mut().unwrap().truncate(1);
    let plane = loaded(&[narrow], &[]);
    let id = open(&plane, 1, "suspend");
    let verdict = ask(&plane, &refund(&id, r#"{"amount":1}"#));
    assert_eq!((why(&verdict), verdict.reaction), (Reason::ActionNotInProfile, Some(Reaction::Suspend)));
}

#[test]
fn frozen_reads_go_on() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    assert!(plane.freeze(&id));
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::Allowed);
    assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), Reason::TaskFrozen);
    assert!(plane.resume(&id) && plane.park(&id));
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::TaskParked);
}

#[test]
fn budgets_are_spent_once_and_given_back_where_the_record_failed() {
    let plane = loaded(&[profile("deny")], &[]);
    let id = open(&plane, 1, "deny");
    let refunds = |amount: &str, written| {
        let args = format!("{{\"amount\":{amount}}}");
        why(&ask_with(&plane, &refund(&id, &args), written, NOW).verdict)
    };
    for written in [Written::Failed, Written::QueueFull, Written::Conflict] {
        let reason = match written {
            Written::Failed => Reason::RecordFailed,
            Written::QueueFull => Reason::QueueFull,
            _ => Reason::OncePerSpent,
        };
        for _ in 0..5 {
            assert_eq!(refunds("99.9999", written), reason);
        }
    }
    assert_eq!(refunds("60", Written::Durable), Reason::Allowed);
    assert_eq!(refunds("40.0001", Written::Durable), Reason::BudgetSpent);
    assert_eq!(refunds("40.00", Written::Unknown), Reason::RecordFailed);
    // Nobody knows whether that one is durable: it stays spent, calls and all.
    assert_eq!(refunds("0", Written::Durable), Reason::BudgetSpent);
}

#[test]
fn a_ticket_counts_across_tasks() {
    let mut once = profile("deny");
    once["rules"][1]["across"][0]["calls"] = json!(1);
    let plane = loaded(&[once], &[]);
    let ids = [task_id(1), task_id(2), task_id(3)];
    for (id, ticket) in ids.iter().zip(["T-1", "T-1", "T-2"]) {
        plane.open(spec(id, "sha256:p-deny", ticket).as_bytes(), NOW).unwrap();
    }
    let ask = |id: &String| why(&ask(&plane, &refund(id, r#"{"amount":1}"#)));
    assert_eq!((ask(&ids[0]), ask(&ids[1]), ask(&ids[2])), (Reason::Allowed, Reason::OncePerSpent, Reason::Allowed));
    // After a restart the store says what is spent.
    let checked = plane.check(&refund(&ids[0], r#"{"amount":1}"#), NOW);
    drop(checked);
    let mut once = profile("deny");
    once["rules"][1]["across"][0]["calls"] = json!(1);
    let again = loaded(&[once], &[]);
    again.open(spec(&ids[0], "sha256:p-deny", "T-1").as_bytes(), NOW).unwrap();
    let counter = again.check(&refund(&ids[0], r#"{"amount":1}"#), NOW).record.unwrap().counters.remove(0);
    let restarted = {
        let mut once = profile("deny");
        once["rules"][1]["across"][0]["calls"] = json!(1);
        loaded(&[once], &[])
    };
    restarted.set_counter(&counter.key, &counter.unit, 10_000);
    restarted.open(spec(&ids[0], "sha256:p-deny", "T-1").as_bytes(), NOW).unwrap();
    assert_eq!(why(&common::ask(&restarted, &refund(&ids[0], r#"{"amount":1}"#))), Reason::OncePerSpent);
}

#[test]
fn counters_are_apart_by_action_agent_and_window() {
    let mut both = profile("deny");
    let once = json!([{"per": {"input": "ticket"}, "window_ms": null, "calls": 1, "sums": []}]);
    both["rules"][0]["across"] = json!([{"per": "agent", "window_ms": 60_000, "calls": 2, "sums": []}]);
    both["rules"][1]["across"] = once;
    let plane = loaded(&[both], &[]);
    let (id, other) = (open(&plane, 1, "deny"), open(&plane, 2, "deny"));
    let read =
        |id: &str, ms| why(&ask_with(&plane, &select(id, "orders.public.orders"), Written::Durable, later(ms)).verdict);
    // The agent has two reads a minute, whichever of its tasks asks.
    assert_eq!((read(&id, 0), read(&other, 1), read(&id, 2)), (Reason::Allowed, Reason::Allowed, Reason::BudgetSpent));
    plane.deaf(60_000);
    assert_eq!(read(&id, 60_000), Reason::Allowed);
    // None of that spent the ticket's one refund.
    assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), Reason::Allowed);
    assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), Reason::OncePerSpent);
}

#[test]
fn an_answer_leaves_before_its_record_only_where_nothing_rests_on_it() {
    let mut counted = profile("freeze");
    counted["rules"][0]["on"] = json!(["orders.public.orders"]);
    counted["rules"][1]["action"] = json!("sql.select");
    counted["rules"][1]["on"] = json!(["orders.counted"]);
    counted["rules"][1]["where"] = json!([]);
    counted["rules"][1]["budget"] = json!({"sums": []});
    counted["policies"][1] = permit("p/allow/2", "sql.select");
    let plane = loaded(&[counted], &[]);
    let id = open(&plane, 1, "freeze");
    let buffered = |table: &str| plane.check(&select(&id, table), NOW).buffered;
    // The access class is `fast`: a plain read need not wait for its record.
    assert!(buffered("orders.public.orders"));
    // A counter across tasks is the store's to settle, and a change of the task's state is for good.
    assert!(!buffered("orders.counted"));
    assert!(!buffered("orders.public.customers"));
}

#[test]
fn a_counter_across_tasks_is_never_overspent_by_tasks_that_race() {
    let mut once = profile("deny");
    once["rules"][1]["across"][0]["calls"] = json!(1);
    let plane = loaded(&[once], &[]);
    for round in 0..200_u32 {
        let ids: Vec<String> = (0..4).map(|at| task_id(round * 4 + at)).collect();
        for id in &ids {
            plane.open(spec(id, "sha256:p-deny", &format!("T-{round}")).as_bytes(), NOW).unwrap();
        }
        let start = std::sync::Barrier::new(ids.len());
        let allowed: usize = std::thread::scope(|scope| {
            let asking: Vec<_> = ids
                .iter()
                .map(|id| {
                    scope.spawn(|| {
                        start.wait();
                        usize::from(ask(&plane, &refund(id, r#"{"amount":1}"#)).allowed())
                    })
                })
                .collect();
            asking.into_iter().map(|one| one.join().unwrap()).sum()
        });
        assert_eq!(allowed, 1, "round {round}");
    }
}

#[test]
fn counters_of_two_actions_are_two() {
    let mut both = profile("deny");
    let once = json!([{"per": {"input": "ticket"}, "window_ms": null, "calls": 1, "sums": []}]);
    both["rules"][0]["across"] = once.clone();
    both["rules"][1]["across"] = once;
    let plane = loaded(&[both], &[]);
    let id = open(&plane, 1, "deny");
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::Allowed);
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::OncePerSpent);
    assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), Reason::Allowed);
}

#[test]
fn times_end_a_task_without_anybody_asking() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let call = select(&id, "orders.public.orders");
    let at = |ms| why(&ask_with(&plane, &call, Written::Durable, later(ms)).verdict);
    assert_eq!((at(5000), at(5001)), (Reason::Allowed, Reason::HeartbeatMissed));
    assert_eq!(plane.heartbeat(&id, later(5001)).unwrap_err().code, "heartbeat_missed");
    plane.deaf(10_000);
    assert_eq!((at(15_000), at(15_001)), (Reason::Allowed, Reason::HeartbeatMissed));
    assert_eq!(plane.heartbeat(&id, later(15_000)).unwrap(), 5000);
    assert_eq!(at(20_000), Reason::Allowed);
    plane.deaf(10_000_000);
    assert_eq!((at(899_999), at(900_000)), (Reason::Allowed, Reason::TaskExpired));
    assert_eq!(plane.heartbeat(&id, later(900_000)).unwrap_err().code, "task_expired");
    // Decided in time, released too late.
    let checked = plane.check(&call, later(899_999));
    let verdict = plane.release(checked, Written::Durable, later(900_000)).verdict;
    assert_eq!(verdict.reasons, [Reason::OvertakenByFence, Reason::TaskExpired]);
}

#[test]
fn quotas_bound_checks_and_write_nothing() {
    let mut slow = profile("freeze");
    slow["checks_per_second"] = json!(10);
    let plane = loaded(&[slow], &[]);
    let ids = [open(&plane, 1, "freeze"), open(&plane, 2, "freeze")];
    let count = |now| {
        (0..30)
            .filter(|i| {
                ask_with(&plane, &select(&ids[i % 2], "orders.public.orders"), Written::Durable, now).verdict.allowed()
            })
            .count()
    };
    // The quota is the agent's: two tasks do not have two.
    assert_eq!(count(NOW), 10);
    let checked = plane.check(&select(&ids[0], "orders.public.orders"), NOW);
    assert!(checked.record.is_none());
    assert_eq!(why(&plane.release(checked, Written::Durable, NOW).verdict), Reason::QuotaExceeded);
    assert_eq!(count(later(500)), 5);
}

#[test]
fn policies_refuse_err_and_stay_silent() {
    let mut forbids = policy(
        "f",
        "forbid(principal in Flyball::Group::\"support\", action, resource in Flyball::Group::\"secret\");",
    );
    forbids["annotations"] = json!({"on_deny": "suspend"});
    let typed = policy(
        "g",
        "forbid(principal is Flyball::Agent, action in [Flyball::Action::\"tool.refund\"], resource) when { context.args has urgent && context.args.urgent && context.pep == \"sdk\" };",
    );
    let overflow = policy(
        "e",
        "forbid(principal, action == Flyball::Action::\"sql.select\", resource) when { context.args has n && context.args.n + 9223372036854775807 > 0 };",
    );
    let plane = loaded(&[profile("revoke")], &[forbids, typed, overflow]);
    let id = open(&plane, 1, "revoke");
    let verdict = ask(&plane, &refund(&id, r#"{"amount":1,"urgent":true}"#));
    assert_eq!((why(&verdict), verdict.reaction, verdict.policies[0].as_ref()), (Reason::PolicyForbids, None, "g"));
    let mut call = select(&id, "orders.public.orders");
    call.args = br#"{"n":1}"#;
    let verdict = ask(&plane, &call);
    assert_eq!((why(&verdict), verdict.reaction, verdict.policies[0].as_ref()), (Reason::PolicyError, None, "e"));
    // Refused calls charge nothing.
    let state: Value = serde_json::from_slice(&plane.state_json(&id, NOW).unwrap()).unwrap();
    assert_eq!(state["used"], json!({"calls": "0", "p/allow/2/calls": "0", "p/allow/2/sum:amount": "0"}));
    assert_eq!(why(&ask(&plane, &select(&id, "orders.open.a"))), Reason::Allowed);
    let verdict = ask(&plane, &select(&id, "orders.open.b"));
    assert_eq!((why(&verdict), verdict.reaction), (Reason::PolicyForbids, Some(Reaction::Suspend)));
    assert_eq!(why(&ask(&plane, &select(&id, "orders.open.a"))), Reason::TaskSuspended);
}

#[test]
fn hand_written_permits_widen_nothing() {
    let mut bare = profile("freeze");
    bare["policies"] = json!([]);
    let plane = loaded(&[bare], &[policy("all", "permit(principal, action, resource);")]);
    let id = open(&plane, 1, "freeze");
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::PolicyNoPermit);
}

#[test]
fn an_agent_that_left_the_bundle_is_refused() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let mut without = bundle(&[profile("freeze")], &[]);
    without["agents"] = json!({});
    plane.load(without.to_string().as_bytes()).unwrap();
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::PolicyNoPermit);
}

#[test]
fn an_agent_given_to_another_owner_is_refused() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::Allowed);
    let mut sold = bundle(&[profile("freeze")], &[]);
    sold["agents"]["a"]["owner"] = json!("somebody-else");
    plane.load(sold.to_string().as_bytes()).unwrap();
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::PolicyNoPermit);
}

#[test]
fn a_task_keeps_its_profile_and_gets_the_newest_policies() {
    let plane = loaded(&[profile("freeze")], &[]);
    let id = open(&plane, 1, "freeze");
    let mut other = profile("freeze");
    other["digest"] = json!("sha256:new");
    other["rules"] = json!([]);
    other["policies"] = json!([]);
    let forbid = policy("f", "forbid(principal, action == Flyball::Action::\"tool.refund\", resource);");
    plane.load(bundle(&[other], &[forbid]).to_string().as_bytes()).unwrap();
    assert_eq!(why(&ask(&plane, &select(&id, "orders.public.orders"))), Reason::Allowed);
    assert_eq!(why(&ask(&plane, &refund(&id, r#"{"amount":1}"#))), Reason::PolicyForbids);
    assert_eq!(
        plane.open(spec(&task_id(2), "sha256:p-freeze", "T").as_bytes(), NOW).unwrap_err().code,
        "profile_unknown"
    );
}

type Act = fn(&flyball_decision::Plane, &str) -> bool;

#[test]
fn what_overtakes_an_allow_turns_it_into_a_recorded_denial() {
    let plane = loaded(&[profile("freeze")], &[]);
    let act: [(Act, Option<Reason>); 4] = [
        (flyball_decision::Plane::fence, Some(Reason::TaskFenced)),
        (flyball_decision::Plane::suspend, Some(Reason::TaskSuspended)),
        (flyball_decision::Plane::freeze, None),
        (|_, _| true, None),
    ];
    for (number, (act, second)) in act.into_iter().enumerate() {
        let id = open(&plane, u32::try_from(number).unwrap(), "freeze");
        let checked = plane.check(&select(&id, "orders.public.orders"), NOW);
        assert!(act(&plane, &id));
        let released = plane.release(checked, Written::Durable, NOW);
        match second {
            None => assert!(released.verdict.allowed() && released.record.is_none()),
            Some(second) => {
                assert_eq!(released.verdict.effect, Effect::Deny);
                assert_eq!(released.verdict.reasons, [Reason::OvertakenByFence, second]);
                let record = body(released.record.as_ref());
                assert_eq!(
                    (record["kind"].as_str(), record["decision"].as_str()),
                    (Some("not_released"), Some(released.verdict.decision.as_str()))
                );
            }
        }
    }
}

#[test]
fn reasons_without_a_way_through_check_are_the_edges() {
    // These two are decided before a call reaches the plane, and are answered in its words; an engine
    // error needs a fault that cannot be had from outside.
    for reason in [Reason::TaskMismatch, Reason::EngineError] {
        let verdict = flyball_decision::Verdict::refused(reason);
        assert_eq!((verdict.effect, why(&verdict)), (Effect::Deny, reason));
        assert_eq!(Reason::parse(reason.as_str()), Some(reason));
    }
}
