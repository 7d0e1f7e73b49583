//! Metrics for statsd, packet for packet as Gunicorn sends them, with DogStatsD's tags.

use std::io;
use std::time::Duration;

use farrier_http::Status;

use super::collector::{Address, Collector};
use super::outbox::Outbox;

/// How long packets are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(10);

/// Where to send, and what each packet has in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector.
    pub address: Address,
    /// Before every name; a dot is put between.
    pub prefix: String,
    /// Behind every packet, separated by commas.
    pub tags: String,
}

/// The way to statsd.
pub struct Statsd {
    /// With its dot.
    prefix: String,
    /// With what leads to them.
    tags: String,
    outbox: Outbox,
}

/// A kind of metric, as packets name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A number that goes up.
    Counter,
    /// A number as it is now.
    Gauge,
    /// A duration in ms.
    Timer,
    /// A distribution.
    Histogram,
}

impl Statsd {
    /// Sends at once; for a process without threads.
    pub fn direct(settings: Settings) -> Statsd {
        let outbox = Outbox::direct(Box::new(Collector::new(settings.address.clone(), frame)));
        Statsd::new(settings, outbox)
    }

    /// Sends from a thread.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn buffered(settings: Settings, bytes_max: usize) -> io::Result<Statsd> {
        let collector = Box::new(Collector::new(settings.address.clone(), frame));
        let outbox = Outbox::buffered(collector, "farrier-statsd", bytes_max, GATHER)?;
        Ok(Statsd::new(settings, outbox))
    }

    fn new(settings: Settings, outbox: Outbox) -> Statsd {
        let prefix = settings.prefix.trim_end_matches('.');
        let tags = settings.tags.trim();
        Statsd {
            prefix: if prefix.is_empty() { String::new() } else { format!("{prefix}.") },
            tags: if tags.is_empty() { String::new() } else { format!("|#{tags}") },
            outbox,
        }
    }

    /// What a request adds: its duration, itself, and its status.
    pub fn request(&self, status: Status, duration_ns: u64) {
        let mut packets = String::with_capacity(256);
        let micros = duration_ns / 1000;
        // Debug's form of a float has a decimal point always, as Python's has.
        let millis = micros as f64 / 1000.0;
        let mut ends = [0; 3];
        self.write(&mut packets, "gunicorn.request.duration", format_args!("{millis:?}"), Kind::Timer);
        ends[0] = packets.len();
        self.write(&mut packets, "gunicorn.requests", format_args!("1"), Kind::Counter);
        ends[1] = packets.len();
        let name = format!("gunicorn.request.status.{}", status.0);
        self.write(&mut packets, &name, format_args!("1"), Kind::Counter);
        ends[2] = packets.len();
        self.outbox.put_all(packets.as_bytes(), &ends);
    }

    /// What an answer of the server's own adds: nothing, as in Gunicorn, unless it is the server that failed.
    pub fn refusal(&self, status: Status) {
        if status.0 >= 500 {
            self.count("gunicorn.requests");
            self.count(&format!("gunicorn.request.status.{}", status.0));
        }
    }

    /// Counts one of what the name says.
    pub fn count(&self, name: &str) {
        self.send(name, "1", Kind::Counter);
    }

    /// Sends one metric.
    pub fn send(&self, name: &str, value: &str, kind: Kind) {
        let mut packet = String::with_capacity(96);
        self.write(&mut packet, name, format_args!("{value}"), kind);
        self.outbox.put(packet.as_bytes());
    }

    /// Waits until all is sent, at most a second.
    pub fn flush(&self) {
        self.outbox.flush(Duration::from_secs(1));
    }

    fn write(&self, packets: &mut String, name: &str, value: std::fmt::Arguments<'_>, kind: Kind) {
        use std::fmt::Write;
        let kind = match kind {
            Kind::Counter => "|c|@1.0",
            Kind::Gauge => "|g",
            Kind::Timer => "|ms",
            Kind::Histogram => "|h",
        };
        // Writing into a string does not fail.
        let _ = write!(packets, "{}{name}:{value}{kind}{}", self.prefix, self.tags);
    }
}

impl Kind {
    /// The kind that `extra={"mtype": …}` names.
    pub fn named(name: &str) -> Option<Kind> {
        match name {
            "counter" => Some(Kind::Counter),
            "gauge" => Some(Kind::Gauge),
            "timer" => Some(Kind::Timer),
            "histogram" => Some(Kind::Histogram),
            _ => None,
        }
    }
}

/// Statsd over a stream has one metric a line.
fn frame(message: &[u8], stream: &mut Vec<u8>) {
    stream.extend_from_slice(message);
    stream.push(b'\n');
}
