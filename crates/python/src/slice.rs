//! How the kernel schedules the threads that answer.
//!
//! Linux gives threads that compete for a processor slices of some milliseconds each. A thread whose
//! own slice is shorter is chosen sooner, and when it wakes it need not wait for the end of the
//! slice of one whose is longer. Its share of the processor stays the same: what decides comes
//! sooner, and what revokes loses nothing.
//!
//! A thread that answers a proxy on the same processor is better off without: woken by the first of
//! the proxy's requests it would stop the proxy before the second, and make each answer and each
//! record a portion of its own. Scheduled in batches it waits for its turn, and finds them all.

/// `struct sched_attr` in its first version (`sched_setattr(2)`).
#[cfg(target_os = "linux")]
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

/// Ask for short slices for the calling thread. A kernel that knows none goes on as it was.
#[cfg(target_os = "linux")]
pub(crate) fn shorten() {
    /// In nanoseconds; the least that Linux takes.
    const SLICE: u64 = 100_000;
    ask(Attributes { runtime: SLICE, ..Attributes::default() });
}

/// Have the calling thread wait for its turn when it wakes, rather than take it (`SCHED_BATCH`, `sched(7)`).
#[cfg(target_os = "linux")]
pub(crate) fn gather() {
    ask(Attributes { policy: libc::SCHED_BATCH.cast_unsigned(), ..Attributes::default() });
}

/// Ask for it, where the thread is scheduled in the ordinary way: another policy was chosen by somebody. The priority
/// stays what it is.
#[cfg(target_os = "linux")]
fn ask(mut wanted: Attributes) {
    let size = u32::try_from(size_of::<Attributes>()).unwrap_or_default();
    let mut now = Attributes::default();
    // SAFETY: the kernel writes at most `size` bytes, which is what `now` has; it keeps no pointer.
    let got = unsafe { libc::syscall(libc::SYS_sched_getattr, 0, &raw mut now, size, 0) };
    if got != 0 || now.policy != libc::SCHED_OTHER.cast_unsigned() {
        return;
    }
    (wanted.size, wanted.nice) = (size, now.nice);
    // SAFETY: the kernel reads `size` bytes of `wanted`, which is what it has; it keeps no pointer.
    // A refusal changes nothing.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

/// Nothing to ask for here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn shorten() {}

/// Nothing to ask for here.
#[cfg(not(target_os = "linux"))]
pub(crate) fn gather() {}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::{gather, shorten};

    fn of(text: &str, name: &str) -> Option<u64> {
        let line = text.lines().find(|line| line.split(':').next().is_some_and(|key| key.trim() == name))?;
        line.rsplit(':').next()?.trim().parse().ok()
    }

    /// What the kernel says of a thread before and after it asked for something.
    fn around(asking: fn()) -> (String, String) {
        std::thread::spawn(move || {
            let read = || std::fs::read_to_string("/proc/thread-self/sched").unwrap_or_default();
            let before = read();
            asking();
            (before, read())
        })
        .join()
        .unwrap()
    }

    /// A thread that asked for it runs with a slice of 0.1 ms, where the kernel shows slices; its
    /// policy and its priority are what they were.
    #[test]
    fn a_thread_gets_a_short_slice_and_keeps_its_priority() {
        let (before, after) = around(shorten);
        for kept in ["policy", "prio"] {
            assert_eq!(of(&before, kept), of(&after, kept), "{kept}");
        }
        if of(&before, "se.slice").is_some() {
            assert_eq!(of(&after, "se.slice"), Some(100_000));
        }
    }

    /// A thread that asked to wait for its turn is scheduled in batches; its priority is what it was. One that somebody
    /// has given another policy keeps that.
    #[test]
    fn a_thread_waits_for_its_turn_and_keeps_its_priority() {
        let (before, after) = around(gather);
        assert_eq!(of(&before, "prio"), of(&after, "prio"));
        let batch = u64::from(libc::SCHED_BATCH.cast_unsigned());
        if of(&before, "policy").is_some() {
            assert_eq!(of(&after, "policy"), Some(batch));
            let (_, after) = around(|| {
                gather();
                shorten();
            });
            assert_eq!(of(&after, "policy"), Some(batch));
        }
    }
}
