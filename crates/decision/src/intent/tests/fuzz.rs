//! Anything may come in: nothing panics, and a value is found exactly if it was kept.

use proptest::prelude::*;

use super::*;

/// Any JSON, with names that the templates know.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-c0-9@.: €+-]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("2024-05-15 10:00")),
        Just(json!("03/04/2024")),
        Just(json!("tomorrow")),
        Just(json!("a@b.example")),
    ];
    let name = prop_oneof![
        Just("id_"),
        Just("title"),
        Just("start_time"),
        Just("participants"),
        Just("to"),
        Just("$key"),
        Just("*"),
        Just("body"),
        Just("sender"),
        Just("amount"),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(name.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn everything() -> World {
    let sources = json!([
        {"input": "request"}, {"const": "x"}, {"trusted": true}, {"arg": "other"},
        result("calendar", "participants", json!([{"field": "id_", "is_arg": "id_"}])),
        result("calendar", "start_time", json!([{"field": "title", "in_input": "request"}])),
        result("bills", "amount", json!([{"field": "due", "extreme": "max"}])),
        result("search_emails", "body", json!([{"field": "sender", "is": "a@b.example"}])),
        result("prices", "*", json!([])), result("page", "", json!([])),
    ]);
    let all: Vec<usize> = (0..sources.as_array().unwrap().len()).collect();
    let kinds = ["text", "email", "date", "datetime", "time", "money", "id"];
    let rules: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            let mut origin = json!({"arg": "to", "as": kind, "sources": all});
            if matches!(*kind, "date" | "datetime" | "time") {
                origin["plus"] = json!([{"ms": 0}, {"ms": 3_600_000}, {"source": 0}]);
                origin["within_ms"] = json!(90_000_000);
            }
            json!({"id": kind, "action": "act", "origins": [origin],
                "free": [{"arg": "body", "max": 40, "without": ["pii"]}],
                "aggregates": [{"arg": "amount", "op": "max", "aggregate": "sum", "source": 6, "as": "money"}]})
        })
        .collect();
    let never = json!([{"by": "outside", "action": "act", "arg": "title"}]);
    let profile = json!({"sources": sources, "rules": rules, "never": never, "today": {"result": {"action": "today"}}});
    World::new(&profile, "a b c on May 4th at 10:00 for 2 hours, a@b.example")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_panics_and_what_is_kept_survives_its_sealed_form(
        results in proptest::collection::vec((0_usize..7, any_json()), 0..6), args in any_json()
    ) {
        let mut world = everything();
        let actions = ["calendar", "bills", "search_emails", "prices", "page", "today", "unheard"];
        for (action, result) in &results {
            let action = actions[*action];
            if action == "unheard" {
                let kept = world.extract(action, &result.to_string());
                prop_assert_eq!(kept.len(), 0);
            } else {
                world.report(action, result);
            }
        }
        let text = args.to_string();
        let json = Json::parse(text.as_bytes()).unwrap();
        for rule in &world.profile.actions["act"] {
            let ask = Ask {
                program: &world.profile.program, rule, given: &world.given, memory: Some(&world.memory),
                key: &world.key, args: &json, wall_ms: WALL_MS,
            };
            let _ = judge(&ask);
            let _ = planned(&rule.demands, &json, &json);
        }
    }

    #[test]
    fn bytes_that_nobody_sealed_are_refused_or_harmless(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0_usize..200) {
        let mut world = everything();
        let _ = Kept::from_bytes(&world.profile.program, &bytes);
        bytes = world.extract("search_emails", r#"[{"sender": "a@b.example", "body": "c@d.example is one two three"}]"#).to_bytes();
        let at = flip % bytes.len();
        bytes[at] ^= 1 << (flip % 8);
        if let Ok(kept) = Kept::from_bytes(&world.profile.program, &bytes) {
            world.memory.keep(&world.profile.program, &kept);
            let _ = world.judge(&json!({"to": "c@d.example", "body": "one two three"}));
        }
    }

    #[test]
    fn a_value_is_found_exactly_if_it_was_kept(
        told in proptest::collection::vec(proptest::collection::vec(0_u16..300, 0..8), 0..12), asked in 0_u16..300
    ) {
        let mut world = World::origin(json!({"as": "id"}), json!([result("search_emails", "id_", json!([]))]), "");
        for rows in &told {
            let rows: Value = rows.iter().map(|n| json!({"id_": format!("m-{n}"), "subject": "m-299"})).collect();
            world.report("search_emails", &rows);
        }
        let there = told.iter().flatten().any(|n| *n == asked);
        prop_assert_eq!(world.to(format!("m-{asked}")), there);
    }

    #[test]
    fn rows_are_joined_as_a_plain_search_joins_them(
        told in proptest::collection::vec(proptest::collection::vec((0_u8..5, 0_u8..5), 0..6), 0..6),
        id in 0_u8..5, who in 0_u8..5
    ) {
        let source = result("calendar", "participants", json!([{"field": "id_", "is_arg": "id"}]));
        let mut world = World::origin(json!({"as": "email"}), json!([source]), "");
        for rows in &told {
            let rows: Value = rows
                .iter()
                .map(|(id, who)| json!({"id_": id.to_string(), "participants": [format!("p{who}@x.example")]}))
                .collect();
            world.report("calendar", &rows);
        }
        let there = told.iter().flatten().any(|row| *row == (id, who));
        let args = json!({"id": id.to_string(), "to": format!("p{who}@x.example")});
        prop_assert_eq!(world.judge(&args).is_ok(), there);
    }
}
