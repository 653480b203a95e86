//! `HttpGateway`: the HTTP gateway, on threads of its own.

use flyball_httpgate::{Fault, Gateway};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use crate::core::PyCore;
use crate::edge::{places, renewals, start_code};
use crate::errors::{CoreError, Process};

/// The HTTP gateway.
#[pyclass(name = "HttpGateway", module = "flyball._core._native", frozen)]
pub(crate) struct PyHttpGateway {
    gateway: Gateway,
    process: Process,
}

fn refused(fault: &Fault) -> PyErr {
    let code = match fault {
        Fault::Start(error) => start_code(error),
        Fault::Upstream(_) | Fault::Upstreams(_) => "gateway_target",
        Fault::Authority(_) => "gateway_authority",
        Fault::Ticket(_) => "not_lent",
    };
    CoreError::new_err((code, fault.to_string()))
}

#[pymethods]
impl PyHttpGateway {
    #[new]
    fn new(core: &Bound<'_, PyCore>, config_json: &[u8]) -> PyResult<Self> {
        let core = core.get();
        core.process.check()?;
        let gateway = Gateway::new(&core.parts(), config_json).map_err(|fault| refused(&fault))?;
        Ok(Self { gateway, process: Process::this() })
    }

    fn start<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let bound = py.detach(|| self.gateway.start()).map_err(|fault| refused(&fault))?;
        Ok(PyBytes::new(py, &places(bound.into_iter().map(|place| ("", place)))))
    }

    fn renew<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        let found = py.detach(|| self.gateway.renew());
        Ok(PyBytes::new(py, &renewals(&found)))
    }

    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check()?;
        py.detach(|| self.gateway.stop());
        Ok(())
    }

    #[staticmethod]
    fn new_key() -> PyResult<String> {
        Gateway::new_key().map_err(|fault| refused(&fault))
    }

    fn know(&self, py: Python<'_>, upstreams_json: &[u8], key_pem: PyBackedStr) -> PyResult<Option<String>> {
        self.process.check()?;
        py.detach(|| self.gateway.know(upstreams_json, &key_pem)).map_err(|fault| refused(&fault))
    }

    fn lend(&self, task: &str, credential: &str, lease: &str, upstream: &str, secret: &str) -> PyResult<()> {
        self.process.check()?;
        self.gateway.lend(task, credential, lease, upstream, secret);
        Ok(())
    }

    fn take_back(&self, lease: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.gateway.take_back(lease))
    }

    fn lent(&self, task: &str, credential: &str) -> PyResult<Option<String>> {
        self.process.check()?;
        Ok(self.gateway.lent(task, credential))
    }

    fn ticket(&self, task: &str, credential: &str, ttl_ms: i64) -> PyResult<(String, String)> {
        self.process.check()?;
        let ticket = self.gateway.ticket(task, credential, ttl_ms).map_err(|fault| refused(&fault))?;
        Ok((ticket.name, ticket.secret.reveal().to_owned()))
    }
}

impl Drop for PyHttpGateway {
    /// A forked child has no threads to wait for, and the sockets are its parent's.
    fn drop(&mut self) {
        if self.process.check().is_err() {
            self.gateway.forget();
        }
    }
}
