//! From a refusal of the core to its Python exception.

use crate::error::StsError;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;

static CLASSES: PyOnceLock<Py<PyTuple>> = PyOnceLock::new();

/// The exception classes of `sts_core.errors`, in the order of [`StsError::CODES`].
fn classes(py: Python<'_>) -> PyResult<&Bound<'_, PyTuple>> {
    let held = CLASSES.get_or_try_init(py, || {
        let refusals = py.import("sts_core.errors")?.getattr("REFUSALS")?;
        Ok::<_, PyErr>(refusals.cast_into::<PyTuple>()?.unbind())
    })?;
    Ok(held.bind(py))
}

/// The exception object of a refusal, to be raised or put in a list.
pub(super) fn exception(py: Python<'_>, error: StsError) -> PyResult<Bound<'_, PyAny>> {
    let code = error.code();
    let place = StsError::CODES.iter().position(|known| *known == code);
    let place = place.ok_or_else(|| PyRuntimeError::new_err(code))?;
    classes(py)?.get_item(place)?.call1((error.to_string(),))
}

impl From<StsError> for PyErr {
    fn from(error: StsError) -> Self {
        Python::attach(|py| match exception(py, error) {
            Ok(raised) => Self::from_value(raised),
            Err(trouble) => trouble,
        })
    }
}

/// The stable codes of all refusals of the core.
#[pyfunction]
pub(super) fn refusal_codes() -> Vec<&'static str> {
    StsError::CODES.to_vec()
}

/// The sentence of the refusal that has no facts of its own; for tests of the table of classes.
#[pyfunction]
pub(super) fn refusal(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    exception(py, StsError::CrcMismatch)
}
