//! One server of an upstream: where it is, how much it has to do, and whether it may be asked.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use farrier_http::upstream::Target;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// uwsgi, with the HTTP answer that uWSGI gives.
    Uwsgi,
    /// FastCGI, role RESPONDER.
    FastCgi,
}

/// A server. Its counters are those of this worker.
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// Its name in the log: as the configuration writes it.
    pub name: String,
    /// `host[:port]`, for Host and for addresses in its answers.
    pub authority: Box<[u8]>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its part of the requests; above 0.
    pub weight: u32,
    /// It is asked only if no other server may be.
    pub is_backup: bool,
    /// The configuration has taken it out.
    pub is_down: bool,
    /// It gets no new requests.
    pub is_draining: AtomicBool,
    /// Requests that it has at most; 0 is no bound.
    pub max_requests: u32,
    pub(crate) in_flight: AtomicU32,
    /// Failures since the last success.
    pub(crate) failures: AtomicU32,
    /// It is left out until this time, in ms.
    pub(crate) ejected_until_ms: AtomicU64,
    /// How long the next ejection lasts, in ms.
    pub(crate) ejection_ms: AtomicU64,
    /// The longest time that a connection was idle and still usable, in ms; learned from connections that were not.
    pub(crate) idle_limit_ms: AtomicU64,
    /// Time from the request to the head, as a moving average, in µs.
    pub(crate) head_us: AtomicU64,
}

impl Server {
    /// A server with weight 1 that has nothing to do.
    pub fn new(target: Target, name: String, authority: Box<[u8]>, protocol: Protocol, idle_limit_ms: u64) -> Server {
        Server {
            target,
            name,
            authority,
            protocol,
            weight: 1,
            is_backup: false,
            is_down: false,
            is_draining: AtomicBool::new(false),
            max_requests: 0,
            in_flight: AtomicU32::new(0),
            failures: AtomicU32::new(0),
            ejected_until_ms: AtomicU64::new(0),
            ejection_ms: AtomicU64::new(0),
            idle_limit_ms: AtomicU64::new(idle_limit_ms),
            head_us: AtomicU64::new(0),
        }
    }

    /// Names it within the worker.
    pub fn id(&self) -> u64 {
        self.target.id
    }

    /// Requests that it has from this worker.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it has room for another request.
    pub(crate) fn has_room(&self) -> bool {
        self.max_requests == 0 || self.in_flight() < self.max_requests
    }

    /// Whether it is out because of its failures.
    pub fn is_ejected(&self, now_ms: u64) -> bool {
        self.ejected_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// A connection was closed after it had been idle for so long, before it answered: connections are kept for half of that
    /// time from now on.
    pub(crate) fn went_stale(&self, idle_ms: u64) {
        self.idle_limit_ms.store((idle_ms / 2).max(500), Ordering::Relaxed);
    }

    /// How long a connection may be idle: as learned, or as the server said.
    pub(crate) fn idle_ms(&self, told_s: Option<u32>) -> u64 {
        match told_s {
            // A second less than it says, so that it does not close the connection first.
            Some(seconds) => (u64::from(seconds) * 1000).saturating_sub(1000),
            None => self.idle_limit_ms.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn answered(&self, head_us: u64) {
        let before = self.head_us.load(Ordering::Relaxed);
        let after = if before == 0 { head_us } else { before - before / 8 + head_us / 8 };
        self.head_us.store(after, Ordering::Relaxed);
    }
}
