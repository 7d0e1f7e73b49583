//! Decides whether a worker accepts connections. The decision is computed from independent facts, so that no fact
//! overwrites another.

/// Connections accepted above the limit, to be answered with 503.
const OVER_CAP_MAX: usize = 64;

/// The facts that decide whether connections are accepted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AcceptGate {
    /// The worker stops. Final.
    is_draining: bool,
    /// A request was refused because the queue was full, and there has been no room since.
    is_queue_full: bool,
    /// The connection limit is reached, and so is the number above it that is answered with 503.
    is_over_cap: bool,
    /// Out of file descriptors until this time, in ms.
    paused_until_ms: Option<u64>,
}

impl AcceptGate {
    /// Whether connections are to be accepted.
    pub fn is_open(&self) -> bool {
        !self.is_draining && !self.is_queue_full && !self.is_over_cap && self.paused_until_ms.is_none()
    }

    /// Whether so many connections are open that not even a refusal is possible.
    pub fn is_over_cap(&self) -> bool {
        self.is_over_cap
    }

    /// The worker stops.
    pub fn drain(&mut self) {
        self.is_draining = true;
    }

    /// The queue is full, or has room.
    pub fn set_queue_full(&mut self, is_full: bool) {
        self.is_queue_full = is_full;
    }

    /// Sets the number of open connections and their limit.
    pub fn set_connections(&mut self, open: usize, max: usize) {
        // Half of those above the limit must close first: each change costs a system call.
        let bound = if self.is_over_cap { max + OVER_CAP_MAX / 2 } else { max + OVER_CAP_MAX };
        self.is_over_cap = open >= bound;
    }

    /// The process is out of file descriptors until about this time, in ms.
    pub fn pause(&mut self, until_ms: u64) {
        self.paused_until_ms = Some(until_ms);
    }

    /// A file descriptor has become free.
    pub fn resume(&mut self) {
        self.paused_until_ms = None;
    }

    /// When the pause ends, in ms.
    pub fn paused_until_ms(&self) -> Option<u64> {
        self.paused_until_ms
    }

    /// Time passes.
    pub fn pass(&mut self, now_ms: u64) {
        if self.paused_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            self.paused_until_ms = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draining_worker_never_accepts_again_whatever_happens() {
        let mut gate = AcceptGate::default();
        gate.drain();
        for step in 0..1000u64 {
            match step % 5 {
                0 => gate.set_queue_full(step % 2 == 0),
                1 => gate.pause(step + 3),
                2 => gate.resume(),
                3 => gate.set_connections(step as usize % 200, 100),
                _ => gate.pass(step),
            }
            assert!(!gate.is_open());
        }
    }

    /// The former rule: one state that each event overwrote.
    #[derive(Debug, PartialEq)]
    enum Overwritten {
        Yes,
        NotWhileFull,
        NotUntil(u64),
        NoMore,
    }

    /// An event of a worker, at random.
    #[derive(Debug, Clone, Copy)]
    enum Happening {
        Full,
        Room,
        OutOfDescriptors,
        Closed,
        Time,
    }

    /// Simulates workers that begin to drain in the middle of their history. Returns whether one of them accepts again.
    fn accepts_after_a_stop(mut happen: impl FnMut(Option<Happening>, u64) -> bool, histories: u64) -> bool {
        (0..histories).any(|seed| {
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            happen(None, 0);
            (1..20).any(|now_ms| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let kinds =
                    [Happening::Full, Happening::Room, Happening::OutOfDescriptors, Happening::Closed, Happening::Time];
                happen(Some(kinds[(random >> 33) as usize % kinds.len()]), now_ms)
            })
        })
    }

    #[test]
    fn random_histories_find_that_an_overwritten_state_accepts_after_a_stop_and_the_gate_does_not() {
        let mut state = Overwritten::Yes;
        let overwritten = |happening: Option<Happening>, now_ms: u64| {
            match happening {
                None => state = Overwritten::NoMore,
                Some(Happening::Full) => state = Overwritten::NotWhileFull,
                Some(Happening::Room) if state == Overwritten::NotWhileFull => state = Overwritten::Yes,
                Some(Happening::OutOfDescriptors) => state = Overwritten::NotUntil(now_ms + 3),
                Some(Happening::Closed) if matches!(state, Overwritten::NotUntil(_)) => state = Overwritten::Yes,
                Some(Happening::Time) if state == Overwritten::NotUntil(now_ms) => state = Overwritten::Yes,
                Some(_) => {}
            }
            state == Overwritten::Yes
        };
        assert!(accepts_after_a_stop(overwritten, 100));
        let mut gate = AcceptGate::default();
        let gated = |happening: Option<Happening>, now_ms: u64| {
            match happening {
                None => {
                    gate = AcceptGate::default();
                    gate.drain();
                }
                Some(Happening::Full) => gate.set_queue_full(true),
                Some(Happening::Room) => gate.set_queue_full(false),
                Some(Happening::OutOfDescriptors) => gate.pause(now_ms + 3),
                Some(Happening::Closed) => gate.resume(),
                Some(Happening::Time) => gate.pass(now_ms),
            }
            gate.is_open()
        };
        assert!(!accepts_after_a_stop(gated, 10_000));
    }

    #[test]
    fn above_the_cap_no_connection_is_accepted_until_enough_have_closed() {
        let mut gate = AcceptGate::default();
        gate.set_connections(10 + 63, 10);
        assert!(gate.is_open());
        gate.set_connections(10 + 64, 10);
        assert!(!gate.is_open());
        gate.set_connections(10 + 32, 10);
        assert!(!gate.is_open());
        gate.set_connections(10 + 31, 10);
        assert!(gate.is_open());
    }

    #[test]
    fn a_pause_ends_with_its_time_or_with_a_free_descriptor_and_a_full_queue_stays_full() {
        let mut gate = AcceptGate::default();
        gate.set_queue_full(true);
        gate.pause(5);
        gate.pass(5);
        assert!(!gate.is_open());
        gate.set_queue_full(false);
        assert!(gate.is_open());
        gate.pause(9);
        assert!(!gate.is_open());
        gate.resume();
        assert!(gate.is_open());
    }
}
