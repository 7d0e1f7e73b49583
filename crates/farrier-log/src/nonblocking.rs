//! Writes to a descriptor without ever waiting for its reader, and without changing flags that other processes share.
//!
//! `O_NONBLOCK` belongs to the open file description, which a standard stream shares with the shell and the workers. So
//! a pipe or a terminal is opened a second time, and a socket gets a flag with each call.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::net::{SendFlags, send};

/// What a pipe takes whole or not at all, and without waiting once it reports room (pipe(7), PIPE_BUF).
const PIPE_BYTES: usize = 4096;

/// The second description of a pipe or terminal, once it is open.
#[derive(Debug, Default)]
pub(crate) struct NonBlocking {
    second: Option<Second>,
}

#[derive(Debug)]
struct Second {
    /// Device and number of the file, because a standard stream may be redirected later.
    file_id: (u64, u64),
    /// `None` if it could not be opened: its owner is another user.
    file: Option<File>,
}

impl NonBlocking {
    /// Writes as much as the descriptor takes now.
    ///
    /// # Errors
    /// `WouldBlock` if it takes nothing now; others if it never will.
    pub(crate) fn write(&mut self, fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
        let stat = fstat(fd)?;
        let written = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Socket => send(fd, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?,
            FileType::Fifo | FileType::CharacterDevice => match self.second(fd, (stat.st_dev, stat.st_ino)) {
                Some(file) => rustix::io::write(file, bytes)?,
                None => write_if_writable(fd, bytes)?,
            },
            // The kernel takes what a file gets; no reader is needed.
            _ => rustix::io::write(fd, bytes)?,
        };
        Ok(written)
    }

    fn second(&mut self, fd: BorrowedFd<'_>, file_id: (u64, u64)) -> Option<&File> {
        if self.second.as_ref().is_none_or(|second| second.file_id != file_id) {
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            let file = open(path, flags, Mode::empty()).ok().map(File::from);
            self.second = Some(Second { file_id, file });
        }
        self.second.as_ref().and_then(|second| second.file.as_ref())
    }
}

/// Waits until the descriptor takes more, at most this long.
pub(crate) fn wait_for_room(fd: BorrowedFd<'_>, patience: Duration) {
    let timeout = Timespec {
        tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: patience.subsec_nanos().into(),
    };
    // An error is EINTR: the caller looks at its deadline.
    let _ = poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::OUT)], Some(&timeout));
}

/// For a descriptor that cannot be opened again. Another process may take the room in between, but only for this piece.
fn write_if_writable(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&fd.as_fd(), PollFlags::OUT)], Some(&now))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    Ok(rustix::io::write(fd, &bytes[..bytes.len().min(PIPE_BYTES)])?)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_full_pipe_refuses_although_its_description_blocks() {
        let (mut read, write) = io::pipe().expect("made");
        let mut target = NonBlocking::default();
        let mut total = 0;
        let full = loop {
            match target.write(write.as_fd(), &[b'x'; 4096]) {
                Ok(count) => total += count,
                Err(error) => break error,
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        let flags = rustix::fs::fcntl_getfl(&write).expect("flags");
        assert!(!flags.contains(OFlags::NONBLOCK), "the shared description is as it was");
        drop((write, target));
        let mut all = Vec::new();
        read.read_to_end(&mut all).expect("read");
        assert_eq!(all.len(), total);
    }

    #[test]
    fn a_full_socket_refuses_although_it_blocks() {
        let (_reader, write) = UnixStream::pair().expect("made");
        let mut target = NonBlocking::default();
        let full = loop {
            if let Err(error) = target.write(write.as_fd(), &[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn without_a_second_description_a_full_pipe_is_seen_before_the_write() {
        let (_read, write) = io::pipe().expect("made");
        let full = loop {
            if let Err(error) = write_if_writable(write.as_fd(), &[b'x'; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn a_redirected_stream_is_opened_anew() {
        let (mut first_read, first) = io::pipe().expect("made");
        let (mut second_read, second) = io::pipe().expect("made");
        let mut target = NonBlocking::default();
        assert_eq!(target.write(first.as_fd(), b"one").expect("written"), 3);
        assert_eq!(target.write(second.as_fd(), b"two").expect("written"), 3);
        drop((first, second, target));
        let (mut one, mut two) = (String::new(), String::new());
        first_read.read_to_string(&mut one).expect("read");
        second_read.read_to_string(&mut two).expect("read");
        assert_eq!((one.as_str(), two.as_str()), ("one", "two"));
    }
}
