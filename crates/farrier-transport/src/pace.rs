//! How fast a client takes the data that waits for it, and when that is too slow.

/// The minimum pace of a client while bytes wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaceRules {
    /// How long it may take nothing, in ms.
    pub timeout_ms: u64,
    /// Bytes a second that it must take, measured over that time; 0 is no minimum.
    pub rate_min: u64,
}

/// The longest time between two checks of a client that is behind, in ms: an event reports only a lot of room.
const LOOK_AGAIN_MS: u64 = 5_000;

impl PaceRules {
    /// When a client that is behind is to be checked, in ms from now.
    pub fn look_again_ms(self) -> u64 {
        if self.rate_min == 0 { self.timeout_ms } else { self.timeout_ms.min(LOOK_AGAIN_MS) }
    }
}

/// What one client has taken.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    moved_bytes: u64,
    /// When bytes last moved, in ms.
    moved_ms: u64,
    /// What had moved when the rate was last judged, and when that was, in ms.
    judged_bytes: u64,
    judged_ms: u64,
}

/// Why the server stops sending to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooSlow {
    /// It took nothing for the write time-out.
    Idle,
    /// It takes fewer bytes a second than the minimum.
    Rate,
}

impl TooSlow {
    /// The clause for the log.
    pub fn cause(self) -> &'static str {
        match self {
            TooSlow::Idle => "the client took no bytes for the write time-out",
            TooSlow::Rate => "the client took its response too slowly (see response_rate_min)",
        }
    }
}

impl Progress {
    /// Nothing is unsent yet.
    pub fn new(moved_bytes: u64, now_ms: u64) -> Progress {
        Progress { moved_bytes, moved_ms: now_ms, judged_bytes: moved_bytes, judged_ms: now_ms }
    }

    /// Notes the total that has moved since the beginning.
    pub fn note(&mut self, moved_bytes: u64, now_ms: u64) {
        if moved_bytes != self.moved_bytes {
            (self.moved_bytes, self.moved_ms) = (moved_bytes, now_ms);
        }
    }

    /// Judges the client by the total that has moved since the beginning. Returns when to judge it next, in ms.
    ///
    /// The rate covers the last `timeout_ms`, not the whole time: a fast beginning does not allow a slow end.
    ///
    /// # Errors
    /// The client is too slow.
    pub fn judge(&mut self, rules: PaceRules, moved_bytes: u64, now_ms: u64) -> Result<u64, TooSlow> {
        self.note(moved_bytes, now_ms);
        if now_ms >= self.moved_ms.saturating_add(rules.timeout_ms) {
            return Err(TooSlow::Idle);
        }
        let elapsed_ms = now_ms.saturating_sub(self.judged_ms);
        if elapsed_ms >= rules.timeout_ms {
            let owed_bytes = rules.rate_min.saturating_mul(elapsed_ms) / 1000;
            let taken_bytes = moved_bytes.saturating_sub(self.judged_bytes);
            if taken_bytes < owed_bytes {
                return Err(TooSlow::Rate);
            }
            (self.judged_bytes, self.judged_ms) = (moved_bytes, now_ms);
        }
        Ok(self.deadline_ms(rules))
    }

    /// When to judge it next, in ms.
    pub fn deadline_ms(&self, rules: PaceRules) -> u64 {
        self.moved_ms.min(self.judged_ms).saturating_add(rules.timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: PaceRules = PaceRules { timeout_ms: 1000, rate_min: 10 };

    #[test]
    fn a_client_that_takes_nothing_is_given_up_after_the_write_timeout_and_not_before() {
        let mut progress = Progress::new(0, 0);
        assert_eq!(progress.judge(RULES, 0, 999), Ok(1000));
        assert_eq!(progress.judge(RULES, 0, 1000), Err(TooSlow::Idle));
    }

    #[test]
    fn a_slow_client_is_given_up_even_after_a_fast_beginning() {
        let mut progress = Progress::new(0, 0);
        assert_eq!(progress.judge(RULES, 9, 900), Ok(1000));
        assert_eq!(progress.judge(RULES, 9, 1000), Err(TooSlow::Rate));
        let mut progress = Progress::new(0, 0);
        assert_eq!(progress.judge(RULES, 1_000_000, 900), Ok(1000));
        assert_eq!(progress.judge(RULES, 1_000_001, 1000), Ok(2000));
        assert_eq!(progress.judge(RULES, 1_000_005, 1900), Ok(2000));
        assert_eq!(progress.judge(RULES, 1_000_006, 2000), Err(TooSlow::Rate));
    }

    #[test]
    fn without_a_minimum_rate_only_silence_counts() {
        let rules = PaceRules { rate_min: 0, ..RULES };
        let mut progress = Progress::new(0, 0);
        assert_eq!(progress.judge(rules, 1, 900), Ok(1000));
        assert_eq!(progress.judge(rules, 1, 1800), Ok(1900));
        assert_eq!(progress.judge(rules, 1, 1900), Err(TooSlow::Idle));
    }
}
