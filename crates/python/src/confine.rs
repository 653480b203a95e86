//! The steps of a confined start (crates/confine), for the launcher that takes them.

use std::path::PathBuf;

use flyball_confine::{Fault, Grants};
use pyo3::prelude::*;

use crate::errors::CoreError;

fn refused(fault: &Fault) -> PyErr {
    CoreError::new_err(("confine", fault.to_string()))
}

/// Leave the host's network, mounts, IPC and process table.
#[pyfunction]
pub(crate) fn confine_namespaces() -> PyResult<()> {
    flyball_confine::namespaces().map_err(|fault| refused(&fault))
}

/// See the processes of the own namespace alone.
#[pyfunction]
pub(crate) fn confine_proc() -> PyResult<()> {
    flyball_confine::own_proc().map_err(|fault| refused(&fault))
}

/// Become a user, for good.
#[pyfunction]
pub(crate) fn confine_user(uid: u32, gid: u32) -> PyResult<()> {
    flyball_confine::become_user(uid, gid).map_err(|fault| refused(&fault))
}

/// Give up all files and ports but these. False where the kernel keeps only a part of that.
#[pyfunction]
pub(crate) fn confine_files(read: Vec<PathBuf>, write: Vec<PathBuf>, connect: Vec<u16>) -> PyResult<bool> {
    flyball_confine::files_and_ports(&Grants { read, write, connect }).map_err(|fault| refused(&fault))
}

/// Refuse system calls that lead out.
#[pyfunction]
pub(crate) fn confine_calls() -> PyResult<()> {
    flyball_confine::system_calls().map_err(|fault| refused(&fault))
}
