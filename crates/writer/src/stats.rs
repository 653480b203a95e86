//! What the writer has done, and what the disk costs.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Buckets of a commit's duration: bucket i holds those below 2^i microseconds.
const BUCKETS: usize = 32;

/// Counters, written by the writer's thread and read by anyone.
#[derive(Default)]
pub(crate) struct Stats {
    batches: AtomicU64,
    units: AtomicU64,
    drafts: AtomicU64,
    conflicts: AtomicU64,
    failed_batches: AtomicU64,
    unknown_commits: AtomicU64,
    refused_full: AtomicU64,
    largest_batch: AtomicU64,
    commit_us: AtomicU64,
    log_moves: AtomicU64,
    /// Median of the disk's own write and sync of one page, in microseconds; -1 unknown.
    disk_sync_us: AtomicI64,
    buckets: Mutex<[u64; BUCKETS]>,
    last_fault: Mutex<Option<&'static str>>,
}

impl Stats {
    /// Count a batch that committed.
    pub(crate) fn committed(&self, units: u64, drafts: u64, conflicts: u64, took: Duration) {
        self.batches.fetch_add(1, Relaxed);
        self.units.fetch_add(units, Relaxed);
        self.drafts.fetch_add(drafts, Relaxed);
        self.conflicts.fetch_add(conflicts, Relaxed);
        self.largest_batch.fetch_max(units.saturating_add(drafts), Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.commit_us.fetch_add(us, Relaxed);
        let bucket = (u64::BITS - us.leading_zeros()) as usize;
        if let Some(count) = self.buckets.lock().get_mut(bucket.min(BUCKETS - 1)) {
            *count += 1;
        }
        *self.last_fault.lock() = None;
    }

    /// Count a batch that failed.
    pub(crate) fn failed(&self, fault: &'static str, unknown: bool) {
        self.failed_batches.fetch_add(1, Relaxed);
        if unknown {
            self.unknown_commits.fetch_add(1, Relaxed);
        }
        *self.last_fault.lock() = Some(fault);
    }

    /// Count that the log was moved beside the writer.
    pub(crate) fn log_moved(&self) {
        self.log_moves.fetch_add(1, Relaxed);
    }

    /// Count something refused for a full queue.
    pub(crate) fn refused(&self) {
        self.refused_full.fetch_add(1, Relaxed);
    }

    /// Keep the disk's own sync time.
    pub(crate) fn disk(&self, sync: Option<Duration>) {
        let us = sync.and_then(|sync| i64::try_from(sync.as_micros()).ok()).unwrap_or(-1);
        self.disk_sync_us.store(us, Relaxed);
    }

    /// As a JSON object.
    pub(crate) fn json(&self, queued: usize, queued_bytes: usize) -> String {
        let buckets = *self.buckets.lock();
        let quantile = |part: f64| {
            let all: u64 = buckets.iter().sum();
            #[allow(clippy::cast_precision_loss, reason = "a statistic")]
            let wanted = all as f64 * part;
            let mut seen = 0;
            for (bucket, count) in buckets.iter().enumerate() {
                seen += count;
                #[allow(clippy::cast_precision_loss, reason = "a statistic")]
                if all > 0 && seen as f64 >= wanted {
                    return 1_u64 << bucket;
                }
            }
            0
        };
        let mut out = String::with_capacity(512);
        let mut put = |name: &str, value: &dyn std::fmt::Display| {
            let comma = if out.is_empty() { '{' } else { ',' };
            // Writing to a string cannot fail.
            let _ = write!(out, "{comma}\"{name}\":{value}");
        };
        put("batches", &self.batches.load(Relaxed));
        put("units", &self.units.load(Relaxed));
        put("decisions", &self.drafts.load(Relaxed));
        put("conflicts", &self.conflicts.load(Relaxed));
        put("failed_batches", &self.failed_batches.load(Relaxed));
        put("unknown_commits", &self.unknown_commits.load(Relaxed));
        put("refused_queue_full", &self.refused_full.load(Relaxed));
        put("largest_batch", &self.largest_batch.load(Relaxed));
        put("commit_us_total", &self.commit_us.load(Relaxed));
        put("commit_us_p50_below", &quantile(0.5));
        put("commit_us_p99_below", &quantile(0.99));
        put("log_moves", &self.log_moves.load(Relaxed));
        put("queued", &queued);
        put("queued_bytes", &queued_bytes);
        match self.disk_sync_us.load(Relaxed) {
            ..0 => put("disk_sync_us", &"null"),
            us => put("disk_sync_us", &us),
        }
        match *self.last_fault.lock() {
            None => put("last_fault", &"null"),
            Some(fault) => put("last_fault", &format_args!("\"{fault}\"")),
        }
        out.push('}');
        out
    }
}

/// The median time in which the disk beside `store` writes and syncs one page. None where it
/// cannot be written.
pub(crate) fn disk_sync(store: &Path) -> Option<Duration> {
    let mut name = store.as_os_str().to_owned();
    name.push(".sync-probe");
    let path = Path::new(&name);
    let mut times = Vec::with_capacity(9);
    let probe = || -> std::io::Result<Vec<Duration>> {
        let mut file = fs::File::create(path)?;
        for _ in 0..9 {
            let start = Instant::now();
            file.write_all(&[0x5a; 4096])?;
            file.sync_data()?;
            times.push(start.elapsed());
        }
        times.sort_unstable();
        Ok(times)
    };
    let times = probe();
    drop(fs::remove_file(path));
    times.ok().and_then(|times| times.get(times.len() / 2).copied())
}
