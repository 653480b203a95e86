//! A changed row of a partitioned table may move: deleted in one partition, inserted in another, with what hangs on both.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use flyball_pgsql::{Access, Policy, Reason, Snapshot, judge};

fn snapshot(triggers: &str) -> Snapshot {
    let json = r#"{"database": "shop", "functions": [], "operators": [], "types": [], "relations": [
        {"oid": 1, "schema": "public", "name": "pk", "kind": "p", "columns": ["a"], "children": [2],
         "referenced": [{"other": 4, "columns": ["a"], "other_columns": ["a"], "on_delete": "c", "on_update": "c"}]},
        {"oid": 2, "schema": "public", "name": "pk_1", "kind": "r", "columns": ["a"], "triggers": [@],
         "referenced": [{"other": 3, "columns": ["a"], "other_columns": ["a"], "on_delete": "c", "on_update": "a"}]},
        {"oid": 3, "schema": "public", "name": "of_one", "kind": "r", "columns": ["a"]},
        {"oid": 4, "schema": "public", "name": "fk", "kind": "p", "columns": ["a"], "children": [5]},
        {"oid": 5, "schema": "public", "name": "fk_1", "kind": "r", "columns": ["a"],
         "referenced": [{"other": 6, "columns": ["a"], "other_columns": ["a"], "on_delete": "c", "on_update": "a"}]},
        {"oid": 6, "schema": "public", "name": "below", "kind": "r", "columns": ["a"]}]}"#;
    Snapshot::read(&json.replace('@', triggers), &["public"]).unwrap()
}

/// What goes by cascade with a row that leaves its partition is named: of the table itself, and of one that follows it.
#[test]
fn what_a_move_reaches() {
    let judgement = judge("UPDATE pk SET a = 2", &snapshot(""), &Policy::default()).unwrap();
    let touches = |name: &str, access| judgement.touches("public", name, access);
    for (name, access) in [
        ("pk_1", Access::Delete),
        ("pk_1", Access::Insert),
        ("of_one", Access::Delete),
        ("fk", Access::Update),
        ("fk_1", Access::Delete),
        ("fk_1", Access::Insert),
        ("below", Access::Delete),
    ] {
        assert!(touches(name, access), "{access:?} of {name}");
    }
    let judgement = judge("UPDATE of_one SET a = 2", &snapshot(""), &Policy::default()).unwrap();
    assert!(!judgement.touches("public", "of_one", Access::Delete), "no partitions, no move");
}

/// A trigger on the delete of a partition fires for a row that leaves it.
#[test]
fn triggers_of_a_move() {
    let trigger = r#"{"name": "gone", "function": ["public", "f"], "bits": 9}"#;
    let refused = judge("UPDATE pk SET a = 2", &snapshot(trigger), &Policy::default()).unwrap_err();
    assert_eq!(refused.reason, Reason::TriggerNotListed);
}
