//! The content of `wsgi.input` where the application is called before it has arrived: waits for the client, detached.

use bytes::Bytes;
use farrier_http::{Error, Kind, StreamedBody};
use pyo3::exceptions::{PyConnectionResetError, PyOSError, PyTimeoutError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Most bytes that are taken at once when all that is left is asked for, or a line's end is looked for.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// Content that still arrives.
pub(crate) struct StreamedInput {
    body: Box<dyn StreamedBody>,
    /// What was taken to look for a line's end, and lies beyond it.
    ahead: Bytes,
}

impl StreamedInput {
    pub(crate) fn new(body: Box<dyn StreamedBody>) -> StreamedInput {
        StreamedInput { body, ahead: Bytes::new() }
    }

    /// `bytes_max` bytes, or all that is left; waits for them.
    pub(crate) fn read<'py>(&mut self, py: Python<'py>, bytes_max: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = bytes_max.unwrap_or(usize::MAX);
        let first = self.piece(py, wanted)?;
        if first.is_empty() || first.len() == wanted {
            return Ok(PyBytes::new(py, &first));
        }
        let mut content = first.to_vec();
        while content.len() < wanted {
            let piece = self.piece(py, wanted - content.len())?;
            if piece.is_empty() {
                break;
            }
            content.extend_from_slice(&piece);
        }
        Ok(PyBytes::new(py, &content))
    }

    /// What is there, up to `bytes_max` bytes; waits only where there is nothing.
    pub(crate) fn read1<'py>(&mut self, py: Python<'py>, bytes_max: usize) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.piece(py, bytes_max)?))
    }

    /// One line with its end, or `bytes_max` bytes of it.
    pub(crate) fn readline<'py>(&mut self, py: Python<'py>, bytes_max: Option<usize>) -> PyResult<Bound<'py, PyBytes>> {
        let wanted = bytes_max.unwrap_or(usize::MAX);
        let mut line = Vec::new();
        while line.len() < wanted {
            let mut piece = self.piece(py, wanted - line.len())?;
            if piece.is_empty() {
                break;
            }
            if let Some(at) = piece.iter().position(|&byte| byte == b'\n') {
                let beyond = piece.split_off(at + 1);
                line.extend_from_slice(&piece);
                self.put_back(beyond);
                break;
            }
            line.extend_from_slice(&piece);
        }
        Ok(PyBytes::new(py, &line))
    }

    /// Takes back the end of the last piece.
    fn put_back(&mut self, beyond: Bytes) {
        if self.ahead.is_empty() {
            self.ahead = beyond;
        } else if !beyond.is_empty() {
            self.ahead = [&beyond[..], &self.ahead[..]].concat().into();
        }
    }

    /// The next piece; empty at the end.
    fn piece(&mut self, py: Python<'_>, bytes_max: usize) -> PyResult<Bytes> {
        if bytes_max == 0 {
            return Ok(Bytes::new());
        }
        if !self.ahead.is_empty() {
            return Ok(self.ahead.split_to(bytes_max.min(self.ahead.len())));
        }
        loop {
            match self.body.take(bytes_max.min(PIECE_BYTES_MAX)) {
                Some(taken) => return taken.map_err(|error| raised(&error)),
                None => py.detach(|| self.body.wait()).map_err(|error| raised(&error))?,
            }
        }
    }
}

/// What the application meets when the content fails: always an `OSError`.
fn raised(error: &Error) -> PyErr {
    let cause = error.cause.to_string();
    match error.kind {
        Kind::ClientGone => PyConnectionResetError::new_err(cause),
        Kind::RequestTimeout => PyTimeoutError::new_err(cause),
        _ => PyOSError::new_err(cause),
    }
}
