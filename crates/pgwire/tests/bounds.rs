//! What a peer may not do, seen from outside: servers that lie, clients that gather, answer late or never read.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../pgsql/tests/support/mod.rs"]
mod support;

mod kit;

use flyball_pgwire::{FrameLimits, Settings};
use kit::{House, house, python, runtime, secret, start, to};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use support::{Cluster, PASSWORD};
use tokio::runtime::Runtime;

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(Cluster::start)
}

fn clear() -> Settings {
    Settings { require_tls: false, ..Settings::default() }
}

fn real(runtime: &Runtime, settings: Settings) -> House {
    house(runtime, settings, to(cluster().port, PASSWORD, None), secret())
}

/// What a client is told that logs in; `in` where nothing.
fn told(house: &House) -> String {
    python(house.address.port(), "try:\n    psycopg.connect(WORDS); print('in')\nexcept psycopg.Error as e: print(e)\n")
}

/// A server that answers each message with the next of these.
fn liar(answers: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut seen = Vec::new();
            for answer in &answers {
                let mut bytes = [0; 4096];
                let Ok(count) = stream.read(&mut bytes) else { break };
                seen.extend_from_slice(&bytes[..count]);
                // The client's own nonce stands in its first message: a liar can give it back.
                let text = String::from_utf8_lossy(&seen).into_owned();
                let nonce = text.rsplit("n=,r=").next().unwrap().to_owned();
                let answer = match answer.as_slice() {
                    b"FIRST" => message(11, format!("r={nonce}x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096").as_bytes()),
                    b"MANY" => message(11, format!("r={nonce}x,s=c2FsdHNhbHRzYWx0c2FsdA==,i=2000000000").as_bytes()),
                    b"OTHER" => message(11, b"r=another,s=c2FsdHNhbHRzYWx0c2FsdA==,i=4096"),
                    other => other.to_vec(),
                };
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        }
    });
    port
}

fn message(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [b"R", &length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

/// A server that does not know the secret is found out: by its signature, by leaving it out, by letting us in without a
/// word, by asking for the secret in clear, by a nonce of its own; and one that wants work for hours gets none.
#[test]
fn a_server_that_lies() {
    let runtime = runtime();
    let offer = message(10, b"SCRAM-SHA-256\0\0");
    let ready = [message(0, b""), b"Z\0\0\0\x05I".to_vec()].concat();
    let wrong = [message(12, b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="), ready.clone()].concat();
    for answers in [
        vec![offer.clone(), b"FIRST".to_vec(), wrong],
        vec![offer.clone(), b"FIRST".to_vec(), ready.clone()],
        vec![ready],
        vec![message(3, b"")],
        vec![offer.clone(), b"OTHER".to_vec()],
        vec![offer, b"MANY".to_vec()],
    ] {
        let house = house(&runtime, clear(), to(liar(answers.clone()), PASSWORD, None), secret());
        let said = told(&house);
        assert!(said.contains("upstream_refused"), "{said}: {answers:?}");
    }
}

/// To another machine nothing goes in clear.
#[test]
fn another_machine_in_clear() {
    let runtime = runtime();
    let mut upstream = to(5432, PASSWORD, None);
    upstream.address = SocketAddr::from(([192, 0, 2, 1], 5432));
    let house = house(&runtime, clear(), upstream, secret());
    let said = told(&house);
    assert!(said.contains("upstream_refused: tls"), "{said}");
}

/// A pinned setting that is changed all the same, by whatever was let through, ends the session.
#[test]
fn a_pin_that_is_lost() {
    let runtime = runtime();
    for sql in ["SET client_encoding = 'LATIN1'", "SET standard_conforming_strings = off"] {
        let house = real(&runtime, clear());
        let script = format!(
            "c = psycopg.connect(WORDS, autocommit=True)\ntry:\n    c.execute(\"{sql}\"); c.execute('SELECT 1')\n    \
             print('ALLOWED')\nexcept psycopg.OperationalError: print('closed')\n"
        );
        assert_eq!(python(house.address.port(), &script), "closed", "{sql}");
        house.wait_ended("pin_lost");
    }
}

/// Statements in flight and names are bounded, and the name behind which refusals stand is nobody's.
#[test]
fn what_a_client_may_gather() {
    let runtime = runtime();
    for (script, reason) in [
        (
            // The server sleeps meanwhile: it confirms none of them before all have been sent.
            "p.enter_pipeline_mode()\np.send_query_params(b'SELECT pg_sleep(10)', [])\nfor n in range(9000):\n    \
             p.send_prepare(b'', b'SELECT 1', [])\n    p.flush()\n",
            "pipeline_too_long",
        ),
        ("for n in range(9000): p.prepare(b's%d' % n, b'SELECT 1', [])\n", "pipeline_too_long"),
        ("p.prepare(b'flyball_refused', b'SELECT 1', [])\n", "protocol_violation: reserved name"),
    ] {
        let house = real(&runtime, clear());
        let script = format!(
            "c = psycopg.connect(WORDS, autocommit=True)\np = c.pgconn\ntry:\n{}except psycopg.Error: pass\n",
            script.lines().fold(String::new(), |all, line| all + "    " + line + "\n")
        );
        python(house.address.port(), &script);
        house.wait_ended(reason);
    }
}

/// A client that has logged in, byte by byte.
fn logged_in(house: &House, then: &str) -> String {
    let script = format!(
        "import socket, time\nc = psycopg.connect(WORDS, autocommit=True)\ns = socket.socket(fileno=c.fileno())\n\
         s.setblocking(True)\n{then}\ns.detach()\n"
    );
    python(house.address.port(), &script)
}

/// A frame that has begun must come to its end in time, and within its bound; one of no kind at all is none.
#[test]
fn frames_that_do_not_end() {
    let runtime = runtime();
    let limits = FrameLimits { large: 1024, small: 64 };
    let settings = || Settings { frame_time: Duration::from_millis(200), frames: limits, ..clear() };
    for (bytes, reason) in [
        ("b'Q\\0\\0\\0\\x20SEL'", "too_slow"),
        ("b'Q\\0\\0\\x10\\0' + b'x' * 4096", "frame_too_long"),
        ("b'?\\0\\0\\0\\x04'", "protocol_violation"),
    ] {
        let house = real(&runtime, settings());
        logged_in(&house, &format!("s.sendall({bytes})\nwhile s.recv(4096): pass"));
        house.wait_ended(reason);
    }
}

/// A Query before the Sync that an error asks for would be passed over by the server and run nothing: it is none.
#[test]
fn a_query_before_the_sync() {
    let runtime = runtime();
    let house = real(&runtime, clear());
    logged_in(
        &house,
        "def f(k, b): s.sendall(k + (len(b) + 4).to_bytes(4, 'big') + b)\n\
         f(b'P', b'\\0SELECT 1 / 0\\0\\0\\0')\nf(b'B', b'\\0\\0' + b'\\0' * 6)\nf(b'E', b'\\0' * 5)\nf(b'H', b'')\n\
         seen = b''\nwhile b'22012' not in seen: seen += s.recv(4096)\n\
         f(b'Q', b'SELECT 1\\0')\nwhile s.recv(4096): pass",
    );
    house.wait_ended("protocol_violation: no Sync after an error");
}

/// A client that does not read its result holds the server up for so long and no longer.
#[test]
fn a_client_that_does_not_read() {
    let runtime = runtime();
    let house = real(&runtime, Settings { write_time: Duration::from_millis(300), ..clear() });
    let script = "import sys\nc = psycopg.connect(WORDS, autocommit=True)\n\
        c.pgconn.send_query(b\"SELECT repeat('x', 10000) FROM generate_series(1, 100000)\")\n\
        c.pgconn.flush()\nsys.stdin.read()\n";
    let mut client = start(house.address.port(), script, Stdio::piped());
    house.wait_ended("too_slow");
    drop(client.stdin.take());
    client.wait().unwrap();
}

/// A fence ends what the server is doing, which would write nothing for hours.
#[test]
fn a_fence_ends_the_statement() {
    let runtime = runtime();
    let house = real(&runtime, clear());
    let script = "c = psycopg.connect(WORDS, autocommit=True)\ntry:\n    \
        c.execute('SELECT count(*) AS endless FROM generate_series(1, 1000000000000)')\nexcept psycopg.Error: pass\n";
    let mut client = start(house.address.port(), script, Stdio::null());
    let running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%AS endless%' AND state = 'active' \
        AND pid <> pg_backend_pid()";
    let until = |count: &str| {
        let deadline = Instant::now() + Duration::from_secs(20);
        while cluster().sql(running).trim() != count {
            assert!(Instant::now() < deadline, "never {count}");
        }
    };
    until("1");
    house.fence.send(true).unwrap();
    until("0");
    client.wait().unwrap();
}

/// A fence in the middle of a row says nothing more: the client would take it for a part of the row.
#[test]
fn a_fence_within_a_row() {
    let runtime = runtime();
    let house = real(&runtime, clear());
    let script = "import socket\nc = psycopg.connect(WORDS, autocommit=True)\ns = socket.socket(fileno=c.fileno())\n\
        s.setblocking(True)\nq = b\"SELECT repeat('x', 100000000)\\0\"\n\
        s.sendall(b'Q' + (len(q) + 4).to_bytes(4, 'big') + q)\nn = 0\n\
        while n < 100000: n += len(s.recv(4096))\nprint('within', flush=True)\ninput()\nseen = b''\n\
        try:\n    while more := s.recv(65536): seen = seen[-100:] + more\nexcept ConnectionError: pass\n\
        print(b'flyball' in seen)\ns.detach()\n";
    let mut client = start(house.address.port(), script, Stdio::piped());
    let mut stdout = BufReader::new(client.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "within");
    house.fence.send(true).unwrap();
    house.wait_ended("fenced");
    client.stdin.take().unwrap().write_all(b"\n").unwrap();
    line.clear();
    stdout.read_line(&mut line).unwrap();
    assert_eq!(line.trim(), "False");
    client.wait().unwrap();
}

/// A setting that is not known as harmless cannot come with the start of a session.
#[test]
fn settings_at_the_start() {
    let runtime = runtime();
    let house = real(&runtime, clear());
    let body = b"\0\x03\0\0user\0task\0search_path\0evil\0\0";
    let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
    let mut stream = TcpStream::connect(house.address).unwrap();
    stream.write_all(&[&length[..], body].concat()).unwrap();
    house.wait_ended("login_refused: startup_setting");
}

/// Beyond the places nobody is served; one that is left is the next client's.
#[test]
fn places() {
    let runtime = runtime();
    let house = real(&runtime, Settings { connections: 2, ..clear() });
    let script = "a = psycopg.connect(WORDS)\nb = psycopg.connect(WORDS)\ntry:\n    psycopg.connect(WORDS)\n    \
        print('ALLOWED')\nexcept psycopg.OperationalError: print('full')\na.close()\nfor _ in range(1000):\n    try:\n        \
        psycopg.connect(WORDS).close(); print('in'); break\n    except psycopg.OperationalError: pass\n";
    assert_eq!(python(house.address.port(), script).split_whitespace().collect::<Vec<_>>(), ["full", "in"]);
}

/// A key that is nobody's cancels nothing, and the server's own key does not leave the gateway.
#[test]
fn cancel_keys() {
    let runtime = runtime();
    let house = real(&runtime, clear());
    let script = "import socket, struct, threading\nc = psycopg.connect(WORDS, autocommit=True)\n\
        seen = c.info.backend_pid\nreal = c.execute('SELECT pg_backend_pid()').fetchone()[0]\nprint(seen != real)\n\
        t = threading.Thread(target=lambda: print(c.execute('SELECT pg_sleep(1)').rowcount)); t.start()\n\
        for n in range(64):\n    s = socket.create_connection((c.info.host, c.info.port))\n    \
        s.sendall(struct.pack('!IIII', 16, 80877102, seen, n)); s.recv(1); s.close()\nt.join()\n";
    assert_eq!(python(house.address.port(), script).split_whitespace().collect::<Vec<_>>(), ["True", "1"]);
}
