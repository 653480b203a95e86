//! The PyO3 shell.
use pyo3::prelude::*;

/// The decision plane, for `flyball._core` only.
#[pymodule]
fn _native(_m: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}
