//! `farrier.send_trailers`: an application sends trailer fields after its response's content (RFC 9110 §6.5).
//! Gunicorn's name for it is `gunicorn.http2.send_trailers`.

use farrier_http::ResponseHead;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::start_response::{add_fields, refused, with_running};

/// Names that are forbidden in trailers, because they affect framing, routing or the handling of content (RFC 9110
/// §6.5.1).
const FORBIDDEN: [&[u8]; 12] = [
    b"authorization",
    b"cache-control",
    b"content-encoding",
    b"content-length",
    b"content-range",
    b"content-type",
    b"date",
    b"host",
    b"location",
    b"set-cookie",
    b"vary",
    b"www-authenticate",
];

/// The callable. One serves all requests of a seat: it finds the request that runs on the calling thread.
#[pyclass(frozen, module = "farrier", name = "SendTrailers")]
pub(crate) struct SendTrailers;

#[pymethods]
impl SendTrailers {
    /// Sets the trailers, a list of tuples as for `start_response`. A second call replaces the first.
    fn __call__(&self, trailers: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut fields = ResponseHead::default();
        fields.restart(b"200").map_err(refused)?;
        add_fields(&mut fields, trailers)?;
        let is_forbidden = |name: &[u8]| FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden));
        if fields.content_length().is_some() || fields.fields().any(|(name, _)| is_forbidden(name)) {
            return Err(PyValueError::new_err(
                "a trailer may not decide framing, routing or how content is dealt with (RFC 9110 section 6.5.1)",
            ));
        }
        with_running(|respond| respond.trailers(&fields)).ok_or_else(|| {
            PyRuntimeError::new_err("trailers must be given on the thread of their request, before it has ended")
        })
    }
}
