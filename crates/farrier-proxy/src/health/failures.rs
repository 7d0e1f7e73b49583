//! Ejection after failures: counted in this worker, known to all. See [`super`] for the laws.
//!
//! The word's phases: well (its time is that of the return), ejected (until its time), on trial (until its time at the latest).
//! Its count is the step: how often the ejection has doubled.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use super::HealthPolicy;
use super::words::{Cause, State};

const WELL: u8 = 0;
const EJECTED: u8 = 1;
const TRIAL: u8 = 2;

/// The longest ejection.
const EJECT_MS_MAX: u64 = 300_000;

/// A step back is made in this time without an ejection.
const STEP_BACK_MS: u64 = 60_000;

/// Without an idempotent request in this time, any request is the trial.
const ANY_METHOD_MS: u64 = 10_000;

/// A trial that nobody has ended, because its process has, is over after this time.
const TRIAL_MS_MAX: u64 = 60_000;

/// What failures say of a server now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It is well, since this time; 0 if it always was.
    Well(u64),
    /// It is ejected, or tried by somebody.
    Ejected,
    /// One request may try it.
    MayBeTried,
}

/// The failures of a server that this worker has seen, the oldest first, in ms.
#[derive(Default)]
pub(crate) struct Failures(Mutex<VecDeque<u64>>);

impl Failures {
    /// Notes a failure. True: it is one too many.
    pub(crate) fn note(&self, policy: &HealthPolicy, now_ms: u64) -> bool {
        let Ok(mut failures) = self.0.lock() else { return false };
        failures.retain(|&at_ms| at_ms + policy.window_ms > now_ms);
        failures.push_back(now_ms);
        if failures.len() < policy.fail_max as usize {
            return false;
        }
        // The next ejection needs as many again.
        failures.clear();
        true
    }
}

/// What a word says.
pub(crate) fn failed(word: &AtomicU64, now_ms: u64) -> Failed {
    let state = State::of(word);
    match state.phase {
        WELL => Failed::Well(state.at_ms),
        _ if state.at_ms > now_ms => Failed::Ejected,
        _ => Failed::MayBeTried,
    }
}

/// A request that decides whether a server comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    until_ms: u64,
}

/// Begins the trial. `None`: somebody else has begun it, or it is not due, or not for a request that is not idempotent.
pub(crate) fn begin_trial(word: &AtomicU64, is_idempotent: bool, now_ms: u64) -> Option<Trial> {
    let state = State::of(word);
    if !is_idempotent && state.at_ms + ANY_METHOD_MS > now_ms {
        return None;
    }
    let until_ms = now_ms + TRIAL_MS_MAX;
    let next = State { phase: TRIAL, at_ms: until_ms, ..state };
    (state.phase != WELL && state.at_ms <= now_ms && state.replace(word, next)).then_some(Trial { until_ms })
}

/// The trial has ended without a verdict: another one may begin.
pub(crate) fn leave_trial(word: &AtomicU64, trial: Trial) {
    let state = State::of(word);
    if state.phase == TRIAL && state.at_ms == trial.until_ms {
        // The ejection is over, so the next request is the trial.
        state.replace(word, State { phase: EJECTED, at_ms: state.at_ms.saturating_sub(TRIAL_MS_MAX), ..state });
    }
}

/// The trial has succeeded. True: the server is well again.
pub(crate) fn readmit(word: &AtomicU64, now_ms: u64) -> bool {
    let state = State::of(word);
    state.phase == TRIAL && state.replace(word, State { phase: WELL, at_ms: now_ms, ..state })
}

/// Ejects a server that is well or on trial. The time that it lasts, in ms; `None`: somebody else has done it.
pub(crate) fn eject(word: &AtomicU64, policy: &HealthPolicy, cause: Cause, now_ms: u64) -> Option<u64> {
    let state = State::of(word);
    let step = match state.phase {
        EJECTED if state.at_ms > now_ms => return None,
        WELL => u64::from(state.count).saturating_sub(now_ms.saturating_sub(state.at_ms) / STEP_BACK_MS),
        _ => u64::from(state.count),
    };
    let lasts_ms = policy.eject_ms.saturating_mul(1 << step.min(20)).min(EJECT_MS_MAX.max(policy.eject_ms));
    let count = if lasts_ms < EJECT_MS_MAX { step + 1 } else { step } as u8;
    let next = State { phase: EJECTED, cause, count, at_ms: now_ms + lasts_ms };
    state.replace(word, next).then_some(lasts_ms)
}

/// Takes an ejection back: too many servers were ejected at the same time.
pub(crate) fn take_back(word: &AtomicU64) {
    let state = State::of(word);
    if state.phase == EJECTED {
        state.replace(word, State { phase: WELL, at_ms: 0, ..state });
    }
}

/// Whether requests are kept from the server because of failures.
pub(crate) fn is_out(word: &AtomicU64) -> bool {
    State::of(word).phase != WELL
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> HealthPolicy {
        HealthPolicy::default()
    }

    #[test]
    fn failures_count_only_together_within_the_window() {
        let failures = Failures::default();
        let noted: Vec<bool> =
            [0, 5_000, 10_000, 14_999, 15_000, 15_001].map(|at_ms| failures.note(&policy(), at_ms)).into();
        assert_eq!(noted, [false, false, false, true, false, false]);
    }

    #[test]
    fn ejections_double_up_to_five_minutes_and_step_back_each_minute() {
        let word = AtomicU64::new(0);
        let mut now_ms = 1_000;
        let mut lasted = Vec::new();
        for _ in 0..7 {
            let lasts_ms = eject(&word, &policy(), Cause::Refused, now_ms);
            lasted.push(lasts_ms.map(|ms| ms / 1000));
            assert_eq!(eject(&word, &policy(), Cause::Refused, now_ms), None, "it is out already");
            now_ms += lasts_ms.unwrap_or(0);
            assert!(begin_trial(&word, true, now_ms).is_some() && readmit(&word, now_ms));
        }
        assert_eq!(lasted, [10, 20, 40, 80, 160, 300, 300].map(Some));
        now_ms += 2 * STEP_BACK_MS;
        assert_eq!(eject(&word, &policy(), Cause::Refused, now_ms), Some(80_000));
        now_ms += 80_000;
        assert!(begin_trial(&word, true, now_ms).is_some() && readmit(&word, now_ms));
        now_ms += 10 * STEP_BACK_MS;
        assert_eq!(eject(&word, &policy(), Cause::Refused, now_ms), Some(10_000));
    }

    #[test]
    fn one_request_tries_an_ejected_server_and_its_failure_doubles_the_time() {
        let word = AtomicU64::new(0);
        eject(&word, &policy(), Cause::Timeout, 0);
        assert_eq!((failed(&word, 9_999), begin_trial(&word, true, 9_999)), (Failed::Ejected, None));
        assert_eq!(failed(&word, 10_000), Failed::MayBeTried);
        assert!(begin_trial(&word, true, 10_000).is_some() && begin_trial(&word, true, 10_000).is_none());
        assert_eq!(failed(&word, 10_001), Failed::Ejected);
        assert_eq!(eject(&word, &policy(), Cause::Timeout, 11_000), Some(20_000));
        let trial = begin_trial(&word, true, 31_000).expect("is due");
        leave_trial(&word, trial);
        assert!(begin_trial(&word, true, 31_500).is_some(), "a trial without a verdict is made again");
        assert!(readmit(&word, 32_000) && !readmit(&word, 32_000));
        assert_eq!(failed(&word, 32_000), Failed::Well(32_000));
    }

    #[test]
    fn a_trial_whose_process_has_died_is_made_by_another() {
        let word = AtomicU64::new(0);
        eject(&word, &policy(), Cause::Timeout, 0);
        let dead = begin_trial(&word, true, 10_000).expect("is due");
        assert_eq!(failed(&word, 10_000 + TRIAL_MS_MAX), Failed::MayBeTried);
        assert!(begin_trial(&word, true, 10_000 + TRIAL_MS_MAX).is_some());
        leave_trial(&word, dead);
        assert_eq!(failed(&word, 10_001 + TRIAL_MS_MAX), Failed::Ejected, "the other trial goes on");
    }
}
