//! Judges whether a client takes what is sent to it fast enough to be waited for.

/// How fast a client must be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long it may take nothing, in ms.
    pub(crate) timeout_ms: u64,
    /// Bytes a second that it must take, judged over that time; 0 is no minimum.
    pub(crate) rate_min: u64,
}

/// What one client has taken.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    moved_bytes: u64,
    /// When bytes moved at last, in ms.
    moved_ms: u64,
    /// What had moved when the rate was judged at last, and when that was in ms.
    judged_bytes: u64,
    judged_ms: u64,
}

impl Progress {
    /// Nothing is owed yet.
    pub(crate) fn new(moved_bytes: u64, now_ms: u64) -> Progress {
        Progress { moved_bytes, moved_ms: now_ms, judged_bytes: moved_bytes, judged_ms: now_ms }
    }

    /// Notes how much has moved since the beginning. False when the client is too slow.
    pub(crate) fn keeps(&mut self, pace: Pace, moved_bytes: u64, now_ms: u64) -> bool {
        if moved_bytes != self.moved_bytes {
            (self.moved_bytes, self.moved_ms) = (moved_bytes, now_ms);
        }
        if now_ms >= self.moved_ms.saturating_add(pace.timeout_ms) {
            return false;
        }
        let elapsed_ms = now_ms.saturating_sub(self.judged_ms);
        if elapsed_ms < pace.timeout_ms {
            return true;
        }
        let owed_bytes = pace.rate_min.saturating_mul(elapsed_ms) / 1000;
        let taken_bytes = moved_bytes.saturating_sub(self.judged_bytes);
        (self.judged_bytes, self.judged_ms) = (moved_bytes, now_ms);
        taken_bytes >= owed_bytes
    }

    /// When it is to be judged next, in ms.
    pub(crate) fn deadline_ms(&self, pace: Pace) -> u64 {
        self.moved_ms.min(self.judged_ms).saturating_add(pace.timeout_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_takes_nothing_or_too_little_is_too_slow() {
        let pace = Pace { timeout_ms: 1000, rate_min: 10 };
        let mut progress = Progress::new(0, 0);
        assert!(progress.keeps(pace, 0, 999));
        assert!(!progress.keeps(pace, 0, 1000));
        let mut progress = Progress::new(0, 0);
        assert!(progress.keeps(pace, 9, 900));
        assert!(!progress.keeps(pace, 9, 1000));
        let mut progress = Progress::new(0, 0);
        assert!(progress.keeps(pace, 10, 900) && progress.keeps(pace, 10, 1000));
        assert_eq!(progress.deadline_ms(pace), 1900);
        assert!(!progress.keeps(Pace { timeout_ms: 1000, rate_min: 0 }, 10, 1900));
    }
}
