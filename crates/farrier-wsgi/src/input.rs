//! `wsgi.input` (PEP 3333, "Input and Error Streams"): the content of a request as a binary stream.
//!
//! Several threads of the application may read it: a thread that finds it busy waits detached. Otherwise the
//! reader could never attach again. No code of the application's runs while the lock is held: it could read the same stream.

use std::io::{Read, Seek, SeekFrom};
use std::sync::{Mutex, MutexGuard, PoisonError};

use farrier_http::{Body, Request};
use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyByteArray, PyBytes};

use crate::streamed_input::StreamedInput;

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
    /// It still arrives.
    Streamed(StreamedInput),
}

impl Input {
    /// The stream for a request's content, which it takes over.
    pub(crate) fn of(py: Python<'_>, request: &mut Request) -> Input {
        let content = match std::mem::take(&mut request.body) {
            Body::Empty => Content::Memory(PyBytes::new(py, b"").unbind()),
            Body::InArena(span) => Content::Memory(PyBytes::new(py, request.arena.slice(span)).unbind()),
            Body::Memory(bytes) => Content::Memory(PyBytes::new(py, &bytes).unbind()),
            Body::Spooled { file, bytes } => Content::Spooled(file, bytes),
            Body::Streamed(body) => Content::Streamed(StreamedInput::new(body)),
        };
        Input { state: Mutex::new(State { content, position: 0 }) }
    }

    /// A stream without content. It has no state, so requests may share it.
    pub(crate) fn empty(py: Python<'_>) -> Input {
        Input { state: Mutex::new(State { content: Content::Memory(PyBytes::new(py, b"").unbind()), position: 0 }) }
    }

    fn lock(&self, py: Python<'_>) -> MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Input {
    /// Up to `size` bytes; the whole rest if it is absent, `None` or negative.
    #[pyo3(signature = (size = None, /))]
    fn read<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.lock(py).read(py, size)
    }

    /// Up to `size` bytes of what is there: it waits only where nothing is.
    #[pyo3(signature = (size = None, /))]
    fn read1<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.lock(py).read1(py, size)
    }

    /// One line with its end, or up to `size` bytes of it.
    #[pyo3(signature = (size = None, /))]
    fn readline<'py>(&self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        self.lock(py).readline(py, size)
    }

    /// All lines that are left, or as many as it takes to reach `hint` bytes.
    #[pyo3(signature = (hint = None, /))]
    fn readlines<'py>(&self, py: Python<'py>, hint: Option<i64>) -> PyResult<Vec<Bound<'py, PyBytes>>> {
        let mut state = self.lock(py);
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
        let piece = self.lock(py).read(py, Some(room as i64))?;
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
    fn seek(&self, py: Python<'_>, offset: i64, whence: i32) -> PyResult<u64> {
        if !self.seekable(py) {
            // Without the lock: an import may run code of the application's, which may read this stream.
            let class = py.import("io")?.getattr("UnsupportedOperation")?;
            return Err(PyErr::from_value(class.call1(("the request's content is streamed and cannot be sought",))?));
        }
        self.lock(py).seek(py, offset, whence)
    }

    /// The position in bytes.
    fn tell(&self, py: Python<'_>) -> u64 {
        self.lock(py).position
    }

    fn readable(&self) -> bool {
        true
    }

    fn seekable(&self, py: Python<'_>) -> bool {
        !matches!(self.lock(py).content, Content::Streamed(_))
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
        let line = self.lock(py).readline(py, None)?;
        Ok((!line.as_bytes().is_empty()).then_some(line))
    }
}

impl State {
    fn total(&self, py: Python<'_>) -> u64 {
        match &self.content {
            Content::Memory(bytes) => bytes.bind(py).as_bytes().len() as u64,
            Content::Spooled(_, bytes) => *bytes,
            Content::Streamed(_) => u64::MAX,
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

    fn read1<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        match &mut self.content {
            Content::Streamed(input) => {
                let piece = input.read1(py, wanted(size).unwrap_or(usize::MAX))?;
                Ok(self.taken(piece))
            }
            Content::Memory(_) | Content::Spooled(..) => self.read(py, size),
        }
    }

    /// Moves the position behind what was taken.
    fn taken<'py>(&mut self, piece: Bound<'py, PyBytes>) -> Bound<'py, PyBytes> {
        self.position += piece.as_bytes().len() as u64;
        piece
    }

    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        if let Content::Streamed(input) = &mut self.content {
            let piece = input.read(py, wanted(size))?;
            return Ok(self.taken(piece));
        }
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
            Content::Streamed(input) => input.read(py, Some(count))?,
        };
        Ok(self.taken(piece))
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
            Content::Streamed(input) => input.readline(py, wanted(size))?,
        };
        Ok(self.taken(line))
    }

    fn seek(&mut self, py: Python<'_>, offset: i64, whence: i32) -> PyResult<u64> {
        let total = self.total(py);
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

/// A size as Python's streams take it: absent or negative is all.
fn wanted(size: Option<i64>) -> Option<usize> {
    size.and_then(|size| usize::try_from(size).ok())
}

fn line_length(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == b'\n').map(|at| at + 1)
}

fn spool_failed(error: std::io::Error) -> PyErr {
    PyOSError::new_err(format!("cannot read the request's content from its temporary file: {error}"))
}
