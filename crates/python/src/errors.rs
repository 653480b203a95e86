//! The one place where refusals become Python exceptions. Each carries `(code, detail)`.

use flyball_writer::Fault;
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;

create_exception!(flyball._core._native, CoreError, PyException, "A call that could not be carried out.");
create_exception!(flyball._core._native, PolicyLoadError, CoreError, "A bundle that cannot be loaded.");
create_exception!(flyball._core._native, ForkedError, CoreError, "The process has forked since the core was made.");
create_exception!(flyball._core._native, StoreConflict, CoreError, "A guard of a unit of work did not hold.");
create_exception!(flyball._core._native, StoreUnavailable, CoreError, "The store could not make it durable.");

/// Add the exceptions to the module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("CoreError", py.get_type::<CoreError>())?;
    module.add("PolicyLoadError", py.get_type::<PolicyLoadError>())?;
    module.add("ForkedError", py.get_type::<ForkedError>())?;
    module.add("StoreConflict", py.get_type::<StoreConflict>())?;
    module.add("StoreUnavailable", py.get_type::<StoreUnavailable>())
}

/// A fault of the store, as Python sees it.
pub(crate) fn unavailable(fault: &Fault) -> PyErr {
    StoreUnavailable::new_err((fault.code(), fault.to_string()))
}

/// Remembers the process that made an object: its threads live there, and not in a forked child.
#[derive(Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    /// This process.
    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    /// Refuse every use after a fork.
    pub(crate) fn check(self) -> PyResult<()> {
        if self.0 == std::process::id() {
            return Ok(());
        }
        Err(ForkedError::new_err((
            "forked",
            "this process has forked since the object was made; make a new one after the fork",
        )))
    }
}
