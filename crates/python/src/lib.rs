//! The `PyO3` shell: convert, call, map errors.

use pyo3::prelude::*;

/// A check allocates a few dozen small values, most of them in the policy engine; this halves what they cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod clock;
mod confine;
mod core;
mod edge;
mod errors;
mod http_gateway;
mod latency;
mod module;
mod pg_gateway;
mod settle;
mod slice;
mod taskless;
mod verdict;
mod writer;

/// The decision plane, for `flyball._core` only.
#[pymodule]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    errors::register(module)?;
    module.add_class::<writer::PyWriter>()?;
    module.add_class::<core::PyCore>()?;
    module.add_class::<verdict::PyVerdict>()?;
    module.add_function(wrap_pyfunction!(module::canonical, module)?)?;
    module.add_function(wrap_pyfunction!(module::build_info_json, module)?)?;
    module.add_function(wrap_pyfunction!(confine::confine_namespaces, module)?)?;
    module.add_function(wrap_pyfunction!(confine::confine_proc, module)?)?;
    module.add_function(wrap_pyfunction!(confine::confine_user, module)?)?;
    module.add_function(wrap_pyfunction!(confine::confine_files, module)?)?;
    module.add_function(wrap_pyfunction!(confine::confine_calls, module)?)?;
    module.add_class::<edge::PyEdge>()?;
    module.add_class::<pg_gateway::PyPgGateway>()?;
    module.add_class::<http_gateway::PyHttpGateway>()?;
    Ok(())
}
