//! A store in a folder of its own, and the chain computed from its rows alone.
#![allow(clippy::unwrap_used, dead_code, reason = "helpers of tests; not every test uses all")]

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

use flyball_decision::{CounterCharge, Done, RecordDraft, Sink, Written};
use flyball_writer::{NewRecord, Statement, Unit, Value, Writer};
use ring::digest::{SHA256, digest};
use rusqlite::Connection;

/// The part of the first migration that the writer knows.
pub const SCHEMA: &str = "
CREATE TABLE task_record(task TEXT NOT NULL, n INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(task, n))
  STRICT, WITHOUT ROWID;
CREATE TABLE task_record_floor(only INTEGER PRIMARY KEY CHECK(only = 1), seq INTEGER NOT NULL) STRICT;
INSERT INTO task_record_floor VALUES(1, 0);
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE record(seq INTEGER PRIMARY KEY, task TEXT, n INTEGER, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
                    body BLOB NOT NULL, sealed BLOB, hash BLOB NOT NULL) STRICT;
CREATE TABLE counter(key TEXT NOT NULL, unit TEXT NOT NULL, used INTEGER NOT NULL, cell TEXT NOT NULL,
                     home TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(key, unit)) STRICT, WITHOUT ROWID;
";

/// A store in a folder that goes with it.
pub struct Store {
    pub folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Store {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        Connection::open(&path).unwrap().execute_batch(SCHEMA).unwrap();
        Self { folder, path }
    }

    pub fn writer(&self) -> Writer {
        Writer::open(&self.path, 1024).unwrap()
    }

    /// The rows' chain, computed anew. Panics where it does not hold; the number of records.
    pub fn verify(&self) -> u64 {
        let conn = Connection::open(&self.path).unwrap();
        let mut select = conn.prepare("SELECT seq, task, n, body, sealed, hash FROM record ORDER BY seq").unwrap();
        let mut rows = select.query([]).unwrap();
        let mut previous = digest(&SHA256, b"flyball-chain-v1").as_ref().to_vec();
        let mut expected = 0_u64;
        let mut numbers = std::collections::HashMap::<String, u64>::new();
        while let Some(row) = rows.next().unwrap() {
            expected += 1;
            let seq: i64 = row.get(0).unwrap();
            let task: Option<String> = row.get(1).unwrap();
            let n: Option<i64> = row.get(2).unwrap();
            let body: Vec<u8> = row.get(3).unwrap();
            let sealed: Option<Vec<u8>> = row.get(4).unwrap();
            let hash: Vec<u8> = row.get(5).unwrap();
            assert_eq!(seq.cast_unsigned(), expected, "sequence numbers have a gap");
            let name = task.clone().unwrap_or_default();
            match &task {
                None => assert_eq!(n, None),
                Some(task) => {
                    let last = numbers.entry(task.clone()).or_default();
                    *last += 1;
                    assert_eq!(n.unwrap().cast_unsigned(), *last, "numbers of {task} have a gap");
                }
            }
            let mut bytes = previous.clone();
            bytes.extend(expected.to_be_bytes());
            bytes.extend(n.unwrap_or(0).to_be_bytes());
            bytes.extend(u32::try_from(name.len()).unwrap().to_be_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend((body.len() as u64).to_be_bytes());
            bytes.extend(&body);
            match sealed {
                None => bytes.push(0),
                Some(sealed) => {
                    bytes.push(1);
                    bytes.extend(digest(&SHA256, &sealed).as_ref());
                }
            }
            previous = digest(&SHA256, &bytes).as_ref().to_vec();
            assert_eq!(hash, previous, "the hash of record {seq} is wrong");
        }
        // What the catalogue says, with the chain itself behind its floor, is every task's every record.
        let floor = "(SELECT seq FROM task_record_floor)";
        assert_eq!(
            self.count(&format!("SELECT count(*) FROM record WHERE task IS NOT NULL AND seq <= {floor}")),
            self.count(&format!(
                "SELECT count(*) FROM task_record JOIN record USING(task, n, seq) WHERE seq <= {floor}"
            )),
        );
        assert_eq!(
            self.count("SELECT count(*) FROM task_record WHERE seq > (SELECT coalesce(max(seq), 0) FROM record)"),
            0
        );
        expected
    }

    pub fn count(&self, sql: &str) -> i64 {
        Connection::open(&self.path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

pub fn record(task: Option<&str>, body: &str) -> NewRecord {
    NewRecord {
        task: task.map(str::to_owned),
        kind: "task_state".to_owned(),
        at_ms: 1,
        body: body.as_bytes().to_vec(),
        sealed: None,
    }
}

pub fn put(key: &str, value: &str, expect: Option<u64>) -> Statement {
    Statement {
        sql: "INSERT INTO meta(key, value) VALUES(?1, ?2)".to_owned(),
        params: vec![Value::Text(key.to_owned()), Value::Text(value.to_owned())],
        expect,
    }
}

pub fn unit(statements: Vec<Statement>, records: Vec<NewRecord>) -> Unit {
    Unit { statements, records }
}

pub fn draft(task: &str, body: &str) -> RecordDraft {
    RecordDraft {
        task: Some(task.to_owned()),
        kind: "decided",
        at_ms: 2,
        body: body.as_bytes().to_vec(),
        sealed: Some(b"sealed".to_vec()),
        counters: Vec::new(),
    }
}

pub fn charge(key: &str, amount: i64, limit: i64) -> CounterCharge {
    CounterCharge { key: key.to_owned(), unit: "calls".to_owned(), amount, limit }
}

/// Hand in a decision's record; what becomes of it comes through the channel.
pub fn submit(writer: &Writer, draft: RecordDraft) -> Receiver<Written> {
    let (done, told) = tell();
    writer.submit(draft, done).unwrap();
    told
}

/// The same for a record that nobody waits for.
pub fn submit_later(writer: &Writer, draft: RecordDraft) -> Receiver<Written> {
    let (done, told) = tell();
    writer.submit_later(draft, done).unwrap();
    told
}

fn tell() -> (Done, Receiver<Written>) {
    let (tell, told) = channel();
    let done = move |written| {
        let _ = tell.send(written);
    };
    (Box::new(done), told)
}
