//! Writes log lines into a file or a standard stream.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustix::stdio::{dup2_stderr, dup2_stdout};

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
    /// Opens the target.
    ///
    /// # Errors
    /// The file cannot be created or opened for appending. The message names it.
    pub fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Target::Stderr => Box::new(io::stderr()),
            Target::Stdout => Box::new(io::stdout()),
            Target::Kept(file) => Box::new(Arc::clone(file)),
            Target::File(path) => Box::new(open_append(path)?),
            Target::Capturing(path) => {
                let file = open_append(path)?;
                dup2_stdout(&file)?;
                dup2_stderr(&file)?;
                Box::new(file)
            }
        })
    }

    /// An outbox that writes each line at once.
    ///
    /// # Errors
    /// The target cannot be opened.
    pub fn direct(self) -> io::Result<Outbox> {
        Ok(Outbox::direct(Box::new(Writer::open(self)?)))
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
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display())))
}

/// An open target.
struct Writer {
    target: Target,
    open: Box<dyn Write + Send>,
}

impl Writer {
    fn open(target: Target) -> io::Result<Writer> {
        Ok(Writer { open: target.open()?, target })
    }

    fn write(&mut self, bytes: &[u8]) {
        // If the target fails, the lines are lost: there is no other place to report it.
        let _ = self.open.write_all(bytes).and_then(|()| self.open.flush());
    }
}

impl Sink for Writer {
    fn take(&mut self, bytes: &[u8], _: &[usize]) {
        self.write(bytes);
    }

    fn reopen(&mut self) {
        // If the new file cannot be opened, the old one stays in use.
        if let Ok(anew) = self.target.open() {
            self.open = anew;
        }
    }

    fn dropped(&mut self, count: u64) {
        self.write(format!("({count} log lines dropped: the target is too slow)\n").as_bytes());
    }
}
