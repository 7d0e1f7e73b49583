//! When a tunnel of a worker that ends takes leave of its client. The tunnels of a worker do that one after the other, or all their
//! clients would connect again at once.

use aws_lc_rs::rand;

/// Times of the engine's clock, in ms.
pub(super) struct Leaving {
    close_ms: u64,
    end_ms: u64,
}

impl Leaving {
    /// The worker has begun to end at this time, and has so long for it.
    pub(super) fn begin(since_ms: u64, drain_ms: u64) -> Leaving {
        let mut chance = [0; 8];
        // Without random bytes all tunnels close at once, which is allowed.
        let _ = rand::fill(&mut chance);
        Leaving::with_chance(since_ms, drain_ms, u64::from_ne_bytes(chance))
    }

    fn with_chance(since_ms: u64, drain_ms: u64, chance: u64) -> Leaving {
        // Some time is left for the end of the worker, and before that a quarter for the answers of clients.
        let lasts_ms = drain_ms - (drain_ms / 20).max(1000).min(drain_ms / 4);
        let close_ms = since_ms + chance % (lasts_ms / 4 * 3 + 1);
        Leaving { close_ms, end_ms: since_ms + lasts_ms }
    }

    /// When the client of a WebSocket gets a Close frame.
    pub(super) fn close_ms(&self) -> u64 {
        self.close_ms
    }

    /// When the tunnel ends, whatever its two sides do.
    pub(super) fn end_ms(&self) -> u64 {
        self.end_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_close_spread_over_the_time_that_the_worker_has() {
        for chance in [0, 1, 21_374, 21_375, 21_376, u64::MAX] {
            let leaving = Leaving::with_chance(1000, 30_000, chance);
            assert!((1000..=22_375).contains(&leaving.close_ms()), "{chance}");
            assert_eq!(leaving.end_ms(), 29_500);
        }
        let short = Leaving::with_chance(1000, 2000, 0);
        assert_eq!((short.close_ms(), short.end_ms()), (1000, 2500));
        let none = Leaving::with_chance(1000, 0, 5);
        assert_eq!((none.close_ms(), none.end_ms()), (1000, 1000));
    }
}
