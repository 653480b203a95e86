//! What the control plane is to hear of.

use std::collections::VecDeque;

use parking_lot::{Mutex, RwLock};

use crate::record::Body;
use crate::verdict::{Reaction, Reason};

/// Events that wait at most. Past it, those that changed nothing are dropped and counted; those that
/// did are always kept: there is at most one for each arrow of a live task.
const WAITING: usize = 65_536;

/// Called when there is an event; must not block.
pub type Waker = Box<dyn Fn() + Send + Sync>;

/// Events on their way out.
#[derive(Default)]
pub(crate) struct Events {
    waiting: Mutex<VecDeque<Vec<u8>>>,
    waker: RwLock<Option<Waker>>,
    dropped: std::sync::atomic::AtomicU64,
}

impl Events {
    /// A deviation and what it set off.
    pub(crate) fn deviation(&self, task: &str, decision: &str, reaction: Reaction, moved: bool, reasons: &[Reason]) {
        let mut body = Body::new(192);
        body.text("decision", decision);
        body.text("event", "deviation");
        body.text("reaction", reaction.as_str());
        body.list("reasons", reasons.iter().map(|reason| reason.as_str()));
        body.text("task", task);
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING && !moved {
            drop(waiting);
            self.dropped.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            return;
        }
        waiting.push_back(body.done());
        drop(waiting);
        if let Some(waker) = self.waker.read().as_ref() {
            waker();
        }
    }

    /// Take at most `most`.
    pub(crate) fn take(&self, most: usize) -> Vec<Vec<u8>> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(most);
        waiting.drain(..count).collect()
    }

    /// Who is told.
    pub(crate) fn set_waker(&self, waker: Waker) {
        *self.waker.write() = Some(waker);
    }

    /// Events dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(std::sync::atomic::Ordering::Relaxed)
    }
}
