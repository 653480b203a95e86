//! `Writer`: the one write connection of the embedded store.

use std::path::Path;
use std::sync::Arc;

use flyball_writer::{NewRecord, Statement, Unit, UnitOutcome, Value, Writer};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyFloat, PyInt, PyString, PyTuple};

use crate::errors::{Process, StoreConflict, unavailable};
use crate::slice::shorten;

/// A record as Python hands it in: (task, kind, `at_ms`, body, sealed).
type RecordArgs = (Option<String>, String, i64, PyBackedBytes, Option<PyBackedBytes>);

/// The one write connection, on its own thread.
#[pyclass(name = "Writer", module = "flyball._core._native", frozen)]
pub(crate) struct PyWriter {
    pub(crate) writer: Arc<Writer>,
    process: Process,
}

#[pymethods]
impl PyWriter {
    #[new]
    #[pyo3(signature = (path, *, queue_limit = 65536))]
    fn new(py: Python<'_>, path: &str, queue_limit: usize) -> PyResult<Self> {
        let opened = py.detach(|| Writer::open_with(Path::new(path), queue_limit, shorten));
        let writer = opened.map_err(|fault| unavailable(&fault))?;
        Ok(Self { writer: Arc::new(writer), process: Process::this() })
    }

    fn commit(
        &self,
        py: Python<'_>,
        statements: Vec<(String, Vec<Bound<'_, PyAny>>, Option<u64>)>,
        records: Vec<RecordArgs>,
    ) -> PyResult<Vec<u64>> {
        self.process.check()?;
        let statements = statements
            .into_iter()
            .map(|(sql, params, expect)| Ok(Statement { sql, params: values(&params)?, expect }))
            .collect::<PyResult<_>>()?;
        let records = records
            .into_iter()
            .map(|(task, kind, at_ms, body, sealed)| NewRecord {
                task,
                kind,
                at_ms,
                body: body.to_vec(),
                sealed: sealed.map(|sealed| sealed.to_vec()),
            })
            .collect();
        match py.detach(|| self.writer.commit(Unit { statements, records })) {
            UnitOutcome::Durable(seqs) => Ok(seqs),
            UnitOutcome::Conflict(detail) => Err(StoreConflict::new_err(("conflict", detail))),
            UnitOutcome::Failed(fault) => Err(unavailable(&fault)),
        }
    }

    #[pyo3(signature = (sql, parameters, limit = 100_000))]
    fn query<'py>(
        &self,
        py: Python<'py>,
        sql: &str,
        parameters: Vec<Bound<'py, PyAny>>,
        limit: usize,
    ) -> PyResult<Vec<Bound<'py, PyTuple>>> {
        self.process.check()?;
        let params = values(&parameters)?;
        let rows = py.detach(|| self.writer.query(sql, &params, limit)).map_err(|fault| unavailable(&fault))?;
        rows.into_iter()
            .map(|row| {
                let cells = row.into_iter().map(|cell| python(py, cell));
                PyTuple::new(py, cells.collect::<PyResult<Vec<_>>>()?)
            })
            .collect()
    }

    fn head<'py>(&self, py: Python<'py>) -> PyResult<(u64, Bound<'py, PyBytes>)> {
        self.process.check()?;
        let head = self.writer.head();
        Ok((head.seq, PyBytes::new(py, &head.hash)))
    }

    fn stats_json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.process.check()?;
        Ok(PyBytes::new(py, self.writer.stats_json().as_bytes()))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.process.check()?;
        py.detach(|| self.writer.close());
        Ok(())
    }
}

/// SQL parameters from Python's values.
fn values(params: &[Bound<'_, PyAny>]) -> PyResult<Vec<Value>> {
    params.iter().map(value).collect()
}

fn value(any: &Bound<'_, PyAny>) -> PyResult<Value> {
    if any.is_none() {
        Ok(Value::Null)
    } else if let Ok(text) = any.cast::<PyString>() {
        Ok(Value::Text(text.to_str()?.to_owned()))
    } else if let Ok(bytes) = any.cast::<PyBytes>() {
        Ok(Value::Blob(bytes.as_bytes().to_vec()))
    } else if any.is_instance_of::<PyInt>() {
        Ok(Value::Integer(any.extract()?))
    } else if any.is_instance_of::<PyFloat>() {
        Ok(Value::Real(any.extract()?))
    } else {
        Err(PyTypeError::new_err("a parameter is None, int, float, str or bytes"))
    }
}

/// One cell of a row, as Python's value.
fn python(py: Python<'_>, cell: Value) -> PyResult<Bound<'_, PyAny>> {
    Ok(match cell {
        Value::Null => py.None().into_bound(py),
        Value::Integer(number) => number.into_pyobject(py)?.into_any(),
        Value::Real(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => PyString::new(py, &text).into_any(),
        Value::Blob(bytes) => PyBytes::new(py, &bytes).into_any(),
    })
}
