//! Room in the write-ahead log, made before it is needed.
//!
//! A commit that makes the log longer is not durable before the file system has written the file's new
//! length and where its blocks are: a second wait for the disk, about as long as the first, in every
//! commit until the log is used from its start again. So whenever the log has grown, zeros are written
//! behind its end, and the commits that come write over them. `fallocate` does not serve: blocks that
//! were never written are entered as written one by one, which is the same wait.
//!
//! SQLite ends its reading of a log at the first frame whose checksum is wrong, and no frame is of page
//! 0, so zeros are an end. They are written while SQLite's own write lock is held: nobody else can be
//! writing frames there, not even a process that should not be here.

use std::fs::{File, OpenOptions};
use std::io::{Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

/// Written at once: room for 250 commits of a page each, a few milliseconds of a disk's time.
const CHUNK: usize = 1 << 20;
/// A longer log is not made longer. A commit that finds it so long moves it into the database.
const LONGEST: u64 = 32 << 20;

/// The log of one store, and how long it was when it was last looked at.
pub(crate) struct Room {
    path: PathBuf,
    log: Option<File>,
    length: u64,
}

impl Room {
    /// The room in the log of the store at `path`. Nothing is opened yet; the log need not be there.
    pub(crate) fn of(path: &Path) -> Self {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        Self { path: log.into(), log: None, length: 0 }
    }

    /// Make room if what was there is used up. Called between commits, by the thread that commits.
    ///
    /// A disk that has no room for it says so to the next commit; here it is no error.
    pub(crate) fn make(&mut self, conn: &Connection) {
        let Ok(length) = self.now() else { return };
        if length == self.length {
            return;
        }
        self.length = length;
        if length < LONGEST && conn.execute_batch("BEGIN IMMEDIATE").is_ok() {
            // Looked at once more: it may have grown until the lock was ours.
            if let Ok(length) = self.fill() {
                self.length = length;
            }
            drop(conn.execute_batch("ROLLBACK"));
        }
    }

    /// How long the log is. By its end and not by its metadata: a file system whose times are only as fine as
    /// somebody looks makes the next write a change of the file's times, and so one more wait for the disk.
    fn now(&mut self) -> Result<u64> {
        self.log()?.seek(SeekFrom::End(0))
    }

    fn log(&mut self) -> Result<&mut File> {
        if let Some(ref mut log) = self.log {
            return Ok(log);
        }
        let log = OpenOptions::new().write(true).open(&self.path)?;
        Ok(self.log.insert(log))
    }

    /// Zeros behind the end, on the disk before anybody waits for them. How long the log is then.
    fn fill(&mut self) -> Result<u64> {
        let end = self.now()?;
        let log = self.log()?;
        log.write_all(&vec![0; CHUNK])?;
        log.sync_data()?;
        Ok(end.saturating_add(CHUNK as u64))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::PathBuf;

    use rusqlite::Connection;
    use tempfile::TempDir;

    use super::Room;

    fn store() -> (TempDir, PathBuf, Connection) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let conn = Connection::open(&path).unwrap();
        (folder, path, conn)
    }

    fn writable(conn: &Connection) {
        assert!(conn.is_autocommit(), "a transaction was left open");
        conn.execute_batch("CREATE TABLE t(x); INSERT INTO t VALUES(1)").unwrap();
    }

    /// A disk that takes no byte: the connection is as it was.
    #[test]
    fn a_full_disk_is_no_fault_here() {
        let (folder, path, conn) = store();
        symlink("/dev/full", folder.path().join("store.db-wal")).unwrap();
        let mut room = Room::of(&path);
        room.length = 1;
        room.make(&conn);
        writable(&conn);
    }

    /// Somebody else is writing: not a byte is put into the log, whatever its length is.
    #[test]
    fn nothing_is_written_beside_a_writer() {
        let (folder, path, conn) = store();
        conn.pragma_update(None, "journal_mode", "WAL").unwrap();
        conn.busy_timeout(std::time::Duration::ZERO).unwrap();
        conn.execute_batch("CREATE TABLE t(x)").unwrap();
        let log = folder.path().join("store.db-wal");
        let before = fs::read(&log).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        Room::of(&path).make(&conn);
        assert_eq!(fs::read(&log).unwrap(), before);
        other.execute_batch("ROLLBACK").unwrap();
        Room::of(&path).make(&conn);
        assert!(fs::read(&log).unwrap().len() > before.len());
    }

    /// No log: nothing happens, and none is made.
    #[test]
    fn without_a_log_nothing_happens() {
        let (folder, path, conn) = store();
        Room::of(&path).make(&conn);
        assert!(!folder.path().join("store.db-wal").exists());
        writable(&conn);
    }
}
