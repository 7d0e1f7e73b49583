//! The generic cell rate algorithm (GCRA). It decides whether a request comes too early, and stores one point in time
//! per client. Time is a parameter.
//!
//! A client's *theoretical arrival time* is when its next request is due at the limit's rate. Each request moves it on
//! by one interval. A request that would move it further ahead of the present than the burst allows is refused, and
//! does not move it.

/// How many requests a client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of requests …
    pub requests: u64,
    /// … in this many nanoseconds.
    pub period_ns: u64,
    /// Requests that may come at once after a pause, at least one.
    pub burst: u64,
}

/// A rate in ticks, the table's unit of time. A tick is about a thousandth of the interval between requests, so that
/// the relative precision is the same at any rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    tick_ns: u64,
    /// The interval between two requests at the limit.
    interval: u64,
    /// How far ahead of the present a client's arrival time may be.
    ahead_max: u64,
}

/// Ticks in an interval, unless a tick would be shorter than a nanosecond.
const INTERVAL_TICKS: u64 = 1024;

impl Pace {
    pub(super) fn of(rate: Rate) -> Pace {
        let interval_ns = (rate.period_ns / rate.requests.max(1)).max(1);
        let tick_ns = (interval_ns / INTERVAL_TICKS).max(1);
        let interval = (interval_ns + tick_ns / 2) / tick_ns;
        Pace { tick_ns, interval, ahead_max: interval.saturating_mul(rate.burst.max(1)) }
    }

    /// A time of the clock in ticks.
    pub(super) fn ticks(&self, now_ns: u64) -> u64 {
        now_ns / self.tick_ns
    }

    /// The farthest that an arrival time can be ahead. A larger difference means a time long past.
    pub(super) fn ahead_max(&self) -> u64 {
        self.ahead_max
    }

    /// How far ahead a client's arrival time is after one more request.
    ///
    /// # Errors
    /// The request comes too early, by this many nanoseconds.
    pub(super) fn admit(&self, ahead: u64) -> Result<u64, u64> {
        let after = ahead.saturating_add(self.interval);
        match after.checked_sub(self.ahead_max) {
            None | Some(0) => Ok(after),
            Some(early) => Err(early.saturating_mul(self.tick_ns)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_admitted_and_then_one_request_per_interval() {
        let pace = Pace::of(Rate { requests: 10, period_ns: 1_000_000_000, burst: 3 });
        let mut ahead = 0;
        for _ in 0..3 {
            ahead = pace.admit(ahead).expect("admitted");
        }
        let early_ns = pace.admit(ahead).expect_err("refused");
        assert!(early_ns.abs_diff(100_000_000) < 200_000, "{early_ns}");
        let later = ahead - pace.ticks(early_ns);
        assert!(pace.admit(later.saturating_sub(1)).is_ok());
    }

    proptest! {
        /// In any period no more requests are admitted than the burst plus the rate times the period. A client that
        /// waits as long as the refusal says is admitted.
        #[test]
        fn no_more_is_admitted_than_rate_and_burst_allow(
            requests in 1u64..5000,
            period_s in prop_oneof![Just(1u64), Just(60), Just(3600), Just(86_400)],
            burst in 1u64..50,
            gaps in proptest::collection::vec(0u64..3_000_000_000, 1..200),
        ) {
            let period_ns = period_s * 1_000_000_000;
            let pace = Pace::of(Rate { requests, period_ns, burst });
            let start_ns = 1_000_000_000_000;
            let (mut now_ns, mut arrival, mut admitted) = (start_ns, 0u64, Vec::new());
            for gap in gaps {
                now_ns += gap;
                let now = pace.ticks(now_ns);
                match pace.admit(arrival.saturating_sub(now)) {
                    Ok(ahead) => {
                        arrival = now + ahead;
                        admitted.push(now_ns);
                    }
                    Err(early_ns) => {
                        let then = pace.ticks(now_ns + early_ns + pace.tick_ns);
                        prop_assert!(pace.admit(arrival.saturating_sub(then)).is_ok());
                    }
                }
                prop_assert!(arrival.saturating_sub(now) <= pace.ahead_max());
            }
            let interval_ns = period_ns as f64 / requests as f64;
            for first in 0..admitted.len() {
                for last in first..admitted.len() {
                    let stretch_ns = (admitted[last] - admitted[first]) as f64;
                    let allowed = burst as f64 + stretch_ns / interval_ns * 1.002 + 1.0;
                    prop_assert!(((last - first + 1) as f64) <= allowed);
                }
            }
        }
    }
}
