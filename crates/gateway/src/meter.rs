//! What came back through a gateway, counted while it passes.

use flyball_decision::Counted;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One budget of one task, shared by all of its sessions here: what one of them takes, the others do not have.
#[derive(Clone, Debug)]
pub struct Meter {
    passed: Arc<AtomicU64>,
    limit: u64,
}

impl Meter {
    /// Take `amount`; false where the budget does not reach, and from then on.
    pub fn take(&self, amount: u64) -> bool {
        // What did not fit counts too: a result that was cut ends the budget, and no smaller row slips after it.
        self.passed.fetch_add(amount, Relaxed).saturating_add(amount) <= self.limit
    }
}

/// By task and counter.
type Passed = ahash::AHashMap<(Box<str>, u16), Arc<AtomicU64>>;

/// The meters of all tasks here.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    all: Mutex<Passed>,
}

impl Meters {
    /// The meter of a budget. What others reported meanwhile counts as soon as it is more than what passed here.
    pub(crate) fn of(&self, task: &str, counted: Counted) -> Meter {
        let mut all = self.all.lock();
        let passed = all.entry((Box::from(task), counted.slot)).or_default();
        passed.fetch_max(counted.used, Relaxed);
        Meter { passed: Arc::clone(passed), limit: counted.limit }
    }

    /// The task is over.
    pub(crate) fn forget(&self, task: &str) {
        self.all.lock().retain(|(known, _), _| **known != *task);
    }
}
