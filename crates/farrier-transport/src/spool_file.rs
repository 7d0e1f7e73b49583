//! Content on its way into a nameless file. The leader adds what arrives; only the disk thread waits for the disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farrier_http::{Error, Kind};

use crate::account::Kept;
use crate::nameless_file;
use crate::upload_budget::UploadBudget;

/// Bytes of a chunk that is appended to.
const CHUNK_BYTES: usize = 64 * 1024;

/// One request's content in a file, and the bytes still to be written to it.
pub struct Spool {
    state: Mutex<State>,
}

struct State {
    chunks: Vec<Chunk>,
    /// Bytes that wait, including those that are being written.
    waiting_bytes: usize,
    is_writing: bool,
    file: Option<File>,
    bytes: u64,
    fault: Option<io::Error>,
    /// What is counted against the limit for bytes that wait for the disk.
    disk: Kept,
}

/// Bytes that wait, and what they are counted in: memory, or the bytes that wait for the disk.
struct Chunk {
    bytes: Vec<u8>,
    kept: Kept,
    may_grow: bool,
}

/// A written file. Its disk space is counted until it is dropped.
pub struct SpoolFile {
    file: File,
    bytes: u64,
    _disk: Kept,
}

impl Spool {
    /// Starts with content that was in memory.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: the limit for all files is reached.
    pub fn begin(budget: &UploadBudget, content: Vec<u8>, kept: Kept) -> Result<Spool, Error> {
        let disk = budget.disk.try_keep(content.len() as u64).ok_or_else(disk_max_reached)?;
        let (bytes, waiting_bytes) = (content.len() as u64, content.len());
        let chunks =
            if content.is_empty() { Vec::new() } else { vec![Chunk { bytes: content, kept, may_grow: false }] };
        let (is_writing, file, fault) = (false, None, None);
        Ok(Spool { state: Mutex::new(State { chunks, waiting_bytes, is_writing, file, bytes, fault, disk }) })
    }

    /// Adds a piece, to be written later.
    ///
    /// # Errors
    /// [`Kind::NoRoom`]: the limit for all files is reached.
    pub fn add(&self, piece: &[u8], budget: &UploadBudget) -> Result<(), Error> {
        let mut state = self.state();
        if !state.disk.try_grow(piece.len() as u64) {
            return Err(disk_max_reached());
        }
        state.bytes += piece.len() as u64;
        state.waiting_bytes += piece.len();
        let full = |chunk: &&mut Chunk| chunk.may_grow && chunk.bytes.len() + piece.len() <= CHUNK_BYTES;
        match state.chunks.last_mut().filter(full) {
            Some(chunk) => {
                chunk.kept.grow(piece.len() as u64);
                chunk.bytes.extend_from_slice(piece);
            }
            None => {
                let mut kept = budget.waiting.keep_nothing();
                // It has arrived already; above the limit no more is read from the client.
                kept.grow(piece.len() as u64);
                state.chunks.push(Chunk { bytes: piece.to_vec(), kept, may_grow: true });
            }
        }
        Ok(())
    }

    /// Bytes that wait for the disk.
    pub fn waiting_bytes(&self) -> usize {
        self.state().waiting_bytes
    }

    /// Whether bytes are to be written and nobody is writing. If so, the caller is the one who writes from now on.
    pub fn begin_write(&self) -> bool {
        let mut state = self.state();
        let begins = !state.is_writing && !state.chunks.is_empty() && state.fault.is_none();
        state.is_writing |= begins;
        begins
    }

    /// Writes the bytes that wait. Waits for the disk.
    pub fn write(&self, directory: &Path) {
        let (chunks, file) = {
            let mut state = self.state();
            (std::mem::take(&mut state.chunks), state.file.take())
        };
        let written = file.map_or_else(|| nameless_file::create(directory), Ok).and_then(|mut file| {
            chunks.iter().try_for_each(|chunk| file.write_all(&chunk.bytes))?;
            Ok(file)
        });
        let bytes: usize = chunks.iter().map(|chunk| chunk.bytes.len()).sum();
        drop(chunks);
        let mut state = self.state();
        state.waiting_bytes -= bytes;
        state.is_writing = false;
        match written {
            Ok(file) => state.file = Some(file),
            Err(error) => state.fault = Some(error),
        }
    }

    /// Records that nothing can be written.
    pub fn fail(&self, error: io::Error) {
        let mut state = self.state();
        state.is_writing = false;
        state.fault = Some(error);
    }

    /// Returns the error of an earlier write, once.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn check(&self) -> io::Result<()> {
        self.state().fault.take().map_or(Ok(()), Err)
    }

    /// The file, when all is written.
    ///
    /// # Errors
    /// There is none.
    pub fn take_file(&self) -> io::Result<SpoolFile> {
        let mut state = self.state();
        let file = state.file.take().ok_or_else(|| io::Error::other("it was not written"))?;
        let disk = state.disk.split();
        Ok(SpoolFile { file, bytes: state.bytes, _disk: disk })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SpoolFile {
    /// Its length in bytes.
    pub fn written_bytes(&self) -> u64 {
        self.bytes
    }
}

impl Read for SpoolFile {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.file.read(into)
    }
}

impl Seek for SpoolFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn disk_max_reached() -> Error {
    Error::server(Kind::NoRoom, "request content has reached the limit for temporary files (see upload_disk_max)")
}
