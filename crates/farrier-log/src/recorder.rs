//! The interface of a logging framework (Python's `logging`) that takes log lines in place of the log's targets.

use crate::access::entry::Entry;
use crate::level::Level;

/// A logging framework, as the engine sees it. Its methods are called from any thread and must not block.
pub trait Recorder: Send + Sync {
    /// Takes a line of the error log.
    fn line(&self, level: Level, text: &str);

    /// Takes an entry of the access log.
    fn entry(&self, entry: Entry);

    /// Reopens its files.
    fn reopen(&self);

    /// Waits until everything is recorded, at most a second.
    fn flush(&self);
}
