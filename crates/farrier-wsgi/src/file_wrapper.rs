//! `wsgi.file_wrapper` (PEP 3333, "Optional Platform-Specific File Handling"): an iterable, which the kernel sends if
//! it wraps a regular file.
#![allow(unsafe_code, reason = "a descriptor that Python owns is borrowed for as long as it takes to duplicate it")]

use std::fs::File;
use std::os::fd::BorrowedFd;

use pyo3::prelude::*;

/// Wraps a file-like object.
#[pyclass(frozen, module = "farrier", name = "FileWrapper")]
pub(crate) struct FileWrapper {
    /// The wrapped object.
    #[pyo3(get)]
    filelike: Py<PyAny>,
    /// Bytes per read when it is iterated.
    #[pyo3(get)]
    block_size: usize,
}

/// A range of a regular file.
pub(crate) struct Stretch {
    pub(crate) file: File,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, block_size = 65536))]
    fn new(filelike: Py<PyAny>, block_size: usize) -> FileWrapper {
        FileWrapper { filelike, block_size: block_size.max(1) }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1("read", (self.block_size,))?;
        Ok(block.is_truthy()?.then_some(block))
    }

    /// Closes the wrapped object, if it can be closed.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt("close")? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}

impl FileWrapper {
    /// The rest of the file from its current position, if it is a regular file.
    pub(crate) fn stretch(&self, py: Python<'_>) -> Option<Stretch> {
        let filelike = plain_file(self.filelike.bind(py).clone())?;
        let descriptor: i32 = filelike.call_method0("fileno").ok()?.extract().ok()?;
        if descriptor < 0 {
            return None;
        }
        // The object's own position: a buffered reader's descriptor is ahead of the data that was read from it.
        let offset: u64 = filelike.call_method0("tell").ok()?.extract().ok()?;
        // SAFETY: the descriptor belongs to `filelike`, which is alive and cannot be closed while we are attached.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let file = File::from(borrowed.try_clone_to_owned().ok()?);
        let metadata = file.metadata().ok()?;
        if !metadata.is_file() {
            return None;
        }
        Some(Stretch { file, offset, bytes: metadata.len().saturating_sub(offset) })
    }
}

/// Wrappers around a file that do not change the data, by module and name; the wrapped object is their `file`.
const TRANSPARENT: [(&str, &str); 3] = [
    ("tempfile", "_TemporaryFileWrapper"),
    ("django.core.files.base", "File"),
    ("django.db.models.fields.files", "FieldFile"),
];

/// The file itself, if its `read` gives the same bytes as its descriptor. Anything else with a `fileno` (a compressed
/// file, a text stream, a subclass) may transform the data.
fn plain_file(filelike: Bound<'_, PyAny>) -> Option<Bound<'_, PyAny>> {
    let mut object = filelike;
    // Wrappers are not nested deeper than this in practice.
    for _ in 0..3 {
        let class = object.get_type();
        let (module, name) = (class.module().ok()?, class.name().ok()?);
        let (module, name) = (module.to_str().ok()?, name.to_str().ok()?);
        if module == "_io" && matches!(name, "BufferedReader" | "BufferedRandom" | "FileIO") {
            return Some(object);
        }
        if !TRANSPARENT.contains(&(module, name)) {
            return None;
        }
        object = object.getattr("file").ok()?;
    }
    None
}
