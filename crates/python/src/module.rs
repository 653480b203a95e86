//! The module's functions.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// The canonical form of a JSON document.
#[pyfunction]
pub(crate) fn canonical<'py>(py: Python<'py>, value_json: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    flyball_decision::canonical(value_json)
        .map(|bytes| PyBytes::new(py, &bytes))
        .ok_or_else(|| PyValueError::new_err("this is not JSON, or not as we take it"))
}

/// How this module was built.
#[pyfunction]
pub(crate) fn build_info_json(py: Python<'_>) -> Bound<'_, PyBytes> {
    let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
    let info = serde_json::json!({"version": env!("CARGO_PKG_VERSION"), "profile": profile});
    PyBytes::new(py, info.to_string().as_bytes())
}
