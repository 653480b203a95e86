//! What is left out on the way there, and dropped or masked on the way back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kit;

use flyball_broker::{Inject, UpstreamConfig};
use kit::{House, SECRET, TICKET, allow, ask, crm, quick, raw, reason, says, stage, start, status, until};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Before an upstream that answers so.
async fn before(answer: &str) -> (kit::Running, SocketAddr, Arc<kit::Seen>) {
    let (addr, seen) = says(answer).await;
    (start(&House::new(), vec![crm(addr)], quick()).await, addr, seen)
}

/// The client's own Authorization, its connection's headers and those that `Connection` names, and what others said
/// of it do not go upstream, wherever the credential goes in.
#[tokio::test]
async fn what_a_client_says_of_itself_stays_here() {
    let (addr, seen) = kit::upstream(None).await;
    let header = UpstreamConfig { inject: Inject::Header("X-Api-Key".into()), ..crm(addr) };
    let running = start(&House::new(), vec![header], quick()).await;
    let more = "Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nForwarded: for=1.2.3.4\r\n\
                If-Range: x\r\nExpect: 100-continue\r\nProxy-Connection: close\r\n";
    let answer = ask(running.api, "GET /echo", more, "").await;
    assert_eq!(status(&answer), 200, "{answer}");
    let request = seen.requests().remove(0);
    for gone in ["authorization", TICKET, "x-hop", "keep-alive", "te:", "forwarded", "if-range", "expect", "connection"]
    {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    // Which of two would the upstream have taken?
    let two = ask(running.api, "GET /echo", "Authorization: Bearer mine\r\n", "").await;
    assert_eq!((status(&two), reason(&two).as_str()), (401, "no_ticket"));
}

/// An upstream's reason phrase may carry the secret; its connection's headers and its pins are not the client's.
#[tokio::test]
async fn what_an_upstream_says_of_its_connection_stays_here() {
    let (running, ..) = before(&format!(
        "HTTP/1.1 200 {SECRET}\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nStrict-Transport-Security: max-age=1\r\nContent-Length: 2\r\n\r\nok"
    ))
    .await;
    let answer = ask(running.api, "GET /echo", "", "").await;
    assert!(status(&answer) == 200 && answer.ends_with("ok"), "{answer}");
    for gone in [SECRET, "x-hop", "keep-alive", "proxy-authenticate", "strict-transport"] {
        assert!(!answer.contains(gone), "{gone} in {answer}");
    }
}

/// A chunked answer's trailers are not passed on, whatever the client takes; what looked like the beginning of a secret
/// and was its end is not lost.
#[tokio::test]
async fn a_chunked_answer_arrives_to_its_last_byte_and_no_further() {
    let tail = &SECRET[..6];
    let (running, ..) = before(&format!(
        "HTTP/1.1 200 OK\r\nTrailer: x-note\r\nTransfer-Encoding: chunked\r\n\r\n\
         9\r\nit is {}\r\n3\r\n{}\r\n0\r\nx-note: {SECRET}\r\n\r\n",
        &tail[..3],
        &tail[3..]
    ))
    .await;
    let answer = ask(running.api, "GET /echo", "TE: trailers\r\n", "").await;
    assert!(status(&answer) == 200 && answer.contains(tail), "{answer}");
    for gone in [SECRET, "x-note", "trailer"] {
        assert!(!answer.to_lowercase().contains(gone), "{gone} in {answer}");
    }
}

/// Two locations, one with a user, one for another scheme, one that a browser reads as another host, one beside the
/// upstream's base: none is passed on.
#[tokio::test]
async fn locations_that_read_two_ways_lead_nowhere() {
    for location in [
        "/v1/a\r\nLocation: http://evil.example/",
        "http://u@ADDR/v1/a",
        "https://ADDR/v1/a",
        "/\\evil.example",
        "/v1x/a",
        "http://ADDR/v1x/a",
    ] {
        let text = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
        let (running, ..) = before(&text).await;
        let answer = ask(running.proxy, "GET /crm/a", "", "").await;
        assert_eq!((status(&answer), reason(&answer).as_str()), (502, "redirect_refused"), "{location}: {answer}");
    }
    // Without a base, what begins with a slash is the client's own path.
    let (addr, _) = says("HTTP/1.1 302 Found\r\nLocation: /\\evil.example\r\nContent-Length: 0\r\n\r\n").await;
    let bare = UpstreamConfig { base: String::new(), ..crm(addr) };
    let running = start(&House::new(), vec![bare], quick()).await;
    assert_eq!(reason(&ask(running.api, "GET /a", "", "").await), "redirect_refused");
}

/// An upstream that stops speaking HTTP unasked is left; an upgrade by another method than GET is no upgrade.
#[tokio::test]
async fn nothing_switches_unasked() {
    let switched = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nraw";
    let (running, _, seen) = before(switched).await;
    let answer = ask(running.api, "GET /echo", "", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (502, "upstream_failed"), "{answer}");
    let more = "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Type: application/json\r\nContent-Length: 0\r\n";
    let answer = ask(running.api, "POST /refunds", more, "").await;
    assert_eq!(reason(&answer), "upstream_failed", "{answer}");
    assert!(seen.requests().iter().all(|request| !request.contains("upgrade")), "{:?}", seen.requests());
}

/// The head with which a WebSocket begins is cleaned like another answer's, and its bytes count.
#[tokio::test]
async fn a_websockets_head_is_cleaned_and_its_bytes_count() {
    let (running, ..) = before(&format!(
        "HTTP/1.1 101 {SECRET}\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSet-Cookie: session=1\r\n\
         Sec-WebSocket-Extensions: permessage-deflate\r\nX-Echo: {SECRET}\r\n\r\n"
    ))
    .await;
    let asked = |api: SocketAddr| async move {
        let mut stream = TcpStream::connect(api).await.unwrap();
        let text = format!(
            "GET /ws HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TICKET}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\n\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
        (stream, String::from_utf8_lossy(&head).into_owned())
    };
    let (_open, head) = asked(running.api).await;
    assert_eq!(status(&head), 101, "{head}");
    for gone in [SECRET, "set-cookie", "extensions"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(head.contains("x-echo: ****"), "{head}");

    let (house, running, _, _) = stage().await;
    house.answers(allow(Some(10)));
    let (mut stream, head) = asked(running.api).await;
    assert_eq!(status(&head), 101, "{head}");
    stream.write_all(b"more than ten bytes come back").await.unwrap();
    let mut rest = Vec::new();
    // A reset closes as well.
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap();
    assert!(rest.is_empty(), "{}", String::from_utf8_lossy(&rest));
    until("it is told", || !house.told.lock().unwrap().is_empty()).await;
    assert!(!house.told.lock().unwrap()[0].3);
}

/// A proxy's form at a listener that is none, a tunnel for one host and another, plain HTTP where there is TLS alone.
#[tokio::test]
async fn a_target_in_another_form_is_refused() {
    let (house, running, addr, seen) = stage().await;
    let proof = format!("Proxy-Authorization: Bearer {TICKET}\r\nConnection: close\r\n\r\n");
    let tls = UpstreamConfig { scheme: "https".into(), ..crm(addr) };
    let secure = start(&house, vec![tls], quick()).await;
    for (at, text, expected) in [
        (
            running.api,
            "GET http://evil.example/orders/1 HTTP/1.1\r\nHost: evil.example\r\n".to_owned(),
            "malformed_target",
        ),
        (running.proxy, format!("CONNECT {addr} HTTP/1.1\r\nHost: evil.example:{}\r\n", addr.port()), "ambiguous_host"),
        (running.proxy, format!("CONNECT u@{addr} HTTP/1.1\r\nHost: {addr}\r\n"), "malformed_target"),
        (secure.proxy, format!("GET http://{addr}/v1/orders/1 HTTP/1.1\r\nHost: {addr}\r\n"), "port_not_named"),
        (running.proxy, "GET /crm/a;b/c HTTP/1.1\r\nHost: x\r\n".to_owned(), "ambiguous_path"),
        (running.proxy, "GET /crm/orders/O-1?limit=1;amount=5 HTTP/1.1\r\nHost: x\r\n".to_owned(), "malformed_query"),
    ] {
        let answer = raw(at, format!("{text}{proof}").as_bytes()).await;
        assert_eq!(reason(&answer), expected, "{text}: {answer}");
    }
    assert!(house.asked().is_empty() && seen.requests().is_empty());
}
