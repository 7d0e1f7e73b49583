//! How fast a client takes what waits for it, and when that is too slow.

/// How long a client may be slow before its rate is judged, in ms, where the write time-out is longer.
const GRACE_MS: u64 = 5_000;

/// The time between two looks at a client that is behind, in ms, at most.
const LOOK_AGAIN_MS: u64 = 5_000;

/// The least that a client must do while bytes wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PaceRules {
    /// How long it may take nothing.
    pub(crate) timeout_ms: u64,
    /// Bytes a second that it must take; 0 is no minimum.
    pub(crate) rate_min: u64,
}

/// How a client has done since it fell behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Since bytes wait for it without a break.
    pub(crate) behind_ms: u64,
    /// Since it last took some.
    pub(crate) idle_ms: u64,
    /// Bytes that it has taken meanwhile.
    pub(crate) taken_bytes: u64,
}

/// Why a client is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TooSlow {
    /// It took nothing for the write time-out.
    Idle,
    /// It takes fewer bytes a second than it must.
    Rate,
}

impl TooSlow {
    /// The clause for the log.
    pub(crate) fn cause(self) -> &'static str {
        match self {
            TooSlow::Idle => "the client took no bytes for the write time-out",
            TooSlow::Rate => "the client took its response too slowly (see response_rate_min)",
        }
    }
}

impl PaceRules {
    /// Judges a client. `Ok` is when to look again, in ms.
    pub(crate) fn judge(self, pace: Pace) -> Result<u64, TooSlow> {
        if pace.idle_ms >= self.timeout_ms {
            return Err(TooSlow::Idle);
        }
        let owed_bytes = self.rate_min.saturating_mul(pace.behind_ms) / 1000;
        if pace.behind_ms >= self.grace_ms() && pace.taken_bytes < owed_bytes {
            return Err(TooSlow::Rate);
        }
        Ok(self.look_again_ms().min(self.timeout_ms - pace.idle_ms))
    }

    /// When a client that has just fallen behind is to be looked at, in ms.
    pub(crate) fn look_again_ms(self) -> u64 {
        if self.rate_min == 0 { self.timeout_ms } else { self.timeout_ms.min(LOOK_AGAIN_MS) }
    }

    fn grace_ms(self) -> u64 {
        self.timeout_ms.min(GRACE_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(behind_ms: u64, idle_ms: u64, taken_bytes: u64, verdict: Result<u64, TooSlow>) {
        let rules = PaceRules { timeout_ms: 60_000, rate_min: 256 };
        assert_eq!(rules.judge(Pace { behind_ms, idle_ms, taken_bytes }), verdict);
    }

    #[test]
    fn a_client_that_takes_nothing_has_the_write_timeout_and_one_that_drips_has_not() {
        check(0, 0, 0, Ok(5_000));
        check(4_999, 4_999, 0, Ok(5_000));
        check(5_000, 100, 1_279, Err(TooSlow::Rate));
        check(5_000, 100, 1_280, Ok(5_000));
        check(600_000, 59_000, 200_000, Ok(1_000));
        check(600_000, 60_000, 200_000, Err(TooSlow::Idle));
        check(600_000, 1, 10_000, Err(TooSlow::Rate));
    }

    #[test]
    fn without_a_least_rate_only_silence_counts() {
        let rules = PaceRules { timeout_ms: 60_000, rate_min: 0 };
        assert_eq!(rules.judge(Pace { behind_ms: 600_000, idle_ms: 59_000, taken_bytes: 1 }), Ok(1_000));
    }
}
