//! Bytes that the arbiter publishes to the processes that it forks, with a version number, in anonymous memory that was
//! shared before the first fork. Only the arbiter can write it.

use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, Mode, OFlags, fchmod, memfd_create, open};

/// Where the published bytes begin, behind the header: version, length, checksum.
const CONTENTS_AT: u64 = 32;

/// More than is ever published.
const CONTENTS_BYTES_MAX: u64 = 64 << 20;

/// The arbiter's end.
#[derive(Debug)]
pub struct Keyring {
    writer: RefCell<Option<File>>,
    reader: KeyringReader,
}

/// A worker's end.
#[derive(Debug, Clone)]
pub struct KeyringReader(Arc<File>);

impl Keyring {
    /// An empty keyring of version 0.
    ///
    /// # Errors
    /// No memory or no descriptor.
    pub fn new() -> io::Result<Keyring> {
        let memory = memfd_create("farrier-keyring", MemfdFlags::CLOEXEC)?;
        // A worker that has dropped its privileges cannot reopen it for writing.
        fchmod(&memory, Mode::RUSR)?;
        let reader = KeyringReader(Arc::new(File::from(read_only(&memory)?)));
        Ok(Keyring { writer: RefCell::new(Some(File::from(memory))), reader })
    }

    /// Publishes bytes; they replace the previous ones.
    ///
    /// # Errors There is no memory, or this process is not the arbiter.
    pub fn publish(&self, contents: &[u8]) -> io::Result<()> {
        let writer = self.writer.borrow();
        let Some(writer) = &*writer else { return Err(io::ErrorKind::PermissionDenied.into()) };
        let version = self.reader.version();
        // An odd number means that the contents are being written.
        writer.write_all_at(&(version | 1).to_le_bytes(), 0)?;
        writer.write_all_at(contents, CONTENTS_AT)?;
        let mut header = [0; CONTENTS_AT as usize];
        header[8..16].copy_from_slice(&(contents.len() as u64).to_le_bytes());
        header[16..24].copy_from_slice(&checksum(contents).to_le_bytes());
        writer.write_all_at(&header[8..], 8)?;
        writer.write_all_at(&((version | 1) + 1).to_le_bytes(), 0)?;
        writer.set_len(CONTENTS_AT + contents.len() as u64)
    }

    /// The end that workers read.
    pub fn reader(&self) -> KeyringReader {
        self.reader.clone()
    }

    /// Gives up the right to write, in a process that is not the arbiter.
    pub fn close_writer(&self) {
        *self.writer.borrow_mut() = None;
    }
}

impl AsFd for KeyringReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl KeyringReader {
    /// The number of the version that is published; 0 while nothing is.
    pub fn version(&self) -> u64 {
        self.number(0).unwrap_or(0)
    }

    /// The version that is published, and its number. `None` while another is being written.
    pub fn read(&self) -> Option<(u64, Vec<u8>)> {
        let version = self.version();
        let length = self.number(8)?;
        if version == 0 || version & 1 == 1 || length > CONTENTS_BYTES_MAX {
            return None;
        }
        let sum = self.number(16)?;
        let mut contents = vec![0; length as usize];
        self.0.read_exact_at(&mut contents, CONTENTS_AT).ok()?;
        (self.version() == version && checksum(&contents) == sum).then_some((version, contents))
    }

    fn number(&self, at: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.0.read_exact_at(&mut bytes, at).ok()?;
        Some(u64::from_le_bytes(bytes))
    }
}

fn read_only(memory: &OwnedFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(memory));
    match open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(reader) => Ok(reader),
        // Without /proc the workers read through the arbiter's descriptor.
        Err(_) => memory.try_clone(),
    }
}

/// FNV-1a, to detect bytes that were only partly written.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_bytes_are_read_until_they_are_replaced() {
        let keyring = Keyring::new().expect("memory");
        let reader = keyring.reader();
        assert_eq!((reader.version(), reader.read()), (0, None));
        keyring.publish(b"one").expect("is writable");
        let (first, contents) = reader.read().expect("is published");
        assert_eq!(contents, b"one");
        keyring.publish(b"").expect("is writable");
        let (second, contents) = reader.read().expect("is published");
        assert_eq!(contents, b"");
        assert!(second > first && second == reader.version());
    }

    #[test]
    fn the_readers_end_cannot_be_written() {
        let keyring = Keyring::new().expect("memory");
        assert!(keyring.reader().0.write_at(b"x", 0).is_err());
    }

    #[test]
    fn a_process_that_gave_up_writing_cannot_publish() {
        let keyring = Keyring::new().expect("memory");
        keyring.close_writer();
        assert!(keyring.publish(b"x").is_err());
    }
}
