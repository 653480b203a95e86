//! Requests through the routes of a small shop.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{Asked, Body, Refused, Request, RouteDocument, Routes};

fn kinds(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, kind)| ((*name).to_owned(), (*kind).to_owned())).collect()
}

fn document(json: &str) -> RouteDocument {
    serde_json::from_str(json).unwrap()
}

fn add(routes: &mut Routes, action: &str, args: &[(&str, &str)], json: &str) -> Result<(), Refused> {
    routes.add(action, "invoice", &kinds(args), &document(json))
}

fn shop() -> Routes {
    let mut routes = Routes::default();
    let refund = r#"{"request": "POST api.example/v1/invoices/{id}/refunds", "resource": "invoice-{id}",
        "args": {"amount": "body.amount", "to": "body.customer.iban", "key": "header.Idempotency-Key"},
        "strip": ["Authorization"]}"#;
    let args = [("id", "string"), ("amount", "decimal"), ("to", "string"), ("key", "string")];
    add(&mut routes, "invoices.refund", &args, refund).unwrap();
    let list = r#"{"request": "GET api.example/v1/invoices", "args": {"limit": "query.limit", "tags": "query.tag"}}"#;
    add(&mut routes, "invoices.list", &[("limit", "long"), ("tags", "strings")], list).unwrap();
    add(&mut routes, "invoices.get", &[("id", "long")], r#"{"request": "GET api.example/v1/invoices/{id}"}"#).unwrap();
    let mine = r#"{"request": "GET api.example/v1/invoices/mine"}"#;
    add(&mut routes, "invoices.mine", &[], mine).unwrap();
    let put = r#"{"request": "PUT */files/{path...}", "unread": ["body", "query"]}"#;
    add(&mut routes, "files.put", &[("path", "string")], put).unwrap();
    routes
}

fn ask<'r>(routes: &'r Routes, line: &str, body: Body<'_>) -> Result<Option<Asked<'r>>, Refused> {
    let (method, rest) = line.split_once(' ').unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (_, found) = routes.find(&Request { method, host, path })?;
    let Some(found) = found else { return Ok(None) };
    let header = |name: &str| Ok((name == "idempotency-key").then_some(Cow::Borrowed("k-1")));
    found.call(body, &header).map(Some)
}

fn json(text: &str) -> Body<'_> {
    Body::Whole { content_type: "application/json; charset=utf-8", text }
}

fn args_of(asked: &Asked<'_>) -> serde_json::Value {
    serde_json::from_slice(&asked.args).unwrap()
}

#[test]
fn a_request_becomes_its_actions_call() {
    let routes = shop();
    let body = json(r#"{"amount": 12.50, "customer": {"iban": "DE1"}}"#);
    let asked = ask(&routes, "POST api.example/v1/invoices/7/refunds", body).unwrap().unwrap();
    assert_eq!((asked.action, asked.resource_id.as_str()), ("invoices.refund", "invoice-7"));
    let args = String::from_utf8(asked.args).unwrap();
    assert_eq!(args, r#"{"id":"7","key":"k-1","amount":12.50,"to":"DE1"}"#);
    let asked = ask(&routes, "GET API.example/v1/invoices?limit=5&tag=a&tag=b", Body::Absent).unwrap().unwrap();
    assert_eq!(args_of(&asked), serde_json::json!({"limit": 5, "tags": ["a", "b"]}));
    assert_eq!(asked.resource_id, "api.example");
    // What is no whole number stays a text: the decision says that its type is wrong.
    let asked = ask(&routes, "GET api.example/v1/invoices/007", Body::Absent).unwrap().unwrap();
    assert_eq!(args_of(&asked), serde_json::json!({"id": "007"}));
}

#[test]
fn the_narrower_route_is_taken_and_an_unknown_request_takes_none() {
    let routes = shop();
    let action = |line| ask(&routes, line, Body::Absent).unwrap().map(|asked| asked.action);
    assert_eq!(action("GET api.example/v1/invoices/mine"), Some("invoices.mine"));
    assert_eq!(action("GET api.example/v1/invoices/7"), Some("invoices.get"));
    assert_eq!(action("PUT elsewhere:81/files/a/b"), Some("files.put"));
    for line in [
        "DELETE api.example/v1/invoices/7",
        "get api.example/v1/invoices",
        "GET other.example/v1/invoices",
        "GET api.example:8443/v1/invoices",
        "GET api.example/v1/invoices/",
        "GET api.example/V1/invoices",
    ] {
        assert_eq!(action(line), None, "{line}");
    }
}

#[test]
fn a_credential_has_a_header_and_a_form() {
    let mut routes = Routes::default();
    add(&mut routes, "a", &[], r#"{"request": "GET h/a", "credential": {"name": "api"}}"#).unwrap();
    let own = r#"{"request": "GET h/b", "credential": {"name": "api", "header": "X-Api-Key", "form": "k={secret};"}}"#;
    add(&mut routes, "b", &[], own).unwrap();
    let value = |path| {
        let (_, found) = routes.find(&Request { method: "GET", host: "h", path }).unwrap();
        let credential = found.unwrap().credential().unwrap();
        (credential.header.clone(), credential.value("s3"))
    };
    assert_eq!(value("/a"), ("authorization".to_owned(), "Bearer s3".to_owned()));
    assert_eq!(value("/b"), ("x-api-key".to_owned(), "k=s3;".to_owned()));
}

#[test]
fn what_a_route_does_not_name_is_refused() {
    let routes = shop();
    let refund = "POST api.example/v1/invoices/7/refunds";
    for (line, body) in [
        (refund, json(r#"{"amount": 1, "customer": {"iban": "DE1"}, "to": "evil"}"#)),
        (refund, json(r#"{"amount": 1, "customer": {"iban": "DE1", "bic": "X"}}"#)),
        (refund, json(r#"{"amount": 1, "customer": "DE1"}"#)),
        (refund, json("[1]")),
        (refund, json("{")),
        (refund, Body::Unseen),
        (refund, Body::Whole { content_type: "text/plain", text: r#"{"amount": 1}"# }),
        ("POST api.example/v1/invoices/7/refunds?to=evil", json("{}")),
        ("GET api.example/v1/invoices?limit=5&limit=6", Body::Absent),
        ("GET api.example/v1/invoices?limi%74=5&x=1", Body::Absent),
        ("GET api.example/v1/invoices/7", json("{}")),
        ("GET api.example/v1/invoices/7", Body::Unseen),
    ] {
        assert!(ask(&routes, line, body).is_err(), "{line} {body:?}");
    }
    assert!(ask(&routes, "PUT h/files/a?x=1", Body::Unseen).unwrap().is_some());
}

#[test]
fn a_route_that_makes_no_sense_is_refused() {
    for route in [
        r#"{"request": "GET"}"#,
        r#"{"request": "get a/b"}"#,
        r#"{"request": "GET a"}"#,
        r#"{"request": "GET a/{x"}"#,
        r#"{"request": "GET a/b", "args": {"nothing": "query.x"}}"#,
        r#"{"request": "GET a/b", "args": {"id": "cookie.x"}}"#,
        r#"{"request": "GET a/b", "args": {"id": "path.x"}}"#,
        r#"{"request": "GET a/b", "args": {"id": "body.x"}}"#,
        r#"{"request": "POST a/b", "args": {"id": "body."}}"#,
        r#"{"request": "POST a/b", "args": {"id": "body.x", "to": "body.x.y"}}"#,
        r#"{"request": "POST a/b", "args": {"id": "body.x.y", "to": "body.x"}}"#,
        r#"{"request": "POST a/b", "args": {"id": "body.x", "to": "body.x"}}"#,
        r#"{"request": "POST a/b", "args": {"id": "body.a.b.c.d.e.f.g.h.i"}}"#,
        r#"{"request": "POST a/b", "args": {"id": "header.a b"}}"#,
        r#"{"request": "GET a/b", "resource": "{x}"}"#,
        r#"{"request": "GET a/b", "resource": "{x"}"#,
        r#"{"request": "GET a/b", "unread": ["headers"]}"#,
        r#"{"request": "GET a/b", "strip": [""]}"#,
        r#"{"request": "GET a/b", "credential": {"name": "api", "form": "Bearer"}}"#,
        r#"{"request": "GET a/b", "credential": {"name": "api", "form": "{secret} {secret}"}}"#,
        r#"{"request": "GET a/b", "credential": {"name": "api", "form": "{x} {secret}"}}"#,
        r#"{"request": "GET a/b", "credential": {"name": "api", "header": "Host"}}"#,
    ] {
        let result = add(&mut Routes::default(), "a", &[("id", "string"), ("to", "string")], route);
        assert!(result.is_err(), "{route}");
    }
    let mut routes = shop();
    assert!(add(&mut routes, "x", &[], r#"{"request": "GET api.example/v1/invoices/{other}"}"#).is_err());
    assert!(add(&mut routes, "x", &[], r#"{"request": "GET API.example/v1/invoices"}"#).is_err());
}

proptest! {
    #[test]
    fn any_request_is_read_without_panic(
        method in "(GET|POST|PUT)", host in "[a-z.:0-9\\[\\]]{0,12}", path in ".{0,40}", body in ".{0,40}"
    ) {
        let routes = shop();
        if let Ok((_, Some(found))) = routes.find(&Request { method: &method, host: &host, path: &path }) {
            let _ = found.call(json(&body), &|_| Ok(None));
        }
    }

    #[test]
    fn what_is_asked_is_always_an_object_of_declared_arguments(
        id in "[^/?#]{1,12}", amount in "(1|\"1\"|null|\\{\\}|\\[\\]|1e9)", more in "(|,\"x\":1|,\"customer\":\\{\\})"
    ) {
        let routes = shop();
        let line = format!("POST api.example/v1/invoices/{id}/refunds");
        let body = format!("{{\"amount\":{amount}{more}}}");
        if let Ok(Some(asked)) = ask(&routes, &line, json(&body)) {
            let args = args_of(&asked);
            prop_assert!(args.as_object().unwrap().keys().all(|key| ["id", "amount", "to", "key"].contains(&key.as_str())));
            prop_assert!(!more.contains('x'));
        }
    }
}
