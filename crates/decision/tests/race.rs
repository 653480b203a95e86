//! No check is allowed after the fence has returned.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "common/race.rs"]
mod race;

#[test]
fn a_fence_is_final() {
    let seen = race::race(30_000, 3);
    assert_eq!(seen.after, 0, "{seen:?}");
    assert!(seen.before > 1000, "{seen:?}");
}

#[test]
#[ignore = "a million checks: make bench"]
fn a_fence_is_final_a_million_times() {
    let seen = race::race(1_000_000, 3);
    assert_eq!(seen.after, 0, "{seen:?}");
}
