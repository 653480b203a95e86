//! How long in-process checks took: a histogram of a fixed size, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Steps between a power of two and the next.
const STEPS: u64 = 8;
/// Steps in all: up to hours.
const SLOTS: usize = 8 * 48;

/// Counts by duration in nanoseconds, within an eighth.
pub(crate) struct Latency {
    slots: Vec<AtomicU64>,
}

impl Default for Latency {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }
}

fn slot(nanos: u64) -> usize {
    if nanos < STEPS {
        return usize::try_from(nanos).unwrap_or(0);
    }
    let power = u64::from(nanos.ilog2());
    let step = (nanos >> (power - 3)) & (STEPS - 1);
    usize::try_from((power - 2) * STEPS + step).unwrap_or(SLOTS).min(SLOTS - 1)
}

/// The greatest duration of a slot, in nanoseconds.
fn bound(slot: usize) -> u64 {
    let slot = u64::try_from(slot).unwrap_or(0);
    if slot < STEPS {
        return slot;
    }
    let power = slot / STEPS + 2;
    ((STEPS + slot % STEPS + 1) << (power - 3)) - 1
}

impl Latency {
    /// Count one.
    pub(crate) fn add(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let Some(count) = self.slots.get(slot(nanos)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The members `inproc`, `p50_us` and `p99_us` of a JSON object; microseconds as text, with one place.
    pub(crate) fn members(&self) -> String {
        let counts: Vec<u64> = self.slots.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let all: u64 = counts.iter().sum();
        let at = |hundredths: u64| {
            let rank = (all * hundredths).div_ceil(100).max(1);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            let nanos = found.map_or(0, bound);
            format!("{}.{}", nanos / 1000, nanos % 1000 / 100)
        };
        format!("\"inproc\":{all},\"p50_us\":\"{}\",\"p99_us\":\"{}\"", at(50), at(99))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_what_falls_in_them() {
        for nanos in (0..5_000).chain([1 << 20, (1 << 40) + 7]) {
            let slot = slot(nanos);
            assert!(bound(slot) >= nanos, "{nanos}");
            assert!(slot == 0 || bound(slot - 1) < nanos, "{nanos}");
        }
    }
}
