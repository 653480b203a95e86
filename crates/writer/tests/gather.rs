//! Records that nobody waits for: they gather, are staged in portions, and hold nobody up.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Store, draft, record, submit, submit_later, unit};
use flyball_decision::Written;
use flyball_writer::{UnitOutcome, Writer};

fn stat(writer: &Writer, name: &str) -> u64 {
    let stats: String = writer.stats_json();
    let from = stats.split(&format!("\"{name}\":")).nth(1).unwrap();
    from.split([',', '}']).next().unwrap().parse().unwrap()
}

/// A thousand records that come at once are committed in a few transactions, each staged in many
/// portions; all are durable, and their chain holds.
#[test]
fn they_gather_into_few_transactions() {
    let store = Store::new();
    let writer = store.writer();
    let told: Vec<_> = (0..1000).map(|at| submit_later(&writer, draft(&format!("t{}", at % 7), "{}"))).collect();
    assert!(told.iter().all(|told| told.recv().unwrap() == Written::Durable));
    let batches = stat(&writer, "batches");
    assert!(batches <= 100, "{batches} transactions");
    writer.close();
    assert_eq!(store.verify(), 1000);
}

/// One that gathers is written soon though nothing follows it.
#[test]
fn a_lone_one_is_written_soon() {
    let store = Store::new();
    let writer = store.writer();
    for _ in 0..3 {
        let told = submit_later(&writer, draft("t", "{}"));
        assert_eq!(told.recv_timeout(Duration::from_secs(2)), Ok(Written::Durable));
    }
    assert_eq!(store.verify(), 3);
}

/// While some gather, a unit of work and a record that is waited for are durable at once, and what
/// gathered before is durable too.
#[test]
fn nobody_waits_for_them() {
    let store = Store::new();
    let writer = store.writer();
    let mut told = Vec::new();
    for round in 0..100 {
        told.push(submit_later(&writer, draft("t", "{}")));
        if round % 2 == 0 {
            let outcome = writer.commit(unit(vec![], vec![record(Some("u"), "{}")]));
            assert!(matches!(outcome, UnitOutcome::Durable(_)), "{outcome:?}");
        } else {
            assert_eq!(submit(&writer, draft("w", "{}")).recv().unwrap(), Written::Durable);
        }
    }
    assert!(told.iter().all(|told| told.recv().unwrap() == Written::Durable));
    writer.close();
    assert_eq!(store.verify(), 200);
}

/// What gathers when the writer is closed is written first.
#[test]
fn closing_writes_what_gathers() {
    let store = Store::new();
    let writer = store.writer();
    let told: Vec<_> = (0..40).map(|_| submit_later(&writer, draft("t", "{}"))).collect();
    writer.close();
    assert!(told.iter().all(|told| told.try_recv() == Ok(Written::Durable)));
    assert_eq!(store.verify(), 40);
}

/// A record that the store refuses, in a later portion, fails all that gathered with it, and the
/// next are written.
#[test]
fn a_refused_portion_leaves_nothing_behind() {
    let store = Store::new();
    let refusing = "CREATE TRIGGER no BEFORE INSERT ON record WHEN new.kind = 'decided' AND new.body = x'7B7D20' \
                    BEGIN SELECT raise(ABORT, 'refused'); END;";
    rusqlite::Connection::open(&store.path).unwrap().execute_batch(refusing).unwrap();
    let writer = store.writer();
    let mut told: Vec<_> = (0..100).map(|_| submit_later(&writer, draft("t", "{}"))).collect();
    told.push(submit_later(&writer, draft("t", "{} ")));
    let written: Vec<Written> = told.iter().map(|told| told.recv().unwrap()).collect();
    assert_eq!(written.last(), Some(&Written::Failed));
    let durable = written.iter().filter(|one| **one == Written::Durable).count() as u64;
    assert_eq!(submit_later(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    assert_eq!(store.verify(), durable + 1);
}

/// The log is moved beside the writer while records come without a pause.
#[test]
fn the_log_is_moved_meanwhile() {
    let store = Store::new();
    let writer = Writer::open(&store.path, 65_536).unwrap();
    let begun = Instant::now();
    while stat(&writer, "log_moves") == 0 {
        assert!(begun.elapsed() < Duration::from_secs(30), "the log was never moved");
        let told: Vec<_> = (0..256).map(|_| submit(&writer, draft("t", "{}"))).collect();
        assert!(told.iter().all(|told| told.recv().unwrap() == Written::Durable));
    }
    writer.close();
    store.verify();
}
