//! `wsgi.early_hints`: an application names resources that its response will need, before it has the response (RFC 8297).

use farrier_http::{ResponseHead, SendError, Status};
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use crate::start_response::{add_fields, with_running};

/// The callable. One serves all requests of a seat: it finds the request that runs on the calling thread.
#[pyclass(frozen, module = "farrier", name = "EarlyHints")]
pub(crate) struct EarlyHints;

#[pymethods]
impl EarlyHints {
    /// Sends `103 Early Hints` at once with these headers, a list of tuples as for `start_response`. It has no effect
    /// for HTTP/1.0 clients, or after the response has begun.
    fn __call__(&self, headers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut head = ResponseHead::new(Status::EARLY_HINTS);
        add_fields(&mut head, headers)?;
        match with_running(|respond| respond.inform(&head)) {
            Some(Ok(()) | Err(SendError::Full)) => Ok(()),
            Some(Err(SendError::Gone)) => Err(PyConnectionError::new_err("the client has left")),
            None => Err(PyRuntimeError::new_err(
                "early hints must be sent on the thread of their request, before it has ended",
            )),
        }
    }
}
