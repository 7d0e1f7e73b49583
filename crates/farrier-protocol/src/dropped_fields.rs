//! Logs the name of each field that was dropped, once and with the reason, so that a missing field can be explained.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use farrier_http::field_policy::Dropped;
use farrier_log::error::{ErrorLog, Level};

/// Names kept; a client that invents names must not fill memory or the log.
const NAMES_MAX: usize = 64;

/// Why a field was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A client's, as the field policy decides.
    OfRequest(Dropped),
    /// An application gave it, and it belongs to one connection.
    HopByHop,
}

impl Reason {
    fn text(self) -> &'static str {
        match self {
            Reason::OfRequest(Dropped::Underscore) => {
                "its name contains an underscore, so it could pose as another field (see header_map and forwarder_headers)"
            }
            Reason::OfRequest(Dropped::Proxy) => {
                "it would become HTTP_PROXY, the variable by which programs find their own proxy (httpoxy, CVE-2016-5385)"
            }
            Reason::HopByHop => {
                "the application gave it, but it belongs to one connection, so only the server may set it (PEP 3333); remove it from the application"
            }
        }
    }
}

/// The names that were logged.
#[derive(Default)]
pub struct DroppedFields {
    names: Mutex<BTreeSet<Box<[u8]>>>,
}

impl DroppedFields {
    /// A field of this name, which is a token, was dropped.
    pub fn note(&self, name: &[u8], why: Reason, log: &ErrorLog) {
        let count = {
            let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let name = name.to_ascii_lowercase();
            if names.len() >= NAMES_MAX || !names.insert(name.into()) {
                return;
            }
            names.len()
        };
        let name = name.escape_ascii();
        let last = if count == NAMES_MAX { "; no further names will be logged" } else { "" };
        log.write(
            Level::Warning,
            &format!("Dropped the header field {name}: {}; logged once per name{last}", why.text()),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use farrier_log::writer::Target;

    const UNDERSCORE: Reason = Reason::OfRequest(Dropped::Underscore);

    #[test]
    fn a_name_is_logged_once_and_not_without_end() {
        let path = std::env::temp_dir().join(format!("farrier-dropped-fields-{}", std::process::id()));
        let log = ErrorLog::new(Level::Info, Target::File(path.clone()).direct(1 << 20).expect("opened"), None, None);
        let dropped = DroppedFields::default();
        for number in 0..200 {
            dropped.note(b"x_a", UNDERSCORE, &log);
            dropped.note(b"X_A", UNDERSCORE, &log);
            dropped.note(format!("x_{number}").as_bytes(), UNDERSCORE, &log);
        }
        let mut text = String::new();
        std::fs::File::open(&path).and_then(|mut file| file.read_to_string(&mut text)).expect("read");
        std::fs::remove_file(&path).expect("removed");
        assert_eq!(text.lines().count(), NAMES_MAX);
        assert_eq!(text.to_lowercase().matches("field x_a:").count(), 1);
        assert!(text.ends_with("no further names will be logged\n"));
    }
}
