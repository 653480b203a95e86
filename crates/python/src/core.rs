//! `Core`: the decision plane, for Python.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flyball_decision::{Call, LoadError, Plane, PlaneConfig, Refusal, Sink, Verdict};
use flyball_edge::Parts;
use flyball_writer::Home;
use parking_lot::{Condvar, Mutex};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;

use crate::clock::now;
use crate::errors::{CoreError, PolicyLoadError, Process};
use crate::latency::Latency;
use crate::settle::Nowhere;
use crate::slice::{gather, shorten};
use crate::taskless::Question;
use crate::verdict::PyVerdict;
use crate::writer::PyWriter;

/// Wakes the thread that waits for events.
#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

/// The decision plane.
#[pyclass(name = "Core", module = "flyball._core._native", frozen)]
pub(crate) struct PyCore {
    pub(crate) plane: Arc<Plane>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) max_wait: Duration,
    pub(crate) process: Process,
    bell: Arc<Bell>,
    latency: Latency,
}

pub(crate) fn refused(refusal: &Refusal) -> PyErr {
    CoreError::new_err((refusal.code, refusal.detail.clone()))
}

fn bad_bundle(py: Python<'_>, error: &LoadError) -> PyErr {
    let diagnostics = serde_json::to_vec(&error.diagnostics).unwrap_or_default();
    PolicyLoadError::new_err((error.code, error.detail.clone(), PyBytes::new(py, &diagnostics).unbind()))
}

impl PyCore {
    /// What the edge, or a gateway, works with.
    pub(crate) fn parts(&self) -> Parts {
        let (plane, sink) = (Arc::clone(&self.plane), Arc::clone(&self.sink));
        Parts { plane, sink, clock: now, max_wait: self.max_wait, prepare: shorten, prepare_for_many: gather }
    }
}

#[pymethods]
impl PyCore {
    #[new]
    #[pyo3(signature = (*, cell, node, epoch, deployment_key, writer = None, max_wait_ms = 2000))]
    fn new(
        cell: String,
        node: String,
        epoch: u32,
        deployment_key: &[u8],
        writer: Option<&Bound<'_, PyWriter>>,
        max_wait_ms: u64,
    ) -> PyResult<Self> {
        let deployment_key: [u8; 32] =
            deployment_key.try_into().map_err(|_| PyValueError::new_err("deployment_key is 32 bytes"))?;
        if epoch > i32::MAX.unsigned_abs() {
            return Err(PyValueError::new_err("epoch stays below 2**31"));
        }
        let sink: Arc<dyn Sink> = match writer {
            Some(writer) => {
                let writer = &writer.get().writer;
                writer.set_home(Home { cell: cell.clone(), node: node.clone(), epoch });
                Arc::clone(writer) as Arc<dyn Sink>
            }
            None => Arc::new(Nowhere),
        };
        let plane = Arc::new(Plane::new(PlaneConfig { cell, node, epoch, deployment_key }));
        let bell = Arc::new(Bell::default());
        let theirs = Arc::clone(&bell);
        plane.set_waker(Box::new(move || {
            *theirs.rung.lock() = true;
            theirs.ring.notify_one();
        }));
        let max_wait = Duration::from_millis(max_wait_ms);
        Ok(Self { plane, sink, max_wait, process: Process::this(), bell, latency: Latency::default() })
    }

    fn load<'py>(&self, py: Python<'py>, compiled_json: PyBackedBytes) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let report = py.detach(|| self.plane.load(&compiled_json)).map_err(|error| bad_bundle(py, &error))?;
        Ok(PyBytes::new(py, &serde_json::to_vec(&report).unwrap_or_default()))
    }

    #[staticmethod]
    fn validate(py: Python<'_>, compiled_json: PyBackedBytes) -> PyResult<Bound<'_, PyBytes>> {
        let report = py.detach(|| Plane::validate(&compiled_json)).map_err(|error| bad_bundle(py, &error))?;
        Ok(PyBytes::new(py, &serde_json::to_vec(&report).unwrap_or_default()))
    }

    fn open(&self, py: Python<'_>, spec_json: &[u8]) -> PyResult<()> {
        self.process.check()?;
        match self.plane.open(spec_json, now()).map_err(|refusal| refused(&refusal))? {
            Some(child) => self.note(py, Ok(child)).map(drop),
            None => Ok(()),
        }
    }

    fn restore(
        &self,
        py: Python<'_>,
        spec_json: PyBackedBytes,
        records: Vec<(PyBackedBytes, Option<PyBackedBytes>)>,
    ) -> PyResult<()> {
        self.process.check()?;
        let records: Vec<(&[u8], Option<&[u8]>)> =
            records.iter().map(|(body, sealed)| (body.as_ref(), sealed.as_ref().map(AsRef::as_ref))).collect();
        py.detach(|| self.plane.restore(&spec_json, &records, now())).map_err(|refusal| refused(&refusal))
    }

    fn set_counters(&self, counters: Vec<(String, String, i64)>) -> PyResult<()> {
        self.process.check()?;
        for (key, unit, used) in counters {
            self.plane.set_counter(&key, &unit, used);
        }
        Ok(())
    }

    #[pyo3(signature = (task, pep, action, resource_type, resource_id, args_json, *, binding = "inproc", wait = true))]
    #[allow(clippy::too_many_arguments)]
    fn check(
        &self,
        py: Python<'_>,
        task: &str,
        pep: &str,
        action: &str,
        resource_type: &str,
        resource_id: &str,
        args_json: &[u8],
        binding: &str,
        wait: bool,
    ) -> PyResult<PyVerdict> {
        self.process.check()?;
        let began = Instant::now();
        let call = Call { task, pep, binding, action, resource_type, resource_id, args: args_json };
        // With the interpreter held: it takes microseconds, and giving it away and getting it back
        // can take a switch interval each time.
        let checked = self.plane.check(&call, now());
        let verdict = self.settle(py, checked, wait);
        self.latency.add(began.elapsed());
        Ok(verdict.into())
    }

    fn evaluate(&self, py: Python<'_>, request_json: &[u8], pep: &str) -> PyResult<PyVerdict> {
        self.process.check()?;
        let Ok(question) = serde_json::from_slice::<Question<'_>>(request_json) else {
            return Ok(Verdict::refused(flyball_decision::Reason::Malformed).into());
        };
        let checked = self.plane.evaluate(&question.call(pep), now());
        Ok(self.settle(py, checked, true).into())
    }

    #[pyo3(signature = (task, pep, decision, result_json, meta_json = None))]
    #[allow(clippy::too_many_arguments)]
    fn report_result<'py>(
        &self,
        py: Python<'py>,
        task: &str,
        pep: &str,
        decision: &str,
        result_json: &[u8],
        meta_json: Option<&[u8]>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let noted = self.plane.report_result(task, pep, decision, result_json, meta_json.unwrap_or(b""), now());
        self.note(py, noted)
    }

    fn return_charge(&self, py: Python<'_>, task: &str, pep: &str, decision: &str) -> PyResult<()> {
        self.process.check()?;
        let draft = self.plane.return_charge(task, pep, decision, now());
        self.write(py, draft)
    }

    fn declare_plan(&self, py: Python<'_>, task: &str, plan_json: &[u8], by: &str) -> PyResult<()> {
        self.process.check()?;
        let noted = self.plane.declare_plan(task, plan_json, by, now());
        self.note(py, noted).map(drop)
    }

    fn settle_approval<'py>(
        &self,
        py: Python<'py>,
        task: &str,
        decision: &str,
        approved: bool,
        by: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let noted = self.plane.settle_approval(task, decision, approved, by, now());
        self.note(py, noted)
    }

    #[pyo3(signature = (task = None))]
    fn approvals<'py>(&self, py: Python<'py>, task: Option<&str>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        self.process.check()?;
        Ok(self.plane.approvals(task, now()).into_iter().map(|one| PyBytes::new(py, &one)).collect())
    }

    fn memory_json<'py>(&self, py: Python<'py>, task: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.process.check()?;
        Ok(self.plane.memory_json(task, now()).map(|json| PyBytes::new(py, &json)))
    }

    fn heartbeat(&self, task: &str) -> PyResult<i64> {
        self.process.check()?;
        self.plane.heartbeat(task, now()).map_err(|refusal| refused(&refusal))
    }

    fn deaf(&self, ms: i64) -> PyResult<()> {
        self.process.check()?;
        self.plane.deaf(ms);
        Ok(())
    }

    #[pyo3(signature = (limit = 1000))]
    fn due(&self, py: Python<'_>, limit: usize) -> PyResult<Vec<(String, &'static str)>> {
        self.process.check()?;
        let due = py.detach(|| self.plane.due(now(), limit));
        Ok(due.into_iter().map(|(task, why)| (task, why.as_str())).collect())
    }

    fn suspend(&self, task: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.plane.suspend(task))
    }

    fn park(&self, task: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.plane.park(task))
    }

    fn resume(&self, task: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.plane.resume(task))
    }

    fn freeze(&self, task: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.plane.freeze(task))
    }

    #[allow(unused_variables, reason = "the cause stands in the journal and the record, not in the plane")]
    fn fence(&self, task: &str, cause: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.plane.fence(task))
    }

    #[allow(unused_variables, reason = "see fence")]
    fn fence_agent(&self, agent: &str, cause: &str) -> PyResult<Vec<String>> {
        self.process.check()?;
        Ok(self.plane.fence_agent(agent))
    }

    #[allow(unused_variables, reason = "see fence")]
    fn fence_owner(&self, owner: &str, cause: &str) -> PyResult<Vec<String>> {
        self.process.check()?;
        Ok(self.plane.fence_owner(owner))
    }

    fn close(&self, py: Python<'_>, task: &str) -> PyResult<()> {
        self.process.check()?;
        if let Some(returning) = self.plane.returning(task, now()) {
            self.note(py, Ok(returning))?;
        }
        self.plane.close(task);
        Ok(())
    }

    #[pyo3(signature = (agent = None, owner = None))]
    fn tasks(&self, py: Python<'_>, agent: Option<&str>, owner: Option<&str>) -> PyResult<Vec<String>> {
        self.process.check()?;
        Ok(py.detach(|| self.plane.tasks(agent, owner)))
    }

    fn state_json<'py>(&self, py: Python<'py>, task: &str) -> PyResult<Option<Bound<'py, PyBytes>>> {
        self.process.check()?;
        Ok(self.plane.state_json(task, now()).map(|json| PyBytes::new(py, &json)))
    }

    fn drain_events<'py>(&self, py: Python<'py>, limit: usize, timeout_ms: u64) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        self.process.check()?;
        let mut events = self.plane.take_events(limit);
        if events.is_empty() && timeout_ms > 0 && limit > 0 {
            let until = Instant::now() + Duration::from_millis(timeout_ms);
            events = py.detach(|| {
                loop {
                    let events = self.plane.take_events(limit);
                    if !events.is_empty() {
                        return events;
                    }
                    let mut rung = self.bell.rung.lock();
                    while !*rung {
                        if self.bell.ring.wait_until(&mut rung, until).timed_out() {
                            return self.plane.take_events(limit);
                        }
                    }
                    *rung = false;
                }
            });
        }
        Ok(events.into_iter().map(|event| PyBytes::new(py, &event)).collect())
    }

    fn stats_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let mut stats = self.plane.stats_json();
        stats.pop();
        stats.extend_from_slice(format!(",{}}}", self.latency.members()).as_bytes());
        Ok(PyBytes::new(py, &stats))
    }
}
