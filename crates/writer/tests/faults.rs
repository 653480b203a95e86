//! The store failing in earnest: full, read-only, locked, refusing in the middle of a batch.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Store, draft, put, record, submit, unit};
use flyball_decision::{NotTaken, Sink, Written};
use flyball_writer::{Fault, UnitOutcome, Writer};
use rusqlite::Connection;

/// Hold the write lock from another connection, as another process would.
fn lock(store: &Store) -> Connection {
    let other = Connection::open(&store.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

/// A trigger that refuses decisions whose body says so.
fn refuse_marked(store: &Store) {
    Connection::open(&store.path)
        .unwrap()
        .execute_batch(
            "CREATE TRIGGER refuse BEFORE INSERT ON record WHEN NEW.body = CAST('refuse' AS BLOB) \
             BEGIN SELECT RAISE(ABORT, 'refused by a test'); END",
        )
        .unwrap();
}

/// While another connection holds the lock nothing is called durable, and everyone is told; after it
/// the chain goes on without a gap.
#[test]
fn a_held_lock_fails_what_waits_and_nothing_after() {
    let store = Store::new();
    let writer = store.writer();
    let other = lock(&store);
    let told = submit(&writer, draft("t", "{}"));
    assert_eq!(told.recv_timeout(Duration::from_secs(10)).unwrap(), Written::Failed);
    assert_eq!(writer.commit(unit(vec![], vec![record(None, "{}")])), UnitOutcome::Failed(Fault::Busy));
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(submit(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    assert_eq!(store.verify(), 1);
}

/// COMMIT itself fails, here by a constraint that is looked at then: nobody is told that it is durable, and the
/// chain goes on from what the store has.
#[test]
fn a_commit_that_fails_makes_nothing_durable() {
    let store = Store::new();
    let writer = store.writer();
    Connection::open(&store.path)
        .unwrap()
        .execute_batch(
            "CREATE TABLE parent (id INTEGER PRIMARY KEY);
             CREATE TABLE child (id INTEGER REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
             CREATE TRIGGER orphan AFTER INSERT ON record WHEN NEW.body = CAST('orphan' AS BLOB)
             BEGIN INSERT INTO child VALUES (7); END;",
        )
        .unwrap();
    assert_eq!(submit(&writer, draft("t", "orphan")).recv().unwrap(), Written::Unknown);
    let failed = writer.commit(unit(vec![], vec![record(None, "orphan")]));
    assert!(matches!(failed, UnitOutcome::Failed(_)), "{failed:?}");
    assert_eq!(submit(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    assert_eq!(store.verify(), 1);
}

/// Another writer of the same store does not break the chain: the head is read again.
#[test]
fn a_foreign_write_moves_the_head() {
    let store = Store::new();
    let writer = store.writer();
    assert_eq!(submit(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    let second = store.writer();
    assert_eq!(submit(&second, draft("t", "{}")).recv().unwrap(), Written::Durable);
    assert_eq!(submit(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    second.close();
    assert_eq!(store.verify(), 3);
}

/// A batch whose middle fails leaves nothing behind; units that were in it are written without it.
#[test]
fn a_sink_that_fails_mid_batch_answers_no_one_durable() {
    let store = Store::new();
    refuse_marked(&store);
    let writer = store.writer();
    // With the lock held for a moment all of these are one batch.
    let other = lock(&store);
    let _ = submit(&writer, draft("t", "first"));
    let told: Vec<_> = ["a", "refuse", "b"].map(|body| submit(&writer, draft("t", body))).into();
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| writer.commit(unit(vec![put("k", "v", Some(1))], vec![record(Some("t"), "u")])));
        std::thread::sleep(Duration::from_millis(50));
        other.execute_batch("ROLLBACK").unwrap();
        waiting.join().unwrap()
    });
    let written: Vec<_> = told.iter().map(|told| told.recv().unwrap()).collect();
    assert_eq!(written, [Written::Failed; 3]);
    assert!(matches!(outcome, UnitOutcome::Durable(_)));
    assert_eq!(submit(&writer, draft("t", "after")).recv().unwrap(), Written::Durable);
    writer.close();
    assert!(store.verify() >= 2);
    assert_eq!(store.count("SELECT count(*) FROM record WHERE body IN (CAST('a' AS BLOB), CAST('b' AS BLOB))"), 0);
}

/// A unit that the store refuses takes only itself back.
#[test]
fn a_refused_record_of_a_unit_takes_only_the_unit_back() {
    let store = Store::new();
    refuse_marked(&store);
    let writer = store.writer();
    let bad = unit(vec![put("k", "v", Some(1))], vec![record(Some("t"), "fine"), record(Some("t"), "refuse")]);
    assert!(matches!(writer.commit(bad), UnitOutcome::Failed(Fault::Refused(_))));
    assert_eq!(submit(&writer, draft("t", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    assert_eq!(store.verify(), 1);
    assert_eq!(store.count("SELECT count(*) FROM meta"), 0);
}

/// A full queue refuses at once, and a unit still gets through: it has a lane of its own.
#[test]
fn a_flood_of_decisions_fills_its_own_lane_only() {
    let store = Store::new();
    let writer = Writer::open(&store.path, 8).unwrap();
    let other = lock(&store);
    // The writer's thread takes the first and waits for the lock; then the lane fills up.
    let mut told = vec![submit(&writer, draft("t", "{}"))];
    let start = Instant::now();
    while !writer.stats_json().contains("\"queued\":0,") {
        assert!(start.elapsed() < Duration::from_millis(900), "nothing was taken");
        std::thread::yield_now();
    }
    let refused = loop {
        let (tell, one) = std::sync::mpsc::channel();
        let settle = move |written| {
            let _ = tell.send(written);
        };
        match writer.submit(draft("t", "{}"), Box::new(settle)) {
            Ok(()) => told.push(one),
            Err(not) => break not,
        }
        assert!(start.elapsed() < Duration::from_millis(900), "the queue never filled");
    };
    assert_eq!(refused, NotTaken::Full);
    let outcome = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| writer.commit(unit(vec![], vec![record(None, "unit")])));
        std::thread::sleep(Duration::from_millis(50));
        other.execute_batch("ROLLBACK").unwrap();
        waiting.join().unwrap()
    });
    // The unit stands first in the batch after the one that waited for the lock.
    assert!(matches!(outcome, UnitOutcome::Durable(seqs) if seqs[0] <= told.len() as u64));
    assert!(told.iter().all(|told| told.recv().unwrap() == Written::Durable));
    writer.close();
    assert_eq!(store.verify(), told.len() as u64 + 1);
}

/// A store whose file may not be written, or that is not there, or lacks its schema, is not opened.
#[test]
fn a_store_that_cannot_be_used_is_not_opened() {
    let store = Store::new();
    assert!(Writer::open(&store.folder.path().join("none.db"), 8).is_err());
    let empty = store.folder.path().join("empty.db");
    Connection::open(&empty).unwrap().execute_batch("CREATE TABLE x(y)").unwrap();
    assert!(matches!(Writer::open(&empty, 8), Err(Fault::Refused(_))));
    let garbage = store.folder.path().join("garbage.db");
    std::fs::write(&garbage, vec![7; 8192]).unwrap();
    assert!(matches!(Writer::open(&garbage, 8), Err(Fault::Corrupt)));
}
