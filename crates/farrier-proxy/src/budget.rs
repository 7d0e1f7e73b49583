//! The budget of retries: a server that fails everything must not be asked twice as often because it fails.

/// Over so many ms requests are counted.
const WINDOW_MS: u64 = 10_000;

/// Retries that are always allowed in a window.
const RETRIES_MIN: u64 = 3;

/// Requests and retries of the current window.
#[derive(Debug, Default)]
pub(crate) struct RetryBudget {
    began_ms: u64,
    requests: u64,
    retries: u64,
}

impl RetryBudget {
    fn turn(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.began_ms) >= WINDOW_MS {
            *self = RetryBudget { began_ms: now_ms, requests: 0, retries: 0 };
        }
    }

    /// A request has begun.
    pub(crate) fn request(&mut self, now_ms: u64) {
        self.turn(now_ms);
        self.requests += 1;
    }

    /// Takes a retry, if one is left of this part of the requests.
    pub(crate) fn retry(&mut self, percent: u32, now_ms: u64) -> bool {
        self.turn(now_ms);
        let allowed = (self.requests * u64::from(percent) / 100).max(RETRIES_MIN);
        self.retries += 1;
        self.retries <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_requests_may_be_tried_again_and_at_least_three() {
        let mut budget = RetryBudget::default();
        assert_eq!((0..5).filter(|_| budget.retry(20, 1)).count(), 3);
        for (percent, retries) in [(20, 10), (50, 25), (0, 3)] {
            let mut budget = RetryBudget::default();
            (0..50).for_each(|_| budget.request(1));
            assert_eq!((0..50).filter(|_| budget.retry(percent, 2)).count(), retries);
            assert!(budget.retry(percent, WINDOW_MS + 1));
        }
    }
}
