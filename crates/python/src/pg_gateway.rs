//! `PgGateway`: the PostgreSQL gateway, on threads of its own.

use flyball_pggate::{Fault, Gateway, Place, TargetError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::PyBytes;

use crate::core::PyCore;
use crate::edge::{places, renewals, start_code};
use crate::errors::{CoreError, Process};

/// The PostgreSQL gateway.
#[pyclass(name = "PgGateway", module = "flyball._core._native", frozen)]
pub(crate) struct PyPgGateway {
    gateway: Gateway,
    process: Process,
}

fn refused(fault: &Fault) -> PyErr {
    let code = match fault {
        Fault::Start(error) => start_code(error),
        Fault::Target(_) => "gateway_target",
        Fault::Ticket(_) => "not_lent",
        Fault::Stopped => "gateway_stopped",
    };
    CoreError::new_err((code, fault.to_string()))
}

#[pymethods]
impl PyPgGateway {
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

    fn lend(
        &self,
        py: Python<'_>,
        task: &str,
        credential: &str,
        lease: &str,
        place_json: &[u8],
        secret: PyBackedStr,
    ) -> PyResult<()> {
        self.process.check()?;
        let wrong = |error: TargetError| refused(&Fault::Target(error));
        let place = Place::read(place_json).map_err(wrong)?;
        py.detach(|| self.gateway.lend(task, credential, lease, &place, &secret)).map_err(|fault| refused(&fault))
    }

    fn take_back(&self, lease: &str) -> PyResult<bool> {
        self.process.check()?;
        Ok(self.gateway.take_back(lease))
    }

    fn lent(&self, task: &str, credential: &str) -> PyResult<Option<String>> {
        self.process.check()?;
        Ok(self.gateway.lent(task, credential))
    }

    #[pyo3(signature = (task, credential, ttl_ms, renew = None))]
    fn ticket(
        &self,
        py: Python<'_>,
        task: &str,
        credential: &str,
        ttl_ms: i64,
        renew: Option<&str>,
    ) -> PyResult<(String, String)> {
        self.process.check()?;
        // What checks the secret takes some milliseconds to make.
        let ticket = py.detach(|| self.gateway.ticket(task, credential, renew, ttl_ms));
        let ticket = ticket.map_err(|fault| refused(&fault))?;
        Ok((ticket.name, ticket.secret.reveal().to_owned()))
    }
}

impl Drop for PyPgGateway {
    /// A forked child has no threads to wait for, and the sockets are its parent's.
    fn drop(&mut self) {
        if self.process.check().is_err() {
            self.gateway.forget();
        }
    }
}
