//! The last record number of each task that was written lately.

use std::collections::HashMap;

use ahash::RandomState;

/// Tasks kept; beyond it the cache starts anew, and numbers are read from the database again.
const KEPT: usize = 1 << 18;

/// A bounded cache of the last `n` per task, which can take back the changes of one unit.
#[derive(Default)]
pub(crate) struct Numbers {
    last: HashMap<Box<str>, u64, RandomState>,
    undo: Option<Vec<(Box<str>, u64)>>,
}

impl Numbers {
    /// The last number of a task, where it is known.
    pub(crate) fn get(&self, task: &str) -> Option<u64> {
        self.last.get(task).copied()
    }

    /// Set a task's last number.
    pub(crate) fn set(&mut self, task: &str, n: u64) {
        if let Some(last) = self.last.get_mut(task) {
            if let Some(undo) = &mut self.undo {
                undo.push((task.into(), *last));
            }
            *last = n;
            return;
        }
        if self.last.len() >= KEPT && self.undo.is_none() {
            self.last.clear();
        }
        if let Some(undo) = &mut self.undo {
            undo.push((task.into(), n.saturating_sub(1)));
        }
        self.last.insert(task.into(), n);
    }

    /// Note changes from here, so that `rewind` can take them back.
    pub(crate) fn mark(&mut self) {
        self.undo = Some(Vec::new());
    }

    /// Keep the changes since `mark`.
    pub(crate) fn keep(&mut self) {
        self.undo = None;
    }

    /// Take back the changes since `mark`.
    pub(crate) fn rewind(&mut self) {
        for (task, n) in self.undo.take().unwrap_or_default().into_iter().rev() {
            self.last.insert(task, n);
        }
    }

    /// Forget everything: the database is read again.
    pub(crate) fn clear(&mut self) {
        self.last.clear();
        self.undo = None;
    }
}
