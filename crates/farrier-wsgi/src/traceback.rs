//! Exceptions as text for the error log.

use pyo3::prelude::*;
use pyo3::types::PyString;

/// The traceback as Python prints it; the exception's own text if even that fails.
pub fn text(py: Python<'_>, raised: &PyErr) -> String {
    let formatted = py.import("traceback").and_then(|module| {
        let lines =
            module.call_method1("format_exception", (raised.get_type(py), raised.value(py), raised.traceback(py)))?;
        // Lossy: an exception's text may hold surrogates.
        lines
            .try_iter()?
            .map(|line| Ok(line?.cast::<PyString>()?.to_string_lossy().into_owned()))
            .collect::<PyResult<String>>()
    });
    formatted.unwrap_or_else(|_| raised.to_string())
}
