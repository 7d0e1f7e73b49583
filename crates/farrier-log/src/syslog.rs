//! Syslog messages (RFC 3164), in the form in which Gunicorn sends them: `<PRI>gunicorn.PREFIX.LOG: [PID] text`.

use std::io;
use std::time::Duration;

use super::collector::{Address, Collector};
use super::outbox::Outbox;
use crate::level::Level;

/// The collector, and how messages name the sender.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector.
    pub address: Address,
    /// The facility's number.
    pub facility: u8,
    /// The name of the sender, such as `gunicorn.PREFIX.error`.
    pub ident: String,
}

/// Sends the messages of one log to syslog.
pub struct Syslog {
    facility: u8,
    ident: String,
    outbox: Outbox,
}

impl Syslog {
    /// Sends each message at once; for a process without threads.
    pub fn direct(settings: Settings, bytes_max: usize) -> Syslog {
        let outbox = Outbox::direct(Box::new(Collector::new(settings.address, frame)), bytes_max);
        Syslog { facility: settings.facility, ident: settings.ident, outbox }
    }

    /// Sends the messages from a thread.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn buffered(settings: Settings, bytes_max: usize) -> io::Result<Syslog> {
        let collector = Box::new(Collector::new(settings.address, frame));
        let outbox = Outbox::buffered(collector, "farrier-syslog", bytes_max, Duration::ZERO)?;
        Ok(Syslog { facility: settings.facility, ident: settings.ident, outbox })
    }

    /// Sends one message.
    pub fn send(&self, level: Level, text: &str) {
        let priority = u32::from(self.facility) * 8 + severity(level);
        let message = format!("<{priority}>{}: [{}] {}", self.ident, std::process::id(), text.trim_end());
        self.outbox.put(message.as_bytes());
    }

    /// Whether messages wait for a retry; only without a thread.
    pub(crate) fn is_waiting(&self) -> bool {
        self.outbox.is_waiting()
    }

    /// Sends as many of the waiting messages as the collector takes now.
    pub(crate) fn retry(&self) {
        self.outbox.retry();
    }

    /// Waits until everything is sent, at most a second.
    pub fn flush(&self) {
        self.outbox.flush(Duration::from_secs(1));
    }
}

fn severity(level: Level) -> u32 {
    match level {
        Level::Debug => 7,
        Level::Info => 6,
        Level::Warning => 4,
        Level::Error => 3,
        Level::Critical => 2,
    }
}

/// On a stream a line feed ends a message (RFC 6587 §3.4.2). A line feed inside a message is written as `#012`, as
/// syslog daemons do.
fn frame(message: &[u8], stream: &mut Vec<u8>) {
    for &byte in message {
        match byte {
            b'\n' => stream.extend_from_slice(b"#012"),
            _ => stream.push(byte),
        }
    }
    stream.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceback_is_one_message_on_a_stream() {
        let mut stream = Vec::new();
        frame(b"<11>x: a\nb", &mut stream);
        assert_eq!(stream, b"<11>x: a#012b\n");
    }
}
