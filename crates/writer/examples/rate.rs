//! How many records a second the writer makes durable: `rate STORE IN_FLIGHT TASKS COUNT`.
//! Run it pinned to one core to see what is left for everything else.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss, reason = "a measurement")]

use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Instant;

use flyball_decision::{RecordDraft, Sink, Written};
use flyball_writer::Writer;

const SCHEMA: &str = "
CREATE TABLE record(seq INTEGER PRIMARY KEY, task TEXT, n INTEGER, kind TEXT NOT NULL, at_ms INTEGER NOT NULL,
                    body BLOB NOT NULL, sealed BLOB, hash BLOB NOT NULL) STRICT;
CREATE TABLE task_record(task TEXT NOT NULL, n INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY(task, n))
  STRICT, WITHOUT ROWID;
CREATE TABLE task_record_floor(only INTEGER PRIMARY KEY CHECK(only = 1), seq INTEGER NOT NULL) STRICT;
INSERT INTO task_record_floor VALUES(1, 0);
CREATE TABLE counter(key TEXT NOT NULL, unit TEXT NOT NULL, used INTEGER NOT NULL, cell TEXT NOT NULL,
                     home TEXT NOT NULL, epoch INTEGER NOT NULL, PRIMARY KEY(key, unit)) STRICT, WITHOUT ROWID;
";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize| args[at].parse::<usize>().unwrap();
    let (in_flight, tasks, count) = (number(2), number(3), number(4));
    rusqlite::Connection::open(&args[1]).unwrap().execute_batch(SCHEMA).unwrap();

    let writer = Writer::open(Path::new(&args[1]), 65_536).unwrap();
    let (tell, told) = channel();
    let submit = |at: usize| {
        let draft = RecordDraft {
            task: Some(format!("tsk_local_01JD{:022}", at.wrapping_mul(7919) % tasks)),
            kind: "decided",
            at_ms: 1,
            body: vec![b'x'; 700],
            sealed: Some(vec![0; 120]),
            counters: Vec::new(),
        };
        let tell = tell.clone();
        let settle = move |written| {
            let _ = tell.send(written);
        };
        writer.submit(draft, Box::new(settle)).unwrap();
    };
    let start = Instant::now();
    (0..in_flight).for_each(submit);
    for at in in_flight..count + in_flight {
        assert_eq!(told.recv().unwrap(), Written::Durable);
        if at < count {
            submit(at);
        }
    }
    let took = start.elapsed().as_secs_f64();
    println!("{:.0} records/s, {} in flight, {tasks} tasks", count as f64 / took, in_flight);
    println!("{}", writer.stats_json());
}
