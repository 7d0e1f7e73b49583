//! Who takes log lines in place of the log's own targets: a logging framework in the application's language.

use crate::access::entry::Entry;
use crate::level::Level;

/// A logging framework, as the engine sees it. Called from any thread; must not wait.
pub trait Recorder: Send + Sync {
    /// Takes a line of the error log.
    fn line(&self, level: Level, text: &str);

    /// Takes an entry of the access log.
    fn entry(&self, entry: Entry);

    /// Opens files anew.
    fn reopen(&self);

    /// Waits until all is recorded, at most a second.
    fn flush(&self);
}
