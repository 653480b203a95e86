//! The PyO3 shell: convert, call, map errors.

use pyo3::prelude::*;

mod errors;
mod writer;

/// The decision plane, for `flyball._core` only.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    module.add_class::<writer::PyWriter>()?;
    // Names whose classes are still to be registered here, so that the door can be imported.
    for name in ["Core", "Edge", "Verdict", "build_info_json"] {
        module.add(name, module.py().None())?;
    }
    Ok(())
}
