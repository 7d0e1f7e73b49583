//! Limits how long the leader stays with one connection before other connections get their turn.

use farrier_transport::reactor::clock::Clock;

/// Requests of one connection that are served in one turn.
const REQUESTS_MAX: u32 = 16;

/// How long one turn may last, in ns.
const TURN_NS: u64 = 1_000_000;

/// One turn of one connection, or of one list of tasks.
pub(super) struct Turn {
    began_ns: u64,
    requests: u32,
}

impl Turn {
    /// A turn that begins now.
    pub(super) fn begin(clock: &Clock) -> Turn {
        Turn { began_ns: clock.now_ns(), requests: 0 }
    }

    /// A request was served. True when other connections are to have their turn.
    pub(super) fn served(&mut self, clock: &Clock) -> bool {
        self.requests += 1;
        self.requests >= REQUESTS_MAX || self.is_over(clock)
    }

    /// Whether the turn has lasted long enough.
    pub(super) fn is_over(&self, clock: &Clock) -> bool {
        clock.now_ns().saturating_sub(self.began_ns) >= TURN_NS
    }
}
