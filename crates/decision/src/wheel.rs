//! When to look at which task. A task stands in one slot; a heartbeat moves nothing here: a task
//! whose slot has come is looked at, and put where its deadline has moved to.

use std::collections::BTreeMap;

/// Width of a slot in milliseconds: how late a deadline may be seen.
const SLOT_MS: i64 = 100;

/// Tasks by the time to look at them.
#[derive(Default)]
pub(crate) struct Wheel {
    slots: BTreeMap<i64, Vec<u128>>,
}

impl Wheel {
    /// Look at a task at `at_ms` of monotonic time, or just after.
    pub(crate) fn put(&mut self, at_ms: i64, task: u128) {
        self.slots.entry(at_ms.div_euclid(SLOT_MS) + 1).or_default().push(task);
    }

    /// A task whose time to be looked at has come.
    pub(crate) fn next(&mut self, now_ms: i64) -> Option<u128> {
        loop {
            let mut slot = self.slots.first_entry().filter(|slot| *slot.key() <= now_ms.div_euclid(SLOT_MS))?;
            if let Some(task) = slot.get_mut().pop() {
                return Some(task);
            }
            slot.remove();
        }
    }
}
