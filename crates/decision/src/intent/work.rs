//! A bound on the work of one check.

/// Comparisons that one check makes at most: some tens of milliseconds.
const MOST: usize = 4_000_000;

/// What is left of a check's work.
#[derive(Debug)]
pub(super) struct Work {
    left: usize,
}

impl Work {
    /// All of it.
    pub(super) const fn new() -> Self {
        Self { left: MOST }
    }

    /// Spend some; `None`: there is not so much left, and nothing more is done.
    pub(super) fn spend(&mut self, steps: usize) -> Option<()> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or(0);
        left.map(|_| ())
    }

    /// Whether nothing is left.
    pub(super) const fn spent(&self) -> bool {
        self.left == 0
    }
}
