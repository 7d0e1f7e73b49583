//! Decides when to renew and when to try again. Pure: numbers in, numbers out.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::moment::{of_unix_s, unix_s};

/// Let's Encrypt blocks a name for an hour after five failed validations; others are similar. One is left for a person
/// who tries by hand.
pub(crate) const FAILURES_MAX: usize = 4;

/// The period of that limit.
pub(crate) const FAILURES_PERIOD: Duration = Duration::from_secs(3_600);

/// The longest and the shortest interval between two requests for the renewal time (RFC 9773 §4.3.2).
const LOOK_MAX: Duration = Duration::from_secs(86_400);
const LOOK_MIN: Duration = Duration::from_secs(1);

/// The interval after an invalid answer (RFC 9773 §4.3.3).
pub(crate) const LOOK_AFTER_FAILURE: Duration = Duration::from_secs(6 * 3_600);

/// The authority's window for renewal, and the random time in it that was chosen. Whole seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Suggestion {
    pub(crate) start_unix_s: u64,
    pub(crate) end_unix_s: u64,
    /// Chosen once, so that a restart does not choose again.
    pub(crate) chosen_unix_s: u64,
    /// When to ask again.
    pub(crate) look_unix_s: u64,
    /// A page about the reason.
    pub(crate) explanation: Option<String>,
}

impl Suggestion {
    /// The result of an answer of the authority.
    ///
    /// # Arguments
    ///
    /// `chance` is random, between 0 and 1. `before` is the previous value, whose time is kept if the window is the
    /// same.
    pub(crate) fn of(
        window: (u64, u64),
        look_after: Duration,
        explanation: Option<String>,
        before: Option<&Suggestion>,
        chance: f64,
        now: SystemTime,
    ) -> Option<Suggestion> {
        let (start, end) = window;
        if end <= start {
            return None;
        }
        let same = before.filter(|before| (before.start_unix_s, before.end_unix_s) == window);
        let drawn = start + ((end - start) as f64 * chance.clamp(0.0, 1.0)) as u64;
        Some(Suggestion {
            start_unix_s: start,
            end_unix_s: end,
            chosen_unix_s: same.map_or(drawn, |same| same.chosen_unix_s),
            look_unix_s: unix_s(now + look_after.clamp(LOOK_MIN, LOOK_MAX)),
            explanation,
        })
    }
}

/// When a certificate is to be renewed.
///
/// # Arguments
///
/// `chance` is random, between 0 and 1, and spreads the load: certificates that were issued together are not renewed
/// together.
pub(crate) fn renew_at(
    (not_before, not_after): (SystemTime, SystemTime),
    renew_before: Option<Duration>,
    suggestion: Option<&Suggestion>,
    chance: f64,
) -> SystemTime {
    let life = not_after.duration_since(not_before).unwrap_or_default();
    let ahead = renew_before.unwrap_or(life / 3).mul_f64(1.0 + 0.05 * chance.clamp(0.0, 1.0)).min(life);
    let usual = not_after.checked_sub(ahead).unwrap_or(not_before);
    match suggestion {
        // A renewal time after the expiry is ignored.
        Some(suggestion) if of_unix_s(suggestion.chosen_unix_s) < not_after => of_unix_s(suggestion.chosen_unix_s),
        _ => usual.max(not_before),
    }
}

/// The wait after this many failures in a row.
///
/// # Arguments
///
/// `asked` is the pause that the authority asked for; `chance` is random, between 0 and 1.
pub(crate) fn retry_delay(
    failures: u32,
    first: Duration,
    longest: Duration,
    asked: Option<Duration>,
    chance: f64,
) -> Duration {
    let doubled = first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(longest.max(first));
    let spread = doubled.mul_f64(1.0 + 0.25 * chance.clamp(0.0, 1.0));
    // An authority that asks for a week may not know that the certificate expires earlier.
    asked.map_or(spread, |asked| spread.max(asked.min(LOOK_MAX)))
}

/// When the authority's rate limit allows the next order, given the failures that it may have counted.
pub(crate) fn allowed_at(failures_unix_s: &[u64]) -> SystemTime {
    let oldest = failures_unix_s.iter().rev().nth(FAILURES_MAX - 1);
    oldest.map_or(SystemTime::UNIX_EPOCH, |&oldest| of_unix_s(oldest) + FAILURES_PERIOD)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        of_unix_s(seconds)
    }

    #[test]
    fn a_third_of_the_life_is_left_at_the_renewal() {
        let life = (at(0), at(90 * 86_400));
        assert_eq!(renew_at(life, None, None, 0.0), at(60 * 86_400));
        assert!(renew_at(life, None, None, 1.0) < at(60 * 86_400));
        assert!(renew_at(life, None, None, 1.0) > at(58 * 86_400));
        assert_eq!(renew_at(life, Some(10 * DAY), None, 0.0), at(80 * 86_400));
        // A time longer than the lifetime means the whole lifetime.
        assert_eq!(renew_at(life, Some(1_000 * DAY), None, 1.0), at(0));
    }

    #[test]
    fn the_authority_s_window_decides_unless_it_is_too_late() {
        let life = (at(0), at(90 * 86_400));
        let window = |start: u64, end: u64, chance: f64| Suggestion::of((start, end), DAY, None, None, chance, at(50));
        let early = window(100, 200, 0.5).expect("a window");
        assert_eq!(early.chosen_unix_s, 150);
        assert_eq!(renew_at(life, None, Some(&early), 0.0), at(150));
        let late = window(91 * 86_400, 92 * 86_400, 0.5).expect("a window");
        assert_eq!(renew_at(life, None, Some(&late), 0.0), at(60 * 86_400));
        assert!(window(200, 200, 0.5).is_none() && window(200, 100, 0.5).is_none());
    }

    #[test]
    fn the_renewal_time_is_chosen_once_per_window() {
        let first = Suggestion::of((100, 200), DAY, None, None, 0.25, at(50)).expect("a window");
        let again = Suggestion::of((100, 200), DAY, None, Some(&first), 0.75, at(60)).expect("a window");
        assert_eq!((first.chosen_unix_s, again.chosen_unix_s), (125, 125));
        let moved = Suggestion::of((0, 10), DAY, None, Some(&again), 0.5, at(60)).expect("a window");
        assert_eq!(moved.chosen_unix_s, 5);
    }

    #[test]
    fn the_authority_says_when_to_ask_again_within_reason() {
        let look = |after: Duration| Suggestion::of((1, 2), after, None, None, 0.0, at(0)).map(|s| s.look_unix_s);
        assert_eq!(look(Duration::ZERO), Some(1));
        assert_eq!(look(Duration::from_secs(600)), Some(600));
        assert_eq!(look(30 * DAY), Some(86_400));
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let wait = |failures| retry_delay(failures, Duration::from_secs(60), Duration::from_secs(600), None, 0.0);
        let seconds: Vec<u64> = (1..=6).map(|failures| wait(failures).as_secs()).collect();
        assert_eq!(seconds, [60, 120, 240, 480, 600, 600]);
        assert_eq!(wait(u32::MAX).as_secs(), 600);
        let asked =
            |seconds| retry_delay(1, Duration::from_secs(60), DAY, Some(Duration::from_secs(seconds)), 0.0).as_secs();
        assert_eq!((asked(5), asked(900), asked(10_000_000)), (60, 900, 86_400));
    }

    #[test]
    fn no_more_than_a_few_orders_fail_in_an_hour() {
        assert_eq!(allowed_at(&[1, 2, 3]), SystemTime::UNIX_EPOCH);
        assert_eq!(allowed_at(&[1, 2, 3, 4]), at(3_601));
        assert_eq!(allowed_at(&[1, 2, 3, 4, 5]), at(3_602));
    }
}
