//! `Verdict`: what a check answered.

use flyball_decision::Verdict;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// What a check answered, and why.
#[pyclass(name = "Verdict", module = "flyball._core._native", frozen)]
pub(crate) struct PyVerdict {
    verdict: Verdict,
}

impl From<Verdict> for PyVerdict {
    fn from(verdict: Verdict) -> Self {
        Self { verdict }
    }
}

#[pymethods]
impl PyVerdict {
    #[getter]
    fn effect(&self) -> &'static str {
        self.verdict.effect.as_str()
    }

    #[getter]
    fn reasons<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.verdict.reasons.iter().map(|reason| reason.as_str()))
    }

    #[getter]
    fn decision(&self) -> &str {
        &self.verdict.decision
    }

    #[getter]
    fn digest(&self) -> &str {
        &self.verdict.digest
    }

    #[getter]
    fn policies<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.verdict.policies.iter().map(AsRef::as_ref as fn(&std::sync::Arc<str>) -> &str))
    }

    #[getter]
    fn reaction(&self) -> Option<&'static str> {
        self.verdict.reaction.map(flyball_decision::Reaction::as_str)
    }

    #[getter]
    fn approval(&self) -> Option<&str> {
        self.verdict.approval.as_deref()
    }

    fn __repr__(&self) -> String {
        let reasons: Vec<&str> = self.verdict.reasons.iter().map(|reason| reason.as_str()).collect();
        format!("Verdict(effect={:?}, reasons={reasons:?}, decision={:?})", self.effect(), self.verdict.decision)
    }
}
