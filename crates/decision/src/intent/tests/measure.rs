//! What a check and a result cost, and what a task remembers. Run it optimised and alone:
//! `CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo test -p flyball-decision --lib -- --ignored --nocapture intent::tests::measure`

use std::time::Instant;

use super::*;

/// p50 and p99 in microseconds.
fn measure(rounds: usize, mut one: impl FnMut(usize)) -> (f64, f64) {
    (0..rounds / 10).for_each(&mut one);
    let mut took: Vec<u128> = (0..rounds)
        .map(|round| {
            let began = Instant::now();
            one(round);
            began.elapsed().as_nanos()
        })
        .collect();
    took.sort_unstable();
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds")]
    let at = |share: usize| took[rounds * share / 100] as f64 / 1000.0;
    (at(50), at(99))
}

/// An assistant over mail, calendar and contacts.
fn assistant() -> World {
    let sources = json!([
        {"input": "request"},
        result("search_contacts", "email", json!([])),
        result("calendar", "participants", json!([{"field": "title", "in_input": "request"}])),
        result("search_emails", "sender", json!([{"field": "subject", "in_input": "request"}])),
        result("calendar", "id_", json!([{"field": "title", "in_input": "request"}])),
        result("search_emails", "id_", json!([])),
    ]);
    let origins = json!([
        {"arg": "recipients", "as": "email", "sources": [0, 1, 2, 3]},
        {"arg": "event", "as": "id", "sources": [4, 5]},
        {"arg": "start_time", "as": "datetime", "sources": [0], "plus": [{"ms": 0}, {"source": 0}]},
        {"arg": "end_time", "as": "datetime", "sources": [0], "within_ms": 14_400_000},
        {"arg": "title", "as": "text", "sources": [0]},
    ]);
    let rules = json!([{"id": "r", "action": "act", "asked": ["invite*", "write to"], "origins": origins, "free": [{"arg": "body", "max": 4000}]}]);
    World::new(
        &json!({"sources": sources, "rules": rules}),
        "Invite ann@b.example and bob@b.example to the planning meeting on May 18th at 14:00 for two hours, in the \
         calendar entry \"Planning Q3\". Tell them in a few friendly words what it is about, and that lunch is served. \
         Take the agenda from the mail \"Agenda for planning\" that I got last week.",
    )
}

fn mails(n: usize) -> Value {
    (0..5).map(|i| json!({
        "id_": format!("m-{}", n * 5 + i), "sender": format!("person{}@partner{}.example", (n + i) % 40, n % 7),
        "recipients": ["me@b.example"], "subject": if i == 0 { "Agenda for planning".to_owned() } else { format!("News {n} {i}") },
        "sent": format!("2024-05-{:02} {:02}:15", n % 28 + 1, i + 8),
        "body": format!("Hello, thanks for the call on 2024-04-{:02}. My colleague c{n}@x.example will send figures. {}", n % 28 + 1,
            "We look forward to the meeting and will bring the slides with us as always. ".repeat(8)),
    })).collect()
}

fn events(n: usize) -> Value {
    (0..3).map(|i| json!({
        "id_": format!("e-{}", n * 3 + i), "title": if i == 0 { "Planning Q3".to_owned() } else { format!("Round {n}") },
        "start_time": format!("2024-05-{:02} 10:00", n % 28 + 1), "end_time": format!("2024-05-{:02} 11:00", n % 28 + 1),
        "participants": [format!("p{}@b.example", n % 30), "ann@b.example"],
    })).collect()
}

#[test]
#[ignore = "measures; run alone and optimised"]
fn judge_over_two_hundred_results() {
    let mut world = assistant();
    let began = Instant::now();
    for n in 0..200 {
        if n % 2 == 0 {
            world.report("search_emails", &mails(n))
        } else {
            world.report("calendar", &events(n))
        };
    }
    let each = began.elapsed().as_secs_f64() * 1e6 / 200.0;
    println!(
        "200 results: {} values, {} bytes; given: {} bytes",
        world.memory.len(),
        world.memory.bytes(),
        world.given.bytes()
    );
    println!("a result of about 4 KB, with its sealed form: {each:.0} us");
    let args = json!({"recipients": ["ann@b.example", "bob@b.example", "p7@b.example"], "event": "e-3", "title": "planning meeting",
        "start_time": "2024-05-18 14:00", "end_time": "2024-05-18T16:00:00", "body": "Dear all, welcome to planning."}).to_string();
    assert!(world.judge_text(&args).is_ok(), "{:?}", world.judge_text(&args));
    let json = Json::parse(args.as_bytes()).unwrap();
    let rule = &world.profile.actions["act"][0];
    let ask = Ask {
        program: &world.profile.program,
        rule,
        given: &world.given,
        memory: Some(&world.memory),
        key: &world.key,
        args: &json,
        wall_ms: WALL_MS,
    };
    let (p50, p99) = measure(100_000, |_| assert!(judge(&ask).is_ok()));
    println!("judge, five origins, seven values: p50 {p50:.2} us, p99 {p99:.2} us");
    let bad = args.replace("bob@b.example", "c9@x.example");
    let json = Json::parse(bad.as_bytes()).unwrap();
    let ask = Ask { args: &json, ..ask };
    let (p50, p99) = measure(50_000, |_| assert!(judge(&ask).is_err()));
    println!("a breach, explained: p50 {p50:.2} us, p99 {p99:.2} us");
    let (p50, p99) = measure(2000, |_| {
        let again = assistant();
        assert!(again.memory.len() == 0);
    });
    println!("reading the profile and the inputs: p50 {p50:.0} us, p99 {p99:.0} us");
}
