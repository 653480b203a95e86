//! A gateway that allows everything, for tests of the wire alone.
#![allow(dead_code, clippy::unwrap_used)]

use flyball_pgsql::{Judgement, Refusal};
use flyball_pgwire::{
    Admission, Allowance, Ask, Close, Decision, Door, Gate, Hello, Judged, Later, Proxy, Settings, Shows, Upstream,
    Verifier,
};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio_rustls::rustls::ClientConfig;

pub const SECRET: &str = "connect-secret-of-a-task";

/// Everything is allowed: who comes in is what these tests ask.
pub struct Open;

impl Allowance for Open {
    fn row(&self, _: u64) -> bool {
        true
    }

    fn returned(&self, _: u64, _: u64, _: bool) {}
}

impl Gate for Open {
    fn judge<'a>(&'a self, sql: &'a str) -> Later<'a, Result<Judged, Refusal>> {
        let judgement = Arc::new(Judgement { statements: 1, ..Judgement::default() });
        Box::pin(async move { Ok(Judged::new(sql, judgement, 0)) })
    }

    fn decide<'a>(&'a self, _: Ask<'a>) -> Later<'a, Decision> {
        Box::pin(async { Decision::Allow(Arc::new(Self)) })
    }
}

pub struct OneDoor(Admission);

impl Door for OneDoor {
    fn admit<'a>(&'a self, _: &'a Hello) -> Later<'a, Result<Option<Admission>, Close>> {
        Box::pin(async { Ok(Some(self.0.clone())) })
    }
}

/// A gateway, and why its connections ended.
pub struct House {
    pub address: SocketAddr,
    pub ended: Arc<Mutex<Vec<String>>>,
    pub fence: watch::Sender<bool>,
}

pub fn house(runtime: &Runtime, settings: Settings, upstream: Upstream, shows: Shows) -> House {
    let (fence, fenced) = watch::channel(false);
    let admission = Admission { shows, upstream: Arc::new(upstream), gate: Arc::new(Open), fence: fenced };
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let ended: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = ended.clone();
    let proxy = Proxy::new(settings, Arc::new(OneDoor(admission)));
    runtime.spawn(proxy.listen(listener, move |close: &Close| note.lock().unwrap().push(close.to_string())));
    House { address, ended, fence }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

pub fn secret() -> Shows {
    Shows::Secret(Verifier::of(SECRET).unwrap())
}

pub fn to(port: u16, secret: &str, tls: Option<Arc<ClientConfig>>) -> Upstream {
    Upstream {
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        user: "postgres".into(),
        secret: secret.to_owned().into(),
        database: "postgres".into(),
        tls: tls.map(|config| (config, "127.0.0.1".into())),
        search_path: "public".into(),
    }
}

impl House {
    /// Wait until a connection has ended for that reason.
    pub fn wait_ended(&self, reason: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.ended.lock().unwrap().iter().any(|e| e.starts_with(reason)) {
            assert!(Instant::now() < deadline, "ended for {:?}", self.ended.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// What a Python script prints, with psycopg and the words of a connection at hand.
pub fn python(port: u16, script: &str) -> String {
    let done = start(port, script, Stdio::null()).wait_with_output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// The same, which goes on by itself.
pub fn start(port: u16, script: &str, stdin: Stdio) -> Child {
    let interpreter = std::env::var("FLYBALL_PYTHON")
        .unwrap_or_else(|_| format!("{}/../../.venv/bin/python", env!("CARGO_MANIFEST_DIR")));
    let head =
        format!("import psycopg\nWORDS = 'host=127.0.0.1 port={port} user=task password={SECRET} dbname=postgres '\n");
    let mut python = Command::new(interpreter);
    python.arg("-c").arg(head + script).stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
    python.spawn().unwrap()
}
