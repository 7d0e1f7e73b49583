//! One worker as the arbiter knows it.

use std::time::Duration;

use super::event::{Action, Spawn, WorkerId};
use crate::process::Pid;
use crate::signals::Signal;

/// A worker from its spawn until it is reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Worker {
    pub(super) spawn: Spawn,
    /// Unknown between the order to fork and its answer.
    pub(super) pid: Option<Pid>,
    pub(super) side: Side,
    pub(super) state: State,
    pub(super) spawned_at: Duration,
    /// When it said that it is ready; from then on it catches signals.
    pub(super) ready_since: Option<Duration>,
    /// How many in a row had died early before it, at its number.
    pub(super) early_deaths: u32,
    pub(super) retirement: Retirement,
    /// It held too much memory from the beginning.
    pub(super) outgrown_early: bool,
    /// We sent `KILL`, so nothing else did.
    pub(super) killed: bool,
    /// Somebody else sent `KILL`: an operator, or the kernel for want of memory. No fault of the application's shows in it.
    pub(super) slain: bool,
}

/// Whether a worker belongs to the serving generation or to the one that is to replace it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Current,
    Next,
}

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It loads the application.
    Booting { until: Option<Duration> },
    /// It serves.
    Ready,
    /// It is to leave; at the time it is killed, if there is one left.
    Leaving { kill_at: Option<Duration> },
}

/// Whether a worker is to be replaced at leisure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retirement {
    None,
    /// It has asked.
    Wanted,
    /// Its successor is on the way.
    Granted,
}

impl Worker {
    pub(super) fn id(&self) -> WorkerId {
        self.spawn.worker
    }

    /// It counts towards the number of workers wanted on this side.
    pub(super) fn is_member(&self, side: Side) -> bool {
        self.side == side
            && self.retirement != Retirement::Granted
            && matches!(self.state, State::Booting { .. } | State::Ready)
    }

    pub(super) fn is_booting(&self) -> bool {
        matches!(self.state, State::Booting { .. })
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, State::Leaving { .. })
    }

    /// The pid as the log writes it.
    pub(super) fn pid_text(&self) -> String {
        self.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
    }

    /// When the arbiter must do something about it.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Booting { until } => until,
            State::Ready => None,
            State::Leaving { kill_at } => kill_at,
        }
    }

    pub(super) fn signal(&self, signal: Signal, out: &mut Vec<Action>) {
        if let Some(pid) = self.pid {
            out.push(Action::Signal { worker: self.id(), pid, signal });
        }
    }
}
