//! The way of a record through the sink, and the thread that waits for it.

use std::sync::Arc;
use std::time::Instant;

use flyball_decision::{Carried, Checked, Done, NotTaken, Noted, RecordDraft, Refusal, Sink, Verdict, Written};
use parking_lot::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::clock::now;
use crate::core::{PyCore, refused};
use crate::errors::StoreUnavailable;

/// Keeps nothing: for a core without a store, which decides in tests and for `flyball test`.
pub(crate) struct Nowhere;

impl Sink for Nowhere {
    fn submit(&self, draft: RecordDraft, done: Done) -> Result<(), NotTaken> {
        drop(draft);
        done(Written::Durable);
        Ok(())
    }
}

/// Where a thread waits for one verdict.
#[derive(Default)]
struct Waiting {
    verdict: Mutex<Option<Verdict>>,
    there: Condvar,
}

impl PyCore {
    /// Send a record on its way, and wait for it where it must be waited for.
    pub(crate) fn settle(&self, py: Python<'_>, mut checked: Checked, wait: bool) -> Verdict {
        if checked.record.is_some() && !checked.buffered && !wait {
            // Whoever cannot wait gets no allow without its record: undone, and refused.
            checked.record = None;
            return self.plane.release(checked, Written::Failed, now()).verdict;
        }
        let waiting = Arc::new(Waiting::default());
        let theirs = Arc::clone(&waiting);
        self.plane.settle(&self.sink, checked, now, move |verdict| {
            *theirs.verdict.lock() = Some(verdict);
            theirs.there.notify_one();
        });
        if let Some(verdict) = waiting.verdict.lock().take() {
            return verdict;
        }
        py.detach(|| {
            let until = Instant::now() + self.max_wait;
            let mut verdict = waiting.verdict.lock();
            loop {
                if let Some(verdict) = verdict.take() {
                    return verdict;
                }
                if waiting.there.wait_until(&mut verdict, until).timed_out() {
                    // Decided, perhaps durable, and not answered as an allow: what it charged stays spent.
                    return verdict.take().unwrap_or_else(|| {
                        self.plane.count_gap(flyball_decision::Reason::RecordFailed);
                        Verdict::refused(flyball_decision::Reason::RecordFailed)
                    });
                }
            }
        })
    }

    /// Write a record of the plane's and wait until it is durable.
    pub(crate) fn write(&self, py: Python<'_>, draft: Result<RecordDraft, Refusal>) -> PyResult<()> {
        let draft = draft.map_err(|refusal| refused(&refusal))?;
        durable(self.carry(py, draft))
    }

    /// Write a change's record, wait, and let the change count or be undone; what its caller is told.
    pub(crate) fn note<'py>(&self, py: Python<'py>, noted: Result<Noted, Refusal>) -> PyResult<Bound<'py, PyBytes>> {
        let noted = noted.map_err(|refusal| refused(&refusal))?;
        let limit = self.max_wait;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.plane.carry(&self.sink, noted, move |carried| tell.send(carried).unwrap_or_default());
        // Whoever stops waiting changes nothing: the change still counts when its record is durable.
        let carried = py.detach(move || told.recv_timeout(limit).unwrap_or(Carried::Lost(Written::Unknown)));
        match carried {
            Carried::Done(answer) => Ok(PyBytes::new(py, &answer)),
            Carried::Refused(refusal) => Err(refused(&refusal)),
            Carried::Lost(written) => durable(written).map(|()| PyBytes::new(py, b"")),
        }
    }

    fn carry(&self, py: Python<'_>, draft: RecordDraft) -> Written {
        let limit = self.max_wait;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let done: Done = Box::new(move |written| tell.send(written).unwrap_or_default());
        match self.sink.submit(draft, done) {
            Ok(()) => py.detach(move || told.recv_timeout(limit).unwrap_or(Written::Unknown)),
            Err(not) => not.into(),
        }
    }
}

fn durable(written: Written) -> PyResult<()> {
    match written {
        Written::Durable => Ok(()),
        other => Err(StoreUnavailable::new_err(("record_failed", format!("the record is not durable: {other:?}")))),
    }
}
