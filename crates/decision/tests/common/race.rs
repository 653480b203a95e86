//! Threads that check and release while another fences.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "mod.rs"]
mod kit;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use flyball_decision::{Reason, Written};

#[derive(Default, Debug)]
pub struct Seen {
    pub checks: u64,
    pub fences: u64,
    /// Allowed, begun before the fence had returned.
    pub before: u64,
    /// Released as allowed although the fence had returned before the release began: must be none.
    pub after: u64,
    /// Decided allow, answered deny.
    pub overtaken: u64,
}

/// Race at least `checks` checks on `threads` threads; a task is fenced after some hundred of them.
pub fn race(checks: u64, threads: usize) -> Seen {
    let plane = kit::loaded(&[kit::profile("freeze")], &[]);
    let count = u32::try_from(checks / 300 + 1).unwrap();
    let ids: Vec<String> = (0..count).map(|number| kit::open(&plane, number, "freeze")).collect();
    let fenced: Vec<AtomicBool> = ids.iter().map(|_| AtomicBool::new(false)).collect();
    let current = AtomicU32::new(0);
    let (done, before, after, overtaken) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (plane, ids, fenced, current) = (&plane, &ids, &fenced, &current);
            let (done, before, after, overtaken) = (&done, &before, &after, &overtaken);
            scope.spawn(move || {
                while done.fetch_add(1, Ordering::Relaxed) < checks {
                    let at = (current.load(Ordering::Relaxed) % count) as usize;
                    let mut checked = plane.check(&kit::select(&ids[at], "orders.public.orders"), kit::NOW);
                    checked.record = None;
                    if thread == 0 {
                        // Widens the gap in which a record would be on its way to the disk.
                        std::thread::yield_now();
                    }
                    // Read first: whoever sees it set here began its release after the fence returned.
                    let was_fenced = fenced[at].load(Ordering::SeqCst);
                    let verdict = plane.release(checked, Written::Durable, kit::NOW).verdict;
                    if verdict.allowed() {
                        if was_fenced { after } else { before }.fetch_add(1, Ordering::Relaxed);
                    } else if verdict.reasons[0] == Reason::OvertakenByFence {
                        overtaken.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        scope.spawn(|| {
            for at in 0..count {
                current.store(at, Ordering::Relaxed);
                let turn = u64::from(at + 1) * 300;
                while done.load(Ordering::Relaxed) < turn.min(checks) {
                    std::hint::spin_loop();
                }
                assert!(plane.fence(&ids[at as usize]));
                fenced[at as usize].store(true, Ordering::SeqCst);
            }
        });
    });
    Seen {
        checks: done.into_inner(),
        fences: u64::from(count),
        before: before.into_inner(),
        after: after.into_inner(),
        overtaken: overtaken.into_inner(),
    }
}
