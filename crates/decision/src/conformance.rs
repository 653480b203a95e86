//! Cedar's own integration tests, decided through the index (tests/conformance/SOURCE says whose they are).
//!
//! One difference is ours and wanted: where Cedar skips a policy that errs, we refuse.

use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::{Context, Entities, EntityUid, PolicySet, Request, Schema, ValidationMode, Validator};
use serde_json::Value;

use crate::cedar;
use crate::engine::Opinion;
use crate::scope::{Card, Index};

fn uid(json: &Value) -> EntityUid {
    EntityUid::from_json(json.clone()).unwrap()
}

/// Today's Cedar accepts these two, whose scope (`is T in …`) can never hold; the corpus is of an earlier version.
const ACCEPTED_SINCE: [&str; 2] =
    ["corpus-tests/c9c6ed1521c2b9608c28224de1a289207b6381cd", "corpus-tests/edefda397789ceda19e9d403adff6192ddf267de"];

#[derive(Default, Debug)]
struct Seen {
    tests: usize,
    requests: usize,
    allowed: usize,
    erring: usize,
    unindexed: usize,
}

fn run(line: &str, seen: &mut Seen) {
    let test: Value = serde_json::from_str(line).unwrap();
    let name = test["name"].as_str().unwrap();
    let schema = test["schema"].as_str().map(|text| Schema::from_cedarschema_str(text).unwrap().0);
    let set = PolicySet::from_str(test["policies"].as_str().unwrap()).unwrap();
    if let Some(schema) = &schema {
        let valid = Validator::new(schema.clone()).validate(&set, ValidationMode::Strict).validation_passed();
        let expected = test["shouldValidate"].as_bool().unwrap() || ACCEPTED_SINCE.contains(&name);
        assert_eq!(valid, expected, "{name}: validation");
    }
    let entities = Entities::from_json_str(&test["entities"].to_string(), schema.as_ref()).unwrap();
    let mut index = Index::default();
    for policy in set.policies() {
        let card = Card { id: Arc::from(policy.id().to_string()), on_deny: None };
        index.add(policy, card).unwrap();
    }
    seen.tests += 1;
    for asked in test["requests"].as_array().unwrap() {
        let what = format!("{name}: {}", asked["description"]);
        let (principal, action, resource) = (uid(&asked["principal"]), uid(&asked["action"]), uid(&asked["resource"]));
        let context = schema.as_ref().map(|schema| (schema, &action));
        let context = Context::from_json_str(&asked["context"].to_string(), context).unwrap();
        let check = asked["validateRequest"].as_bool().unwrap_or(true).then_some(schema.as_ref()).flatten();
        Request::new(principal.clone(), action.clone(), resource.clone(), context.clone(), check).unwrap();
        let mut cells = Vec::new();
        let (principals, actions) = (index.principals(&principal, &entities), index.actions(&action, &entities));
        index.candidates(&principals, &actions, &resource, &entities, &mut cells);
        seen.requests += 1;
        seen.unindexed += usize::from(cells.is_empty());
        let names = |list: &Value| {
            let mut names: Vec<String> =
                list.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        let (reason, errors) = (names(&asked["reason"]), names(&asked["errors"]));
        let sorted = |ids: Vec<Arc<str>>| {
            let mut ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            ids.sort();
            ids
        };
        match cedar::Asked::new(&principal, &action, &resource, &context, &entities).opinion(cells) {
            Opinion::Error(ids) => {
                assert_eq!(sorted(ids), errors, "{what}");
                seen.erring += 1;
            }
            Opinion::Permit(ids) => {
                assert!(errors.is_empty(), "{what}");
                assert_eq!(asked["decision"], "allow", "{what}");
                assert_eq!(sorted(ids), reason, "{what}");
                seen.allowed += 1;
            }
            Opinion::Forbid(ids, _) => {
                assert!(errors.is_empty(), "{what}");
                assert_eq!(asked["decision"], "deny", "{what}");
                assert_eq!(sorted(ids), reason, "{what}");
            }
            Opinion::Silent => {
                assert!(errors.is_empty() && reason.is_empty(), "{what}");
                assert_eq!(asked["decision"], "deny", "{what}");
            }
        }
    }
}

#[test]
fn the_corpus_is_decided_as_cedar_decides_it_except_that_errors_refuse() {
    let mut seen = Seen::default();
    for file in
        [include_str!("../tests/conformance/handwritten.jsonl"), include_str!("../tests/conformance/corpus.jsonl")]
    {
        for line in file.lines().filter(|line| !line.is_empty()) {
            run(line, &mut seen);
        }
    }
    println!("{seen:?}");
    // A corpus that shrinks or a loop that never runs would prove nothing.
    assert!(
        seen.tests > 900 && seen.requests > 1300 && seen.allowed > 500 && seen.erring > 100 && seen.unindexed > 50,
        "{seen:?}"
    );
}
