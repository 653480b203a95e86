//! What a check costs, in one thread: latency, memory per task, and whether cost stays flat.
//! `cargo run --release -p flyball-decision --example hot [all]`
#![allow(clippy::unwrap_used, clippy::cast_precision_loss, clippy::indexing_slicing, missing_docs)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::time::Instant;

use common::{NOW, ask_with, bundle, open, plane, policy, profile, refund, select};
use flyball_decision::{Plane, Written};
use serde_json::Value;

/// Resident memory of this process in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    status.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// p50 and p99 in microseconds of `rounds` calls.
fn measure(rounds: usize, mut one: impl FnMut(usize)) -> (f64, f64) {
    for round in 0..rounds / 10 {
        one(round);
    }
    let mut took: Vec<u128> = (0..rounds)
        .map(|round| {
            let began = Instant::now();
            one(round);
            began.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    (took[rounds / 2] as f64 / 1000.0, took[rounds * 99 / 100] as f64 / 1000.0)
}

fn selects(plane: &Plane, ids: &[String], rounds: usize) -> (f64, f64) {
    measure(rounds, |round| {
        let id = &ids[round.wrapping_mul(7919) % ids.len()];
        let args = format!("{{\"columns\":[\"id\",\"amount\"],\"n\":{round}}}");
        let mut call = select(id, "orders.public.orders");
        call.args = args.as_bytes();
        assert!(ask_with(plane, &call, Written::Durable, NOW).verdict.allowed());
    })
}

fn policies(count: usize) -> Vec<Value> {
    (0..count)
        .map(|i| {
            let text = format!(
                "forbid(principal == Flyball::Agent::\"a{}\", action == Flyball::Action::\"sql.select\", resource == Flyball::table::\"t{i}\") when {{ context.args has n && context.args.n > {i} }};",
                i % 1000
            );
            policy(&format!("h{i}"), &text)
        })
        .collect()
}

fn loaded(count: usize) -> Plane {
    let mut all = policies(count);
    all.push(policy("own", "forbid(principal == Flyball::Agent::\"a\", action == Flyball::Action::\"tool.refund\", resource) when { context.args has amount && context.args.amount.greaterThan(decimal(\"500.0\")) };"));
    let plane = plane();
    let began = Instant::now();
    plane.load(bundle(&[profile("freeze")], &all).to_string().as_bytes()).unwrap();
    println!("load with {count} policies: {:.2} s", began.elapsed().as_secs_f64());
    plane
}

fn main() {
    let all = std::env::args().nth(1).is_some_and(|word| word == "all");
    let small = loaded(10);
    let ids: Vec<String> = (0..1000).map(|number| open(&small, number, "freeze")).collect();
    let (p50, p99) = selects(&small, &ids, 200_000);
    println!("select, 1,000 tasks, 10 policies: p50 {p50:.2} µs, p99 {p99:.2} µs");
    let (r50, r99) = measure(100_000, |round| {
        let args = format!("{{\"amount\":{}.25,\"order_id\":\"o-{round}\"}}", round % 90);
        // Refused by the store and undone, so that budgets stay.
        let released = ask_with(&small, &refund(&ids[round % 1000], &args), Written::Failed, NOW);
        assert_eq!(released.verdict.reasons[0].as_str(), "record_failed");
    });
    println!(
        "refund (bounds, budgets, once per ticket, one hand-written policy), undone: p50 {r50:.2} µs, p99 {r99:.2} µs"
    );
    if !all {
        return;
    }
    let before = resident();
    let ids: Vec<String> = (1000..1_001_000).map(|number| open(&small, number, "freeze")).collect();
    let names = ids.iter().map(|id| id.capacity() + 32).sum::<usize>();
    println!("memory a task: {} bytes", (resident() - before - names) / ids.len());
    let (m50, m99) = selects(&small, &ids, 200_000);
    println!("select, 1,001,000 tasks: p50 {m50:.2} µs, p99 {m99:.2} µs, ratio {:.2}", m50 / p50);
    let began = Instant::now();
    let due = small.due(common::later(4900), 1000).len();
    println!("due() with nothing due: {due} in {:.1} ms", began.elapsed().as_secs_f64() * 1000.0);
    let big = loaded(100_000);
    let ids: Vec<String> = (0..1000).map(|number| open(&big, number, "freeze")).collect();
    let (b50, b99) = selects(&big, &ids, 200_000);
    println!("select, 100,000 policies: p50 {b50:.2} µs, p99 {b99:.2} µs, ratio {:.2}", b50 / p50);
}
