//! Labels: who could write a value, and what must not leave.

use super::*;

fn rules(rule: &Value) -> Value {
    let mut rule = rule.clone();
    rule["id"] = json!("r");
    rule["action"] = json!("act");
    json!([rule, {"id": "s", "action": "search_emails"}])
}

#[test]
fn what_some_may_write_does_not_count() {
    let sources = json!([result("search_emails", "sender", json!([])), result("search_contacts", "email", json!([]))]);
    let rule = json!({"origins": [{"arg": "to", "as": "email", "sources": [0, 1], "not_by": ["outside"]}]});
    let mut world = World::new(&json!({"sources": sources, "rules": rules(&rule)}), "");
    world.report("search_emails", &json!([{"sender": "a@b.example"}]));
    assert_eq!(world.breach(&json!({"to": "a@b.example"})).kind, BreachKind::Origin);
    world.report("search_contacts", &json!([{"email": "a@b.example"}]));
    assert!(world.to("a@b.example"), "whoever else wrote it, the user did too");
}

#[test]
fn never_holds_whatever_a_rule_says() {
    let sources = json!([result("search_emails", "sender", json!([])), {"input": "request"}]);
    let never = json!([{"by": "outside", "action": "act", "arg": "to"}]);
    let rule = json!({"origins": [{"arg": "to", "as": "email", "sources": [0, 1]}]});
    let mut world = World::new(&json!({"sources": sources, "rules": rules(&rule), "never": never}), "to c@d.example");
    world.report("search_emails", &json!([{"sender": "a@b.example"}]));
    assert_eq!(world.breach(&json!({"to": "a@b.example"})).kind, BreachKind::Flow);
    assert_eq!(world.breach(&json!({"to": "x@y.example"})).kind, BreachKind::Origin);
    assert!(world.to("c@d.example"));
    // An argument that nothing bounds is decided by nobody that is known.
    let free = World::new(&json!({"rules": rules(&json!({"free": [{"arg": "to", "max": 9}]})), "never": never}), "");
    assert_eq!(free.breach(&json!({"to": "hello"})).kind, BreachKind::Flow);
    assert!(free.judge(&json!({})).is_ok());
    // What the rule itself chose is decided by its author.
    let bound = json!({"where": [{"arg": "name", "op": "one_of", "value": {"const": ["x"]}}]});
    let never = json!([{"by": "outside", "action": "act", "arg": "name"}]);
    let world = World::new(&json!({"rules": rules(&bound), "never": never}), "");
    assert!(world.judge(&json!({"name": "x"})).is_ok());
}

#[test]
fn never_reaches_below_an_argument() {
    let never = json!([{"by": "outside", "action": "act", "arg": "to"}]);
    let rule = json!({"origins": [{"arg": "to[].id", "as": "id", "sources": [0]}]});
    let profile = json!({"sources": [{"input": "request"}], "rules": rules(&rule), "never": never});
    let world = World::new(&profile, "attach f-1");
    assert!(world.to(json!([{"id": "f-1"}])));
    assert_eq!(world.breach(&json!({"to": [{"id": "f-1", "name": "x"}]})).kind, BreachKind::Flow);
}

#[test]
fn free_text_has_a_length() {
    let world = World::new(&json!({"rules": rules(&json!({"free": [{"arg": "to", "max": 5}]}))}), "");
    assert!(world.to("äöüßé") && world.to(json!(["ab", "cde"])) && world.to(json!(null)));
    for long in [json!("abcdef"), json!(["abc", "def"]), json!({"abc": "def"}), json!(123_456)] {
        let breach = world.breach(&json!({ "to": long }));
        assert_eq!((breach.kind, &*breach.arg), (BreachKind::TooLong, "to"), "{long}");
    }
}

#[test]
fn free_text_carries_nothing_of_a_label() {
    let world = |max: usize| {
        // Values of other fields are remembered too, to explain.
        let origins = json!([{"arg": "a", "as": "email", "sources": [0]}, {"arg": "b", "as": "text", "sources": [0]}]);
        let rule = json!({"free": [{"arg": "to", "max": max, "without": ["pii"]}], "origins": origins});
        let mut world = World::new(&json!({"sources": [{"input": "request"}], "rules": rules(&rule)}), "");
        world.report(
            "search_emails",
            &json!([{"subject": "public words stand here", "sender": "s@x.example",
            "body": "Code 4711-X, call +49 170 1234567 or ann@b.example about the quiet blue house; € 1,250.00"}]),
        );
        world
    };
    let world = world(400);
    for bad in
        ["my code is 4711-x", "ring +49 (170) 1234567", "ask ANN@b.example", "in the quiet blue car", "costs 1250 EUR"]
    {
        let breach = world.breach(&json!({ "to": bad }));
        assert_eq!(breach.kind, BreachKind::Flow, "{bad}");
        assert_eq!(
            breach.seen[0],
            Seen { action: "search_emails".into(), field: "body".into(), result: 1, by: "outside".into() }
        );
        assert_eq!(breach.wanted, ["without pii".into()] as [Box<str>; 1]);
    }
    for good in ["public words stand here", "write to s@x.example", "a quiet house", "nothing", "code 12"] {
        assert!(world.to(good), "{good}");
    }
    assert!(!world.to(json!({"deep": [{"ann@b.example": 1}]})), "names carry too");
}

#[test]
fn free_text_carries_no_short_value_of_a_label() {
    let rule = json!({"free": [{"arg": "to", "max": 99, "without": ["pii"]}]});
    let told = |secret: &str| {
        let rules = json!([{"id": "r", "action": "act", "free": rule["free"]}, {"id": "s", "action": "search_emails"}]);
        let mut world = World::new(&json!({ "rules": rules }), "");
        world.report("search_emails", &json!([{"subject": "lamp", "body": secret}]));
        world
    };
    let one = told("Swordfish");
    for bad in ["swordfish", "the password is SWORDFISH.", "(swordfish)", "it is #swordfish"] {
        assert_eq!(one.breach(&json!({ "to": bad })).kind, BreachKind::Flow, "{bad}");
    }
    assert!(!one.to(json!(["hello", {"deep": "swordfish"}])));
    assert!(one.to("sword fish") && one.to("swordfishes") && one.to("a lamp"));
    let two = told("open sesame");
    assert!(!two.to("say open: sesame!") && !two.to("Open sesame"));
    assert!(two.to("open") && two.to("sesame open") && two.to("open the sesame"));
    // A word or two of a longer text are no value of it.
    let three = told("open sesame now");
    assert!(three.to("say open sesame") && three.to("now") && !three.to("open sesame now"));
    for nothing in ["", " ", "...", "- \u{201c}\u{201d}"] {
        let world = told(nothing);
        assert!(world.to("anything at all ...") && world.to("-"), "{nothing:?}");
    }
}

#[test]
fn labels_of_an_action_are_those_of_its_fields() {
    let world = World::new(&json!({"rules": rules(&json!({}))}), "");
    let program = &world.profile.program;
    let names = |set: LabelSet| program.names(set).collect::<Vec<_>>();
    assert_eq!(names(program.static_labels("search_emails")), ["org", "outside", "pii"]);
    assert_eq!(names(program.static_labels("unheard")), ["outside"]);
    assert!(program.labelled(&["secret"]).is_err());
    assert_eq!(names(world.extract("search_emails", r#"[{"id_": "7"}]"#).labels()), ["org"]);
    assert_eq!(names(world.extract("act", r#"{"surprise": 1}"#).labels()), ["outside"]);
}
