//! Why the application could not be loaded: said where it was tried, and repeated as the last line of a server that ends
//! because of it.

use std::sync::OnceLock;

use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::LastWords;

/// Shared by all processes of the server.
static WORDS: OnceLock<LastWords> = OnceLock::new();

/// Called in the arbiter before the first fork. Without it the reason stands further above only.
pub(crate) fn prepare() {
    if let Ok(words) = LastWords::new() {
        let _ = WORDS.set(words);
    }
}

/// Logs why this process cannot boot.
pub(crate) fn say(log: &ErrorLog, reason: &str) {
    log.write(Level::Error, reason);
    if let Some(words) = WORDS.get() {
        words.say(reason);
    }
}

/// Logs it again, in the arbiter.
pub(crate) fn repeat(log: &ErrorLog) {
    if let Some(reason) = WORDS.get().and_then(LastWords::heard) {
        log.write(Level::Error, &reason);
    }
}
