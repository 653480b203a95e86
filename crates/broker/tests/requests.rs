//! What goes upstream, and what comes back: over real sockets, with a real upstream.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kit;

use flyball_broker::{Decision, UpstreamConfig};
use kit::{House, SECRET, TICKET, allow, ask, crm, post, quick, raw, reason, stage, start, start_with, status, until};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// An allowed request goes upstream with the credential in the ticket's place, once.
#[tokio::test]
async fn the_credential_is_swapped() {
    let (house, running, addr, seen) = stage().await;
    let answer =
        ask(running.api, "GET /orders/O-7?limit=10&tag=a+b", "X-Forwarded-For: 1.2.3.4\r\nX_Odd: 1\r\n", "").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let requests = seen.requests();
    assert_eq!(requests.len(), 1);
    let request = &requests[0];
    assert!(request.starts_with("GET /v1/orders/O-7?limit=10&tag=a+b\n"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {SECRET}\n")), "{request}");
    assert!(request.contains(&format!("host: {addr}\n")), "{request}");
    assert!(request.contains("accept-encoding: identity\n"), "{request}");
    for gone in [TICKET, "x-forwarded-for", "x_odd", "connection"] {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    let args = r#"{"limit":10,"order_id":"O-7","tag":"a b"}"#;
    assert_eq!(house.asked(), [("read_order".to_owned(), "crm/orders/{order_id}".to_owned(), args.to_owned())]);
    until("the result is told", || !house.told.lock().unwrap().is_empty()).await;
    let told = house.told.lock().unwrap()[0].clone();
    assert_eq!((told.0.as_str(), told.1, told.3), ("D-1", Some(200), true));
}

/// The same through the common listener, by the upstream's name, and as a forward proxy.
#[tokio::test]
async fn the_three_ways_in_mean_the_same() {
    let (house, running, addr, seen) = stage().await;
    let by_name = ask(running.proxy, "GET /crm/orders/O-7", "", "").await;
    assert_eq!(status(&by_name), 200, "{by_name}");
    let forward = format!(
        "GET http://{addr}/v1/orders/O-7 HTTP/1.1\r\nHost: {addr}\r\nProxy-Authorization: Basic {}\r\n\
         Authorization: Bearer placeholder\r\nConnection: close\r\n\r\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("task:{TICKET}")),
    );
    let forward = raw(running.proxy, forward.as_bytes()).await;
    assert_eq!(status(&forward), 200, "{forward}");
    let requests = seen.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(request.starts_with("GET /v1/orders/O-7\n"), "{request}");
        assert!(request.contains(&format!("authorization: Bearer {SECRET}\n")), "{request}");
        assert!(!request.contains("placeholder") && !request.contains("proxy-"), "{request}");
    }
    assert_eq!(house.asked()[0], house.asked()[1]);
    // A client that sends everything to its proxy sends there, too, what is for the proxy by name.
    let us = running.proxy;
    let text = format!(
        "GET http://{us}/crm/orders/O-7 HTTP/1.1\r\nHost: {us}\r\nProxy-Authorization: Bearer {TICKET}\r\n\
         Connection: close\r\n\r\n"
    );
    assert_eq!(status(&raw(us, text.as_bytes()).await), 200);
    assert_eq!(house.asked()[2], house.asked()[0]);
}

/// Without a ticket nothing is decided, and nothing of the bundle is told; 407 to who takes us for a proxy.
#[tokio::test]
async fn no_ticket_no_word() {
    let (house, running, addr, seen) = stage().await;
    let wrong = "Authorization: Bearer wrong\r\n";
    for (start, expected) in [
        ("GET /crm/orders/1 HTTP/1.1".to_owned(), 401),
        ("GET /unknown/orders/1 HTTP/1.1".to_owned(), 401),
        (format!("GET http://{addr}/v1/x HTTP/1.1"), 407),
        ("GET http://unknown.example/ HTTP/1.1".to_owned(), 407),
        ("CONNECT unknown.example:443 HTTP/1.1".to_owned(), 407),
    ] {
        for proof in ["", wrong, &wrong.replace("Auth", "Proxy-Auth")] {
            let host = start.split(' ').nth(1).unwrap().trim_start_matches("http://").split('/').next().unwrap();
            let host = if host.is_empty() { "x" } else { host };
            let answer =
                raw(running.proxy, format!("{start}\r\nHost: {host}\r\n{proof}Connection: close\r\n\r\n").as_bytes())
                    .await;
            assert_eq!((status(&answer), reason(&answer).as_str()), (expected, "no_ticket"), "{start} {proof}");
        }
    }
    assert!(house.asked().is_empty() && seen.requests().is_empty());
}

/// A denial names reason and decision, and nothing goes upstream. A fault of ours is 503.
#[tokio::test]
async fn a_denied_request_goes_nowhere() {
    let (house, running, _, seen) = stage().await;
    house.answers(Decision::Deny { id: "D-9".into(), reason: "bound_broken".into(), approval: None });
    let answer = post(running.api, "POST /refunds", r#"{"amount": 900.00, "order": {"id": 7}}"#).await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (403, "bound_broken"));
    assert!(answer.contains(r#""decision":"D-9""#) && answer.contains("application/problem+json"), "{answer}");
    assert!(answer.contains("cache-control: no-store"), "{answer}");
    assert_eq!(house.asked()[0].0, "create_refund");
    assert_eq!(house.asked()[0].2, r#"{"amount":900.00,"order":{"id": 7}}"#);
    house.answers(Decision::Fault { reason: "record_failed".into() });
    let answer = post(running.api, "POST /refunds", "{}").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (503, "record_failed"));
    house.answers(allow(None));
    house.has_secret.store(false, Ordering::Relaxed);
    let answer = post(running.api, "POST /refunds", "{}").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (403, "no_credential"));
    assert!(seen.requests().is_empty());
}

/// A body that is decided on is read whole: what is not JSON or a form, too large, or ambiguous is refused.
#[tokio::test]
async fn a_body_that_is_not_understood_is_refused() {
    let (house, running, _, seen) = stage().await;
    for (more, body, expected) in [
        ("Content-Type: text/plain\r\n", r#"{"amount": 1}"#, "body_not_understood"),
        ("", r#"{"amount": 1}"#, "body_not_understood"),
        ("Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "{}", "body_not_understood"),
        ("Content-Type: application/json; charset=utf-16\r\n", "{}", "body_not_understood"),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", "{}", "body_not_understood"),
        ("Content-Type: application/json\r\n", r#"{"a": 1, "a": 2}"#, "malformed_body"),
        ("Content-Type: application/json\r\n", r#"{"a": 1} {"a": 2}"#, "malformed_body"),
    ] {
        let more = format!("{more}Content-Length: {}\r\n", body.len());
        let answer = ask(running.api, "POST /refunds", &more, body).await;
        assert_eq!(reason(&answer), expected, "{more}{body}: {answer}");
    }
    let answer = post(running.api, "POST /refunds?amount=1", r#"{"amount": 1000}"#).await;
    assert_eq!(reason(&answer), "ambiguous_argument");
    let answer = post(running.api, "DELETE /orders/7", "{}").await;
    assert_eq!(reason(&answer), "body_not_expected");
    let large = format!(r#"{{"a": "{}"}}"#, "x".repeat(300 * 1024));
    let answer = post(running.api, "POST /refunds", &large).await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (413, "body_too_large"));
    assert!(house.asked().is_empty() && seen.requests().is_empty());

    let form = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 21\r\n";
    assert_eq!(status(&ask(running.api, "POST /refunds", form, "amount=12.50&note=a+b").await), 200);
    assert_eq!(house.asked()[0].2, r#"{"amount":"12.50","note":"a b"}"#);
    // Where the body is not decided on, it is passed on as it comes, however large.
    let more = format!("Content-Type: text/plain\r\nContent-Length: {}\r\n", large.len());
    assert_eq!(status(&ask(running.api, "PUT /files/x", &more, &large).await), 200);
    assert!(seen.requests()[1].contains(&large));
}

/// The secret is masked wherever it is echoed: body, headers, errors; what is packed is refused.
#[tokio::test]
async fn an_echoed_secret_is_masked() {
    let (_, running, _, seen) = stage().await;
    for path in ["/echo", "/header", "/json"] {
        let answer = ask(running.api, &format!("GET {path}"), "", "").await;
        assert!(!answer.contains(SECRET) && answer.contains("*****"), "{answer}");
    }
    let answer = ask(running.api, "GET /gzip", "Accept-Encoding: gzip, br\r\n", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (502, "encoded_answer"));
    let answer = ask(running.api, "GET /echo", "Range: bytes=0-10\r\n", "").await;
    assert_eq!(status(&answer), 200);
    assert!(!seen.requests().last().unwrap().contains("range:"));
    assert_eq!(reason(&ask(running.api, "TRACE /echo", "", "").await), "method_refused");
}

/// Where a result is wanted it is told before the client has it, without the secret; or the client has none.
#[tokio::test]
async fn a_wanted_result_is_told_first() {
    let (addr, _) = kit::upstream(None).await;
    let house = House::new();
    let told = UpstreamConfig { reports: vec!["http.get".into()], ..crm(addr) };
    let running = start(&house, vec![told], quick()).await;
    let answer = ask(running.api, "GET /json", "", "").await;
    assert!(answer.contains(r#""total": 7"#), "{answer}");
    let told = house.told.lock().unwrap()[0].clone();
    let result = told.4.unwrap();
    assert!(result.contains(r#""total": 7"#) && !result.contains(SECRET), "{result}");
    assert_eq!(reason(&ask(running.api, "GET /echo", "", "").await), "result_not_understood");
    house.reports.store(false, Ordering::Relaxed);
    let answer = ask(running.api, "GET /json", "", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (503, "result_not_reported"));
}

/// A redirect to another host is refused, or its Location dropped; one to the same host leads through the broker.
#[tokio::test]
async fn redirects_stay_here() {
    let (_, running, addr, _) = stage().await;
    for away in [
        "http://evil.example/",
        "//evil.example/",
        "https://127.0.0.1/",
        "http://127.0.0.1:1/v1/x",
        "http:evil.example",
        "///evil.example",
        "/\\evil.example",
        "http://127.0.0.1@evil.example/",
        "javascript:alert(1)",
        "/other/base",
        "http:/evil.example/",
    ] {
        let answer = ask(running.proxy, &format!("GET /crm/redirect?to={}", away.replace('\\', "%5c")), "", "").await;
        if away.contains('\\') {
            continue;
        }
        assert_eq!((status(&answer), reason(&answer).as_str()), (502, "redirect_refused"), "{away}: {answer}");
        assert!(!answer.contains("evil"), "{answer}");
    }
    for (to, location) in [
        (format!("http://{addr}/v1/orders/1"), "/crm/orders/1"),
        ("/v1/orders/1?x=1".to_owned(), "/crm/orders/1?x=1"),
        (format!("//{addr}/v1"), "/crm/"),
        ("2".to_owned(), "2"),
    ] {
        let answer = ask(running.proxy, &format!("GET /crm/redirect?to={to}"), "", "").await;
        assert_eq!(status(&answer), 302, "{to}: {answer}");
        assert!(answer.contains(&format!("location: {location}\r\n")), "{to}: {answer}");
        assert!(!answer.contains("refresh") && !answer.contains("alt-svc"), "{answer}");
    }
    let answer = ask(running.proxy, "GET /crm/created?to=http://evil.example/", "", "").await;
    assert_eq!(status(&answer), 201);
    assert!(!answer.contains("location:"), "{answer}");
}

/// What the bundle does not name is refused: hosts, ports, paths beside the base, methods in disguise.
#[tokio::test]
async fn what_is_not_named_is_refused() {
    let (house, running, addr, seen) = stage().await;
    let port = addr.port();
    for (target, host, expected) in [
        ("http://evil.example/".to_owned(), "evil.example".to_owned(), "host_not_named"),
        ("http://127.0.0.1:1/v1/x".to_owned(), "127.0.0.1:1".to_owned(), "port_not_named"),
        ("http://127.0.0.1/v1/x".to_owned(), "127.0.0.1".to_owned(), "port_not_named"),
        (format!("http://{addr}/other"), addr.to_string(), "path_not_named"),
        (format!("http://{addr}/v1x"), addr.to_string(), "path_not_named"),
        (format!("https://{addr}/v1/x"), addr.to_string(), "malformed_target"),
        (format!("http://u@{addr}/v1/x"), addr.to_string(), "malformed_target"),
        (format!("http://{addr}/v1/x"), "evil.example".to_owned(), "ambiguous_host"),
        (format!("http://{addr}/v1/x"), format!("127.0.0.1.:{port}"), "ambiguous_host"),
        (format!("http://{addr}/v1/../admin"), addr.to_string(), "ambiguous_path"),
        (format!("http://{addr}/v1/%2e%2e/admin"), addr.to_string(), "ambiguous_path"),
        ("/nobody/x".to_owned(), addr.to_string(), "host_not_named"),
        ("/crm//x".to_owned(), addr.to_string(), "ambiguous_path"),
    ] {
        let text = format!(
            "GET {target} HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Bearer {TICKET}\r\nConnection: close\r\n\r\n"
        );
        let answer = raw(running.proxy, text.as_bytes()).await;
        assert_eq!(reason(&answer), expected, "{target} {host}: {answer}");
    }
    for header in ["X-HTTP-Method-Override: DELETE", "X-Original-URL: /admin"] {
        let answer = ask(running.api, "GET /orders/1", &format!("{header}\r\n"), "").await;
        assert_eq!(reason(&answer), "method_override");
    }
    let connect = format!("CONNECT {addr} HTTP/1.1\r\nHost: {addr}\r\nProxy-Authorization: Bearer {TICKET}\r\n\r\n");
    assert_eq!(reason(&raw(running.api, connect.as_bytes()).await), "connect_refused");
    let secure = UpstreamConfig { scheme: "https".into(), ..crm(addr) };
    let blind = start(&house, vec![secure], quick()).await;
    assert_eq!(reason(&raw(blind.proxy, connect.as_bytes()).await), "connect_not_intercepted");
    assert!(house.asked().is_empty() && seen.requests().is_empty());
}

/// An upgrade to something else than a WebSocket is not taken; a session's cookie goes neither way.
#[tokio::test]
async fn what_is_left_out() {
    let (_, running, _, seen) = stage().await;
    let more = "Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\nCookie: session=1\r\n";
    let text = format!("GET /orders/1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TICKET}\r\n{more}\r\n");
    let next =
        format!("GET /header HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TICKET}\r\nConnection: close\r\n\r\n");
    let answer = raw(running.api, (text + &next).as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 1, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 500").count(), 1, "{answer}");
    let request = &seen.requests()[0];
    for gone in ["upgrade", "http2-settings", "cookie"] {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    assert!(!answer.contains("set-cookie"), "{answer}");
}

/// An address inside is refused unless named, and the name is asked for once: rebinding gains nothing.
#[tokio::test]
async fn addresses_inside_must_be_named() {
    let (addr, seen) = kit::upstream(None).await;
    let house = House::new();
    let named = |networks: &[&str]| UpstreamConfig {
        host: "api.example".to_owned(),
        networks: networks.iter().map(|&text| text.to_owned()).collect(),
        ..crm(addr)
    };
    let leads_to = |ips: &[&str]| {
        let found = ips.iter().map(|ip| format!("{ip}:{}", addr.port()).parse().unwrap()).collect();
        Arc::new(kit::Names(found, 0.into()))
    };
    for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254"] {
        let running = start_with(&house, vec![named(&[])], quick(), leads_to(&[inside])).await;
        let answer = ask(running.api, "GET /orders/1", "", "").await;
        assert_eq!((status(&answer), reason(&answer).as_str()), (403, "address_refused"), "{inside}");
        assert!(answer.contains("D-1"), "{answer}");
    }
    assert_eq!(seen.connections.load(Ordering::SeqCst), 0);
    // Good at first, evil the second time: there is no second time.
    let resolver = leads_to(&["127.0.0.1", "10.9.9.9"]);
    let running = start_with(&house, vec![named(&["127.0.0.0/8"])], quick(), Arc::clone(&resolver) as _).await;
    assert_eq!(status(&ask(running.api, "GET /orders/1", "", "").await), 200);
    assert_eq!(resolver.1.load(Ordering::SeqCst), 1);
    // The next connection is checked anew.
    running.broker.forget("task-1");
    assert_eq!(reason(&ask(running.api, "GET /orders/1", "", "").await), "address_refused");
}

/// An upstream that cannot be reached, hangs, or breaks off mid-answer is said to; no result is completed.
#[tokio::test]
async fn an_upstream_that_fails_is_told_apart() {
    let (house, running, addr, _) = stage().await;
    assert_eq!(reason(&ask(running.api, "GET /hang", "", "").await), "upstream_too_slow");
    let answer = ask(running.api, "GET /die", "", "").await;
    assert_eq!(status(&answer), 200);
    assert!(answer.ends_with("data: tick\n\n"), "{answer}");
    until("both are told", || house.told.lock().unwrap().len() == 2).await;
    assert!(house.told.lock().unwrap().iter().all(|told| !told.3));
    let closed = UpstreamConfig { port: 1, ..crm(addr) };
    let running = start(&house, vec![closed], quick()).await;
    let answer = ask(running.api, "GET /orders/1", "", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (502, "upstream_unreachable"));
}

/// An answer longer than the task's bytes breaks off.
#[tokio::test]
async fn bytes_that_come_back_are_counted() {
    let (house, running, _, _) = stage().await;
    house.answers(allow(Some(1_000)));
    let answer = ask(running.api, "GET /big", "", "").await;
    assert!(answer.len() < 1 << 19, "{}", answer.len());
    until("it is told", || !house.told.lock().unwrap().is_empty()).await;
    assert!(!house.told.lock().unwrap()[0].3);
}

/// The credential in a header or in the query of its own: the agent's placeholder there is its ticket.
#[tokio::test]
async fn placeholders_stand_where_the_credential_will() {
    let (addr, seen) = kit::upstream(None).await;
    let house = House::new();
    let header = UpstreamConfig { inject: flyball_broker::Inject::Header("X-Api-Key".into()), ..crm(addr) };
    let running = start(&house, vec![header], quick()).await;
    let text = format!("GET /echo HTTP/1.1\r\nHost: x\r\nX-Api-Key: {TICKET}\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&raw(running.api, text.as_bytes()).await), 200);
    let query = UpstreamConfig { inject: flyball_broker::Inject::Query("key".into()), ..crm(addr) };
    let running = start(&house, vec![query], quick()).await;
    let text = format!("GET /echo?a=1&key={TICKET}&%6bey=x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_eq!(status(&raw(running.api, text.as_bytes()).await), 200);
    let basic = UpstreamConfig { inject: flyball_broker::Inject::Basic("robot".into()), ..crm(addr) };
    let running = start(&house, vec![basic], quick()).await;
    assert_eq!(status(&ask(running.api, "GET /echo", "", "").await), 200);
    let requests = seen.requests();
    assert!(requests[0].contains(&format!("x-api-key: {SECRET}\n")), "{}", requests[0]);
    assert!(requests[1].starts_with(&format!("GET /v1/echo?a=1&key={SECRET}\n")), "{}", requests[1]);
    assert!(requests[2].contains("authorization: Basic cm9ib3Q6"), "{}", requests[2]);
    assert!(requests.iter().all(|request| !request.contains(TICKET)));
    assert_eq!(house.asked()[1].2, r#"{"a":"1"}"#);
}
