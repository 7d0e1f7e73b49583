//! Decides when the companion is started, replaced and ended: a process beside the workers, for work that is no
//! request. Pure, like the arbiter.
//!
//! It is not a worker: it has no slot, is not counted, and nothing waits for it. So the arbiter's rules of crashes and
//! reloads do not apply to it, only the few rules here.

use std::time::Duration;

use crate::process::{ExitStatus, Pid};
use crate::signals::Signal;

/// A companion that lives this long did not die early.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The waits after early deaths: the first, and the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// It is killed this long after `TERM`, if it has not left.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// The actual state, and the wanted one.
#[derive(Debug)]
pub(crate) struct Companion {
    is_wanted: bool,
    state: State,
    early_deaths: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Missing { not_before: Duration },
    Alive { pid: Pid, since: Duration },
    Leaving { pid: Pid, kill_at: Option<Duration> },
}

/// Something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Fork it; answer with [`Companion::started`] or [`Companion::not_started`].
    Start,
    /// Send it a signal.
    Signal(Pid, Signal),
}

impl Companion {
    pub(crate) fn new(is_wanted: bool) -> Companion {
        Companion { is_wanted, state: State::Missing { not_before: Duration::ZERO }, early_deaths: 0 }
    }

    /// Its process, until that was reaped.
    pub(crate) fn pid(&self) -> Option<Pid> {
        match self.state {
            State::Missing { .. } => None,
            State::Alive { pid, .. } | State::Leaving { pid, .. } => Some(pid),
        }
    }

    /// Sets again whether it is wanted. A living one is replaced, because its settings are old.
    pub(crate) fn renew(&mut self, is_wanted: bool, now: Duration) -> Option<Step> {
        self.is_wanted = is_wanted;
        self.early_deaths = 0;
        match self.state {
            State::Missing { .. } => {
                self.state = State::Missing { not_before: now };
                None
            }
            State::Alive { pid, .. } => {
                self.state = State::Leaving { pid, kill_at: Some(now + LEAVE_TIMEOUT) };
                Some(Step::Signal(pid, Signal::Term))
            }
            State::Leaving { .. } => None,
        }
    }

    /// The next action that is due; call it again until there is none.
    pub(crate) fn due(&mut self, now: Duration) -> Option<Step> {
        match self.state {
            State::Missing { not_before } if self.is_wanted && not_before <= now => Some(Step::Start),
            State::Leaving { pid, kill_at: Some(at) } if at <= now => {
                self.state = State::Leaving { pid, kill_at: None };
                Some(Step::Signal(pid, Signal::Kill))
            }
            _ => None,
        }
    }

    /// When to call [`Companion::due`].
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        match self.state {
            State::Missing { not_before } => self.is_wanted.then_some(not_before),
            State::Alive { .. } => None,
            State::Leaving { kill_at, .. } => kill_at,
        }
    }

    pub(crate) fn started(&mut self, pid: Pid, now: Duration) {
        self.state = State::Alive { pid, since: now };
    }

    /// It could not be forked.
    pub(crate) fn not_started(&mut self, now: Duration) {
        self.early_deaths = self.early_deaths.saturating_add(1);
        self.state = State::Missing { not_before: now + self.delay() };
    }

    /// Its process was reaped. Returns the log line if the end was unexpected.
    pub(crate) fn ended(&mut self, status: ExitStatus, now: Duration) -> Option<String> {
        let state = std::mem::replace(&mut self.state, State::Missing { not_before: now });
        let State::Alive { pid, since } = state else { return None };
        let early = now.saturating_sub(since) < HEALTHY_AFTER;
        self.early_deaths = if early { self.early_deaths.saturating_add(1) } else { 0 };
        let delay = if early { self.delay() } else { FIRST_DELAY };
        self.state = State::Missing { not_before: now + delay };
        Some(format!("(pid:{pid}) ended with {status}; it is started again in {} s", delay.as_secs()))
    }

    fn delay(&self) -> Duration {
        let doubled = FIRST_DELAY.saturating_mul(2_u32.saturating_pow(self.early_deaths.saturating_sub(1)));
        doubled.min(LONGEST_DELAY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TERM: Step = Step::Signal(7, Signal::Term);
    const KILL: Step = Step::Signal(7, Signal::Kill);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn living() -> Companion {
        let mut companion = Companion::new(true);
        assert_eq!(companion.due(at(0)), Some(Step::Start));
        companion.started(7, at(0));
        assert_eq!((companion.due(at(0)), companion.wake_at(), companion.pid()), (None, None, Some(7)));
        companion
    }

    #[test]
    fn one_that_is_not_wanted_is_never_started() {
        let mut companion = Companion::new(false);
        assert_eq!((companion.due(at(9)), companion.wake_at()), (None, None));
        assert_eq!(companion.renew(true, at(9)), None);
        assert_eq!(companion.due(at(9)), Some(Step::Start));
    }

    #[test]
    fn one_that_dies_comes_back_later_each_time() {
        let mut companion = Companion::new(true);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert_eq!(companion.due(now), Some(Step::Start));
            companion.started(7, now);
            assert!(companion.ended(ExitStatus::Signal(9), now).is_some());
            assert_eq!(companion.due(now), None);
            let again = companion.wake_at().expect("wanted");
            waits.push((again - now).as_secs());
            now = again;
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
        companion.started(7, now);
        assert!(companion.ended(ExitStatus::Code(1), now + HEALTHY_AFTER).is_some());
        assert_eq!(companion.wake_at(), Some(now + HEALTHY_AFTER + FIRST_DELAY));
    }

    #[test]
    fn new_settings_replace_it_and_there_are_never_two() {
        let mut companion = living();
        assert_eq!(companion.renew(true, at(1)), Some(TERM));
        assert_eq!(companion.due(at(1)), None);
        assert_eq!(companion.ended(ExitStatus::Signal(15), at(2)), None);
        assert_eq!(companion.due(at(2)), Some(Step::Start));
    }

    #[test]
    fn one_that_does_not_leave_is_killed_once() {
        let mut companion = living();
        assert_eq!(companion.renew(false, at(1)), Some(TERM));
        assert_eq!(companion.renew(false, at(2)), None);
        assert_eq!((companion.due(at(5)), companion.wake_at()), (None, Some(at(6))));
        assert_eq!((companion.due(at(6)), companion.due(at(6)), companion.wake_at()), (Some(KILL), None, None));
        assert_eq!(companion.ended(ExitStatus::Signal(9), at(7)), None);
        assert_eq!((companion.due(at(99)), companion.wake_at()), (None, None));
    }

    #[test]
    fn a_fork_that_fails_is_tried_again() {
        let mut companion = Companion::new(true);
        companion.not_started(at(0));
        assert_eq!((companion.due(at(0)), companion.wake_at()), (None, Some(at(1))));
        assert_eq!(companion.due(at(1)), Some(Step::Start));
    }
}
