//! What the control plane is to hear of.

use std::collections::VecDeque;

use parking_lot::{Mutex, RwLock};

use crate::record::Body;
use crate::verdict::{Effect, Reaction, Reason};

/// Events that wait at most. Past it, those that changed nothing are dropped and counted; those that
/// did are always kept: there are only so many for each live task (arrows, open questions).
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
        self.put(body, moved);
    }

    /// Too many hard reactions of one profile in a minute: this one was a freeze, and a person must look.
    pub(crate) fn degraded(&self, profile: &str, task: &str, decision: &str) {
        let mut body = Body::new(192);
        body.text("decision", decision);
        body.text("event", "reactions_degraded");
        body.text("profile", profile);
        body.text("task", task);
        self.put(body, true);
    }

    /// A person is asked.
    pub(crate) fn approval_asked(&self, task: &str, decision: &str, kind: Effect) {
        let mut body = Body::new(192);
        body.text("decision", decision);
        body.text("event", "approval_asked");
        body.text("kind", kind.as_str());
        body.text("task", task);
        self.put(body, true);
    }

    /// A child was fenced with its parent.
    pub(crate) fn child_fenced(&self, task: &str, parent: &str) {
        let mut body = Body::new(128);
        body.text("event", "child_fenced");
        body.text("parent", parent);
        body.text("task", task);
        self.put(body, true);
    }

    /// A task ended without what its profile wants of it.
    pub(crate) fn must_missing(&self, task: &str, missing: &[&str]) {
        let mut body = Body::new(128);
        body.text("event", "must_missing");
        body.list("missing", missing.iter().copied());
        body.text("task", task);
        self.put(body, true);
    }

    /// Queue an event. One that must arrive is never dropped.
    fn put(&self, body: Body, must: bool) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING && !must {
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
