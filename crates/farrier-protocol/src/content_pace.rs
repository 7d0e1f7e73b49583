//! How fast a client sends content that an exchange takes as it arrives. Time in which the consumer holds the client back does
//! not count.

use crate::rules::Rules;

/// What is known of one client's pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ContentPace {
    /// When content came at last, or was let come again, in ms.
    moved_ms: u64,
    /// How long the client was waited for in all, up to the last look, in ms.
    awaited_ms: u64,
    looked_ms: u64,
    /// Since the last look the client could send.
    awaits_client: bool,
}

/// The least pace.
#[derive(Debug, Clone, Copy)]
pub struct LeastPace {
    /// How long the client may send nothing, in ms.
    timeout_ms: u64,
    /// Bytes a second, judged after that time; 0 is no minimum.
    rate_min: u64,
}

impl LeastPace {
    /// As the settings say.
    pub fn of(rules: &Rules) -> LeastPace {
        LeastPace { timeout_ms: rules.body_timeout_ms, rate_min: rules.body_rate_min }
    }
}

impl ContentPace {
    /// The client may send from now on.
    pub fn new(now_ms: u64) -> ContentPace {
        ContentPace { moved_ms: now_ms, awaited_ms: 0, looked_ms: now_ms, awaits_client: true }
    }

    /// Notes a look at the content: whether some came, and whether the client can send more now.
    pub fn note(&mut self, has_moved: bool, awaits_client: bool, now_ms: u64) {
        if self.awaits_client {
            self.awaited_ms += now_ms.saturating_sub(self.looked_ms);
        }
        if has_moved || !self.awaits_client || !awaits_client {
            self.moved_ms = now_ms;
        }
        (self.looked_ms, self.awaits_client) = (now_ms, awaits_client);
    }

    /// When a client that has sent so many bytes in all, and sends no more, is too slow, in ms.
    pub fn deadline_ms(&self, received_bytes: u64, least: LeastPace) -> u64 {
        if !self.awaits_client {
            return u64::MAX;
        }
        let idle_ms = self.moved_ms.saturating_add(least.timeout_ms);
        // Until it was waited for so long the received content satisfies the minimum rate.
        let Some(earned_ms) = received_bytes.saturating_add(1).saturating_mul(1000).checked_div(least.rate_min) else {
            return idle_ms;
        };
        let left_ms = least.timeout_ms.max(earned_ms).saturating_sub(self.awaited_ms);
        idle_ms.min(self.looked_ms.saturating_add(left_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: LeastPace = LeastPace { timeout_ms: 1000, rate_min: 100 };

    #[test]
    fn a_silent_client_has_until_the_timeout() {
        let mut pace = ContentPace::new(0);
        assert_eq!(pace.deadline_ms(0, LEAST), 1000);
        pace.note(true, true, 900);
        assert_eq!(pace.deadline_ms(1_000_000, LEAST), 1900);
        let least = LeastPace { rate_min: 0, ..LEAST };
        assert_eq!(pace.deadline_ms(1, least), 1900);
    }

    /// Each byte moved the time-out, so a client could hold an exchange for as long as it liked.
    #[test]
    fn a_client_that_drips_has_as_long_as_its_bytes_have_earned() {
        let mut pace = ContentPace::new(0);
        pace.note(true, true, 900);
        assert_eq!(pace.deadline_ms(5, LEAST), 1000);
        assert_eq!(pace.deadline_ms(149, LEAST), 1500);
    }

    #[test]
    fn time_in_which_the_consumer_holds_the_client_back_does_not_count() {
        let mut pace = ContentPace::new(0);
        pace.note(true, false, 400);
        assert_eq!(pace.deadline_ms(1, LEAST), u64::MAX);
        pace.note(false, true, 60_000);
        assert_eq!(pace.deadline_ms(1, LEAST), 60_600);
        pace.note(true, true, 60_500);
        assert_eq!(pace.deadline_ms(1, LEAST), 60_600);
        assert_eq!(pace.deadline_ms(1000, LEAST), 61_500);
    }
}
