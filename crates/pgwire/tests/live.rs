//! The proxy between real clients (psql, psycopg) and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../pgsql/tests/support/mod.rs"]
mod support;

use flyball_pgsql::{Access, Policy, Refusal, Snapshot, Source, judge};
use flyball_pgwire::{
    Admission, Allowance, Ask, Close, Decision, Door, Gate, Hello, Judged, Later, Proxy, Settings, Shows, Upstream,
    Verifier,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use support::{Cluster, PASSWORD};
use tokio::sync::watch;

const SECRET: &str = "connect-secret-of-a-task";

struct TestGate {
    snapshot: Snapshot,
    policy: Policy,
    number: AtomicU64,
    rows: u64,
    seen: Mutex<Vec<String>>,
    returned: Arc<Mutex<Vec<(u64, bool)>>>,
}

struct Rows {
    left: AtomicU64,
    returned: Arc<Mutex<Vec<(u64, bool)>>>,
}

impl Allowance for Rows {
    fn row(&self, _: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
    }

    fn returned(&self, rows: u64, _: u64, completed: bool) {
        self.returned.lock().unwrap().push((rows, completed));
    }
}

impl Gate for TestGate {
    fn judge<'a>(&'a self, sql: &'a str) -> Later<'a, Result<Judged, Refusal>> {
        Box::pin(async move { Ok(Judged::new(sql, Arc::new(judge(sql, &self.snapshot, &self.policy)?), 0)) })
    }

    fn decide<'a>(&'a self, ask: Ask<'a>) -> Later<'a, Decision> {
        let id = format!("d{}", self.number.fetch_add(1, Ordering::Relaxed));
        self.seen.lock().unwrap().push(ask.judged.sql().to_owned());
        let values = ask.judged.judgement().values.iter().any(|v| v.source == Source::Text("forbidden".into()));
        let bound = (0..ask.params.len()).any(|n| ask.params.get(n) == Some(b"forbidden"));
        let secret = ask.judged.judgement().columns("app", "customers", Access::Select).contains("secret");
        let denied = secret || values || bound;
        let allowed = Rows { left: AtomicU64::new(self.rows), returned: self.returned.clone() };
        Box::pin(async move {
            if denied {
                Decision::Deny { id, reason: "not_in_profile".into(), detail: String::new(), fault: false }
            } else {
                Decision::Allow(Arc::new(allowed))
            }
        })
    }
}

struct TestDoor {
    admission: Admission,
}

impl Door for TestDoor {
    fn admit<'a>(&'a self, hello: &'a Hello) -> Later<'a, Result<Option<Admission>, Close>> {
        let known = hello.user == "task" && hello.database == "postgres";
        Box::pin(async move { Ok(known.then(|| self.admission.clone())) })
    }
}

struct House {
    address: SocketAddr,
    gate: Arc<TestGate>,
    fence: watch::Sender<bool>,
    ended: Arc<Mutex<Vec<String>>>,
    // Last: the runtime goes before the server it talks to.
    _runtime: tokio::runtime::Runtime,
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        let cluster = Cluster::start();
        cluster.sql(include_str!("../../pgsql/tests/corpus/schema.sql"));
        cluster.sql("INSERT INTO app.customers SELECT n, 'c' || n, NULL, 's' || n FROM generate_series(1, 100) n");
        cluster
    })
}

fn house_with(rows: u64, settings: Settings) -> House {
    let cluster = cluster();
    let snapshot = Snapshot::read(&cluster.snapshot("postgres"), &["app", "public"]).unwrap();
    let policy = Policy { catalog: true, ..Policy::default() };
    let gate = Arc::new(TestGate {
        snapshot,
        policy,
        number: AtomicU64::new(1),
        rows,
        seen: Mutex::default(),
        returned: Arc::default(),
    });
    let (fence, fenced) = watch::channel(false);
    let upstream = Upstream {
        address: SocketAddr::from(([127, 0, 0, 1], cluster.port)),
        user: "postgres".into(),
        secret: PASSWORD.to_owned().into(),
        database: "postgres".into(),
        tls: None,
        search_path: "app, public".into(),
    };
    let admission = Admission {
        shows: Shows::Secret(Verifier::of(SECRET).unwrap()),
        upstream: Arc::new(upstream),
        gate: gate.clone(),
        fence: fenced,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let ended: Arc<Mutex<Vec<String>>> = Arc::default();
    let note = ended.clone();
    let proxy = Proxy::new(settings, Arc::new(TestDoor { admission }));
    runtime.spawn(proxy.listen(listener, move |close: &Close| note.lock().unwrap().push(close.to_string())));
    House { address, gate, fence, ended, _runtime: runtime }
}

fn house() -> House {
    house_with(1_000_000, Settings { require_tls: false, ..Settings::default() })
}

impl House {
    fn psql(&self, words: &[&str], secret: &str) -> (bool, String, String) {
        let mut psql = cluster().tool("psql");
        psql.env("PGPORT", self.address.port().to_string()).env("PGUSER", "task").env("PGPASSWORD", secret);
        psql.args(["-X", "-A", "-t"]).args(words);
        let done = psql.output().unwrap();
        let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
        (done.status.success(), text(done.stdout), text(done.stderr))
    }

    /// Run a Python script with psycopg; `connect()` and `refused(run)` are there.
    fn python(&self, script: &str) -> String {
        let interpreter = std::env::var("FLYBALL_PYTHON")
            .unwrap_or_else(|_| format!("{}/../../.venv/bin/python", env!("CARGO_MANIFEST_DIR")));
        let head = format!(
            "import psycopg\nfrom psycopg import errors\ndef connect(**more):\n    \
             return psycopg.connect('host=127.0.0.1 port={} user=task password={SECRET} dbname=postgres', **more)\n",
            self.address.port()
        );
        let done = Command::new(interpreter).arg("-c").arg(head + script).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn wait_ended(&self, reason: &str) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !self.ended.lock().unwrap().iter().any(|e| e.starts_with(reason)) {
            assert!(Instant::now() < deadline, "ended for {:?}", self.ended.lock().unwrap());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// psql works unchanged: it logs in with the task's secret, reads, and its backslash commands look around.
#[test]
fn psql_unchanged() {
    let house = house();
    let (ok, out, err) = house.psql(&["-c", "SELECT name FROM customers WHERE id = 7"], SECRET);
    assert!(ok && out.trim() == "c7", "{out}{err}");
    let (ok, out, err) = house.psql(&["-c", "\\d app.orders"], SECRET);
    assert!(ok && out.contains("customer_id"), "{out}{err}");
}

/// A wrong secret and an unknown user are refused alike; the lease's own secret does not open the gateway.
#[test]
fn wrong_secret() {
    let house = house();
    for (user, secret) in [("task", "wrong"), ("task", PASSWORD), ("nobody", SECRET)] {
        let (ok, _, err) = house.psql(&["-U", user, "-c", "SELECT 1"], secret);
        assert!(!ok && err.contains("password authentication failed"), "{user}: {err}");
    }
}

/// A refused statement gives the code and SQLSTATE, reaches the server in no form, and the session goes on.
#[test]
fn refused_and_on() {
    let house = house();
    let script = r#"
c = connect(autocommit=True)
for sql, state in [("SELECT secret FROM app.customers", "42501"), ("DROP TABLE app.lines", "42501"), ("SELECT 1; SELECT 2", "0A000"), ("SELEC", "42601")]:
    for prepare in (None, True):
        try:
            c.execute(sql, prepare=prepare); print("ALLOWED", sql)
        except psycopg.Error as e:
            assert e.sqlstate == state, (sql, e.sqlstate, str(e))
            assert "flyball" in str(e) and "reason=" in e.diag.message_detail
    resets = c.pgconn.prepare(b"", b"SELECT pg_advisory_unlock_all(); RESET ALL")
assert b"refused by flyball: multiple_statements" in resets.error_message, resets.error_message
assert c.execute("SELECT 1").fetchone() == (1,)
try:
    c.execute("SELECT name FROM app.customers WHERE name = %s", ["forbidden"]); print("ALLOWED")
except errors.InsufficientPrivilege as e:
    assert "not_in_profile" in str(e) and "decision d" in str(e)
print(c.execute("SELECT count(*) FROM app.customers WHERE id > %s", [90]).fetchone()[0])
"#;
    assert_eq!(house.python(script).trim(), "10");
    let log = cluster().log();
    assert!(!log.contains("SELECT secret") && !log.contains("DROP TABLE app.lines"), "{log}");
}

/// In a transaction a refusal aborts it, as an error of the server would; a pipeline is skipped to its Sync.
#[test]
fn refusal_in_transaction_and_pipeline() {
    let house = house();
    let script = r#"
c = connect()
c.execute("INSERT INTO app.lines (sku, qty) VALUES ('t1', 1)")
try:
    c.execute("SELECT secret FROM app.customers"); print("ALLOWED")
except errors.InsufficientPrivilege: pass
try:
    c.execute("SELECT 1"); print("NOT ABORTED")
except errors.InFailedSqlTransaction: pass
try:
    c.execute("SELECT secret FROM app.customers"); print("ALLOWED")
except errors.InFailedSqlTransaction: pass
c.rollback()
assert c.execute("SELECT count(*) FROM app.lines WHERE sku = 't1'").fetchone()[0] == 0
c.rollback()
c.autocommit = True
try:
    with c.pipeline() as p:
        c.execute("INSERT INTO app.lines (sku, qty) VALUES (%s, 1)", ['p1'])
        c.execute("SELECT secret FROM app.customers")
        c.execute("INSERT INTO app.lines (sku, qty) VALUES (%s, 1)", ['p2'])
        p.sync()
    print("ALLOWED")
except errors.InsufficientPrivilege: pass
print(c.execute("SELECT count(*) FROM app.lines WHERE sku IN ('p1', 'p2')").fetchone()[0])
"#;
    assert_eq!(house.python(script).trim(), "0");
}

/// What a client sends before its Sync, when the server's error is already told, is passed over by both sides alike:
/// the session goes on, and what was allowed among it counts as not run.
#[test]
fn pipelined_behind_a_told_error() {
    let house = house();
    let script = r#"
import select
from psycopg.pq import DiagnosticField, ExecStatus
c = connect(autocommit=True)
wire = c.pgconn
for what in [b"SELECT secret FROM app.customers", b"SELECT 1 / 0"]:
    wire.enter_pipeline_mode()
    wire.send_query_params(what, None)
    wire.send_flush_request()
    while wire.flush(): pass
    assert select.select([wire.socket], [], [], 10)[0]
    wire.send_query_params(b"INSERT INTO app.lines (sku, qty) VALUES ('b1', 1)", None)
    wire.send_query_params(b"COPY app.members (name, team) FROM STDIN", None)
    wire.pipeline_sync()
    seen = []
    while not seen or seen[-1] != ExecStatus.PIPELINE_SYNC:
        if result := wire.get_result():
            seen.append(result.status)
            if state := result.error_field(DiagnosticField.SQLSTATE): print(state.decode())
    assert seen[1:3] == [ExecStatus.PIPELINE_ABORTED] * 2, seen
    wire.exit_pipeline_mode()
    print(c.execute("SELECT count(*) FROM app.lines WHERE sku = %s", ['b1'], prepare=True).fetchone()[0])
"#;
    assert_eq!(house.python(script).split_whitespace().collect::<Vec<_>>(), ["42501", "0", "22012", "0"]);
    let returned = house.gate.returned.lock().unwrap();
    assert_eq!(returned.iter().filter(|(_, completed)| !completed).count(), 5, "{returned:?}");
}

/// Prepared statements are decided at every run; names of SQL and of the protocol are one book.
#[test]
fn prepared_names_and_cursors() {
    let house = house();
    let script = r#"
c = connect(autocommit=True)
for n in range(8):
    assert c.execute("SELECT name FROM app.customers WHERE id = %s", [n + 1], prepare=True).fetchone()[0] == f"c{n + 1}"
c.execute("PREPARE q AS SELECT name FROM app.customers WHERE name = $1")
print(c.execute("EXECUTE q('c3')").fetchone()[0])
try:
    c.execute("EXECUTE q('forbidden')"); print("ALLOWED")
except errors.InsufficientPrivilege: pass
try:
    c.execute("EXECUTE nothing"); print("ALLOWED")
except errors.InvalidSqlStatementName: pass
c.execute("DEALLOCATE q")
with c.transaction():
    with c.cursor(name="cur") as cur:
        cur.execute("SELECT id FROM app.customers ORDER BY id")
        print(len(cur.fetchmany(5)), len(cur.fetchall()))
try:
    c.execute("FETCH ALL FROM cur"); print("ALLOWED")
except psycopg.Error as e: assert e.sqlstate == "34000"
"#;
    assert_eq!(house.python(script).split_whitespace().collect::<Vec<_>>(), ["c3", "5", "95"]);
    let seen = house.gate.seen.lock().unwrap();
    assert!(seen.iter().filter(|s| s.contains("WHERE id = $1")).count() == 8, "each run is asked for: {seen:?}");
    let prepared = seen.iter().filter(|s| s.starts_with("PREPARE q")).count();
    assert!(prepared == 3, "EXECUTE is asked for as what it stands for: {seen:?}");
}

/// COPY both ways; a COPY that the server refuses leaves the session in step.
#[test]
fn copy_both_ways() {
    let house = house();
    let script = r#"
import select
c = connect(autocommit=True)
with c.cursor().copy("COPY app.members (name, team) FROM STDIN") as copy:
    for n in range(5000): copy.write_row((f"n{n}", "t"))
n = 0
with c.cursor().copy("COPY app.members TO STDOUT") as copy:
    for row in copy.rows(): n += 1
try:
    with c.cursor().copy("COPY app.customers (id) FROM STDIN") as copy: copy.write("x\n")
    print("ALLOWED")
except psycopg.Error: pass
try:
    with c.cursor().copy("COPY app.members FROM PROGRAM 'id'") as copy: pass
    print("ALLOWED")
except errors.InsufficientPrivilege: pass
wire = c.pgconn
# By the extended protocol a Sync comes before the rows, which the server passes over.
assert wire.exec_params(b"COPY app.members (name, team) FROM STDIN", None).status == psycopg.pq.ExecStatus.COPY_IN
wire.put_copy_data(b"z1\tt\n"); wire.put_copy_end()
assert wire.get_result().command_tuples == 1 and wire.get_result() is None
# Rows that come when the server's error has passed already.
wire.exec_(b"COPY app.customers (id) FROM STDIN")
wire.put_copy_data(b"x\n"); wire.flush()
assert select.select([wire.socket], [], [], 10)[0]
wire.put_copy_data(b"y\n"); wire.put_copy_end()
assert wire.get_result().status == psycopg.pq.ExecStatus.FATAL_ERROR and wire.get_result() is None
print(n, c.execute("SELECT 1").fetchone()[0])
"#;
    assert_eq!(house.python(script).trim(), "5000 1");
    assert!(house.gate.returned.lock().unwrap().contains(&(5000, true)), "rows are counted");
}

/// A result beyond its allowance ends the connection, and says why.
#[test]
fn rows_spent() {
    let house = house_with(50, Settings { require_tls: false, ..Settings::default() });
    let (ok, out, err) = house.psql(&["-c", "SELECT id FROM app.customers"], SECRET);
    assert!(!ok && out.is_empty() && err.contains("budget_spent"), "{out}{err}");
    let (ok, out, _) = house.psql(&["-c", "SELECT id FROM app.customers LIMIT 50"], SECRET);
    assert!(ok && out.lines().count() == 50);
}

/// On the fence the connection dies in the middle of a result, in less than 50 ms.
#[test]
fn fence_cuts_a_result() {
    let house = house();
    let mut psql = cluster().tool("psql");
    psql.env("PGPORT", house.address.port().to_string()).env("PGUSER", "task").env("PGPASSWORD", SECRET);
    psql.args(["-X", "-A", "-t", "-v", "FETCH_COUNT=1000", "-c"]);
    psql.arg("SELECT repeat('x', 1000) FROM generate_series(1, 100000000)");
    let mut child = psql.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut first = [0; 4096];
    // psql 18 streams in chunks with FETCH_COUNT; the first bytes show that the result is under way.
    stdout.read_exact(&mut first).unwrap();
    let fenced = Instant::now();
    house.fence.send(true).unwrap();
    house.wait_ended("fenced");
    assert!(fenced.elapsed() < Duration::from_millis(50), "{:?}", fenced.elapsed());
    let drain = std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
    assert!(!child.wait().unwrap().success());
    drain.join().unwrap().unwrap();
}

/// A cancel request reaches the statement behind it, by a key of the gateway's own.
#[test]
fn cancel_request() {
    let house = house();
    let script = r#"
import threading, time
c = connect(autocommit=True)
done = []
def run():
    try:
        c.execute("SELECT count(*) FROM generate_series(1, 10000000000)")
    except errors.QueryCanceled: done.append("cancelled")
t = threading.Thread(target=run); t.start()
while not done:
    c.cancel_safe(); t.join(0.05)
print(done[0], c.execute("SELECT 1").fetchone()[0])
"#;
    assert_eq!(house.python(script).trim(), "cancelled 1");
}

/// Pins hold: they cannot be chosen at the start, and RESET ALL leads back to them.
#[test]
fn pins_hold() {
    let house = house();
    for options in
        ["options='-c search_path=evil'", "options='-crole=postgres'", "client_encoding=SJIS", "replication=database"]
    {
        let target = format!("{options} dbname=postgres");
        let (ok, _, err) = house.psql(&["-d", &target, "-c", "SELECT 1"], SECRET);
        assert!(!ok && err.contains("closed by flyball"), "{options}: {err}");
    }
    let (ok, out, err) = house
        .psql(&["-c", "RESET ALL", "-c", "SHOW search_path", "-c", "DISCARD ALL", "-c", "SHOW search_path"], SECRET);
    assert!(ok && out.matches("app, public").count() == 2, "{out}{err}");
}

fn closed(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    rest
}

/// Malformed, oversize and slow openings are closed, each with its reason.
#[test]
fn bad_openings() {
    let settings = Settings { require_tls: false, login_time: Duration::from_millis(300), ..Settings::default() };
    let house = house_with(1, settings);
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "protocol_violation"),
        (&[0, 0, 0, 8, 0, 2, 0, 0][..], "protocol_violation"),
        (&[0x7f, 0xff, 0xff, 0xff][..], "protocol_violation"),
        (&[0, 0, 0, 20, 0, 3][..], "too_slow"),
    ] {
        let mut stream = TcpStream::connect(house.address).unwrap();
        stream.write_all(bytes).unwrap();
        closed(&mut stream);
        house.wait_ended(reason);
        house.ended.lock().unwrap().clear();
    }
    // Where TLS is asked for, clear text is not let in.
    let strict = house_with(1, Settings::default());
    let (ok, _, err) = strict.psql(&["-c", "SELECT 1"], SECRET);
    assert!(!ok && err.contains("tls_required"), "{err}");
}

/// A definition that the server skipped after an error counts for nothing: what runs is what was decided.
#[test]
fn skipped_definitions_do_not_count() {
    let house = house();
    let script = r#"
c = connect(autocommit=True)
p = c.pgconn
ok = p.prepare(b"s", b"SELECT name FROM app.customers WHERE name <> 'forbidden'", [])
assert ok.status == psycopg.pq.ExecStatus.COMMAND_OK
p.enter_pipeline_mode()
p.send_query_params(b"SELECT 1/0", [])
p.send_prepare(b"s", b"SELECT 1", [])
p.pipeline_sync()
p.send_query_prepared(b"s", [])
p.pipeline_sync()
p.flush()
seen = []
syncs = 0
while syncs < 2:
    r = p.get_result()
    if r is None: continue
    if r.status == psycopg.pq.ExecStatus.PIPELINE_SYNC: syncs += 1
    elif r.status == psycopg.pq.ExecStatus.TUPLES_OK: seen.append("ROWS")
    elif r.error_field(psycopg.pq.DiagnosticField.SQLSTATE): seen.append(r.error_field(psycopg.pq.DiagnosticField.SQLSTATE).decode())
print(*seen)
"#;
    assert_eq!(house.python(script).trim(), "22012 42501");
}
