//! `wsgi.input` (PEP 3333, "Input and Error Streams"): the buffered content of a request as a binary stream.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farrier_http::{Body, Request};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

/// Bytes per read from a spooled body when searching for a line end.
const LINE_PIECE_BYTES: usize = 8192;

/// The stream. Reading past the end always gives `b''`.
#[pyclass(frozen, module = "farrier", name = "Input")]
pub(crate) struct Input {
    state: Mutex<State>,
}

struct State {
    content: Content,
    position: u64,
}

enum Content {
    /// In memory; if it is read at once, it is returned without a copy.
    Memory(Py<PyBytes>),
    /// In an unlinked file of this many bytes.
    Spooled(Box<dyn farrier_http::body::ReadSeek>, u64),
}

impl Input {
    /// The stream for a request's content, which it takes over.
    pub(crate) fn of(py: Python<'_>, request: &mut Request) -> Input {
        let content = match std::mem::take(&mut request.body) {
            Body::Empty => Content::Memory(PyBytes::new(py, b"").unbind()),
            Body::InArena(span) => Content::Memory(PyBytes::new(py, request.arena.slice(span)).unbind()),
            Body::Memory(bytes) => Content::Memory(PyBytes::new(py, &bytes).unbind()),
            Body::Spooled { file, bytes } => Content::Spooled(file, bytes),
        };
        Input { state: Mutex::new(State { content, position: 0 }) }
    }

    /// A stream without content. It has no state, so requests may share it.
    pub(crate) fn empty(py: Python<'_>) -> Input {
        Input { state: Mutex::new(State { content: Content::Memory(PyBytes::new(py, b"").unbind()), position: 0 }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Input {
    /// Up to `size` bytes; the whole rest if it is absent, `None` or negative.
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.lock().read(py, size)
    }

    /// One line with its end, or up to `size` bytes of it.
    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.lock().readline(py, size)
    }

    /// All lines that are left, or as many as it takes to reach `hint` bytes.
    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let mut state = self.lock();
        let enough = hint.filter(|&hint| hint > 0).map(|hint| hint as usize);
        let (mut lines, mut total) = (Vec::new(), 0);
        loop {
            let line = state.readline(py, None)?;
            let bytes = line.as_bytes().len();
            if bytes == 0 {
                return Ok(lines);
            }
            lines.push(line);
            total += bytes;
            if enough.is_some_and(|enough| total >= enough) {
                return Ok(lines);
            }
        }
    }

    /// Reads into a writable bytearray; returns the number of bytes.
    fn readinto(&self, py: Python<'_>, buffer: &Bound<'_, PyAny>) -> PyResult<usize> {
        let room = buffer.len()?;
        let piece = self.lock().read(py, Some(room as i64))?;
        let bytes = piece.as_bytes().len();
        if let Ok(array) = buffer.cast::<PyByteArray>() {
            array.set_item(pyo3::types::PySlice::new(py, 0, bytes as isize, 1), &piece)?;
        } else {
            let view = py.import("builtins")?.getattr("memoryview")?.call1((buffer,))?;
            view.set_item(pyo3::types::PySlice::new(py, 0, bytes as isize, 1), &piece)?;
        }
        Ok(bytes)
    }

    /// Moves the position, as `io` streams do; returns the new one.
    #[pyo3(signature = (offset, whence = 0, /))]
    fn seek(&self, offset: i64, whence: i32) -> PyResult<u64> {
        self.lock().seek(offset, whence)
    }

    /// The position in bytes.
    fn tell(&self) -> u64 {
        self.lock().position
    }

    fn readable(&self) -> bool {
        true
    }

    fn seekable(&self) -> bool {
        true
    }

    fn writable(&self) -> bool {
        false
    }

    /// Does nothing: the server closes the stream (PEP 3333).
    fn close(&self) {}

    #[getter]
    fn closed(&self) -> bool {
        false
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let line = self.lock().readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}

impl State {
    fn total(&self, py: Python<'_>) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.bind(py).as_bytes().len() as u64,
            Content::Spooled(_, bytes) => *bytes,
        }
    }

    /// How many bytes a request for `size` may get.
    fn allowed(&self, py: Python<'_>, size: Option<i64>) -> usize {
        let left = self.total(py).saturating_sub(self.position);
        match size {
            Some(size) if size >= 0 => left.min(size as u64) as usize,
            _ => left as usize,
        }
    }

    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let count = self.allowed(py, size);
        let start = self.position as usize;
        let piece = match &mut self.content {
            Content::Memory(bytes) => {
                let bytes = bytes.bind(py);
                if start == 0 && count == bytes.as_bytes().len() {
                    bytes.clone()
                } else {
                    PyBytes::new(py, bytes.as_bytes().get(start..start + count).unwrap_or_default())
                }
            }
            Content::Spooled(file, _) => PyBytes::new_with(py, count, |buffer| {
                // Other Python threads run while the file is read.
                py.detach(|| file.read_exact(buffer)).map_err(spool_failed)
            })?,
        };
        self.position += count as u64;
        Ok(piece)
    }

    fn readline<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let allowed = self.allowed(py, size);
        let start = self.position as usize;
        let line = match &mut self.content {
            Content::Memory(bytes) => {
                let rest = bytes.bind(py).as_bytes().get(start..start + allowed).unwrap_or_default();
                PyBytes::new(py, &rest[..line_length(rest).unwrap_or(rest.len())])
            }
            Content::Spooled(file, _) => {
                let mut line = Vec::new();
                while line.len() < allowed {
                    let before = line.len();
                    let wanted = LINE_PIECE_BYTES.min(allowed - before);
                    line.resize(before + wanted, 0);
                    file.read_exact(&mut line[before..]).map_err(spool_failed)?;
                    if let Some(length) = line_length(&line[before..]) {
                        line.truncate(before + length);
                        break;
                    }
                }
                file.seek(SeekFrom::Start(self.position + line.len() as u64)).map_err(spool_failed)?;
                PyBytes::new(py, &line)
            }
        };
        self.position += line.as_bytes().len() as u64;
        Ok(line)
    }

    fn seek(&mut self, offset: i64, whence: i32) -> PyResult<u64> {
        let total = Python::attach(|py| self.total(py));
        let base = match whence {
            0 => 0,
            1 => self.position as i64,
            2 => total as i64,
            _ => return Err(PyValueError::new_err(format!("whence must be 0, 1 or 2, not {whence}"))),
        };
        let position = base
            .checked_add(offset)
            .filter(|&position| position >= 0)
            .ok_or_else(|| PyValueError::new_err("the position must not be negative"))?;
        self.position = (position as u64).min(total);
        if let Content::Spooled(file, _) = &mut self.content {
            file.seek(SeekFrom::Start(self.position)).map_err(spool_failed)?;
        }
        Ok(self.position)
    }
}

fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1)
}

fn spool_failed(error: std::io::Error) -> PyErr {
    PyOSError::new_err(format!("cannot read the request's content from its temporary file: {error}"))
}
