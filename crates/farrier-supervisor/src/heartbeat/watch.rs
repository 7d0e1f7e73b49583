//! When to check the heartbeats next, and which have stopped. Pure: the caller reads the page.

use std::time::Duration;

use crate::clock::duration_ms;

/// The heartbeat of a worker's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// No call runs, so no beat is expected.
    Idle,
    /// Calls run, and last made progress at this monotonic time in milliseconds.
    Active {
        /// When it last beat.
        last_ms: u64,
    },
}

/// Checks as rarely as possible. One wake-up per `timeout` finds every stopped worker within a millisecond, because
/// each check computes when the next worker could become stale.
#[derive(Debug, Default)]
pub struct Watch {
    timeout: Option<Duration>,
    next_look: Option<Duration>,
}

impl Watch {
    /// A watch with this limit; `None` means that no worker is ever stale.
    pub fn new(timeout: Option<Duration>) -> Watch {
        Watch { timeout, next_look: None }
    }

    /// When to check again; `None` while there is nothing to check.
    pub fn wake_at(&self) -> Option<Duration> {
        self.next_look
    }

    /// A worker may be active from now on: it has reported that it is ready.
    pub fn notice(&mut self, now: Duration) {
        let Some(timeout) = self.timeout else { return };
        self.next_look = Some(self.next_look.unwrap_or(now + timeout));
    }

    /// Checks all workers if it is time, and returns those that are stale.
    pub fn look<W>(&mut self, beats: impl Iterator<Item = (W, Beat)>, now: Duration) -> Vec<W> {
        let (Some(timeout), Some(due)) = (self.timeout, self.next_look) else { return Vec::new() };
        if now < due {
            return Vec::new();
        }
        let (now_ms, timeout_ms) = (duration_ms(now), duration_ms(timeout).max(1));
        let mut stale = Vec::new();
        let mut next_ms: Option<u64> = None;
        for (worker, beat) in beats {
            let stale_at_ms = match beat {
                // It may become active this instant.
                Beat::Idle => now_ms + timeout_ms,
                Beat::Active { last_ms } => last_ms.saturating_add(timeout_ms),
            };
            // Beyond, not at: a beat is rounded down to the millisecond.
            if stale_at_ms < now_ms {
                stale.push(worker);
            } else {
                let look_ms = stale_at_ms + 1;
                next_ms = Some(next_ms.map_or(look_ms, |earliest| earliest.min(look_ms)));
            }
        }
        self.next_look = next_ms.map(Duration::from_millis);
        stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn without_a_limit_or_a_worker_nobody_looks() {
        let mut unlimited = Watch::new(None);
        unlimited.notice(s(1));
        assert_eq!(unlimited.wake_at(), None);
        let mut watch = Watch::new(Some(s(30)));
        assert_eq!(watch.wake_at(), None);
        watch.notice(s(1));
        assert_eq!(watch.wake_at(), Some(s(31)));
        assert!(watch.look(std::iter::empty::<(u8, Beat)>(), s(31)).is_empty());
        assert_eq!(watch.wake_at(), None);
    }

    #[test]
    fn an_idle_worker_is_checked_once_per_timeout() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        let looks = (1..=1000).filter(|&second| {
            let due = watch.wake_at().is_some_and(|at| at <= s(second));
            assert!(watch.look([("w", Beat::Idle)].into_iter(), s(second)).is_empty());
            due
        });
        // At 30 s, then every 31 s: a millisecond after the limit is the next whole second.
        assert_eq!(looks.count(), 1 + (1000 - 30) / 31);
    }

    #[test]
    fn a_stale_worker_is_found_at_its_timeout_and_not_before() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        // It became active just after a check and stopped at once.
        let silent = || [("idle", Beat::Idle), ("stuck", Beat::Active { last_ms: 100_000 })].into_iter();
        assert!(watch.look(silent(), s(101)).is_empty());
        assert_eq!(watch.wake_at(), Some(Duration::from_millis(130_001)));
        assert!(watch.look(silent(), s(130)).is_empty(), "exactly at the limit it is not stale");
        assert_eq!(watch.look(silent(), Duration::from_millis(130_001)), ["stuck"]);
    }

    #[test]
    fn a_worker_that_beats_is_never_stale() {
        let mut watch = Watch::new(Some(s(2)));
        watch.notice(s(0));
        for second in 1..500 {
            let beats = [("w", Beat::Active { last_ms: second * 1000 - 1000 })].into_iter();
            assert!(watch.look(beats, s(second)).is_empty());
        }
    }
}
