//! Short time slices for the threads that answer decisions.
//!
//! Linux gives threads that compete for a processor slices of some milliseconds each. A thread whose
//! own slice is shorter is chosen sooner, and when it wakes it need not wait for the end of the
//! slice of one whose is longer. Its share of the processor stays the same: what decides comes
//! sooner, and what revokes loses nothing.

/// Ask for short slices for the calling thread. A kernel that knows none goes on as it was.
#[cfg(target_os = "linux")]
pub(crate) fn shorten() {
    /// In nanoseconds; the least that Linux takes.
    const SLICE: u64 = 100_000;

    /// `struct sched_attr` in its first version (`sched_setattr(2)`).
    #[repr(C)]
    #[derive(Default)]
    struct Attributes {
        size: u32,
        policy: u32,
        flags: u64,
        nice: i32,
        priority: u32,
        runtime: u64,
        deadline: u64,
        period: u64,
    }

    let size = u32::try_from(size_of::<Attributes>()).unwrap_or_default();
    let mut now = Attributes::default();
    // SAFETY: the kernel writes at most `size` bytes, which is what `now` has; it keeps no pointer.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, size, 0) };
    // Only what is scheduled in the ordinary way: another policy was chosen by somebody.
    if got != 0 || now.policy != libc::SCHED_OTHER.cast_unsigned() {
        return;
    }
    let wanted = Attributes { size, nice: now.nice, runtime: SLICE, ..Attributes::default() };
    // SAFETY: the kernel reads `size` bytes of `wanted`, which is what it has; it keeps no pointer.
    // A refusal changes nothing.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

/// Nothing to ask for here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn shorten() {}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::shorten;

    /// A thread that asked for it runs with a slice of 0.1 ms, where the kernel shows slices; its
    /// policy and its priority are what they were.
    #[test]
    fn a_thread_gets_a_short_slice_and_keeps_its_priority() {
        let of = |text: &str, name: &str| -> Option<u64> {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
            line.rsplit(':').next()?.trim().parse().ok()
        };
        let (before, after) = std::thread::spawn(|| {
            let read = || std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
            let before = read();
            shorten();
            (before, read())
        })
        .join()
        .unwrap();
        for kept in ["policy", "prio"] {
            assert_eq!(of(&before, kept), of(&after, kept), "{kept}");
        }
        if of(&before, "se.slice").is_some() {
            assert_eq!(of(&after, "se.slice"), Some(100_000));
        }
    }
}
