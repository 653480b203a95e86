//! The cases that every implementation of typed values answers alike: vectors/typed/values.json.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test that cannot go on fails")]

mod common;

use flyball_typed::Kind;
use serde_json::Value;

const CASES: &str = include_str!("../../../vectors/typed/values.json");

/// Every case has the readings, or the found values, that the file says.
#[test]
fn the_vectors_are_answered_as_written() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    assert!(cases.len() >= 300, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let kind = Kind::parse(case["kind"].as_str().unwrap()).unwrap();
        let text = case["text"].as_str().unwrap();
        let (wanted, given) = match (case.get("read"), case.get("find")) {
            (Some(read), None) => (read, common::read_values(kind, text)),
            (None, Some(found)) => (found, common::found_values(kind, text)),
            _ => panic!("a case either reads or finds: {case}"),
        };
        if *wanted != given {
            wrong.push(format!("{} {text:?}: wanted {wanted}, got {given}", kind.as_str()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Every kind has cases that are values, cases that are none, and, but for text, cases that are found.
#[test]
fn every_kind_has_vectors_of_each_sort() {
    let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
    for kind in Kind::ALL {
        let of = |member: &str, empty: bool| {
            cases.iter().any(|case| {
                case["kind"] == kind.as_str()
                    && case.get(member).and_then(Value::as_array).is_some_and(|all| all.is_empty() == empty)
            })
        };
        assert!(of("read", false) && of("read", true), "{}", kind.as_str());
        assert!(kind == Kind::Text || of("find", false), "{}", kind.as_str());
    }
}
