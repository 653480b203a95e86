//! Read-only connections beside the writer's, in the same copy of SQLite.
//!
//! POSIX file locks belong to a process, so a second copy of SQLite in it (Python's `sqlite3`) would
//! not see this one's. All reading of an open store therefore goes through here.

use std::path::{Path, PathBuf};

use parking_lot::{Condvar, Mutex};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

use crate::fault::Fault;

/// Connections at most. More readers wait for one.
const CONNECTIONS: usize = 4;

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    out: usize,
    closed: bool,
}

/// A small pool of read-only connections.
pub(crate) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

impl Readers {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), pool: Mutex::default(), returned: Condvar::new() }
    }

    /// Run one reading statement; at most `limit` rows, more is an error.
    pub(crate) fn query(&self, sql: &str, params: &[Value], limit: usize) -> Result<Vec<Vec<Value>>, Fault> {
        let conn = self.borrow()?;
        let rows = read(&conn, sql, params, limit);
        // A connection that saw more than a mistake in the SQL is not used again.
        let keep = matches!(rows, Ok(_) | Err(Fault::Refused(_) | Fault::Busy));
        let mut pool = self.pool.lock();
        pool.out = pool.out.saturating_sub(1);
        if keep && !pool.closed {
            pool.idle.push(conn);
        }
        drop(pool);
        self.returned.notify_one();
        rows
    }

    /// Close all connections; later queries are refused.
    pub(crate) fn close(&self) {
        let mut pool = self.pool.lock();
        pool.closed = true;
        pool.idle.clear();
        while pool.out > 0 {
            self.returned.wait(&mut pool);
        }
        drop(pool);
        self.returned.notify_all();
    }

    fn borrow(&self) -> Result<Connection, Fault> {
        let mut pool = self.pool.lock();
        loop {
            if pool.closed {
                return Err(Fault::Closed);
            }
            if let Some(conn) = pool.idle.pop() {
                pool.out += 1;
                return Ok(conn);
            }
            if pool.out < CONNECTIONS {
                pool.out += 1;
                drop(pool);
                return connect(&self.path).inspect_err(|_| {
                    let mut pool = self.pool.lock();
                    pool.out = pool.out.saturating_sub(1);
                    drop(pool);
                    self.returned.notify_all();
                });
            }
            self.returned.wait(&mut pool);
        }
    }
}

fn connect(path: &Path) -> Result<Connection, Fault> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(std::time::Duration::from_secs(1))?;
    conn.pragma_update(None, "query_only", "ON")?;
    conn.set_prepared_statement_cache_capacity(64);
    Ok(conn)
}

fn read(conn: &Connection, sql: &str, params: &[Value], limit: usize) -> Result<Vec<Vec<Value>>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    if !statement.readonly() || statement.column_count() == 0 {
        return Err(Fault::Refused("a query may only read".to_owned()));
    }
    let columns = statement.column_count();
    let mut rows = statement.query(params_from_iter(params))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next()? {
        if out.len() >= limit {
            return Err(Fault::Refused(format!("more than {limit} rows")));
        }
        out.push((0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>()?);
    }
    Ok(out)
}
