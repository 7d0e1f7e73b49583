//! Metrics for statsd: the same packets that Gunicorn sends, with DogStatsD's tags.

use std::io;
use std::time::Duration;

use farrier_http::Status;

use super::collector::{Address, Collector};
use super::outbox::Outbox;

/// How long packets are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(10);

/// The collector, and the parts that all packets have in common.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The collector.
    pub address: Address,
    /// Prefix of every name; a dot separates the two.
    pub prefix: String,
    /// Tags at the end of every packet, separated by commas.
    pub tags: String,
}

/// A statsd client.
pub struct Statsd {
    /// The prefix with its dot.
    prefix: String,
    /// The tags with `|#` in front.
    tags: String,
    outbox: Outbox,
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A counter: the value is added.
    Counter,
    /// A gauge: the present value.
    Gauge,
    /// A timer: a duration in ms.
    Timer,
    /// A histogram: a sample of a distribution.
    Histogram,
}

impl Statsd {
    /// Sends each packet at once; for a process without threads.
    pub fn direct(settings: Settings, bytes_max: usize) -> Statsd {
        let outbox = Outbox::direct(Box::new(Collector::new(settings.address.clone(), frame)), bytes_max);
        Statsd::new(settings, outbox)
    }

    /// Sends the packets from a thread.
    ///
    /// # Errors
    /// No thread can be started.
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

    /// Sends the metrics of a request: its duration, a count of requests, and a count of its status.
    pub fn request(&self, status: Status, duration_ns: u64) {
        let mut packets = String::with_capacity(256);
        let micros = duration_ns / 1000;
        // The `Debug` form of a float always has a decimal point, as in Python.
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

    /// Sends the metrics of a response that the server made itself: none, as in Gunicorn, unless the status is a 5xx.
    pub fn refusal(&self, status: Status) {
        if status.0 >= 500 {
            self.count("gunicorn.requests");
            self.count(&format!("gunicorn.request.status.{}", status.0));
        }
    }

    /// Adds one to the counter of this name.
    pub fn count(&self, name: &str) {
        self.send(name, "1", Kind::Counter);
    }

    /// Sends one metric.
    pub fn send(&self, name: &str, value: &str, kind: Kind) {
        let mut packet = String::with_capacity(96);
        self.write(&mut packet, name, format_args!("{value}"), kind);
        self.outbox.put(packet.as_bytes());
    }

    /// Whether packets wait for a retry; only without a thread.
    pub(crate) fn is_waiting(&self) -> bool {
        self.outbox.is_waiting()
    }

    /// Sends as many of the waiting packets as the collector takes now.
    pub(crate) fn retry(&self) {
        self.outbox.retry();
    }

    /// Waits until everything is sent, at most a second.
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
        // Writing into a string cannot fail.
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

/// On a stream, statsd has one metric per line.
fn frame(message: &[u8], stream: &mut Vec<u8>) {
    stream.extend_from_slice(message);
    stream.push(b'\n');
}
