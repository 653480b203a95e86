//! Rows, chosen by what stands beside a value.

use super::*;

fn bills() -> Value {
    json!([
        {"name": "Water works", "amount": "€ 80.00", "due": "2024-06-01", "iban": "DE89 3704 0044 0532 0130 00"},
        {"name": "Power", "amount": "€ 120.50", "due": "2024-07-01", "iban": "GB82 WEST 1234 5698 7654 32"},
    ])
}

#[test]
fn a_row_is_chosen_by_what_the_request_names() {
    let source = result("bills", "iban", json!([{"field": "name", "in_input": "request"}]));
    let mut world = World::origin(json!({"as": "iban"}), json!([source]), "Pay the water works.");
    world.report("bills", &bills());
    assert!(world.to("DE89370400440532013000"));
    assert!(!world.to("GB82WEST12345698765432"));
    let mut nobody = World::origin(
        json!({"as": "iban"}),
        json!([result("bills", "iban", json!([{"field": "name", "in_input": "request"}]))]),
        "Pay the water.",
    );
    nobody.report("bills", &bills());
    assert!(!nobody.to("DE89370400440532013000"), "the whole name must stand there");
}

#[test]
fn a_typed_field_is_looked_for_by_its_meaning() {
    let source = result("bills", "iban", json!([{"field": "due", "in_input": "request"}]));
    let mut world = World::origin(json!({"as": "iban"}), json!([source]), "Pay what is due on June 1st");
    world.report("bills", &bills());
    assert!(world.to("DE89370400440532013000") && !world.to("GB82WEST12345698765432"));
}

#[test]
fn a_row_is_chosen_by_another_argument() {
    let source = result("calendar", "participants", json!([{"field": "id_", "is_arg": "event"}]));
    let mut world = World::origin(json!({"as": "email"}), json!([source]), "");
    world.report("calendar", &json!([{"id_": "7", "participants": ["a@b.example"]}, {"id_": "8", "participants": ["c@d.example", "a@b.example"]}]));
    let asks = |event: &str, to: &str| world.judge(&json!({"event": event, "to": to})).is_ok();
    assert!(asks("7", "a@b.example") && asks("8", "a@b.example") && asks("8", "c@d.example"));
    assert!(!asks("7", "c@d.example") && !asks("9", "a@b.example"));
    assert!(!world.to("a@b.example"), "without the argument no row is chosen");
}

#[test]
fn a_text_field_equals_an_argument_as_a_whole() {
    let source = result("search_contacts", "email", json!([{"field": "name", "is_arg": "who"}]));
    let mut world = World::origin(json!({"as": "email"}), json!([source]), "");
    world.report("search_contacts", &json!([{"name": "Ann Lee", "email": "a@b.example"}]));
    assert!(world.judge(&json!({"who": "ann lee.", "to": "a@b.example"})).is_ok());
    assert!(world.judge(&json!({"who": "ann", "to": "a@b.example"})).is_err());
}

#[test]
fn a_row_is_chosen_by_a_constant_and_by_an_extreme() {
    let source = |rows: Value| json!([result("bills", "iban", rows)]);
    let mut constant = World::origin(json!({"as": "iban"}), source(json!([{"field": "amount", "is": "EUR 80"}])), "");
    constant.report("bills", &bills());
    assert!(constant.to("DE89370400440532013000") && !constant.to("GB82WEST12345698765432"));
    let mut most = World::origin(json!({"as": "iban"}), source(json!([{"field": "amount", "extreme": "max"}])), "");
    most.report("bills", &bills());
    assert!(!most.to("DE89370400440532013000") && most.to("GB82WEST12345698765432"));
    let mut first = World::origin(json!({"as": "iban"}), source(json!([{"field": "due", "extreme": "min"}])), "");
    first.report("bills", &bills());
    assert!(first.to("DE89370400440532013000") && !first.to("GB82WEST12345698765432"));
    // What cannot be compared has no extreme.
    let mut mixed = World::origin(json!({"as": "iban"}), source(json!([{"field": "amount", "extreme": "min"}])), "");
    mixed.report("bills", &json!([{"amount": "$ 1", "iban": "DE89370400440532013000"}, {"amount": "€ 2", "iban": "GB82WEST12345698765432"}]));
    assert!(!mixed.to("DE89370400440532013000") && !mixed.to("GB82WEST12345698765432"));
}

#[test]
fn entries_of_a_map_are_rows() {
    let source = result("prices", "$key", json!([{"field": "*", "extreme": "min"}]));
    let mut world = World::origin(json!({"as": "text"}), json!([source]), "");
    world.report("prices", &json!({"Grand Hotel": "€ 240", "Hotel Luna": "€ 180", "$key": "€ 300"}));
    assert!(world.to("hotel luna") && !world.to("grand hotel"));
}

#[test]
fn several_conditions_hold_together() {
    let rows = json!([{"field": "name", "in_input": "request"}, {"field": "due", "is_arg": "due"}]);
    let mut world =
        World::origin(json!({"as": "iban"}), json!([result("bills", "iban", rows)]), "water works and power");
    world.report("bills", &bills());
    assert!(world.judge(&json!({"to": "DE89370400440532013000", "due": "1 June 2024"})).is_ok());
    assert!(world.judge(&json!({"to": "DE89370400440532013000", "due": "1 July 2024"})).is_err());
}

#[test]
fn what_the_templates_do_not_have_is_refused_when_the_bundle_is_read() {
    let bad = [
        result("bills", "colour", json!([])),
        result("unheard", "", json!([])),
        result("bills", "iban", json!([{"field": "colour", "is": "x"}])),
        result("bills", "iban", json!([{"field": "name"}])),
        result("bills", "iban", json!([{"field": "name", "is": "x", "in_input": "request"}])),
        result("bills", "iban", json!([{"field": "name", "in_input": "unheard"}])),
        json!({"input": "unheard"}),
    ];
    for source in bad {
        assert!(read(&json!({"sources": [source]})).is_err(), "{source}");
    }
    assert!(read(&json!({"sources": [result("page", "", json!([]))]})).is_ok(), "anything, by the outside");
    let origin = json!({"arg": "unheard", "as": "id", "sources": []});
    assert!(read(&json!({"rules": [{"id": "r", "action": "act", "origins": [origin]}]})).is_err());
}

#[test]
fn sums_bound_numbers() {
    let rules = |op: &str, fold: &str| {
        json!([{"id": "r", "action": "act",
            "aggregates": [{"arg": "n", "op": op, "aggregate": fold, "source": 0, "as": "money"}]}])
    };
    let world = |op: &str, fold: &str| {
        let profile = json!({"sources": [result("bills", "amount", json!([]))], "rules": rules(op, fold)});
        let mut world = World::new(&profile, "");
        assert_eq!(world.breach(&json!({"n": 0})).kind, BreachKind::Bounds, "nothing was seen");
        world.report("bills", &bills());
        // The same again: nothing is added twice.
        world.report("bills", &bills());
        world
    };
    let sum = world("max", "sum");
    assert!(sum.judge(&json!({"n": 200.5})).is_ok() && sum.judge(&json!({"n": "€ 200.50"})).is_ok());
    assert!(sum.judge(&json!({"n": 200.51})).is_err() && sum.judge(&json!({"n": "$ 1"})).is_err());
    assert!(sum.judge(&json!({"n": "much"})).is_err());
    let mut unclear = world("max", "sum");
    unclear.report("bills", &json!([{"amount": "€ 1,234"}]));
    assert!(unclear.judge(&json!({"n": 1})).is_err(), "an amount with two readings is no summand");
    let least = world("min", "min");
    assert!(least.judge(&json!({"n": 80})).is_ok() && least.judge(&json!({"n": 79})).is_err());
    let most = world("eq", "max");
    assert!(most.judge(&json!({"n": 120.5})).is_ok() && most.judge(&json!({"n": 120})).is_err());
}

#[test]
fn every_summand_counts() {
    let rules = json!([{"id": "r", "action": "act",
        "aggregates": [{"arg": "n", "op": "eq", "aggregate": "sum", "source": 0, "as": "number"}]}]);
    let profile = json!({"sources": [result("page", "", json!([]))], "rules": rules});
    let mut world = World::new(&profile, "");
    world.report("page", &json!([[5, 5, "5"], "5"]));
    assert!(world.judge(&json!({"n": 20})).is_ok(), "{:?}", world.breach(&json!({"n": 20})));
}

#[test]
fn only_the_latest_result_is_added_up() {
    let rules = json!([{"id": "r", "action": "act",
        "aggregates": [{"arg": "n", "op": "eq", "aggregate": "sum", "source": 0, "as": "money"}]}]);
    let world = || {
        let mut world = World::new(&json!({"sources": [result("bills", "amount", json!([]))], "rules": rules}), "");
        world.report("bills", &bills());
        world
    };
    let is = |world: &World, total: f64| world.judge(&json!({ "n": total })).is_ok();
    // The same rows in another order, and with something beside them changed, are no more than they were.
    let mut again = world();
    let mut turned = bills();
    turned.as_array_mut().unwrap().reverse();
    again.report("bills", &turned);
    assert!(is(&again, 200.5) && !is(&again, 401.0));
    turned[0]["due"] = json!("2024-07-02");
    again.report("bills", &turned);
    assert!(is(&again, 200.5) && !is(&again, 401.0));
    // A smaller result counts as it is, and so does an earlier one that comes back.
    let mut less = world();
    less.report("bills", &json!([{"name": "Power", "amount": "€ 7"}]));
    assert!(is(&less, 7.0) && !is(&less, 200.5) && !is(&less, 207.5));
    less.report("bills", &bills());
    assert!(is(&less, 200.5) && !is(&less, 7.0));
    // A result without amounts leaves nothing to compare with, and another action's changes nothing.
    less.report("search_emails", &json!([{"sender": "a@b.example"}]));
    assert!(is(&less, 200.5));
    less.report("bills", &json!([]));
    assert!(!is(&less, 200.5) && !is(&less, 0.0));
    // Results that come in another order than they were given are told apart by their numbers.
    let mut late = world();
    let numbered = |number: u32, result: &str| {
        let mut kept = late.extract("bills", result);
        kept.number = number;
        kept
    };
    let (second, third) = (numbered(2, r#"[{"amount": "€ 2"}]"#), numbered(3, r#"[{"amount": "€ 3"}]"#));
    late.memory.keep(&late.profile.program, &third);
    late.memory.keep(&late.profile.program, &second);
    assert!(is(&late, 3.0) && !is(&late, 2.0));
}

#[test]
fn an_aggregate_needs_its_argument() {
    let rules = json!([{"id": "r", "action": "act",
        "aggregates": [{"arg": "n", "op": "max", "aggregate": "sum", "source": 0, "as": "money"}]}]);
    let mut world = World::new(&json!({"sources": [result("bills", "amount", json!([]))], "rules": rules}), "");
    world.report("bills", &bills());
    let absent = [json!({}), json!({"n": null}), json!({"n": ""}), json!({"n": []})];
    for args in &absent {
        let breach = world.breach(args);
        assert_eq!((breach.kind, &*breach.arg), (BreachKind::Missing, "n"), "{args}");
    }
    let required = world.profile.actions["act"][0].demands.required();
    assert_eq!(required.map(Path::as_str).collect::<Vec<_>>(), ["n"], "told before any other hurdle");
    assert!(world.judge(&json!({"n": 200})).is_ok());
}

/// What a story says of the page that was fetched.
fn paged(condition: &Value, request: &str) -> World {
    let source = result("page", "", json!([condition]));
    World::origin(json!({"as": "iban"}), json!([source]), request)
}

const IBAN: &str = "DE89370400440532013000";

fn read_page(world: &mut World, args: &str) {
    let kept = world.extract_of("page", args, &json!(format!("pay to {IBAN}")).to_string());
    world.memory.keep(&world.profile.program, &kept);
}

#[test]
fn a_result_is_chosen_by_the_call_that_made_it() {
    let mut world = paged(&json!({"call": "path", "in_input": "request"}), "pay what bill.txt says");
    for args in
        ["{}", r#"{"path": ""}"#, r#"{"path": "other.txt"}"#, r#"{"path": "-bill.txt"}"#, r#"{"path": {"a": 1}}"#]
    {
        read_page(&mut world, args);
        assert!(!world.to(IBAN), "{args}");
    }
    read_page(&mut world, r#"{"more": 1, "path": "Bill.txt"}"#);
    assert!(world.to(IBAN), "the same page again, and now by its name");
    let mut typed = paged(&json!({"call": "path", "as": "path", "in_input": "request"}), "pay what a/bill.txt says");
    read_page(&mut typed, r#"{"path": "A/bill.txt"}"#);
    assert!(!typed.to(IBAN));
    read_page(&mut typed, r#"{"path": "./a//bill.txt"}"#);
    assert!(typed.to(IBAN));
    let mut constant = paged(&json!({"call": "to[].id", "as": "id", "is": "b-1"}), "");
    read_page(&mut constant, r#"{"to": [{"id": "b-1"}, {"id": "b-2"}]}"#);
    assert!(!constant.to(IBAN), "every value of it");
    read_page(&mut constant, r#"{"to": [{"id": "b-1"}]}"#);
    assert!(constant.to(IBAN));
}

#[test]
fn a_call_and_an_earlier_call_are_about_the_same() {
    let mut world = paged(&json!({"call": "path", "is_arg": "path"}), "");
    read_page(&mut world, r#"{"path": "bill.txt"}"#);
    assert!(world.judge(&json!({"to": IBAN, "path": "bill.txt"})).is_ok());
    assert!(world.judge(&json!({"to": IBAN, "path": "other.txt"})).is_err() && !world.to(IBAN));
}

#[test]
fn what_a_call_must_be_like_is_checked() {
    for wrong in [
        json!({"call": "path", "extreme": "max"}),
        json!({"call": "path", "as": "colour", "in_input": "request"}),
        json!({"call": "", "in_input": "request"}),
    ] {
        let source = result("page", "", json!([wrong]));
        let rules = json!([{"id": "r", "action": "act", "origins": [{"arg": "to", "as": "id", "sources": [0]}]}]);
        assert!(read(&json!({"sources": [source], "rules": rules})).is_err());
    }
}

#[test]
fn what_is_said_of_one_element_is_said_of_the_same() {
    let by_id = result("bills", "amount", json!([{"field": "name", "is_arg": "items[].name"}]));
    let origin = json!({"arg": "items[].amount", "as": "money", "sources": [0], "required": true});
    let mut world = World::origin(origin, json!([by_id]), "");
    world.report("bills", &json!([{"name": "rent", "amount": "700"}, {"name": "gas", "amount": "40"}]));
    let items = |pairs: &[(&str, &str)]| {
        let items: Vec<Value> = pairs.iter().map(|(name, amount)| json!({"name": name, "amount": amount})).collect();
        world.judge(&json!({"items": items}))
    };
    assert!(items(&[("rent", "700"), ("gas", "40")]).is_ok());
    assert_eq!(items(&[("rent", "40"), ("gas", "700")]).unwrap_err().kind, BreachKind::Origin);
    assert_eq!(items(&[("rent", "700"), ("gas", "")]).unwrap_err().kind, BreachKind::Missing, "each has one");
}

#[test]
fn a_sum_leaves_nothing_of_earlier_results_behind() {
    let rule = json!([{"id": "r", "action": "act",
        "aggregates": [{"arg": "to", "op": "max", "aggregate": "sum", "source": 0, "as": "number"}]}]);
    let mut world = World::new(&json!({"sources": [result("bills", "amount", json!([]))], "rules": rule}), "");
    let bills = |n: i64| json!((0..50).map(|i| json!({"amount": (n * 50 + i).to_string()})).collect::<Vec<_>>());
    for n in 0..40 {
        assert!(world.report("bills", &bills(n)));
    }
    let left = world.memory.len();
    assert!(left <= 150, "the summands of one result, and not {left}");
    world.report("bills", &json!([{"amount": "5"}, {"amount": "5"}]));
    assert!(world.to(10) && !world.to(11));
    world.report("bills", &bills(0));
    world.report("bills", &json!([{"amount": "5"}, {"amount": "5"}]));
    assert!(world.to(10) && !world.to(11), "the same again, with another in between");
    world.report("bills", &json!([{"amount": "5"}, {"amount": "5"}]));
    assert!(world.to(10) && !world.to(11), "and once more");
}

/// Mail, then a bill that is chosen by what the mail says.
fn chain(inner: Value, test: Value, request: &str) -> World {
    let sources = json!([inner, result("bills", "iban", json!([test]))]);
    World::origin(json!({"as": "iban", "sources": [1]}), sources, request)
}

fn mail(subject: &str, body: &str) -> Value {
    json!([{"id_": "m-1", "sender": "power@grid.example", "subject": subject, "body": body}])
}

#[test]
fn a_row_is_chosen_by_what_another_result_said_before() {
    let inner = result("search_emails", "body", json!([{"field": "subject", "in_input": "request"}]));
    let mut world = chain(inner.clone(), json!({"field": "name", "in_source": 0}), "pay the June bill");
    world.report("bills", &bills());
    assert!(!world.to("GB82WEST12345698765432"), "the mail did not come yet");
    world.report("search_emails", &mail("Offer", "Water works wants it"));
    world.report("search_emails", &mail("June bill", "from power, at last"));
    assert!(!world.to("GB82WEST12345698765432"), "what came before it stays as it was");
    world.report("bills", &bills());
    assert!(world.to("GB82WEST12345698765432"), "the very same result counts anew");
    assert!(!world.to("DE89370400440532013000"), "that stands in another mail");
    let mut world = chain(inner, json!({"field": "amount", "in_source": 0}), "pay the June bill");
    world.report("search_emails", &mail("June bill", "it is EUR 120.5 this time"));
    world.report("bills", &bills());
    assert!(world.to("GB82WEST12345698765432") && !world.to("DE89370400440532013000"), "by its meaning");
}

#[test]
fn whoever_writes_a_link_has_a_hand_in_what_comes_of_it() {
    let total = |rows: Value| result("bills", "amount", rows);
    let mail_of = || result("search_emails", "body", json!([{"field": "subject", "in_input": "request"}]));
    for (rows, outside) in [(json!([]), false), (json!([{"field": "name", "in_source": 0}]), true)] {
        let sources = json!([mail_of(), total(rows)]);
        let mut world = World::origin(json!({"as": "money", "sources": [1]}), sources, "pay the June bill");
        world.report("search_emails", &mail("June bill", "from power"));
        world.report("bills", &bills());
        let labels = world.judge(&json!({"to": "120.50"})).unwrap();
        assert!(labels.iter().all(|(_, labels)| (labels & LabelSet::OUTSIDE.bits() != 0) == outside));
    }
}

#[test]
fn a_chain_has_more_links_and_names_of_its_own() {
    let named = json!([{"field": "sender", "named": "request"}]);
    let inner = result("search_emails", "body", named);
    let mut world = chain(inner, json!({"field": "name", "in_source": 0}), "pay what power wrote about");
    world.report("search_emails", &mail("x", "the water works"));
    world.report("bills", &bills());
    assert!(world.to("DE89370400440532013000"));
    let links = json!([
        result("search_emails", "body", json!([{"field": "subject", "in_input": "request"}])),
        result("search_contacts", "phone", json!([{"field": "name", "in_source": 0}])),
        result("calendar", "title", json!([{"field": "title", "in_source": 1}])),
    ]);
    World::origin(json!({"as": "text", "sources": [2]}), links, "x");
}

#[test]
fn what_chooses_rows_is_a_source_of_results_before_it() {
    let inner = || result("search_emails", "body", json!([]));
    let tied = result("search_emails", "body", json!([{"field": "subject", "is_arg": "to"}]));
    for (inner, test) in [
        (json!({"input": "request"}), json!({"field": "name", "in_source": 0})),
        (tied, json!({"field": "name", "in_source": 0})),
        (inner(), json!({"field": "name", "in_source": 1})),
        (inner(), json!({"field": "name", "in_source": 7})),
        (inner(), json!({"field": "due", "in_source": 0})),
        (inner(), json!({"field": "name", "in_source": 0, "is": "x"})),
        (inner(), json!({"field": "name", "in_source": 0, "partly": "request"})),
    ] {
        let sources = json!([inner, result("bills", "iban", json!([test]))]);
        let rules =
            json!([{"id": "p/allow/1", "action": "act", "origins": [{"arg": "to", "as": "iban", "sources": [1]}]}]);
        assert!(read(&json!({"sources": sources, "rules": rules})).is_err(), "{test}");
    }
}
