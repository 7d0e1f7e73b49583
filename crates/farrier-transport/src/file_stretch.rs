//! A stretch of a plain file to be sent to a client: by the kernel, or read in pieces. Sending never waits for the
//! disk, and never mixes two versions of the file.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

/// Bytes of a file given to a socket at a time before other connections get their turn.
const TURN_BYTES: u64 = 1 << 20;

/// Distance between the pages that are checked to find out whether a stretch is in memory: the kernel reads ahead at
/// least this much.
const PROBE_BYTES: u64 = 128 << 10;

/// Bytes that are read from the disk at a time when a stretch is not in memory.
const WARM_BYTES: u64 = 1 << 20;

/// Bytes beyond these that the kernel is asked to read ahead.
const AHEAD_BYTES: u64 = 4 << 20;

/// The unsent part of a file.
pub struct FileStretch {
    file: Arc<File>,
    offset: u64,
    bytes: u64,
    /// The version of the file that the response's head named, if it named one.
    version: Option<FileVersion>,
    /// Up to this offset the file is in memory, as far as is known.
    warm_until: u64,
}

/// Tells versions of an open file apart. (Its name may be removed or given to another file: that does no harm.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileVersion {
    bytes: i64,
    modified: (i64, i64),
}

/// The result of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Everything is sent.
    Done,
    /// There is more, and other connections get their turn first.
    Over,
    /// The socket takes no more now.
    Full,
    /// The next bytes are not in memory: [`FileStretch::take_cold`].
    Cold,
}

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes; 0 when everything is read.
    Bytes(usize),
    /// The next bytes are not in memory: [`FileStretch::take_cold`].
    Cold,
}

impl FileStretch {
    /// So many bytes from an offset on. `is_version`: the head has named a version (an entity tag), so that no other
    /// version may be sent.
    ///
    /// # Errors
    /// The file's version cannot be read.
    pub fn new(file: Arc<File>, offset: u64, bytes: u64, is_version: bool) -> io::Result<FileStretch> {
        let version = if is_version { Some(FileVersion::of(&file)?) } else { None };
        Ok(FileStretch { file, offset, bytes, version, warm_until: offset })
    }

    /// Bytes that are unsent.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Lets the kernel send what the socket takes, for one turn.
    ///
    /// # Errors
    /// The socket is broken, or the file has changed: the message must not look complete.
    pub fn send_to(&mut self, socket: impl AsFd) -> io::Result<Turn> {
        self.check_version()?;
        let mut turn_bytes = TURN_BYTES;
        while self.bytes > 0 {
            if turn_bytes == 0 {
                return Ok(Turn::Over);
            }
            let warm_bytes = self.warm_bytes(self.bytes.min(turn_bytes));
            if warm_bytes == 0 {
                return Ok(Turn::Cold);
            }
            match rustix::fs::sendfile(&socket, &self.file, Some(&mut self.offset), warm_bytes as usize) {
                // The file shrank.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.bytes = self.bytes.saturating_sub(sent as u64);
                    turn_bytes = turn_bytes.saturating_sub(sent as u64);
                }
                Err(Errno::AGAIN) => return Ok(Turn::Full),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Turn::Done)
    }

    /// Reads the next bytes, for connections whose bytes the kernel cannot send.
    ///
    /// # Errors
    /// The file cannot be read, or has changed: the message must not look complete.
    pub fn read_next(&mut self, into: &mut [u8]) -> io::Result<Piece> {
        self.check_version()?;
        let wanted = into.len().min(usize::try_from(self.bytes).unwrap_or(usize::MAX));
        if wanted == 0 {
            return Ok(Piece::Bytes(0));
        }
        let into = &mut into[..wanted];
        let may_wait = self.offset < self.warm_until;
        match read_at(&self.file, into, self.offset, may_wait)? {
            Some(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Some(count) => {
                self.offset += count as u64;
                self.bytes -= count as u64;
                Ok(Piece::Bytes(count))
            }
            None => Ok(Piece::Cold),
        }
    }

    /// Bytes that are unsent, limited to what fits in a `usize`.
    pub fn left_bytes(&self) -> usize {
        usize::try_from(self.bytes).unwrap_or(usize::MAX)
    }

    /// Takes what is to be read from the disk next, by a thread that may wait. Afterwards it counts as being in memory:
    /// nothing may be sent or read before [`ColdStretch::warm`] has returned.
    pub fn take_cold(&mut self) -> ColdStretch {
        let bytes = self.bytes.min(WARM_BYTES);
        self.warm_until = self.offset + bytes;
        ColdStretch { file: Arc::clone(&self.file), offset: self.offset, bytes }
    }

    fn check_version(&self) -> io::Result<()> {
        match self.version {
            Some(version) if FileVersion::of(&self.file)? != version => {
                Err(io::Error::other("the file was changed while it was sent"))
            }
            _ => Ok(()),
        }
    }

    /// How many of the next bytes are in memory, judged by some of their pages.
    fn warm_bytes(&mut self, wanted: u64) -> u64 {
        let end = self.offset + wanted;
        while self.warm_until < end {
            let from = self.warm_until.max(self.offset);
            let step_end = end.min((from / PROBE_BYTES + 1) * PROBE_BYTES);
            // The first page of the step and, if the stretch ends within it, the last.
            if !is_warm(&self.file, from) || (step_end == end && !is_warm(&self.file, end - 1)) {
                break;
            }
            self.warm_until = step_end;
        }
        self.warm_until.min(end).saturating_sub(self.offset)
    }
}

/// A stretch of a file that is not in memory.
pub struct ColdStretch {
    file: Arc<File>,
    offset: u64,
    bytes: u64,
}

impl ColdStretch {
    /// Brings it into memory. Waits for the disk.
    pub fn warm(&self) {
        // Reading works even where the advice fails.
        let ahead = std::num::NonZeroU64::new(self.bytes + AHEAD_BYTES);
        let _ = rustix::fs::fadvise(&self.file, self.offset, ahead, rustix::fs::Advice::WillNeed);
        let mut scratch = vec![0; PROBE_BYTES as usize];
        let (mut offset, end) = (self.offset, self.offset + self.bytes);
        while offset < end {
            let wanted = scratch.len().min((end - offset) as usize);
            // The thread that sends it gets the read error.
            match read_at(&self.file, &mut scratch[..wanted], offset, true) {
                Ok(Some(count @ 1..)) => offset += count as u64,
                _ => return,
            }
        }
    }
}

impl FileVersion {
    fn of(file: &File) -> io::Result<FileVersion> {
        let stat = rustix::fs::fstat(file)?;
        Ok(FileVersion { bytes: stat.st_size, modified: (stat.st_mtime, stat.st_mtime_nsec as i64) })
    }
}

/// Reads from a file at an offset. Without `may_wait`: `None` if the read would wait for the disk. If the file system
/// cannot tell, the read waits.
pub fn read_at(file: &File, into: &mut [u8], offset: u64, may_wait: bool) -> io::Result<Option<usize>> {
    let mut flags = if may_wait { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
    loop {
        return match rustix::io::preadv2(file, &mut [IoSliceMut::new(into)], offset, flags) {
            Ok(count) => Ok(Some(count)),
            Err(Errno::AGAIN) if !flags.is_empty() => Ok(None),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) if !flags.is_empty() => {
                flags = ReadWriteFlags::empty();
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

/// Whether the page of a byte is in memory. Also true if that is unknown, or if there is no such page.
fn is_warm(file: &File, offset: u64) -> bool {
    let read = rustix::io::preadv2(file, &mut [IoSliceMut::new(&mut [0])], offset, ReadWriteFlags::NOWAIT);
    read != Err(Errno::AGAIN)
}
