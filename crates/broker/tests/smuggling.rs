//! Heads and bodies that two readers would read differently, byte by byte.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod kit;

use kit::{TICKET, raw, reason, stage, status};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Each of these is refused with its code, the connection closes, and nothing goes upstream.
#[tokio::test]
async fn what_is_ambiguous_is_refused() {
    let (house, running, _, seen) = stage().await;
    let auth = format!("Authorization: Bearer {TICKET}\r\n");
    let json = "Content-Type: application/json\r\n";
    let with = |start: &str, more: &str, body: &str| format!("{start}\r\nHost: x\r\n{auth}{json}{more}\r\n{body}");
    let post = "POST /refunds HTTP/1.1";
    let get = "GET /echo HTTP/1.1";
    let smuggled = "GET /admin HTTP/1.1\r\nHost: x\r\n\r\n";
    for (text, expected) in [
        (with(post, "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"), "ambiguous_length"),
        (with(post, "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\nG"), "ambiguous_length"),
        (with(post, "Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), "ambiguous_length"),
        (with(post, "Content-Length: 2, 2\r\n", "{}"), "ambiguous_length"),
        (with(post, "Content-Length: +2\r\n", "{}"), "ambiguous_length"),
        (with(post, "Content-Length: 0x2\r\n", "{}"), "ambiguous_length"),
        (with(post, "Content-Length: 99999999999999999999\r\n", "{}"), "ambiguous_length"),
        (with(post, "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), "ambiguous_length"),
        (with(post, "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), "ambiguous_length"),
        (with(post, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), "ambiguous_length"),
        (with(post, "Transfer-Encoding\u{b}: chunked\r\n", "0\r\n\r\n"), "malformed_header"),
        (with(post, "Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), "malformed_header"),
        (with(post, " Transfer-Encoding: chunked\r\n", "0\r\n\r\n"), "malformed_header"),
        (with(post, "X: a\r\n\tfolded\r\n", ""), "malformed_header"),
        (with(get, "X: a\0b\r\n", ""), "bare_line_end"),
        (with(get, "X: a\u{1}b\r\n", ""), "malformed_header"),
        (with(get, "X: a\u{7f}b\r\n", ""), "malformed_header"),
        (with(get, "X: a\rContent-Length: 5\r\n", ""), "bare_line_end"),
        (with(get, "X: a\nContent-Length: 5\r\n", ""), "bare_line_end"),
        (with(get, "Host: y\r\n", ""), "ambiguous_host"),
        (with(get, "no colon\r\n", ""), "malformed_header"),
        (with(get, ": empty\r\n", ""), "malformed_header"),
        (with("GET  /echo HTTP/1.1", "", ""), "malformed_request_line"),
        (with("GET /echo HTTP/1.1 ", "", ""), "malformed_request_line"),
        (with("GET /echo#x HTTP/1.1", "", ""), "malformed_request_line"),
        (with("GET /a\\b HTTP/1.1", "", ""), "malformed_request_line"),
        (with("get /echo HTTP/1.1", "", ""), "malformed_request_line"),
        (with("GET /\u{e9} HTTP/1.1", "", ""), "malformed_request_line"),
        (with("GET /echo HTTP/1.0", "", ""), "version_not_supported"),
        (with("GET /echo HTTP/2.0", "", ""), "version_not_supported"),
        (with("CONNECT x:443 HTTP/1.1", "Content-Length: 5\r\n", "abcde"), "ambiguous_length"),
        ("GET /echo HTTP/1.1\r\n\r\n".to_owned(), "ambiguous_host"),
        ("CONNECT x:443 HTTP/1.1\r\n\r\n".to_owned(), "ambiguous_host"),
        ("CONNECT x:443 HTTP/1.0\r\nHost: x:443\r\nHost: y:443\r\n\r\n".to_owned(), "ambiguous_host"),
        ("\r\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(), "malformed_request_line"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "version_not_supported"),
        ("GET /echo HTTP/1.1\nHost: x\n\n".to_owned(), "bare_line_end"),
        (with(get, &format!("X: {}\r\n", "x".repeat(40_000)), ""), "head_too_large"),
        (with(get, &"X: 1\r\n".repeat(120), ""), "head_too_large"),
        (
            with(post, "Transfer-Encoding: chunked\r\n", &format!("2;x=y\r\n{{}}\r\n0\r\n\r\n{smuggled}")),
            "malformed_body",
        ),
        (
            with(post, "Transfer-Encoding: chunked\r\n", &format!("0x2\r\n{{}}\r\n0\r\n\r\n{smuggled}")),
            "malformed_body",
        ),
        (with(post, "Transfer-Encoding: chunked\r\n", &format!("2\n{{}}\n0\n\n{smuggled}")), "malformed_body"),
        (with(post, "Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\nX: trailer\r\n\r\n"), "malformed_body"),
    ] {
        let answer = raw(running.api, text.as_bytes()).await;
        assert_eq!(reason(&answer), expected, "{text:?}: {answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert_eq!(answer.matches("application/problem+json").count(), 1, "{answer}");
    }
    assert!(house.asked().is_empty(), "{:?}", house.asked());
    assert!(seen.requests().is_empty());
}

/// Sound requests one behind the other are answered in order, each decided; the first that is not ends it.
#[tokio::test]
async fn a_pipeline_is_decided_one_by_one() {
    let (house, running, _, seen) = stage().await;
    let auth = format!("Host: x\r\nAuthorization: Bearer {TICKET}\r\n");
    let json = "Content-Type: application/json\r\n";
    let text = format!(
        "GET /orders/1 HTTP/1.1\r\n{auth}\r\n\
         POST /refunds HTTP/1.1\r\n{auth}{json}Content-Length: 10\r\n\r\n{{\"n\": 1  }}\
         POST /refunds HTTP/1.1\r\n{auth}{json}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"n\":\r\n2\r\n2}}\r\n0\r\n\r\n\
         GET /orders/2 HTTP/1.1\r\n{auth}Content-Length: 1\r\nContent-Length: 1\r\n\r\nx\
         GET /orders/3 HTTP/1.1\r\n{auth}\r\n"
    );
    let answer = raw(running.api, text.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 400").count(), 1, "{answer}");
    assert_eq!(house.asked().len(), 3);
    let requests = seen.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].ends_with("{\"n\": 1  }") && requests[2].ends_with("{\"n\":2}"), "{requests:?}");
    // One connection upstream served all three.
    assert_eq!(seen.connections.load(std::sync::atomic::Ordering::SeqCst), 1);
}

/// The same bytes in any pieces mean the same.
#[tokio::test]
async fn pieces_do_not_matter() {
    let (house, running, _, _) = stage().await;
    let text = format!(
        "POST /refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TICKET}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{{\"n\":\r\n2\r\n2}}\r\n0\r\n\r\n"
    );
    for piece in [1, 2, 3, 7, 50] {
        let mut stream = TcpStream::connect(running.api).await.unwrap();
        stream.set_nodelay(true).unwrap();
        for part in text.as_bytes().chunks(piece) {
            stream.write_all(part).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut heard = String::new();
        stream.read_to_string(&mut heard).await.unwrap();
        assert_eq!(status(&heard), 200, "{heard}");
    }
    assert!(house.asked().iter().all(|asked| asked.2 == r#"{"n":2}"#));
}

/// A head that does not come to its end, a body that stops, a connection that says nothing: each ends in its time.
#[tokio::test]
async fn the_slow_are_left() {
    let (house, running, _, seen) = stage().await;
    let mut stream = TcpStream::connect(running.api).await.unwrap();
    let trickle = async {
        for byte in b"GET /echo HTTP/1.1\r\nHost: x\r\nX: ".iter().cycle() {
            if stream.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            let mut heard = [0; 4096];
            if let Ok(read) = stream.try_read(&mut heard) {
                return String::from_utf8_lossy(&heard[..read]).into_owned();
            }
        }
        String::new()
    };
    let heard = tokio::time::timeout(Duration::from_secs(5), trickle).await.unwrap();
    assert_eq!(reason(&heard), "head_too_slow", "{heard}");
    let half = format!(
        "POST /refunds HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TICKET}\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    assert_eq!(reason(&raw(running.api, half.as_bytes()).await), "body_too_slow");
    assert_eq!(raw(running.api, b"").await, "");
    assert!(house.asked().is_empty() && seen.requests().is_empty());
}

/// Only so many connections at once; who comes then is closed, and served once one has left.
#[tokio::test]
async fn connections_are_bounded() {
    let (addr, _) = kit::upstream(None).await;
    let limits = flyball_broker::Limits { connections: 2, ..flyball_broker::Limits::default() };
    let running = kit::start(&kit::House::new(), vec![kit::crm(addr)], limits).await;
    let first = TcpStream::connect(running.api).await.unwrap();
    let second = TcpStream::connect(running.api).await.unwrap();
    assert_eq!(raw(running.api, b"").await, "");
    drop((first, second));
    for _ in 0..200 {
        if status(&kit::ask(running.api, "GET /echo", "", "").await) == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody is served any more");
}
