//! Active checks: when the next one is due, and what its outcome means. See [`super`] for the laws.
//!
//! The word's phases: unchecked, up (since its time; 0 if it never was down), down (since its time). Its count is how many
//! checks one after the other had the other outcome.

use std::sync::atomic::AtomicU64;

use super::words::{Cause, State};

const UNCHECKED: u8 = 0;
const UP: u8 = 1;
const DOWN: u8 = 2;

/// How servers are checked. Times in ms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckPolicy {
    /// From one check to the next.
    pub interval_ms: u64,
    /// The same while the verdict is about to change.
    pub fast_interval_ms: u64,
    /// A check that takes longer has failed.
    pub timeout_ms: u64,
    /// Checks that must pass, one after the other, until a server is up.
    pub up: u32,
    /// Checks that must fail until it is down.
    pub down: u32,
}

impl Default for CheckPolicy {
    fn default() -> Self {
        CheckPolicy { interval_ms: 5_000, fast_interval_ms: 1_000, timeout_ms: 2_000, up: 2, down: 3 }
    }
}

/// What checks say of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// There was no verdict yet.
    Unchecked,
    /// It is up, since this time in ms; 0 if it never was down.
    Up(u64),
    /// It is down.
    Down(Cause),
}

/// The verdict in a word.
pub fn verdict(word: &AtomicU64) -> Verdict {
    let state = State::of(word);
    match state.phase {
        UP => Verdict::Up(state.at_ms),
        DOWN => Verdict::Down(state.cause),
        _ => Verdict::Unchecked,
    }
}

/// Takes the outcome of a check. `Some`: the verdict has changed.
pub fn take(word: &AtomicU64, outcome: Result<(), Cause>, policy: &CheckPolicy, now_ms: u64) -> Option<Verdict> {
    let state = State::of(word);
    let count = u32::from(state.count) + 1;
    let next = match (state.phase, outcome) {
        // One check decides about a server of which nothing is known, unless it fails: then it may have been bad luck.
        (UNCHECKED, Ok(())) => State { phase: UP, count: 0, at_ms: 0, ..state },
        (UNCHECKED | UP, Err(cause)) if count >= policy.down => State { phase: DOWN, cause, count: 0, at_ms: now_ms },
        (DOWN, Ok(())) if count >= policy.up => State { phase: UP, count: 0, at_ms: now_ms, ..state },
        (UNCHECKED | UP, Err(cause)) => State { cause, count: count as u8, ..state },
        (DOWN, Ok(())) => State { count: count as u8, ..state },
        // The newest cause is of most use to an operator.
        (_, Err(cause)) => State { cause, count: 0, ..state },
        (_, Ok(())) => State { count: 0, ..state },
    };
    if next == state || !state.replace(word, next) {
        return None;
    }
    (next.phase != state.phase && (state.phase, next.phase) != (UNCHECKED, UP)).then(|| verdict(word))
}

/// How long to wait for the next check, in ms: the interval with a tenth more or less by chance, so that servers are not all
/// checked at once. `chance` is any number.
pub fn pause_ms(word: &AtomicU64, policy: &CheckPolicy, chance: u64) -> u64 {
    let pause_ms = if State::of(word).count > 0 { policy.fast_interval_ms } else { policy.interval_ms };
    pause_ms - pause_ms / 10 + chance % (pause_ms / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes that outcomes make: `.` passes, `x` fails.
    fn changes(outcomes: &str) -> Vec<(usize, bool)> {
        let word = AtomicU64::new(0);
        let policy = CheckPolicy::default();
        let mut changes = Vec::new();
        for (at, outcome) in outcomes.chars().enumerate() {
            let outcome = if outcome == '.' { Ok(()) } else { Err(Cause::Refused) };
            match take(&word, outcome, &policy, at as u64) {
                Some(Verdict::Down(_)) => changes.push((at, false)),
                Some(_) => changes.push((at, true)),
                None => {}
            }
        }
        changes
    }

    #[test]
    fn a_verdict_changes_after_so_many_outcomes_one_after_the_other() {
        assert_eq!(changes("......"), []);
        assert_eq!(changes(".xx.xx.xx."), []);
        assert_eq!(changes(".xxx"), [(3, false)]);
        assert_eq!(changes("xxx"), [(2, false)]);
        assert_eq!(changes(".xxx.x.x.x.."), [(3, false), (11, true)]);
        assert_eq!(changes(".xxx..xx.xxx.."), [(3, false), (5, true), (11, false), (13, true)]);
    }

    #[test]
    fn the_pause_is_short_while_the_verdict_is_about_to_change() {
        let (word, policy) = (AtomicU64::new(0), CheckPolicy::default());
        for chance in [0, 77, u64::MAX] {
            assert!((4_500..=5_500).contains(&pause_ms(&word, &policy, chance)));
        }
        take(&word, Err(Cause::Timeout), &policy, 1);
        for chance in [0, 77, u64::MAX] {
            assert!((900..=1_100).contains(&pause_ms(&word, &policy, chance)));
        }
    }

    #[test]
    fn a_server_that_never_was_down_has_no_slow_start() {
        let (word, policy) = (AtomicU64::new(0), CheckPolicy::default());
        take(&word, Ok(()), &policy, 5_000);
        assert_eq!(verdict(&word), Verdict::Up(0));
    }
}
