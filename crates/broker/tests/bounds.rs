//! Bounds of bytes, of time, of what is kept; and of whose it is.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kit;

use flyball_broker::{Later, Limits, Resolve, UpstreamConfig, Upstreams};
use kit::{ANOTHERS, House, TICKET, ask, crm, quick, raw, reason, says, stage, start, start_with, status, until};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::rustls::ServerConfig;

/// A request with this ticket, on a connection of its own.
fn text(start: &str, ticket: &str, more: &str) -> String {
    format!("{start} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ticket}\r\n{more}\r\n")
}

/// A head without an end, a body that is announced too large or turns out so: refused at the bound, not at its end.
#[tokio::test]
async fn what_is_too_large_is_refused_at_its_bound() {
    let (house, running, _, _) = stage().await;
    let endless = format!("GET /echo HTTP/1.1\r\nHost: x\r\nX: {}", "x".repeat(40_000));
    assert_eq!(reason(&raw(running.api, endless.as_bytes()).await), "head_too_large");
    let json = "Content-Type: application/json\r\n";
    let announced = text("POST /refunds", TICKET, &format!("{json}Content-Length: 1000000000\r\n"));
    assert_eq!(reason(&raw(running.api, announced.as_bytes()).await), "body_too_large");
    let head = text("POST /refunds", TICKET, &format!("{json}Transfer-Encoding: chunked\r\n"));
    let chunk = format!("8000\r\n{}\r\n", " ".repeat(0x8000));
    let chunked = format!("{head}{}0\r\n\r\n", chunk.repeat(9));
    assert_eq!(reason(&raw(running.api, chunked.as_bytes()).await), "body_too_large");
    assert!(house.asked().is_empty());
}

/// What a client sends while its request is under way waits in its socket: no more than a head of it is taken, also
/// where the connection may stop being HTTP, and what follows is not read as a head.
#[tokio::test]
async fn a_flood_behind_a_request_is_not_gathered() {
    let (addr, seen) = kit::upstream(None).await;
    let limits = Limits { answer_time: Duration::from_secs(60), ..quick() };
    let running = start(&House::new(), vec![crm(addr)], limits).await;
    for (more, requests) in [("", 1), ("Connection: Upgrade\r\nUpgrade: websocket\r\n", 2)] {
        let mut stream = TcpStream::connect(running.api).await.unwrap();
        stream.write_all(text("GET /hang", TICKET, more).as_bytes()).await.unwrap();
        until("it is upstream", || seen.requests().len() == requests).await;
        let (piece, mut taken) = (vec![b'x'; 1 << 20], 0);
        while taken < 64
            && timeout(Duration::from_millis(500), stream.write_all(&piece)).await.is_ok_and(|said| said.is_ok())
        {
            taken += 1;
        }
        assert!(taken < 32, "{taken} MiB were taken");
    }
}

/// A client that reads nothing, and one that stops in the middle of an upload, are left, and their upstreams with them.
#[tokio::test]
async fn a_client_that_stalls_is_left() {
    let (_, running, _, seen) = stage().await;
    let mut reads_nothing = TcpStream::connect(running.api).await.unwrap();
    reads_nothing.write_all(text("GET /big", TICKET, "").as_bytes()).await.unwrap();
    let half = text("PUT /files/x", TICKET, "Content-Type: text/plain\r\nContent-Length: 100\r\n") + "half";
    let answer = raw(running.api, half.as_bytes()).await;
    assert_ne!(status(&answer), 200, "{answer}");
    until("it was upstream", || seen.requests().iter().any(|one| one.starts_with("GET"))).await;
    until("the upstream's sockets close", || seen.open.load(Ordering::SeqCst) == 0).await;
}

/// An upstream that takes the connection and says no word of TLS; one whose answer must be reported, and does not end,
/// or is too large for that.
#[tokio::test]
async fn an_upstream_that_takes_its_time_is_left() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::new();
    let tls = UpstreamConfig { scheme: "https".into(), ..crm(silent.local_addr().unwrap()) };
    let limits = Limits { connect_time: Duration::from_millis(200), answer_time: Duration::from_secs(8), ..quick() };
    let running = start(&house, vec![tls], limits).await;
    assert_eq!(reason(&ask(running.api, "GET /echo", "", "").await), "upstream_unreachable");

    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
    for (answer, expected) in [
        (format!("{json} 100\r\n\r\n{{"), "upstream_too_slow"),
        (format!("{json} 300002\r\n\r\n\"{}\"", "x".repeat(300_000)), "result_too_large"),
    ] {
        let (addr, _) = says(&answer).await;
        let told = UpstreamConfig { reports: vec!["http.get".into()], ..crm(addr) };
        let running = start(&house, vec![told], quick()).await;
        let asked = timeout(Duration::from_secs(5), ask(running.api, "GET /echo", "", "")).await.unwrap();
        assert_eq!(reason(&asked), expected, "{asked}");
    }
}

/// A kept connection is its task's, and its bundle's; no more are kept than the bound; they close with their task.
#[tokio::test]
async fn kept_connections_are_one_tasks() {
    let (house, running, addr, seen) = stage().await;
    let made = || seen.connections.load(Ordering::SeqCst);
    let asks = |ticket: &'static str| async move {
        raw(running.api, text("GET /echo", ticket, "Connection: close\r\n").as_bytes()).await
    };
    for (ticket, connections) in [(TICKET, 1), (ANOTHERS, 2), (TICKET, 2), (ANOTHERS, 2)] {
        assert_eq!(status(&asks(ticket).await), 200);
        assert_eq!(made(), connections);
    }
    running.broker.set(Upstreams::new(vec![crm(addr)]).unwrap(), None);
    assert_eq!(status(&asks(TICKET).await), 200);
    assert_eq!(made(), 3);
    // The fence finds another request of the task under way.
    let mut hangs = TcpStream::connect(running.api).await.unwrap();
    hangs.write_all(text("GET /hang", TICKET, "").as_bytes()).await.unwrap();
    until("it is upstream", || seen.requests().len() == 6).await;
    running.broker.forget("task-2");
    house.fence.send_replace(true);
    until("all sockets upstream close", || seen.open.load(Ordering::SeqCst) == 0).await;

    let (addr, seen) = kit::upstream(None).await;
    let running = start(&House::new(), vec![crm(addr)], Limits { pooled: 0, ..quick() }).await;
    assert_eq!(status(&ask(running.api, "GET /echo", "", "").await), 200);
    until("it is not kept", || seen.open.load(Ordering::SeqCst) == 0).await;
}

/// A proxy behind TLS: a client that does not shake hands gives its place back in time.
#[tokio::test]
async fn a_handshake_that_does_not_end_is_left() {
    let (addr, _) = kit::upstream(None).await;
    let running = start(&House::new(), vec![crm(addr)], quick()).await;
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["proxy.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = listener.local_addr().unwrap();
    let config = Arc::new(config);
    tokio::spawn(Arc::clone(&running.broker).listen_tls(listener, move || Arc::clone(&config)));
    assert_eq!(raw(place, b"").await, "");
}

struct Both(Vec<SocketAddr>);

impl Resolve for Both {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Later<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(self.0.clone()) })
    }
}

/// A name with an address that may be connected to and one that may not: neither is.
#[tokio::test]
async fn a_name_that_leads_inside_as_well_leads_nowhere() {
    let (addr, seen) = kit::upstream(None).await;
    let named = UpstreamConfig { host: "api.example".into(), ..crm(addr) };
    let both = Both(vec![addr, SocketAddr::new("10.0.0.1".parse().unwrap(), addr.port())]);
    let running = start_with(&House::new(), vec![named], quick(), Arc::new(both)).await;
    assert_eq!(reason(&ask(running.api, "GET /orders/1", "", "").await), "address_refused");
    assert_eq!(seen.connections.load(Ordering::SeqCst), 0);
}
