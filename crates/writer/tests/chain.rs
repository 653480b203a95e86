//! Sequence, chain, guards and counters, with the store healthy.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Store, charge, draft, put, record, submit, submit_later, unit};
use flyball_decision::{NotTaken, Sink, Written};
use flyball_writer::{Fault, Head, Home, UnitOutcome};
use proptest::prelude::*;

/// Units and decisions share one chain, and a writer that is opened again goes on where it stopped.
#[test]
fn the_chain_goes_on_after_a_restart() {
    let store = Store::new();
    let writer = store.writer();
    assert_eq!(writer.head(), Head::genesis());
    let one = unit(vec![put("a", "1", Some(1))], vec![record(Some("t1"), "{}"), record(None, "{}")]);
    assert_eq!(writer.commit(one), UnitOutcome::Durable(vec![1, 2]));
    assert_eq!(submit(&writer, draft("t1", "{}")).recv().unwrap(), Written::Durable);
    let head = writer.head();
    writer.close();
    assert_eq!(head.seq, 3);
    let writer = store.writer();
    assert_eq!(writer.head(), head);
    assert_eq!(submit(&writer, draft("t1", "{}")).recv().unwrap(), Written::Durable);
    writer.close();
    assert_eq!(store.verify(), 4);
}

/// A guard that fails takes back its own unit and nothing else, and its numbers are given again.
#[test]
fn a_conflict_is_the_units_own() {
    let store = Store::new();
    let writer = store.writer();
    let good = |key| unit(vec![put(key, "1", Some(1))], vec![record(Some("t"), "{}")]);
    assert_eq!(writer.commit(good("a")), UnitOutcome::Durable(vec![1]));
    let twice = unit(vec![put("b", "1", None), put("a", "2", None)], vec![record(Some("t"), "{}")]);
    assert!(matches!(writer.commit(twice), UnitOutcome::Conflict(_)));
    let mut wrong_count = good("c");
    wrong_count.statements[0].expect = Some(2);
    assert!(matches!(writer.commit(wrong_count), UnitOutcome::Conflict(_)));
    assert_eq!(writer.commit(good("b")), UnitOutcome::Durable(vec![2]));
    writer.close();
    assert_eq!(store.verify(), 2);
    assert_eq!(store.count("SELECT count(*) FROM meta"), 2);
}

/// A statement that would end the shared transaction, or reconfigure the connection, is not run.
#[test]
fn a_unit_only_changes_rows() {
    let store = Store::new();
    let writer = store.writer();
    for sql in ["COMMIT", " rollback", "PRAGMA synchronous=OFF", "ATTACH 'x' AS y", "DROP TABLE meta", "", "SELEKT"] {
        let mut bad = unit(vec![put("a", "1", None)], vec![record(None, "{}")]);
        bad.statements[0].sql = sql.to_owned();
        bad.statements[0].params.clear();
        assert!(matches!(writer.commit(bad), UnitOutcome::Failed(Fault::Refused(_))), "{sql}");
    }
    assert_eq!(writer.commit(unit(vec![], vec![record(None, "{}")])), UnitOutcome::Durable(vec![1]));
}

/// Counters across tasks go to their limit and no further; of several charges all hold or none is made.
#[test]
fn counters_stop_at_their_limit() {
    let store = Store::new();
    let writer = store.writer();
    writer.set_home(Home { cell: "c".into(), node: "n".into(), epoch: 3 });
    let spend = |charges: &[(&str, i64, i64)]| {
        let mut one = draft("t", "{}");
        one.counters = charges.iter().map(|(key, amount, limit)| charge(key, *amount, *limit)).collect();
        submit(&writer, one).recv().unwrap()
    };
    assert_eq!(spend(&[("k", 7, 10)]), Written::Durable);
    assert_eq!(spend(&[("k", 4, 10)]), Written::Conflict);
    assert_eq!(spend(&[("other", 1, 10), ("k", 4, 10)]), Written::Conflict);
    assert_eq!(spend(&[("k", 3, 10)]), Written::Durable);
    assert_eq!(spend(&[("first", 11, 10)]), Written::Conflict);
    assert_eq!(spend(&[("k", i64::MAX, i64::MAX)]), Written::Conflict);
    assert_eq!(spend(&[("k", -4, 10)]), Written::Durable);
    assert_eq!(spend(&[("k", 4, 10)]), Written::Durable);
    writer.close();
    assert_eq!(store.count("SELECT used FROM counter WHERE key = 'k'"), 10);
    assert_eq!(store.count("SELECT count(*) FROM counter WHERE key IN ('other', 'first')"), 0);
    assert_eq!(store.count("SELECT count(*) FROM counter WHERE cell='c' AND home='n' AND epoch=3"), 1);
    assert_eq!(store.verify(), 4);
}

/// A closed writer refuses, at once and by name; what was queued before is written.
#[test]
fn close_writes_what_is_queued_and_refuses_the_rest() {
    let store = Store::new();
    let writer = store.writer();
    let waiting: Vec<_> = (0..500).map(|_| submit(&writer, draft("t", "{}"))).collect();
    writer.close();
    assert!(waiting.iter().all(|told| told.recv().unwrap() == Written::Durable));
    assert_eq!(writer.submit(draft("t", "{}"), Box::new(|_| ())), Err(NotTaken::Closed));
    assert_eq!(writer.commit(unit(vec![], vec![])), UnitOutcome::Failed(Fault::Closed));
    assert_eq!(writer.query("SELECT 1", &[], 1), Err(Fault::Closed));
    assert_eq!(store.verify(), 500);
}

/// A query reads what is durable, and only reads.
#[test]
fn a_query_only_reads() {
    let store = Store::new();
    let writer = store.writer();
    writer.commit(unit(vec![put("a", "1", None), put("b", "2", None)], vec![]));
    assert_eq!(writer.query("SELECT key FROM meta ORDER BY key", &[], 2).unwrap().len(), 2);
    for sql in ["DELETE FROM meta", "PRAGMA query_only=OFF", "SELECT key FROM meta; DELETE FROM meta", "BEGIN", "x"] {
        assert!(matches!(writer.query(sql, &[], 9), Err(Fault::Refused(_))), "{sql}");
    }
    assert!(matches!(writer.query("SELECT key FROM meta", &[], 1), Err(Fault::Refused(_))));
    writer.close();
    assert_eq!(store.count("SELECT count(*) FROM meta"), 2);
}

#[derive(Clone, Debug)]
enum Step {
    Decision(u8),
    Buffered(u8),
    Charged(u8),
    Unit(u8, u8),
    Conflicting(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..4u8).prop_map(Step::Decision),
        (0..4u8).prop_map(Step::Buffered),
        (0..4u8).prop_map(Step::Charged),
        (0..4u8, 0..3u8).prop_map(|(task, records)| Step::Unit(task, records)),
        (0..4u8).prop_map(Step::Conflicting),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is interleaved, from several threads: the chain holds, everything called durable is
    /// there, and nothing else is.
    #[test]
    fn any_interleaving_gives_one_contiguous_chain(lanes in proptest::collection::vec(steps(), 1..4)) {
        let store = Store::new();
        let writer = store.writer();
        writer.commit(unit(vec![put("taken", "1", None)], vec![]));
        let durable: u64 = std::thread::scope(|scope| {
            let lanes: Vec<_> = lanes.iter().enumerate().map(|(lane, steps)| {
                let writer = &writer;
                scope.spawn(move || {
                    let mut durable = 0;
                    let mut told = Vec::new();
                    for (at, step) in steps.iter().enumerate() {
                        match step {
                            Step::Decision(task) => told.push(submit(writer, draft(&format!("t{task}"), "{}"))),
                            Step::Buffered(task) => {
                                told.push(submit_later(writer, draft(&format!("t{task}"), "{}")));
                            }
                            Step::Charged(task) => {
                                let mut one = draft(&format!("t{task}"), "{}");
                                one.counters = vec![charge("k", 1, 5), charge("l", 1, 7)];
                                told.push(submit(writer, one));
                            }
                            Step::Unit(task, records) => {
                                let task = format!("t{task}");
                                let records = (0..*records).map(|_| record(Some(&task), "{}")).collect();
                                let one = unit(vec![put(&format!("{lane}.{at}"), "", Some(1))], records);
                                match writer.commit(one) {
                                    UnitOutcome::Durable(seqs) => durable += seqs.len() as u64,
                                    other => unreachable!("{other:?}"),
                                }
                            }
                            Step::Conflicting(task) => {
                                let records = vec![record(Some(&format!("t{task}")), "{}")];
                                let one = unit(vec![put("taken", "2", None)], records);
                                assert!(matches!(writer.commit(one), UnitOutcome::Conflict(_)));
                            }
                        }
                    }
                    let settled = told.iter().filter(|told| told.recv().unwrap() == Written::Durable);
                    durable + settled.count() as u64
                })
            }).collect();
            lanes.into_iter().map(|lane| lane.join().unwrap()).sum()
        });
        let head = writer.head();
        writer.close();
        prop_assert_eq!(head.seq, durable);
        prop_assert_eq!(store.verify(), durable);
        prop_assert!(store.count("SELECT coalesce(max(used), 0) FROM counter WHERE key = 'k'") <= 5);
    }
}
