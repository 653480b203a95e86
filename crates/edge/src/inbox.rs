//! Waiting for durability without blocking the runtime.
//!
//! The writer's thread settles a whole batch at once. Each answer goes into the worker's inbox; only
//! the first into an empty one wakes the runtime, which then wakes all that wait, on its own thread.
//! One system call for a batch instead of one for each decision.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The half that other threads hold.
pub(crate) struct Inbox<T> {
    settled: Mutex<Vec<(usize, T)>>,
    arrived: Notify,
}

enum Slot<T> {
    Free,
    Waiting(Option<Waker>),
    Settled(T),
    /// Nobody waits any more; the answer, when it comes, frees the slot.
    Abandoned,
}

/// The half that stays on the worker's thread: one slot for each decision that waits.
pub(crate) struct Slots<T> {
    slots: RefCell<(Vec<Slot<T>>, Vec<usize>)>,
    inbox: Arc<Inbox<T>>,
}

impl<T> Inbox<T> {
    /// Hand in an answer, from any thread.
    pub(crate) fn settle(&self, slot: usize, with: T) {
        let mut settled = self.settled.lock();
        let first = settled.is_empty();
        settled.push((slot, with));
        drop(settled);
        if first {
            self.arrived.notify_one();
        }
    }
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Rc<Self> {
        let inbox = Inbox { settled: Mutex::default(), arrived: Notify::new() };
        Rc::new(Self { slots: RefCell::default(), inbox: Arc::new(inbox) })
    }

    /// The half for other threads.
    pub(crate) fn inbox(&self) -> Arc<Inbox<T>> {
        Arc::clone(&self.inbox)
    }

    /// Take a slot for an answer that will come.
    pub(crate) fn reserve(self: &Rc<Self>) -> Awaited<T> {
        let (slots, free) = &mut *self.slots.borrow_mut();
        let at = free.pop().unwrap_or(slots.len());
        match slots.get_mut(at) {
            Some(slot) => *slot = Slot::Waiting(None),
            None => slots.push(Slot::Waiting(None)),
        }
        Awaited { slots: Rc::clone(self), at, done: false }
    }

    /// Hand out answers as they come, for ever.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut batch = Vec::new();
        loop {
            self.inbox.arrived.notified().await;
            std::mem::swap(&mut *self.inbox.settled.lock(), &mut batch);
            let (slots, free) = &mut *self.slots.borrow_mut();
            for (at, with) in batch.drain(..) {
                let Some(slot) = slots.get_mut(at) else { continue };
                match std::mem::replace(slot, Slot::Settled(with)) {
                    Slot::Waiting(Some(waker)) => waker.wake(),
                    Slot::Abandoned => {
                        *slot = Slot::Free;
                        free.push(at);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// An answer that will come.
pub(crate) struct Awaited<T> {
    slots: Rc<Slots<T>>,
    at: usize,
    done: bool,
}

impl<T> Awaited<T> {
    /// The slot's number, for `Inbox::settle`.
    pub(crate) fn slot(&self) -> usize {
        self.at
    }

    /// Wait for the answer. None only where it was already taken.
    pub(crate) async fn wait(mut self) -> Option<T> {
        let answer = poll_fn(|context| {
            let (slots, free) = &mut *self.slots.slots.borrow_mut();
            let Some(slot) = slots.get_mut(self.at) else { return Poll::Ready(None) };
            match std::mem::replace(slot, Slot::Free) {
                Slot::Settled(answer) => {
                    free.push(self.at);
                    Poll::Ready(Some(answer))
                }
                Slot::Waiting(_) => {
                    *slot = Slot::Waiting(Some(context.waker().clone()));
                    Poll::Pending
                }
                other => {
                    *slot = other;
                    Poll::Ready(None)
                }
            }
        })
        .await;
        self.done = true;
        answer
    }
}

impl<T> Drop for Awaited<T> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let (slots, free) = &mut *self.slots.slots.borrow_mut();
        if let Some(slot) = slots.get_mut(self.at) {
            if matches!(slot, Slot::Settled(_)) {
                *slot = Slot::Free;
                free.push(self.at);
            } else {
                *slot = Slot::Abandoned;
            }
        }
    }
}
