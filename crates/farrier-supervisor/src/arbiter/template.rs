//! Templates: processes that have imported the application once and fork the workers of one generation.
//!
//! The arbiter never imports the application, so a new generation's template always imports the current code. Workers
//! survive the loss of their template: another one is started, and only new workers wait for it.

use std::time::Duration;

use super::event::{Action, TemplateId, TemplateSpawn};
use crate::process::Pid;
use crate::signals::Signal;

/// A template from its start until it is reaped.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    pub(super) spawn: TemplateSpawn,
    pub(super) pid: Option<Pid>,
    pub(super) state: TemplateState,
    pub(super) spawned_at: Duration,
    pub(super) ready_since: Option<Duration>,
    pub(super) killed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateState {
    /// It imports the application.
    Loading { until: Option<Duration> },
    /// It forks workers.
    Ready,
    /// It is leaving; it is killed at this time, if there is one.
    Leaving { kill_at: Option<Duration> },
}

/// Where the workers of a crew are forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nursery {
    /// In the arbiter: each worker imports the application for itself.
    Arbiter,
    /// In a template that is to be started.
    Missing { not_before: Duration, lost: u32 },
    /// In this template, after so many that were lost.
    Template { id: TemplateId, lost: u32 },
}

impl Nursery {
    /// For a crew whose settings are these.
    pub(super) fn new(preload: bool) -> Nursery {
        if preload { Nursery::Missing { not_before: Duration::ZERO, lost: 0 } } else { Nursery::Arbiter }
    }
}

impl Template {
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            TemplateState::Loading { until } => until,
            TemplateState::Ready => None,
            TemplateState::Leaving { kill_at } => kill_at,
        }
    }

    pub(super) fn pid_text(&self) -> String {
        self.pid.map_or_else(|| "?".to_owned(), |pid| pid.to_string())
    }

    pub(super) fn signal(&self, signal: Signal, out: &mut Vec<Action>) {
        if let Some(pid) = self.pid {
            out.push(Action::SignalTemplate { template: self.spawn.template, pid, signal });
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        matches!(self.state, TemplateState::Leaving { .. })
    }
}
