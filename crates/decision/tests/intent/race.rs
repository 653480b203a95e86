//! A thousand calls at once never spend more than there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flyball_decision::{Call, Written};
use serde_json::json;

use crate::common::NOW;
use crate::kit::*;

#[test]
fn a_thousand_calls_racing_one_budget() {
    let limits = json!({"budget": {"calls": 40, "sums": [{"arg": "amount", "max": {"const": 100}}]}});
    let profile = top(with(PAY, limits), json!({"reactions": {"budget": ["deny"]}}));
    let house = House::new(&profile);
    let id = Arc::new(house.open(1));
    let plane = Arc::new(house.plane);
    let (calls, sum) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let threads: Vec<_> = (0..20_i64)
        .map(|thread| {
            let (plane, id, calls, sum) = (Arc::clone(&plane), Arc::clone(&id), Arc::clone(&calls), Arc::clone(&sum));
            std::thread::spawn(move || {
                for n in 0..50_i64 {
                    let amount = 1 + (n + thread) % 4;
                    let args = format!("{{\"amount\":{amount}}}");
                    let call = Call {
                        task: &id,
                        pep: "gateway",
                        binding: "inproc",
                        action: "pay",
                        resource_type: "tool",
                        resource_id: "pay",
                        args: args.as_bytes(),
                    };
                    let mut checked = plane.check(&call, NOW);
                    checked.record = None;
                    let written = if n % 7 == 0 { Written::Failed } else { Written::Durable };
                    if plane.release(checked, written, NOW).verdict.allowed() {
                        calls.fetch_add(1, Ordering::SeqCst);
                        sum.fetch_add(amount, Ordering::SeqCst);
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let used = body(&plane.state_json(&id, NOW).unwrap())["used"].clone();
    let (calls, sum) = (calls.load(Ordering::SeqCst), sum.load(Ordering::SeqCst));
    assert!(calls <= 40 && sum <= 100 && calls > 0, "{calls} calls, {sum} spent");
    assert_eq!(used, json!({"m/allow/pay/calls": calls.to_string(), "m/allow/pay/sum:amount": sum.to_string()}));
}

#[test]
fn recipients_approvals_and_plans_are_not_overspent_either() {
    let profile = top(
        and(
            with(SEND, json!({"distinct": [{"arg": "to", "as": "email", "max": 5}]})),
            PAY,
            json!({"effect": "require_approval"}),
        ),
        json!({"reactions": {"budget": ["deny"], "plan": ["deny"]}}),
    );
    let house = House::new(&profile);
    let id = Arc::new(house.open(1));
    house
        .plan(&id, &json!([{"action": "close", "count": 7}, {"action": "send", "count": 1000}, {"action": "pay"}]))
        .unwrap();
    let asked = house.call(&id, "pay", &json!({"amount": 1})).approval.unwrap();
    house.settle(&id, &asked, true, NOW).unwrap();
    let plane = Arc::new(house.plane);
    let allowed = Arc::new([AtomicI64::new(0), AtomicI64::new(0)]);
    let threads: Vec<_> = (0..10)
        .map(|thread| {
            let (plane, id, allowed) = (Arc::clone(&plane), Arc::clone(&id), Arc::clone(&allowed));
            std::thread::spawn(move || {
                for n in 0..60 {
                    let to = format!("{{\"to\":[\"p{}@firm.example\"]}}", (n * 7 + thread) % 23);
                    for (place, action, args) in [(0, "close", "{}"), (1, "pay", "{\"amount\":1}"), (2, "send", &to)] {
                        let (task, args) = (id.as_str(), args.as_bytes());
                        let (pep, binding, resource_type) = ("gateway", "inproc", "tool");
                        let call = Call { task, pep, binding, action, resource_type, resource_id: action, args };
                        let mut checked = plane.check(&call, NOW);
                        checked.record = None;
                        let written = if (n + thread) % 5 == 0 { Written::Failed } else { Written::Durable };
                        let verdict = plane.release(checked, written, NOW).verdict;
                        if let Some(count) = allowed.get(place).filter(|_| verdict.allowed()) {
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(allowed[0].load(Ordering::SeqCst), 7, "the plan's closes");
    assert_eq!(allowed[1].load(Ordering::SeqCst), 1, "one approval is one call");
    let used = body(&plane.state_json(&id, NOW).unwrap())["used"].clone();
    assert_eq!(used["m/allow/send/distinct:to"], "5");
}
