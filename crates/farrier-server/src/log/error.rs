//! The error log, in the form that tools know from Gunicorn: `[date] [pid] [LEVEL] text`.

use std::io::Write;
use std::sync::Mutex;
use std::time::Duration;

use super::moment::Moment;
use super::writer::{Target, Writer};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// The course of things.
    Info,
    /// Something is wrong that the server can live with.
    Warning,
    /// A request or a worker failed.
    Error,
    /// The site is in danger.
    Critical,
}

impl Level {
    /// The name as lines show it.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }
}

/// The error log of one process.
pub struct ErrorLog {
    least: Level,
    out: Out,
}

enum Out {
    /// Written at once: the arbiter owns no thread.
    Direct(Mutex<Box<dyn Write + Send>>, Target),
    /// Written by a thread: a worker never waits for it.
    Buffered(Writer),
}

impl ErrorLog {
    /// A log that writes each line at once.
    ///
    /// # Errors
    /// The target cannot be opened.
    pub fn direct(target: Target, least: Level) -> std::io::Result<ErrorLog> {
        Ok(ErrorLog { least, out: Out::Direct(Mutex::new(target.open()?), target) })
    }

    /// A log with a thread that writes.
    ///
    /// # Errors
    /// The target cannot be opened, or no thread can be made.
    pub fn buffered(target: Target, least: Level, buffer_bytes_max: usize) -> std::io::Result<ErrorLog> {
        Ok(ErrorLog { least, out: Out::Buffered(Writer::start(target, buffer_bytes_max, Duration::ZERO)?) })
    }

    /// Whether lines of this level are written.
    pub fn is_on(&self, level: Level) -> bool {
        level >= self.least
    }

    /// Writes a line. Further lines of the text (a traceback) follow as they are.
    pub fn write(&self, level: Level, text: &str) {
        if !self.is_on(level) {
            return;
        }
        let when = Moment::now().for_error_log();
        self.put(&format!("[{when}] [{}] [{}] {}\n", std::process::id(), level.as_str(), text.trim_end()));
    }

    /// Writes text as it is: what an application puts into `wsgi.errors`.
    pub fn put(&self, text: &str) {
        match &self.out {
            Out::Direct(sink, _) => {
                if let Ok(mut sink) = sink.lock() {
                    // Nobody can be told that the log itself fails.
                    let _ = sink.write_all(text.as_bytes()).and_then(|()| sink.flush());
                }
            }
            Out::Buffered(writer) => writer.write(text.as_bytes()),
        }
    }

    /// Opens the file anew.
    pub fn reopen(&self) {
        match &self.out {
            Out::Direct(sink, target) => {
                if let (Ok(mut sink), Ok(anew)) = (sink.lock(), target.open()) {
                    *sink = anew;
                }
            }
            Out::Buffered(writer) => writer.reopen(),
        }
    }

    /// Waits until all is written, at most a second.
    pub fn flush(&self) {
        if let Out::Buffered(writer) = &self.out {
            writer.flush(Duration::from_secs(1));
        }
    }
}
