//! The kit over a real plane: tickets, leases, fences, decisions with and without a store that holds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../decision/tests/common/mod.rs"]
mod common;

use common::*;
use flyball_decision::{Done, NotTaken, Now, Plane, Reason, RecordDraft, Sink, Written};
use flyball_gateway::{Answer, Ask, Kit, Lease, Parts, Salted, Secret};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

static PASSED: AtomicI64 = AtomicI64::new(0);

fn clock() -> Now {
    later(PASSED.load(Ordering::SeqCst))
}

/// A store in memory that can fail, or say nothing at all.
#[derive(Default)]
struct Store {
    kinds: Mutex<Vec<(String, Value)>>,
    way: AtomicU8,
}

impl Sink for Store {
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        match self.way.load(Ordering::SeqCst) {
            0 => {
                let body = serde_json::from_slice(&draft.body).unwrap();
                self.kinds.lock().unwrap().push((draft.kind.to_owned(), body));
                done(Written::Durable);
            }
            1 => done(Written::Failed),
            // This one holds, and the next does not.
            4 => {
                self.way.store(1, Ordering::SeqCst);
                done(Written::Durable);
            }
            2 => return Err(NotTaken::Full),
            _ => std::mem::forget(done),
        }
        Ok(())
    }
}

struct House {
    plane: Arc<Plane>,
    store: Arc<Store>,
    kit: Arc<Kit<Salted, Secret>>,
}

fn house(declared: bool) -> House {
    let mut p = profile("deny");
    p["rules"][0]["budget"] = json!({"calls": 3, "sums": []});
    p["rules"][0]["reported"] = json!({"rows": 10});
    let mut bundle = bundle(&[p], &[]);
    if declared {
        let own =
            json!({"name": "pg", "identity": {"gateway": "postgresql"}, "actions": ["sql.*"], "may_report": true});
        bundle["peps"].as_array_mut().unwrap().push(own);
    }
    bundle["classes"]["fast"]["record"] = json!("durable");
    let plane = Arc::new(plane());
    plane.load(bundle.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
    let store = Arc::new(Store::default());
    let sink: Arc<dyn Sink> = store.clone();
    let kit = Kit::new(Parts {
        plane: Arc::clone(&plane),
        sink,
        clock,
        max_wait: Duration::from_millis(100),
        kind: "postgresql",
    });
    House { plane, store, kit }
}

fn read(table: &str) -> Ask<'_> {
    Ask { action: "sql.select", resource_type: "table", resource_id: table, args: b"" }
}

impl House {
    fn lend(&self, task: &str, lease: &str) {
        let upstream = Secret::new("lease-secret".into());
        self.kit.lend(Lease { task: task.into(), credential: "orders".into(), lease: lease.into(), upstream });
    }

    fn decide(&self, task: &str, asks: &[Ask<'_>]) -> Answer {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.kit.decide(task, asks))
    }

    fn reason(&self, task: &str, asks: &[Ask<'_>]) -> Reason {
        match self.decide(task, asks) {
            Answer::Refused(verdict) => verdict.reasons[0],
            Answer::Allowed(_) => Reason::Allowed,
        }
    }
}

/// A ticket opens what its lease was lent for, shows its secret once, and is gone with its time, its lease and its task.
#[test]
fn a_ticket_lives_as_long_as_what_it_opens() {
    let house = house(true);
    let task = open(&house.plane, 1, "deny");
    assert!(house.kit.ticket(&task, "orders", None, 60_000, Salted::of).is_err(), "nothing is lent");
    house.lend(&task, "lse_1");
    let ticket = house.kit.ticket(&task, "orders", None, 60_000, Salted::of).unwrap();
    let session = house.kit.admit(&ticket.name).unwrap();
    assert!(session.verifier.is(ticket.secret.reveal()) && !session.verifier.is("another"));
    assert_eq!((&*session.task, session.lease.as_str()), (task.as_str(), "lse_1"));
    assert!(house.kit.admit("task-unknown").is_none());
    let shown = format!("{session:?} {ticket:?}");
    assert!(!shown.contains(ticket.secret.reveal()) && !shown.contains("lease-secret"), "{shown}");

    let again = house.kit.ticket(&task, "orders", Some(&ticket.name), 60_000, Salted::of).unwrap();
    assert_eq!(again.name, ticket.name);
    let renewed = house.kit.admit(&ticket.name).unwrap();
    assert!(renewed.verifier.is(again.secret.reveal()) && !renewed.verifier.is(ticket.secret.reveal()));
    let other = open(&house.plane, 2, "deny");
    house.lend(&other, "lse_2");
    let theirs = house.kit.ticket(&other, "orders", Some(&ticket.name), 60_000, Salted::of).unwrap();
    assert_ne!(theirs.name, ticket.name, "nobody renews another task's");

    let short = house.kit.ticket(&task, "orders", None, -1, Salted::of).unwrap();
    assert!(house.kit.admit(&short.name).is_none(), "its time is over");

    assert!(house.kit.take_back("lse_1") && !house.kit.take_back("lse_1"));
    assert!(*session.notice().borrow(), "its sessions end");
    assert!(house.kit.admit(&ticket.name).is_none(), "and it opens nothing any more");
}

/// A fence, whoever makes it, ends sessions and tickets of that task and of no other, before it returns.
#[test]
fn a_fence_is_told_at_once() {
    let house = house(true);
    let tasks: Vec<String> = (1..5).map(|number| open(&house.plane, number, "deny")).collect();
    let mut sessions = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        house.lend(task, &format!("lse_{number}"));
        let ticket = house.kit.ticket(task, "orders", None, 60_000, Salted::of).unwrap();
        sessions.push((house.kit.admit(&ticket.name).unwrap(), ticket));
    }
    assert!(house.plane.fence(&tasks[0]));
    let ended = |sessions: &[(flyball_gateway::Session<_, _>, flyball_gateway::Ticket)]| -> Vec<bool> {
        sessions.iter().map(|(session, _)| *session.notice().borrow()).collect()
    };
    assert_eq!(ended(&sessions), [true, false, false, false]);
    assert!(house.kit.admit(&sessions[0].1.name).is_none());
    assert_eq!(house.plane.fence_agent("a").len(), 3);
    assert_eq!(ended(&sessions), [true; 4]);
}

/// A deviation that revokes ends the sessions from within the decision itself.
#[test]
fn a_deviation_that_revokes_ends_the_sessions() {
    let house = house(true);
    house.plane.load(house_bundle_revoking().as_bytes()).unwrap();
    let task = open(&house.plane, 9, "revoke");
    house.lend(&task, "lse_9");
    let ticket = house.kit.ticket(&task, "orders", None, 60_000, Salted::of).unwrap();
    let session = house.kit.admit(&ticket.name).unwrap();
    assert_eq!(house.reason(&task, &[read("orders.public.secrets")]), Reason::ResourceNotInProfile);
    assert!(*session.notice().borrow());
}

fn house_bundle_revoking() -> String {
    let mut bundle = bundle(&[profile("revoke")], &[]);
    let own = json!({"name": "pg", "identity": {"gateway": "postgresql"}, "actions": ["sql.*"]});
    bundle["peps"].as_array_mut().unwrap().push(own);
    bundle.to_string()
}

/// Calls of one statement are all allowed, or none is counted: what was refused together costs nothing.
#[test]
fn together_or_not_at_all() {
    let house = house(true);
    let task = open(&house.plane, 1, "deny");
    let (good, bad) = (read("orders.public.orders"), read("orders.public.secrets"));
    for _ in 0..10 {
        assert_eq!(house.reason(&task, &[good, good, bad]), Reason::ResourceNotInProfile);
    }
    let records = house.store.kinds.lock().unwrap().clone();
    assert!(records.iter().all(|(_, body)| body["effect"] == "deny"), "only what was refused is recorded");
    let Answer::Allowed(allowed) = house.decide(&task, &[good, good]) else { panic!("the budget of three was spent") };
    assert_eq!(allowed.decisions.len(), 2);
    assert_eq!(allowed.rooms[0].rows.map(|rows| (rows.used, rows.limit)), Some((0, 10)));
    assert_eq!(house.reason(&task, &[good, good]), Reason::BudgetSpent);
    assert_eq!(house.reason(&task, &[good]), Reason::Allowed);
}

/// Where the record does not become durable nothing is allowed: refused by the store, its queue full, or no word of it.
#[test]
fn no_record_no_privilege() {
    let house = house(true);
    let task = open(&house.plane, 1, "deny");
    for (way, reason) in [(1, Reason::RecordFailed), (2, Reason::QueueFull), (3, Reason::RecordFailed)] {
        house.store.way.store(way, Ordering::SeqCst);
        assert_eq!(house.reason(&task, &[read("orders.public.orders")]), reason);
        assert!(reason.our_fault());
    }
}

/// Where one record of a statement holds and the next does not, none of it may happen, and it costs nothing.
#[test]
fn half_a_record_costs_nothing() {
    let house = house(true);
    let task = open(&house.plane, 1, "deny");
    let good = read("orders.public.orders");
    for _ in 0..5 {
        house.store.way.store(4, Ordering::SeqCst);
        assert_eq!(house.reason(&task, &[good, good]), Reason::RecordFailed);
    }
    house.store.way.store(0, Ordering::SeqCst);
    assert!((0..3).all(|_| house.reason(&task, &[good]) == Reason::Allowed), "the budget of three is whole");
    assert_eq!(house.reason(&task, &[good]), Reason::BudgetSpent);
}

/// A gateway that the bundle does not declare decides nothing.
#[test]
fn an_undeclared_gateway() {
    let house = house(false);
    let task = open(&house.plane, 1, "deny");
    assert_eq!(house.reason(&task, &[read("orders.public.orders")]), Reason::PepNotRegistered);
}

/// Rows are one budget for all sessions, and what was reported before counts.
#[test]
fn what_comes_back_is_metered() {
    let house = house(true);
    let task = open(&house.plane, 1, "deny");
    let Answer::Allowed(allowed) = house.decide(&task, &[read("orders.public.orders")]) else { panic!() };
    let rows = allowed.rooms[0].rows.unwrap();
    let (one, two) = (house.kit.meter(&task, rows), house.kit.meter(&task, rows));
    assert!((0..6).all(|_| one.take(1)) && (0..4).all(|_| two.take(1)));
    assert!(!one.take(1) && !two.take(1));
    let other = open(&house.plane, 2, "deny");
    assert!(house.kit.meter(&other, rows).take(1), "another task's rows are its own");
    let reported = flyball_decision::Counted { used: rows.limit, ..rows };
    assert!(!house.kit.meter(&other, reported).take(1), "what others reported counts");
    assert!(house.plane.fence(&other) && house.kit.meter(&other, rows).take(1), "a task that is over is forgotten");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    assert!(runtime.block_on(house.kit.report(&task, &allowed.decisions[0], b"[]", br#"{"rows": 10}"#)));
    assert!(!runtime.block_on(house.kit.report(&task, &allowed.decisions[0], b"[]", b"{}")), "once");
    assert_eq!(house.reason(&task, &[read("orders.public.orders")]), Reason::BudgetSpent);
}

/// Many tickets of one task make room by the oldest; those of others stay.
#[test]
fn tickets_are_bounded() {
    let house = house(true);
    let (task, other) = (open(&house.plane, 1, "deny"), open(&house.plane, 2, "deny"));
    house.lend(&task, "lse_1");
    house.lend(&other, "lse_2");
    let kept = house.kit.ticket(&other, "orders", None, 60_000, Salted::of).unwrap();
    let first = house.kit.ticket(&task, "orders", None, 50_000, Salted::of).unwrap();
    for _ in 0..70 {
        house.kit.ticket(&task, "orders", None, 60_000, Salted::of).unwrap();
    }
    assert!(house.kit.admit(&first.name).is_none() && house.kit.admit(&kept.name).is_some());
}

/// Labels of the columns that a call names are on the task when it is allowed; the agent's own point narrows nothing.
#[test]
fn column_labels() {
    let labelled = |pep: &str, columns: &str| -> Vec<String> {
        let mut p = profile("deny");
        p["labels"] = json!(["user", "org", "outside", "pii"]);
        let mut bundle = bundle(&[p], &[]);
        let own = json!({"name": "pg", "identity": {"gateway": "postgresql"}, "actions": ["sql.*"]});
        bundle["peps"].as_array_mut().unwrap().push(own);
        bundle["actions"]["sql.select"]["returns"] = json!({"list": {"map": {
            "id": {"spec": {"type": "id", "by": "org"}},
            "card": {"spec": {"type": "text", "by": "org", "labels": ["pii"]}},
            "note": {"spec": {"type": "text", "by": "outside"}}}}});
        let plane = plane();
        plane.load(bundle.to_string().as_bytes()).unwrap_or_else(|error| panic!("{error:?}"));
        let task = open(&plane, 1, "deny");
        let args = format!("{{\"columns\":{columns}}}");
        let call = flyball_decision::Call { pep, args: args.as_bytes(), ..select(&task, "orders.public.orders") };
        assert!(ask(&plane, &call).allowed());
        let state: Value = serde_json::from_slice(&plane.memory_json(&task, NOW).unwrap()).unwrap();
        state["labels"].as_array().unwrap().iter().map(|label| label.as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(labelled("pg", r#"["id"]"#), ["org"]);
    assert_eq!(labelled("pg", r#"["id", "card"]"#), ["org", "pii"]);
    assert_eq!(labelled("pg", r#"["other"]"#), ["outside"]);
    assert_eq!(labelled("pg", "[]"), [""; 0]);
    assert_eq!(labelled("sdk", r#"["id"]"#), ["org", "outside", "pii"]);
}

/// Who has proven to be the task's principal needs no ticket: for its own task, while something is lent there that fits,
/// and where that is one credential alone.
#[test]
fn a_principal_opens_its_own_task() {
    let house = house(true);
    let (task, other) = (open(&house.plane, 1, "deny"), open(&house.plane, 2, "deny"));
    let owner = "spiffe://x/agent/a";
    let admitted = |principal: &str, task: &str| house.kit.admit_principal(principal, task, |_| true);
    assert!(admitted(owner, &task).is_none(), "nothing is lent");
    house.lend(&task, "lse_1");
    let session = admitted(owner, &task).unwrap();
    assert_eq!((&*session.task, &*session.credential, session.lease.as_str()), (task.as_str(), "orders", "lse_1"));
    assert!(admitted("spiffe://x/agent/b", &task).is_none(), "another principal");
    assert!(admitted(owner, &other).is_none() && admitted(owner, "tsk_unknown").is_none(), "nothing is lent there");
    assert!(house.kit.admit_principal(owner, &task, |_| false).is_none(), "what is lent does not fit");
    house.lend(&task, "lse_2");
    assert_eq!(admitted(owner, &task).unwrap().lease, "lse_2", "the newest of a credential");
    let upstream = Secret::new("another".into());
    let more = Lease { task: task.clone(), credential: "stock".into(), lease: "lse_3".into(), upstream };
    house.kit.lend(more);
    assert!(admitted(owner, &task).is_none(), "which of two credentials is not said");
    house.kit.take_back("lse_3");
    assert!(house.plane.fence(&task));
    assert!(*session.notice().borrow(), "its session ends with the task");
    assert!(admitted(owner, &task).is_none());
}
