//! `Edge`: AuthZEN over HTTP, on threads of its own.

use std::time::Duration;

use flyball_edge::{Bound as Place, Config, Edge, Renewed, Serves, StartError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use crate::core::PyCore;
use crate::errors::{CoreError, Process};

/// AuthZEN over HTTP.
#[pyclass(name = "Edge", module = "flyball._core._native", frozen)]
pub(crate) struct PyEdge {
    edge: Edge,
    process: Process,
}

fn refused(error: &StartError) -> PyErr {
    CoreError::new_err((start_code(error), error.to_string()))
}

/// One word for why a listener cannot start.
pub(crate) const fn start_code(error: &StartError) -> &'static str {
    match error {
        StartError::Config(_) => "edge_config",
        StartError::Listen { .. } => "edge_listen",
        StartError::Tls(_) => "edge_tls",
        StartError::Threads(_) => "edge_threads",
    }
}

/// Bound places, as JSON: each with what stands before its kind.
pub(crate) fn places(bound: impl Iterator<Item = (&'static str, Place)>) -> Vec<u8> {
    let places: Vec<serde_json::Value> = bound
        .map(|(serves, place)| {
            let (kind, at) = match place {
                Place::Tcp(addr) => ("tcp", addr.to_string()),
                Place::Tls(addr) => ("tls", addr.to_string()),
                Place::Unix(path) => ("unix", path.to_string_lossy().into_owned()),
            };
            let kind = format!("{serves}{kind}");
            serde_json::json!({ kind: at })
        })
        .collect();
    serde_json::to_vec(&places).unwrap_or_default()
}

/// What a look at certificates found, as JSON.
pub(crate) fn renewals(found: &[Renewed]) -> Vec<u8> {
    let all: Vec<serde_json::Value> = found
        .iter()
        .map(|one| serde_json::json!({"place": one.place.to_string(), "changed": one.changed, "problem": one.problem}))
        .collect();
    serde_json::to_vec(&all).unwrap_or_default()
}

/// A place, with what stands before its kind: nothing for AuthZEN.
fn named((place, serves): (Place, Serves)) -> (&'static str, Place) {
    (if serves == Serves::ExtAuthz { "ext_authz_" } else { "" }, place)
}

#[pymethods]
impl PyEdge {
    #[new]
    fn new(core: &Bound<'_, PyCore>, config_json: &[u8]) -> PyResult<Self> {
        let core = core.get();
        core.process.check()?;
        let config = Config::from_json(config_json).map_err(|error| refused(&error))?;
        Ok(Self { edge: Edge::new(core.parts(), config), process: Process::this() })
    }

    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let bound = py.detach(|| self.edge.start()).map_err(|error| refused(&error))?;
        Ok(PyBytes::new(py, &places(bound.into_iter().map(named))))
    }

    fn lend(&self, task: &str, credential: &str, lease: &str, secret: PyBackedStr) -> PyResult<()> {
        self.process.check()?;
        self.edge.lend(task, credential, lease, &secret);
        Ok(())
    }

    fn take_back(&self, lease: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.edge.take_back(lease))
    }

    fn lent(&self, task: &str, credential: &str) -> PyResult<Option<String>> {
        self.process.check()?;
        Ok(self.edge.lent(task, credential))
    }

    fn renew<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let found = py.detach(|| self.edge.renew());
        Ok(PyBytes::new(py, &renewals(&found)))
    }

    fn drain(&self) -> PyResult<()> {
        self.process.check()?;
        self.edge.drain();
        Ok(())
    }

    #[pyo3(signature = (drain_ms = 2000))]
    fn stop(&self, py: Python<'_>, drain_ms: u64) -> PyResult<()> {
        self.process.check()?;
        py.detach(|| self.edge.stop(Duration::from_millis(drain_ms)));
        Ok(())
    }
}

impl Drop for PyEdge {
    /// A forked child has no threads to wait for, and the sockets are its parent's.
    fn drop(&mut self) {
        if self.process.check().is_err() {
            self.edge.forget();
        }
    }
}
