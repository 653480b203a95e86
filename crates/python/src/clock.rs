//! The clocks of this process. The decision plane reads none: it is told.

use flyball_decision::Now;

/// The time now. Monotonic time counts a suspended machine's sleep, where the system can say so.
pub(crate) fn now() -> Now {
    #[cfg(target_os = "linux")]
    let mono = libc::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    let mono = libc::CLOCK_MONOTONIC;
    Now { wall_ms: read(libc::CLOCK_REALTIME), mono_ms: read(mono) }
}

fn read(clock: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid place for the one value that the call writes.
    let failed = unsafe { libc::clock_gettime(clock, &raw mut time) } != 0;
    // A clock that cannot be read is as late as can be: every deadline has passed.
    if failed { i64::MAX / 4 } else { time.tv_sec * 1000 + time.tv_nsec / 1_000_000 }
}
