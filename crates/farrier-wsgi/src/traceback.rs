//! Exceptions as text for the error log.

use pyo3::prelude::*;

/// The traceback as Python prints it; the exception's own text if even that fails.
pub(crate) fn text(py: Python<'_>, raised: &PyErr) -> String {
    let formatted = py.import("traceback").and_then(|module| {
        let lines = module.call_method1(
            "format_exception",
            (raised.get_type(py), raised.value(py), raised.traceback(py)),
        )?;
        lines.try_iter()?.map(|line| line?.extract::<String>()).collect::<PyResult<String>>()
    });
    formatted.unwrap_or_else(|_| raised.to_string())
}
