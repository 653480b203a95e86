//! What is open belongs to its task: streams, `WebSockets`, tunnels, and their end.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod kit;

use flyball_broker::{Inject, UpstreamConfig};
use kit::{House, SECRET, TICKET, crm, quick, raw, reason, stage, start, status, until};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

async fn open(addr: SocketAddr, start: &str, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let text = format!("{start} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TICKET}\r\n{more}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn hear(stream: &mut (impl AsyncRead + Unpin), text: &str) -> String {
    let mut heard = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&heard).contains(text) {
            let mut piece = [0; 4096];
            let read = stream.read(&mut piece).await.unwrap();
            assert!(read > 0, "it closed after {}", String::from_utf8_lossy(&heard));
            heard.extend_from_slice(&piece[..read]);
        }
    };
    timeout(Duration::from_secs(5), reading).await.unwrap();
    String::from_utf8_lossy(&heard).into_owned()
}

/// Read until the other side closes; how long that took.
async fn closes(stream: &mut (impl AsyncRead + Unpin)) -> Duration {
    let begun = Instant::now();
    let mut rest = Vec::new();
    // A reset closes as well.
    let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await.unwrap();
    begun.elapsed()
}

/// A stream flows as it comes, longer than an idle connection may be, and closes on the fence: both sockets.
#[tokio::test]
async fn a_stream_ends_with_its_task() {
    let (house, running, _, seen) = stage().await;
    let mut stream = open(running.api, "GET /stream", "").await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(900) {
        hear(&mut stream, "data: tick\n\n").await;
    }
    assert_eq!(seen.open.load(Ordering::SeqCst), 1);
    house.fence.send_replace(true);
    assert!(closes(&mut stream).await < Duration::from_millis(250));
    until("the upstream's socket closes", || seen.open.load(Ordering::SeqCst) == 0).await;
    until("it is told", || !house.told.lock().unwrap().is_empty()).await;
    assert!(!house.told.lock().unwrap()[0].3);
    let answer = kit::ask(running.api, "GET /echo", "", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (403, "fenced"));
}

/// It closes, too, where the client has stopped reading.
#[tokio::test]
async fn a_stream_that_nobody_reads_ends_with_its_task() {
    let (house, running, _, seen) = stage().await;
    let mut stream = open(running.api, "GET /big", "").await;
    let mut other = open(running.api, "GET /stream", "").await;
    hear(&mut other, "data: tick").await;
    hear(&mut stream, "xxxx").await;
    house.fence.send_replace(true);
    until("both sockets upstream close", || seen.open.load(Ordering::SeqCst) == 0).await;
    closes(&mut stream).await;
    closes(&mut other).await;
}

/// A request whose upstream has not answered is refused at once when the task is fenced.
#[tokio::test]
async fn a_request_under_way_ends_with_its_task() {
    let (house, running, _, seen) = stage().await;
    let mut stream = open(running.api, "GET /hang", "").await;
    until("it is upstream", || seen.requests().len() == 1).await;
    house.fence.send_replace(true);
    let answer = hear(&mut stream, "fenced").await;
    assert_eq!(status(&answer), 403);
    until("the upstream's socket closes", || seen.open.load(Ordering::SeqCst) == 0).await;
}

/// A client that leaves takes its upstream connection with it.
#[tokio::test]
async fn a_client_that_leaves_ends_its_stream() {
    let (house, running, _, seen) = stage().await;
    for path in ["/stream", "/hang"] {
        let before = seen.requests().len();
        let stream = open(running.api, &format!("GET {path}"), "").await;
        until("it is upstream", || seen.requests().len() > before).await;
        drop(stream);
        until("the upstream's socket closes", || seen.open.load(Ordering::SeqCst) == 0).await;
    }
    until("both are told", || house.told.lock().unwrap().len() == 2).await;
}

/// A WebSocket passes both ways, its secret masked, and closes on the fence.
#[tokio::test]
async fn a_websocket_ends_with_its_task() {
    let (house, running, _, seen) = stage().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let mut stream = open(running.api, "GET /ws", upgrade).await;
    let head = hear(&mut stream, "\r\n\r\n").await;
    assert_eq!(status(&head), 101, "{head}");
    stream.write_all(b"hello\nworld\0").await.unwrap();
    let echoed = hear(&mut stream, "****").await;
    assert!(echoed.contains("echo hello\nworld\0 ") && !echoed.contains(SECRET), "{echoed}");
    let request = seen.requests().remove(0);
    assert!(request.contains("sec-websocket-key: x") && !request.contains("permessage-deflate"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {SECRET}")), "{request}");
    house.fence.send_replace(true);
    assert!(closes(&mut stream).await < Duration::from_millis(250));
    until("the upstream's socket closes", || seen.open.load(Ordering::SeqCst) == 0).await;
}

/// Where the upstream does not switch, the connection stays HTTP, and the next request is read as one.
#[tokio::test]
async fn an_upgrade_that_is_not_taken_leaves_http() {
    let (_, running, _, _) = stage().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let mut stream = open(running.api, "GET /echo", upgrade).await;
    assert_eq!(status(&hear(&mut stream, "accept-encoding").await), 200);
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n").await.unwrap();
    assert!(hear(&mut stream, "ambiguous_host").await.contains("HTTP/1.1 400"));
}

struct Tls {
    acceptor: TlsAcceptor,
    ca_pem: String,
}

/// A certificate of an upstream's own authority, for `api.example`.
fn upstream_tls() -> Tls {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(params, key);
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["api.example".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], private)
        .unwrap();
    Tls { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: root.pem() }
}

fn provider() -> Arc<tokio_rustls::rustls::crypto::CryptoProvider> {
    Arc::new(tokio_rustls::rustls::crypto::ring::default_provider())
}

fn trusting(pem: &str) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

async fn tunnel(proxy: SocketAddr, port: u16) -> TcpStream {
    let mut stream = TcpStream::connect(proxy).await.unwrap();
    let text = format!(
        "CONNECT api.example:{port} HTTP/1.1\r\nHost: api.example:{port}\r\nProxy-Authorization: Bearer {TICKET}\r\n\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(status(&hear(&mut stream, "\r\n\r\n").await), 200);
    stream
}

async fn intercepting() -> (Arc<House>, kit::Running, u16, Arc<kit::Seen>) {
    let tls = upstream_tls();
    let (addr, seen) = kit::upstream(Some(tls.acceptor)).await;
    let config = UpstreamConfig {
        scheme: "https".into(),
        host: "api.example".into(),
        intercept: true,
        ca_pem: tls.ca_pem,
        inject: Inject::Bearer,
        ..crm(addr)
    };
    let house = House::new();
    let names = Arc::new(kit::Names(vec![addr], 0.into()));
    let running = kit::start_with(&house, vec![config], quick(), names).await;
    (house, running, addr.port(), seen)
}

/// A tunnel is answered with a certificate of our authority; what is in it is decided like the rest.
#[tokio::test]
async fn a_tunnel_is_looked_into() {
    let (house, running, port, seen) = intercepting().await;
    let connector = trusting(&running.broker.authority_pem().unwrap());
    let stream = tunnel(running.proxy, port).await;
    let name = ServerName::try_from("api.example").unwrap();
    let mut stream = connector.connect(name.clone(), stream).await.unwrap();
    let request =
        format!("GET /v1/orders/O-1 HTTP/1.1\r\nHost: api.example:{port}\r\nAuthorization: Bearer mine\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = hear(&mut stream, "*****").await;
    assert_eq!(status(&answer), 200, "{answer}");
    assert!(!answer.contains(SECRET) && !answer.contains("mine"), "{answer}");
    assert_eq!(house.asked()[0].1, "crm/orders/{order_id}");
    assert!(seen.requests()[0].contains(&format!("authorization: Bearer {SECRET}")));
    // Another host inside the tunnel is confusion.
    stream.write_all(b"GET /v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.unwrap();
    hear(&mut stream, "ambiguous_host").await;
    stream.write_all(format!("GET /v1/stream HTTP/1.1\r\nHost: api.example:{port}\r\n\r\n").as_bytes()).await.unwrap();
    hear(&mut stream, "data: tick").await;
    house.fence.send_replace(true);
    assert!(closes(&mut stream).await < Duration::from_millis(250));
    until("the upstream's socket closes", || seen.open.load(Ordering::SeqCst) == 0).await;
}

/// A tunnel to a plain API is plain HTTP, and decided like the rest.
#[tokio::test]
async fn a_plain_tunnel_is_looked_into() {
    let (house, running, addr, seen) = stage().await;
    let text = format!("CONNECT {addr} HTTP/1.1\r\nHost: {addr}\r\nProxy-Authorization: Bearer {TICKET}\r\n\r\n");
    let mut stream = TcpStream::connect(running.proxy).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    assert_eq!(status(&hear(&mut stream, "\r\n\r\n").await), 200);
    stream.write_all(format!("GET /v1/orders/O-1 HTTP/1.1\r\nHost: {addr}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(status(&hear(&mut stream, "*****").await), 200);
    assert_eq!(house.asked().len(), 1);
    stream.write_all(b"\x16\x03\x01 no HTTP at all\r\n\r\n").await.unwrap();
    hear(&mut stream, "malformed_request_line").await;
    assert_eq!(seen.requests().len(), 1);
}

/// A tunnel that is idle closes on the fence, too; a name that is not the tunnel's is not answered.
#[tokio::test]
async fn an_idle_tunnel_ends_with_its_task() {
    let (house, running, port, _) = intercepting().await;
    let connector = trusting(&running.broker.authority_pem().unwrap());
    let stream = tunnel(running.proxy, port).await;
    assert!(connector.connect(ServerName::try_from("evil.example").unwrap(), stream).await.is_err());
    let stream = tunnel(running.proxy, port).await;
    let mut stream = connector.connect(ServerName::try_from("api.example").unwrap(), stream).await.unwrap();
    let another = tunnel(running.proxy, port).await;
    let mut refused = connector.connect(ServerName::try_from("api.example").unwrap(), another).await.unwrap();
    refused.write_all(b"GET /v1/x HTTP/1.1\r\nHost: evil.example\r\n\r\n").await.unwrap();
    hear(&mut refused, "ambiguous_host").await;
    house.fence.send_replace(true);
    assert!(closes(&mut stream).await < Duration::from_millis(250));
    // Also where the last that was said in it was refused.
    assert!(closes(&mut refused).await < Duration::from_millis(250));
    let connect = format!(
        "CONNECT api.example:{port} HTTP/1.1\r\nHost: api.example:{port}\r\nProxy-Authorization: Bearer {TICKET}\r\n\r\n"
    );
    assert_eq!(reason(&raw(running.proxy, connect.as_bytes()).await), "fenced");
}

/// An upstream whose certificate is not to be trusted gets nothing, the credential least of all.
#[tokio::test]
async fn an_upstream_must_prove_itself() {
    let (addr, seen) = kit::upstream(Some(upstream_tls().acceptor)).await;
    let config = UpstreamConfig { scheme: "https".into(), host: "api.example".into(), ..crm(addr) };
    let names = Arc::new(kit::Names(vec![addr], 0.into()));
    let running = kit::start_with(&House::new(), vec![config], quick(), names).await;
    let answer = kit::ask(running.api, "GET /orders/1", "", "").await;
    assert_eq!((status(&answer), reason(&answer).as_str()), (502, "upstream_untrusted"));
    assert!(seen.requests().is_empty());
    // Nor one that proves to be somebody else.
    let tls = upstream_tls();
    let (addr, seen) = kit::upstream(Some(tls.acceptor)).await;
    let config =
        UpstreamConfig { scheme: "https".into(), host: "other.example".into(), ca_pem: tls.ca_pem, ..crm(addr) };
    let names = Arc::new(kit::Names(vec![addr], 0.into()));
    let running = kit::start_with(&House::new(), vec![config], quick(), names).await;
    assert_eq!(reason(&kit::ask(running.api, "GET /orders/1", "", "").await), "upstream_untrusted");
    assert!(seen.requests().is_empty());
}

/// The authority's certificate says for which hosts it may answer, and a client holds it to that.
#[tokio::test]
async fn the_authority_is_bound_to_its_hosts() {
    let key = flyball_broker::Authority::new_key().unwrap();
    let authority = flyball_broker::Authority::new(&key, vec!["api.example".into()]).unwrap();
    let der = CertificateDer::from_pem_slice(authority.certificate_pem().as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let constraints = parsed.name_constraints().unwrap().unwrap();
    assert!(constraints.critical);
    let permitted = format!("{:?}", constraints.value.permitted_subtrees);
    assert!(permitted.contains("api.example"), "{permitted}");
    assert_eq!(constraints.value.excluded_subtrees.as_ref().unwrap().len(), 2);
    assert_eq!(parsed.basic_constraints().unwrap().unwrap().value.path_len_constraint, Some(0));
    // Where the bundle's hosts are addresses alone, no name is permitted.
    let addresses = flyball_broker::Authority::new(&key, vec!["10.0.0.1".into()]).unwrap();
    let der = CertificateDer::from_pem_slice(addresses.certificate_pem().as_bytes()).unwrap();
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).unwrap();
    let excluded = format!("{:?}", parsed.name_constraints().unwrap().unwrap().value.excluded_subtrees);
    assert!(excluded.contains("DNSName(\"\")"), "{excluded}");

    // The key in a thief's hands: a certificate for another host is not believed.
    let key = rcgen::KeyPair::from_pem(&key).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(authority.certificate_pem(), key).unwrap();
    for (host, believed) in [("evil.example", false), ("api.example", true), ("127.0.0.1", false)] {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], private)
            .unwrap();
        let (client, server) = tokio::io::duplex(65_536);
        let serving = tokio::spawn(TlsAcceptor::from(Arc::new(config)).accept(server));
        let name = ServerName::try_from(host).unwrap();
        let connected = trusting(authority.certificate_pem()).connect(name, client).await;
        assert_eq!(connected.is_ok(), believed, "{host}: {:?}", connected.err());
        serving.abort();
    }
}

/// `start` is used by other files of tests.
#[tokio::test]
async fn two_upstreams_may_not_be_one() {
    let (addr, _) = kit::upstream(None).await;
    let twice = flyball_broker::Upstreams::new(vec![crm(addr), UpstreamConfig { name: "b".into(), ..crm(addr) }]);
    assert!(twice.is_err());
    for name in ["", "a/b", "a b", "\u{e9}"] {
        assert!(
            flyball_broker::Upstreams::new(vec![UpstreamConfig { name: name.into(), ..crm(addr) }]).is_err(),
            "{name}"
        );
    }
    let running = start(&House::new(), vec![crm(addr)], quick()).await;
    assert_eq!(running.broker.authority_pem(), None);
}
