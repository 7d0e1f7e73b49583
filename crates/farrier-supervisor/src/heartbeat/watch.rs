//! When to check the heartbeats next, whom to ask, and which have stopped. Pure: the caller reads the page.

use std::time::Duration;

use crate::clock::duration_ms;

/// How late a look may be before it says that the arbiter itself did not run. Then its workers may not have run either,
/// for example because the whole process group was stopped.
const LATE: Duration = Duration::from_secs(2);

/// The heartbeat of a worker's slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing is expected: the worker still loads the application, or has finished.
    None,
    /// No call runs, so no beat is expected, but an answer is.
    Idle {
        /// When it last beat, in monotonic milliseconds; 0 for never.
        last_ms: u64,
        /// The number that it has answered last.
        answered: u64,
    },
    /// Calls run, and last made progress at this monotonic time in milliseconds.
    Active {
        /// When it last beat.
        last_ms: u64,
    },
}

/// What a look has found.
#[derive(Debug, PartialEq, Eq)]
pub struct Look<W> {
    /// Workers whose calls have made no progress for too long.
    pub stale: Vec<W>,
    /// Workers that run no call and have not answered for too long.
    pub unanswered: Vec<W>,
    /// The workers are to be asked now; [`Watch::asked`] must follow.
    pub asks: bool,
}

/// Checks as rarely as possible. One wake-up per `timeout` finds every stopped worker that runs a call within a
/// millisecond, because each check computes when the next worker could become stale. A worker that runs none is asked at
/// one check and must have answered at the next, so it is found within twice the time.
#[derive(Debug, Default)]
pub struct Watch {
    timeout: Option<Duration>,
    next_look: Option<Duration>,
    /// The number that was asked last, and when.
    asked: Option<(u64, u64)>,
}

impl Watch {
    /// A watch with this limit; `None` means that no worker is ever stale.
    pub fn new(timeout: Option<Duration>) -> Watch {
        Watch { timeout, next_look: None, asked: None }
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

    /// The workers have been asked for this number.
    pub fn asked(&mut self, number: u64, now: Duration) {
        self.asked = Some((number, duration_ms(now)));
    }

    /// Checks all workers if it is time.
    pub fn look<W>(&mut self, beats: impl Iterator<Item = (W, Beat)>, now: Duration) -> Look<W> {
        let mut look = Look { stale: Vec::new(), unanswered: Vec::new(), asks: false };
        let (Some(timeout), Some(due)) = (self.timeout, self.next_look) else { return look };
        if now < due {
            return look;
        }
        if now > due + LATE {
            self.next_look = Some(now + timeout.min(LATE));
            self.asked = self.asked.map(|(number, _)| (number, duration_ms(now)));
            return look;
        }
        let (now_ms, timeout_ms) = (duration_ms(now), duration_ms(timeout).max(1));
        let mut next_ms: Option<u64> = None;
        let (mut is_idle, mut is_awaited) = (false, false);
        for (worker, beat) in beats {
            let (since_ms, answers) = match beat {
                Beat::None => (now_ms, false),
                Beat::Active { last_ms } => (last_ms, false),
                Beat::Idle { last_ms, answered } => match self.asked {
                    // It may have been active until a moment ago, and could not answer then.
                    Some((number, at_ms)) if answered < number => (at_ms.max(last_ms), true),
                    _ => {
                        is_idle = true;
                        // It may become active this instant.
                        (now_ms, false)
                    }
                },
            };
            let stale_at_ms = since_ms.saturating_add(timeout_ms);
            // Beyond, not at: a beat is rounded down to the millisecond.
            match (stale_at_ms < now_ms, answers) {
                (true, true) => look.unanswered.push(worker),
                (true, false) => look.stale.push(worker),
                (false, _) => {
                    is_awaited |= answers;
                    let look_ms = stale_at_ms + 1;
                    next_ms = Some(next_ms.map_or(look_ms, |earliest| earliest.min(look_ms)));
                }
            }
        }
        self.next_look = next_ms.map(Duration::from_millis);
        // One question at a time, or a worker that never answers would get more time with each.
        look.asks = is_idle && !is_awaited;
        look
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
        assert_eq!(watch.look(std::iter::empty::<(u8, Beat)>(), s(31)), nothing());
        assert_eq!(watch.wake_at(), None);
    }

    #[test]
    fn an_idle_worker_is_asked_once_per_timeout() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        let mut asked = 1;
        for second in 1..=1000 {
            let look = watch.look([("w", idle(asked))].into_iter(), s(second));
            assert!(look.unanswered.is_empty() && look.stale.is_empty());
            if look.asks {
                asked += 1;
                watch.asked(asked, s(second));
            }
        }
        // At 30 s, then every 31 s: a millisecond after the limit is the next whole second.
        assert_eq!(asked - 1, 1 + (1000 - 30) / 31);
    }

    #[test]
    fn an_idle_worker_that_does_not_answer_is_found_and_the_others_are_not() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        let beats = |answered| [("stopped", idle(1)), ("well", idle(answered)), ("loads", Beat::None)].into_iter();
        assert!(watch.look(beats(1), s(30)).asks);
        watch.asked(2, s(30));
        assert_eq!(watch.look(beats(2), s(60)), nothing());
        let ms = Duration::from_millis(60_001);
        assert_eq!(watch.wake_at(), Some(ms));
        assert_eq!(watch.look(beats(2), ms), Look { unanswered: vec!["stopped"], stale: vec![], asks: true });
    }

    #[test]
    fn a_worker_that_was_active_until_now_gets_time_for_its_answer() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        watch.look([("w", idle(1))].into_iter(), s(30));
        watch.asked(2, s(30));
        let busy = Beat::Idle { last_ms: 60_500, answered: 1 };
        assert_eq!(watch.look([("w", busy)].into_iter(), s(61)), nothing());
        assert_eq!(watch.wake_at(), Some(Duration::from_millis(90_501)));
    }

    #[test]
    fn when_the_arbiter_itself_stood_still_nobody_is_stale_at_once() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(0));
        watch.look([("w", idle(1))].into_iter(), s(30));
        watch.asked(2, s(30));
        let beats = || [("w", idle(1)), ("active", Beat::Active { last_ms: 20_000 })].into_iter();
        assert_eq!(watch.look(beats(), s(500)), nothing());
        assert_eq!(watch.wake_at(), Some(s(502)));
        assert_eq!(watch.look(beats(), s(502)).stale, ["active"]);
    }

    #[test]
    fn a_stale_worker_is_found_at_its_timeout_and_not_before() {
        let mut watch = Watch::new(Some(s(30)));
        watch.notice(s(71));
        // It became active just after a check and stopped at once.
        let silent = || [("idle", Beat::None), ("stuck", Beat::Active { last_ms: 100_000 })].into_iter();
        assert_eq!(watch.look(silent(), s(101)), nothing());
        assert_eq!(watch.wake_at(), Some(Duration::from_millis(130_001)));
        assert_eq!(watch.look(silent(), s(130)), nothing(), "exactly at the limit it is not stale");
        assert_eq!(watch.look(silent(), Duration::from_millis(130_001)).stale, ["stuck"]);
    }

    #[test]
    fn a_worker_that_beats_is_never_stale() {
        let mut watch = Watch::new(Some(s(2)));
        watch.notice(s(0));
        for second in 1..500 {
            let beats = [("w", Beat::Active { last_ms: second * 1000 - 1000 })].into_iter();
            assert_eq!(watch.look(beats, s(second)), nothing());
        }
    }

    fn idle(answered: u64) -> Beat {
        Beat::Idle { last_ms: 0, answered }
    }

    fn nothing<W>() -> Look<W> {
        Look { stale: Vec::new(), unanswered: Vec::new(), asks: false }
    }
}
