//! A real upstream on hyper, a house that answers as told, and clients that say any bytes.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use flyball_broker::{
    Admission, Ask, Authority, Broker, Budget, Decision, Door, Gate, Later, Limits, Resolve, Returned, Secret,
    UpstreamConfig, Upstreams,
};
use http_body_util::{BodyExt as _, Collected};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

pub const SECRET: &str = "sk_live_0123456789abcdef";
pub const TICKET: &str = "ticket-of-task-1";
pub const ANOTHERS: &str = "ticket-of-task-2";

/// A question as it was asked: action, resource, arguments.
pub type Asked = (String, String, String);
/// What was told: decision, status, bytes, completed, result.
pub type Told = (String, Option<u16>, u64, bool, Option<String>);

pub struct House {
    pub asked: Mutex<Vec<Asked>>,
    pub told: Mutex<Vec<Told>>,
    pub answer: Mutex<Decision>,
    pub has_secret: AtomicBool,
    pub reports: AtomicBool,
    pub fence: watch::Sender<bool>,
}

impl House {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            asked: Mutex::default(),
            told: Mutex::default(),
            answer: Mutex::new(allow(None)),
            has_secret: AtomicBool::new(true),
            reports: AtomicBool::new(true),
            fence: watch::Sender::new(false),
        })
    }

    pub fn answers(&self, decision: Decision) {
        *self.answer.lock().unwrap() = decision;
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, returned: Returned<'_>, result: Option<String>) {
        let Returned { decision, status, bytes, completed, .. } = returned;
        self.told.lock().unwrap().push((decision.to_owned(), status, bytes, completed, result));
    }
}

pub fn allow(bytes: Option<u64>) -> Decision {
    let budget = bytes.map(|bytes| Arc::new(Left(bytes.into())) as Arc<dyn Budget>);
    Decision::Allow { id: "D-1".to_owned(), budget }
}

struct Left(AtomicU64);

impl Budget for Left {
    fn take(&self, bytes: u64) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(bytes)).is_ok()
    }
}

pub struct Desk(pub Arc<House>);

impl Door for Desk {
    fn admit<'a>(&'a self, ticket: &'a str) -> Later<'a, Option<Arc<Admission>>> {
        Box::pin(async move {
            let task = match ticket {
                TICKET => "task-1",
                ANOTHERS => "task-2",
                _ => return None,
            };
            let (gate, fence) = (Arc::new(Desk(Arc::clone(&self.0))), self.0.fence.subscribe());
            Some(Arc::new(Admission { task: task.into(), gate, fence }))
        })
    }
}

impl Gate for Desk {
    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision> {
        Box::pin(async move {
            self.0.asked.lock().unwrap().push((ask.action.into(), ask.resource.into(), ask.args.into()));
            self.0.answer.lock().unwrap().clone()
        })
    }

    fn secret<'a>(&'a self, _upstream: &'a str) -> Later<'a, Option<Secret>> {
        Box::pin(async move { self.0.has_secret.load(Ordering::Relaxed).then(|| Secret::new(SECRET)) })
    }

    fn returned(&self, returned: Returned<'_>) {
        self.0.note(returned, None);
    }

    fn result<'a>(&'a self, returned: Returned<'a>, body: &'a [u8]) -> Later<'a, bool> {
        self.0.note(returned, Some(String::from_utf8_lossy(body).into_owned()));
        Box::pin(std::future::ready(self.0.reports.load(Ordering::Relaxed)))
    }
}

/// What an upstream saw.
#[derive(Default)]
pub struct Seen {
    pub requests: Mutex<Vec<String>>,
    pub open: AtomicUsize,
    pub connections: AtomicUsize,
}

impl Seen {
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

struct Open(Arc<Seen>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An API that echoes what it gets, and misbehaves on demand. Returns its address and what it saw.
pub async fn upstream(tls: Option<TlsAcceptor>) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (seen, tls) = (Arc::clone(&all), tls.clone());
            tokio::spawn(async move {
                seen.open.fetch_add(1, Ordering::SeqCst);
                seen.connections.fetch_add(1, Ordering::SeqCst);
                let _open = Open(Arc::clone(&seen));
                let service = service_fn(move |request| api(Arc::clone(&seen), request));
                let http = hyper::server::conn::http1::Builder::new();
                if let Some(tls) = tls {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                } else {
                    let _ = http.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
                }
            });
        }
    });
    (addr, seen)
}

/// What the API answers.
pub enum ApiBody {
    Whole(Option<Bytes>),
    Events(mpsc::Receiver<Bytes>),
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(Frame::data).map(Ok)),
            Self::Events(events) => events.poll_recv(cx).map(|event| event.map(Frame::data).map(Ok)),
        }
    }
}

async fn api(seen: Arc<Seen>, mut request: Request<Incoming>) -> Result<Response<ApiBody>, Infallible> {
    let path = request.uri().path().trim_start_matches("/v1").to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let mut text = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes())).unwrap();
    }
    let credential = request.headers().get("authorization").cloned();
    let upgrade = (path == "/ws").then(|| hyper::upgrade::on(&mut request));
    let number = {
        let mut requests = seen.requests.lock().unwrap();
        requests.push(text.clone());
        requests.len() - 1
    };
    let body = request.into_body().collect().await.map(Collected::to_bytes).unwrap_or_default();
    if !body.is_empty() {
        write!(text, "\n{}", String::from_utf8_lossy(&body)).unwrap();
        seen.requests.lock().unwrap()[number].clone_from(&text);
    }
    let whole = |text: String| ApiBody::Whole(Some(Bytes::from(text)));
    let mut response = Response::new(whole(text));
    match path.as_str() {
        "/redirect" | "/created" => {
            let to = query.strip_prefix("to=").unwrap_or_default().to_owned();
            *response.status_mut() = if path == "/created" { 201_u16 } else { 302 }.try_into().unwrap();
            response.headers_mut().insert("location", to.parse().unwrap());
            response.headers_mut().insert("refresh", "0;url=http://evil.example/".parse().unwrap());
            response.headers_mut().insert("alt-svc", "h3=\":443\"".parse().unwrap());
        }
        "/header" => {
            response.headers_mut().insert("x-echo", credential.unwrap());
            response.headers_mut().insert("set-cookie", "session=of-the-api".parse().unwrap());
            *response.status_mut() = 500_u16.try_into().unwrap();
        }
        "/gzip" => {
            response.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
        }
        "/json" => {
            response.headers_mut().insert("content-type", "application/json".parse().unwrap());
            *response.body_mut() = whole(format!(r#"{{"key": "{SECRET}", "total": 7}}"#));
        }
        "/big" => *response.body_mut() = whole("x".repeat(16 << 20)),
        "/hang" => std::future::pending().await,
        "/stream" | "/die" => {
            let (sender, events) = mpsc::channel(1);
            response.headers_mut().insert("content-type", "text/event-stream".parse().unwrap());
            let dies = path == "/die";
            if dies {
                response.headers_mut().insert("content-length", "1000".parse().unwrap());
            }
            tokio::spawn(async move {
                while sender.send(Bytes::from_static(b"data: tick\n\n")).await.is_ok() {
                    // What is sent must have left before it breaks off.
                    tokio::time::sleep(Duration::from_millis(if dies { 100 } else { 5 })).await;
                    if dies {
                        break;
                    }
                }
            });
            *response.body_mut() = ApiBody::Events(events);
        }
        "/ws" => {
            *response.status_mut() = 101_u16.try_into().unwrap();
            *response.body_mut() = ApiBody::Whole(None);
            response.headers_mut().insert("upgrade", "websocket".parse().unwrap());
            response.headers_mut().insert("connection", "upgrade".parse().unwrap());
            tokio::spawn(async move {
                let mut io = TokioIo::new(upgrade.unwrap().await.unwrap());
                let mut buffer = [0; 1024];
                while let Ok(read @ 1..) = io.read(&mut buffer).await {
                    let echo = [b"echo ", &buffer[..read], b" ", SECRET.as_bytes()].concat();
                    // One short frame of text.
                    let head = [0x81, u8::try_from(echo.len()).unwrap()];
                    assert!(head[1] < 126);
                    io.write_all(&[&head[..], &echo].concat()).await.unwrap();
                }
            });
        }
        _ => {}
    }
    Ok(response)
}

/// An upstream's configuration: `crm`, a bearer token, loopback named.
pub fn crm(addr: SocketAddr) -> UpstreamConfig {
    serde_json::from_value(serde_json::json!({
        "name": "crm", "scheme": "http", "host": "127.0.0.1", "port": addr.port(), "base": "/v1",
        "inject": "bearer", "networks": ["127.0.0.1"],
        "routes": [
            { "method": "POST", "path": "/refunds", "action": "create_refund" },
            { "method": "GET", "path": "/orders/{order_id}", "action": "read_order", "bare": ["limit"] },
            { "method": "PUT", "path": "/files/{name}", "body": "stream" },
            { "method": "DELETE", "path": "/orders/{order_id}", "body": "none" },
        ],
    }))
    .unwrap()
}

/// An upstream that answers each connection's first request with these bytes (`ADDR` is its address), and holds the
/// connection until the other side leaves. Returns its address and what it was asked.
pub async fn says(answer: &str) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (answer, seen) = (answer.replace("ADDR", &addr.to_string()), Arc::new(Seen::default()));
    let all = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (answer, seen) = (answer.clone(), Arc::clone(&all));
            tokio::spawn(async move {
                let mut heard = Vec::new();
                while !heard.ends_with(b"\r\n\r\n") && stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
                seen.requests.lock().unwrap().push(String::from_utf8_lossy(&heard).to_lowercase());
                let _ = stream.write_all(answer.as_bytes()).await;
                while stream.read_buf(&mut heard).await.unwrap_or(0) > 0 {}
            });
        }
    });
    (addr, seen)
}

pub struct Names(pub Vec<SocketAddr>, pub AtomicUsize);

impl Resolve for Names {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Later<'a, std::io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let asked = self.1.fetch_add(1, Ordering::SeqCst);
            Ok(vec![self.0[asked.min(self.0.len() - 1)]])
        })
    }
}

pub fn quick() -> Limits {
    Limits {
        head_time: Duration::from_millis(300),
        idle_time: Duration::from_millis(400),
        stall_time: Duration::from_millis(300),
        answer_time: Duration::from_millis(500),
        ..Limits::default()
    }
}

/// A running broker: the proxy's address, and that of a listener of `crm` alone.
pub struct Running {
    pub broker: Arc<Broker>,
    pub proxy: SocketAddr,
    pub api: SocketAddr,
}

pub async fn start(house: &Arc<House>, upstreams: Vec<UpstreamConfig>, limits: Limits) -> Running {
    start_with(house, upstreams, limits, Arc::new(flyball_broker::System)).await
}

pub async fn start_with(
    house: &Arc<House>,
    upstreams: Vec<UpstreamConfig>,
    limits: Limits,
    resolver: Arc<dyn Resolve>,
) -> Running {
    let broker = Broker::new(limits, Arc::new(Desk(Arc::clone(house))), resolver);
    let upstreams = Upstreams::new(upstreams).unwrap();
    let hosts = upstreams.intercepted();
    let authority = (!hosts.is_empty()).then(|| Authority::new(&Authority::new_key().unwrap(), hosts).unwrap());
    broker.set(upstreams, authority);
    let mut places = Vec::new();
    for upstream in [None, Some("crm".to_owned())] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        places.push(listener.local_addr().unwrap());
        tokio::spawn(Arc::clone(&broker).listen(listener, upstream));
    }
    Running { broker, proxy: places[0], api: places[1] }
}

/// One upstream `crm`, a house that allows, and a broker between.
pub async fn stage() -> (Arc<House>, Running, SocketAddr, Arc<Seen>) {
    let (addr, seen) = upstream(None).await;
    let house = House::new();
    let running = start(&house, vec![crm(addr)], quick()).await;
    (house, running, addr, seen)
}

/// Say these bytes, and hear everything until the other side closes.
pub async fn raw(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut heard = Vec::new();
    // The other side may close with a reset: what was heard counts.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut heard)).await.expect("it closes");
    String::from_utf8_lossy(&heard).into_owned()
}

/// A request with the ticket, on a connection of its own.
pub async fn ask(addr: SocketAddr, start: &str, more: &str, body: &str) -> String {
    let text = format!(
        "{start} HTTP/1.1\r\nHost: {addr}\r\nAuthorization: Bearer {TICKET}\r\nConnection: close\r\n{more}\r\n{body}"
    );
    raw(addr, text.as_bytes()).await
}

/// The same with a JSON body.
pub async fn post(addr: SocketAddr, start: &str, body: &str) -> String {
    let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    ask(addr, start, &more, body).await
}

pub fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0)
}

/// The reason code of a refusal.
pub fn reason(answer: &str) -> String {
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let problem: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    problem["reason"].as_str().unwrap_or_default().to_owned()
}

/// Wait until something holds; the time is for a test that fails.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{what}");
}
