//! Room in the write-ahead log is made ahead of the commits, and is nothing that a reader of the log ever sees.
#![allow(clippy::unwrap_used, reason = "tests")]

mod common;

use std::fs;
use std::path::PathBuf;

use common::{Store, draft, submit};
use flyball_decision::Written;
use flyball_writer::Writer;

const FRAME: u64 = 24 + 4096;

fn log(store: &Store) -> PathBuf {
    store.folder.path().join("store.db-wal")
}

fn length(store: &Store) -> u64 {
    fs::metadata(log(store)).unwrap().len()
}

fn write(writer: &Writer, count: usize) {
    for at in 0..count {
        assert_eq!(submit(writer, draft("t", &format!("{{\"n\":{at}}}"))).recv().unwrap(), Written::Durable);
    }
}

/// Wait until the writer's thread has made room after a commit, which is after the commit was told.
fn roomy(store: &Store) -> u64 {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    // The log's head, whole frames, and all of the room: not a piece of it that is still being written.
    while length(store) <= 1 << 20 || !(length(store) - (1 << 20) - 32).is_multiple_of(FRAME) {
        assert!(std::time::Instant::now() < until, "no room was made");
        std::thread::yield_now();
    }
    length(store)
}

/// After the first commit there is room for hundreds: they leave the log as long as it is.
#[test]
fn commits_write_into_room_that_is_there() {
    let store = Store::new();
    let writer = store.writer();
    write(&writer, 1);
    let before = roomy(&store);
    write(&writer, 100);
    assert_eq!(length(&store), before);
    writer.close();
    assert_eq!(store.verify(), 101);
}

/// Room that is used up is made again, and no frame is lost where one room ends and the next begins.
#[test]
fn used_room_is_made_again() {
    let store = Store::new();
    let writer = store.writer();
    write(&writer, 1);
    let first = roomy(&store);
    let mut written = 1;
    while length(&store) == first {
        write(&writer, 20);
        written += 20;
        assert!(written * FRAME < 8 * first, "the log does not grow");
    }
    write(&writer, 20);
    assert!(length(&store) >= first + (1 << 20), "{} after {first}, {written}", length(&store));
    writer.close();
    assert_eq!(store.verify(), written + 20);
}

/// What a crash leaves, the database with its log and the room behind it, has every durable record and goes on.
#[test]
fn a_crash_leaves_every_record() {
    let store = Store::new();
    let writer = store.writer();
    write(&writer, 30);
    roomy(&store);
    let after = Store::new();
    for name in ["store.db", "store.db-wal"] {
        fs::copy(store.folder.path().join(name), after.folder.path().join(name)).unwrap();
    }
    assert_eq!(after.verify(), 30);
    let second = after.writer();
    write(&second, 5);
    second.close();
    assert_eq!(after.verify(), 35);
    writer.close();
}
