//! What people say in other words: short names, words in any order, folders, anybody at a host.

use super::*;

fn contacts() -> Value {
    json!([
        {"name": "Ada Lovelace", "email": "ada.l@acme.example"},
        {"name": "Ada Byron", "email": "ada.b@acme.example"},
        {"name": "Bob Stone", "email": "bob@else.example"},
    ])
}

fn named(test: &str, request: &str) -> World {
    let source = result("search_contacts", "email", json!([{"field": "name", test: "request"}]));
    let mut world = World::origin(json!({"as": "email"}), json!([source]), request);
    world.report("search_contacts", &contacts());
    world
}

#[test]
fn one_person_is_named_by_a_part_of_the_name() {
    let world = named("named", "mail Bob the minutes");
    assert!(world.to("bob@else.example") && !world.to("ada.l@acme.example"));
    let both = named("named", "mail Ada the minutes");
    assert!(!both.to("ada.l@acme.example") && !both.to("ada.b@acme.example"), "which Ada?");
    let one = named("named", "mail Ada Lovelace the minutes");
    assert!(one.to("ada.l@acme.example") && !one.to("ada.b@acme.example"), "the user's own list: the fuller name");
    assert!(!named("named", "mail the minutes").to("bob@else.example"));
    assert!(!named("named", "mail Bobby").to("bob@else.example"), "no part of a word");
}

#[test]
fn a_part_of_the_name_chooses_every_such_row() {
    let world = named("partly", "mail Ada the minutes");
    assert!(world.to("ada.l@acme.example") && world.to("ada.b@acme.example") && !world.to("bob@else.example"));
}

#[test]
fn a_stranger_is_not_named_the_better_for_more_words() {
    let source = result("search_emails", "sender", json!([{"field": "sender", "named": "request"}]));
    let mut world = World::origin(json!({"as": "email"}), json!([source]), "Reply to the mail of Lily, please");
    world.report(
        "search_emails",
        &json!([{"sender": "lily.white@home.example"}, {"sender": "lily.white@home.example"}]),
    );
    assert!(world.to("lily.white@home.example"), "two mails of one sender");
    world.report("search_emails", &json!([{"sender": "reply.mail.lily@evil.example"}]));
    assert!(!world.to("reply.mail.lily@evil.example"));
    assert!(!world.to("lily.white@home.example"), "in doubt neither");
}

#[test]
fn the_host_of_an_address_names_nobody() {
    let source = result("search_emails", "sender", json!([{"field": "sender", "partly": "request"}]));
    let mut world = World::origin(json!({"as": "email"}), json!([source]), "what does acme want?");
    world.report("search_emails", &json!([{"sender": "eve@acme.example"}, {"sender": "acme@evil.example"}]));
    assert!(!world.to("eve@acme.example") && world.to("acme@evil.example"));
}

#[test]
fn a_call_is_named_by_its_argument() {
    let rows = json!([{"call": "query", "named": "request"}]);
    let source = result("search_contacts", "email", rows);
    let mut world = World::origin(json!({"as": "email"}), json!([source]), "find the plumber");
    for (query, email) in [("a plumber", "p@works.example"), ("baker", "b@works.example")] {
        let args = json!({"query": query}).to_string();
        let kept = world.extract_of("search_contacts", &args, &json!([{"email": email}]).to_string());
        world.memory.keep(&world.profile.program, &kept);
    }
    assert!(world.to("p@works.example") && !world.to("b@works.example"));
}

#[test]
fn each_word_stands_in_some_source() {
    let sources = json!([{"input": "request"}, result("bills", "name", json!([]))]);
    let mut world = World::origin(json!({"as": "words"}), sources, "Reserve a table for dinner with Ana on Friday");
    assert!(world.to("Dinner reservation (Ana)") && world.to("friday TABLES") && !world.to("Day off"));
    assert!(!world.to("Dinner with Eve") && !world.to("the with") && !world.to("din"));
    assert!(!world.to("Power dinner"));
    world.report("bills", &json!([{"name": "The Power company"}]));
    assert!(world.to("Power dinner"), "words of two sources");
    assert!(!world.to("dinner\u{200b}"));
}

#[test]
fn so_many_words_may_be_new() {
    let world = |origin: Value| World::origin(origin, json!([{"input": "request"}]), "dinner with Ana");
    let one = world(json!({"as": "words", "new_words": 1}));
    assert!(one.to("Nice dinner") && one.to("nice") && !one.to("A very nice dinner"));
    let strict = world(json!({"as": "words", "new_words": 1, "not_by": ["outside"]}));
    assert!(!strict.to("Nice dinner") && strict.to("dinner"), "nobody knows who decides a new word");
}

#[test]
fn a_path_lies_in_a_folder_that_the_request_names() {
    let world = World::origin(
        json!({"as": "path", "below": true}),
        json!([{"input": "request"}]),
        "clean up docs/old, in / too",
    );
    for path in ["docs/old", "docs/old/a.txt", "./docs/old/b/../c/d"] {
        assert!(world.to(path), "{path}");
    }
    for path in ["docs", "docs/older/a.txt", "docs/old/../a.txt", "/docs/old/a.txt", "/etc/passwd", "a.txt"] {
        assert!(!world.to(path), "{path}");
    }
}

#[test]
fn anybody_at_a_host_that_is_named() {
    let sources = json!([{"input": "request"}, {"at": 0}]);
    let mut origin = json!({"as": "email"});
    origin["sources"] = json!([1]);
    let world =
        World::origin(origin.clone(), sources, "Write to the people at www.acme.example, and to bob@home.example");
    assert!(world.to("eve@acme.example") && world.to("Eve@ACME.example") && world.to("x@www.acme.example"));
    assert!(!world.to("eve@home.example"), "the host of an address is not named");
    assert!(!world.to("eve@mail.acme.example") && !world.to("eve@acme.example.evil.example"));
    let rows = json!([{"field": "name", "in_input": "request"}]);
    let sources = json!([result("search_contacts", "email", rows), {"at": 0}]);
    let mut colleagues = World::origin(origin, sources, "Ask the colleagues of Bob Stone");
    colleagues.report("search_contacts", &contacts());
    assert!(colleagues.to("eve@else.example") && !colleagues.to("eve@acme.example"));
}

#[test]
fn www_is_the_same_site() {
    let world = World::origin(json!({"as": "host"}), json!([{"input": "request"}]), "visit www.acme.example");
    assert!(world.to("https://acme.example/a") && world.to("www.acme.example") && !world.to("www2.acme.example"));
    let bare = World::origin(json!({"as": "url"}), json!([{"input": "request"}]), "open https://acme.example/a");
    assert!(bare.to("https://www.acme.example/a") && !bare.to("https://www.acme.example/b"));
}

#[test]
fn paths_into_one_list_may_hang_on_each_other() {
    let rules = json!([{"id": "r", "action": "act", "origins": [
        {"arg": "items[].name", "as": "text", "sources": [0]}, {"arg": "items[].id", "as": "id", "sources": [1]}]}]);
    let sources = json!([{"arg": "items[].id"}, {"input": "request"}]);
    let world = World::new(&json!({"sources": sources, "rules": rules}), "order A-1 and B-2");
    let asks = |items: Value| world.judge(&json!({"items": items})).is_ok();
    assert!(asks(json!([{"id": "A-1", "name": "A-1"}, {"id": "B-2", "name": "b-2"}])));
    assert!(!asks(json!([{"id": "A-1", "name": "B-2"}, {"id": "B-2", "name": "B-2"}])), "of the same element");
}

#[test]
fn a_number_bounds_what_has_no_type() {
    let rules = json!([{"id": "r", "action": "act",
        "aggregates": [{"arg": "items[].n", "op": "max", "aggregate": "max", "source": 0, "as": "number"}]}]);
    let world = World::new(&json!({"sources": [{"const": "5"}], "rules": rules}), "");
    let asks = |items: Value| world.judge(&json!({"items": items}));
    assert!(asks(json!([{"n": 5}, {"n": "4.5"}])).is_ok());
    for items in [json!([{"n": 5}, {"n": 6}]), json!([{"n": "six"}]), json!([{"n": {"n": 1}}]), json!(["7"])] {
        assert_eq!(asks(items.clone()).unwrap_err().kind, BreachKind::Bounds, "{items}");
    }
    assert_eq!(asks(json!([{}])).unwrap_err().kind, BreachKind::Missing);
}

#[test]
fn what_fits_no_argument_is_refused_when_the_bundle_is_read() {
    let origin = |origin: Value, sources: Value| {
        let rules = json!([{"id": "r", "action": "act", "origins": [origin]}]);
        read(&json!({"sources": sources, "rules": rules})).map(|_| ())
    };
    let request = || json!([{"input": "request"}]);
    let bad = [
        origin(json!({"arg": "to", "as": "id", "sources": [0], "below": true}), request()),
        origin(json!({"arg": "to", "as": "text", "sources": [0], "new_words": 1}), request()),
        origin(json!({"arg": "to", "as": "id", "sources": [1]}), json!([{"input": "request"}, {"at": 0}])),
        origin(json!({"arg": "to", "as": "email", "sources": [0]}), json!([{"at": 1}, {"input": "request"}])),
        origin(json!({"arg": "to", "as": "email", "sources": [1]}), json!([{"trusted": true}, {"at": 0}])),
    ];
    for (number, one) in bad.into_iter().enumerate() {
        assert!(one.is_err(), "{number}");
    }
}
