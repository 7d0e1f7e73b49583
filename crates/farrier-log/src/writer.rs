//! Writes log lines into a file or a standard stream.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::stdio::{dup2_stderr, dup2_stdout};

use super::nonblocking::{NonBlocking, wait_for_room};
use super::outbox::{Outbox, Sink};

/// The target of log lines.
#[derive(Debug, Clone)]
pub enum Target {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// A duplicate of a standard stream, made before the process redirected the stream itself.
    Kept(Arc<File>),
    /// A file; lines are appended to it.
    File(PathBuf),
    /// A file that also replaces the process's standard output and standard error each time it is opened.
    Capturing(PathBuf),
}

impl Target {
    /// Opens the target and closes it again, to find an error before another process needs it.
    ///
    /// # Errors
    /// The file cannot be created or opened for appending. The message names it.
    pub fn check(&self) -> io::Result<()> {
        match self {
            Target::File(path) | Target::Capturing(path) => open_append(path).map(drop),
            Target::Stderr | Target::Stdout | Target::Kept(_) => Ok(()),
        }
    }

    /// Opens the target.
    ///
    /// # Errors
    /// The file cannot be created or opened for appending. The message names it.
    fn open(&self) -> io::Result<Open> {
        Ok(match self {
            Target::Stderr => Open::Stderr(io::stderr()),
            Target::Stdout => Open::Stdout(io::stdout()),
            Target::Kept(file) => Open::File(Arc::clone(file)),
            Target::File(path) => Open::File(Arc::new(open_append(path)?)),
            Target::Capturing(path) => {
                let file = open_append(path)?;
                dup2_stdout(&file)?;
                dup2_stderr(&file)?;
                Open::File(Arc::new(file))
            }
        })
    }

    /// An outbox that writes each line at once, as far as the target takes it. Up to `bytes_max` bytes wait for room.
    ///
    /// # Errors
    /// The target cannot be opened.
    pub fn direct(self, bytes_max: usize) -> io::Result<Outbox> {
        Ok(Outbox::direct(Box::new(Writer::open(self)?), bytes_max))
    }

    /// An outbox whose lines a thread writes. At most `bytes_max` bytes wait for it.
    ///
    /// # Errors
    /// The target cannot be opened, or no thread can be started.
    pub fn buffered(self, bytes_max: usize, gather: Duration) -> io::Result<Outbox> {
        Outbox::buffered(Box::new(Writer::open(self)?), "farrier-log", bytes_max, gather)
    }
}

fn open_append(path: &PathBuf) -> io::Result<File> {
    // A pipe with a name is opened for reading, too: otherwise the call waits until a reader comes (fifo(7)).
    let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    OpenOptions::new()
        .append(true)
        .read(is_pipe)
        .create(!is_pipe)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display())))
}

/// An open target.
enum Open {
    Stderr(io::Stderr),
    Stdout(io::Stdout),
    File(Arc<File>),
}

impl Open {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Open::Stderr(stream) => stream.write_all(bytes),
            Open::Stdout(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Open::File(file) => (&**file).write_all(bytes),
        }
    }
}

impl AsFd for Open {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Open::Stderr(stream) => stream.as_fd(),
            Open::Stdout(stream) => stream.as_fd(),
            Open::File(file) => file.as_fd(),
        }
    }
}

/// The sink of an open target. If the target fails, the lines are lost: there is no other place to report it.
struct Writer {
    target: Target,
    open: Open,
    without_waiting: NonBlocking,
}

impl Writer {
    fn open(target: Target) -> io::Result<Writer> {
        Ok(Writer { open: target.open()?, target, without_waiting: NonBlocking::default() })
    }
}

impl Sink for Writer {
    fn take(&mut self, bytes: &[u8], _: &[usize]) {
        let _ = self.open.write_all(bytes);
    }

    fn offer(&mut self, bytes: &[u8], _: &[usize]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.without_waiting.write(self.open.as_fd(), &bytes[taken..]) {
                Ok(count) if count > 0 => taken += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return taken,
                _ => return bytes.len(),
            }
        }
        taken
    }

    fn wait(&mut self, patience: Duration) {
        wait_for_room(self.open.as_fd(), patience);
    }

    fn reopen(&mut self) {
        // If the new file cannot be opened, the old one stays in use.
        if let Ok(anew) = self.target.open() {
            self.open = anew;
        }
        // A redirected stream must not keep its former target open.
        self.without_waiting = NonBlocking::default();
    }

    fn gap(&self, count: u64) -> Option<String> {
        Some(format!("({count} log lines dropped: the target is too slow)\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_with_a_name_is_opened_without_a_reader() {
        let path = std::env::temp_dir().join(format!("farrier-log-{}.pipe", std::process::id()));
        let _ = std::fs::remove_file(&path);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("made");
        let log = Target::File(path.clone()).direct(1 << 20).expect("opened");
        (0..1000).for_each(|_| log.put(&[b'x'; 1000]));
        assert!(log.is_waiting(), "a full pipe takes no more, and nothing waits for it");
        std::fs::remove_file(&path).expect("removed");
    }
}
