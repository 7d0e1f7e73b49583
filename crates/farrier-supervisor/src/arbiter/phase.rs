//! The phases of the arbiter, and how far a reload or a stop has got.

use std::time::Duration;

use super::crew::Crew;
use super::settings::ArbiterSettings;

/// From the first event to the exit.
#[derive(Debug)]
pub(super) enum Phase {
    New,
    Running,
    Stopping(Stop),
    Ended,
}

/// The progress of a reload.
#[derive(Debug)]
pub(super) enum Reload {
    None,
    /// The configuration is being read.
    Reading,
    /// Workers of two generations live.
    Surging(Box<Surge>),
}

/// The new generation of a reload.
#[derive(Debug)]
pub(super) struct Surge {
    pub(super) next: Crew,
    pub(super) settings: ArbiterSettings,
    /// One of its workers was ready, so the application can be loaded.
    pub(super) proven: bool,
}

/// A stop that has begun.
#[derive(Debug)]
pub(super) struct Stop {
    pub(super) manner: Manner,
    /// When the workers are killed; once they have been killed, when the arbiter exits without waiting for them.
    pub(super) deadline: Duration,
    pub(super) killed: bool,
    pub(super) exit_code: i32,
    pub(super) reason: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Graceful,
    Quick,
}
