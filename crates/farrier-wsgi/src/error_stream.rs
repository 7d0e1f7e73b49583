//! `wsgi.errors` (PEP 3333, "environ Variables"): a text stream into the error log.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::traceback;

/// Where the bridge reports errors. The crate `farrier` connects it with the error log.
pub trait Diagnostics: Send + Sync {
    /// An application failed: the text is a traceback or a message.
    fn application_failed(&self, text: &str);
    /// A call of the application raised; the text says which. For logs that take the exception itself, not its text.
    fn application_raised(&self, py: Python<'_>, text: &str, raised: &PyErr) {
        self.application_failed(&format!("{text}\n{}", traceback::text(py, raised)));
    }
    /// The application broke a rule, and the server corrected it.
    fn application_warned(&self, text: &str);
    /// Writes a line in a process that the application has forked: the log's own threads do not run there.
    fn forked_process_ended(&self, text: &str);
    /// Text that the application itself writes.
    fn put(&self, text: &str);
}

/// The stream.
#[pyclass(frozen, module = "farrier", name = "ErrorStream")]
pub(crate) struct ErrorStream {
    diagnostics: Arc<dyn Diagnostics>,
}

impl ErrorStream {
    pub(crate) fn new(diagnostics: Arc<dyn Diagnostics>) -> ErrorStream {
        ErrorStream { diagnostics }
    }
}

#[pymethods]
impl ErrorStream {
    /// Writes text; returns the number of characters.
    fn write(&self, text: &str) -> usize {
        self.diagnostics.put(text);
        text.chars().count()
    }

    /// Writes each item of an iterable of text.
    fn writelines(&self, lines: &Bound<'_, PyAny>) -> PyResult<()> {
        for line in lines.try_iter()? {
            self.diagnostics.put(line?.extract::<&str>()?);
        }
        Ok(())
    }

    /// Does nothing: lines are written at once.
    fn flush(&self) {}

    #[getter]
    fn encoding(&self) -> &'static str {
        "utf-8"
    }

    fn isatty(&self) -> bool {
        false
    }

    fn writable(&self) -> bool {
        true
    }
}
