//! The arbiter's input and output: events, actions and notices.

use std::time::Duration;

use super::settings::ArbiterSettings;
use crate::process::{ExitStatus, Pid};
use crate::signals::Signal;

/// A worker of this arbiter: counted from one, and never reused, unlike a pid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

/// A template of this arbiter: counted from one, and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TemplateId(pub u64);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The arbiter starts. This is the first event, and comes once.
    Started,
    /// A signal reached the arbiter.
    Signal(Signal),
    /// A [`Action::Spawn`] was performed.
    Spawned {
        /// The worker that was asked for.
        worker: WorkerId,
        /// Its process.
        pid: Pid,
    },
    /// A [`Action::Spawn`] could not be performed.
    ForkFailed {
        /// The worker that was asked for.
        worker: WorkerId,
        /// The kernel's reason.
        reason: String,
    },
    /// A [`Action::StartTemplate`] was performed.
    TemplateStarted {
        /// The template that was asked for.
        template: TemplateId,
        /// Its process.
        pid: Pid,
    },
    /// A [`Action::StartTemplate`] could not be performed.
    TemplateNotForked {
        /// The template that was asked for.
        template: TemplateId,
        /// The kernel's reason.
        reason: String,
    },
    /// The template has loaded the application and can fork workers.
    TemplateReady(TemplateId),
    /// The template could not load the application; it has logged why and is about to exit.
    TemplateFailed {
        /// Which.
        template: TemplateId,
        /// The code it will exit with, as with [`Event::BootFailed`].
        code: i32,
    },
    /// The template's process has ended and was reaped. [`Event::ForkFailed`] follows for each worker that it had not
    /// forked yet.
    TemplateExited {
        /// Which.
        template: TemplateId,
        /// How.
        status: ExitStatus,
    },
    /// The worker has loaded the application and serves.
    Ready(WorkerId),
    /// The worker could not load the application; it has logged why and is about to exit.
    BootFailed {
        /// Which.
        worker: WorkerId,
        /// The code it will exit with: [`EXIT_BOOT_FAILED`] or [`EXIT_APPLICATION_NOT_FOUND`].
        code: i32,
    },
    /// The worker should be replaced at a convenient time.
    Retiring {
        /// Which.
        worker: WorkerId,
        /// Why.
        cause: Cause,
    },
    /// A source file of the worker has changed: new workers must load the new code, as at `HUP`.
    CodeChanged(WorkerId),
    /// The worker's process has ended and was reaped.
    Exited {
        /// Which.
        worker: WorkerId,
        /// How.
        status: ExitStatus,
    },
    /// The worker is active and has sent no heartbeat for longer than the timeout.
    HeartbeatStale(WorkerId),
    /// The worker runs no call and has not answered the arbiter for longer than the timeout: it does not poll.
    Unanswered(WorkerId),
    /// The answer to [`Action::ReadConfig`].
    Reloaded(ArbiterSettings),
    /// The other answer to [`Action::ReadConfig`]: there is an error in it.
    ReloadFailed(String),
    /// The time of [`super::Arbiter::wake_at`] has come.
    Tick,
}

/// Something to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Fork a worker, or let its template do so; answer with [`Event::Spawned`] or [`Event::ForkFailed`], at once or
    /// later.
    Spawn(Spawn),
    /// Fork a template; answer at once with [`Event::TemplateStarted`] or [`Event::TemplateNotForked`].
    StartTemplate(TemplateSpawn),
    /// Send a signal to a template; after `TERM` it gets no more requests.
    SignalTemplate {
        /// To whom.
        template: TemplateId,
        /// Its process, which has not been reaped.
        pid: Pid,
        /// Which signal.
        signal: Signal,
    },
    /// Send a signal to a worker.
    Signal {
        /// To whom.
        worker: WorkerId,
        /// Its process, which has not been reaped.
        pid: Pid,
        /// Which signal.
        signal: Signal,
    },
    /// Write a line to the error log.
    Log {
        /// Its level.
        level: Level,
        /// The line without time, pid and level.
        message: String,
    },
    /// Read the configuration again; answer with [`Event::Reloaded`] or [`Event::ReloadFailed`].
    ReadConfig {
        /// The generation that it is for. It stays unused if the reading fails.
        generation: u64,
    },
    /// Close this process's copies of the listeners, so that the workers' are the last.
    CloseListeners,
    /// Notify observers: the service manager, hooks, metrics.
    Notify(Notice),
    /// End this process. Always the last action of the last answer.
    Exit(i32),
}

/// A worker to be forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spawn {
    /// Its name in all later events and actions.
    pub worker: WorkerId,
    /// Its number within its generation, from one; a successor inherits it.
    pub number: u32,
    /// Its slot in the heartbeat page; no other living worker has it.
    pub slot: u32,
    /// Which reading of the configuration it belongs to, from one.
    pub generation: u64,
    /// How many workers had this number before it in this generation.
    pub restarts: u32,
    /// The template that forks it; without one it is forked by the arbiter.
    pub template: Option<TemplateId>,
}

/// A template to be forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TemplateSpawn {
    /// Its name in all later events and actions.
    pub template: TemplateId,
    /// Which reading of the configuration it belongs to, from one.
    pub generation: u64,
}

/// Something that observers want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The listeners are open and no worker has been forked yet. Once, after the first [`Notice::WorkersChanged`].
    Listening,
    /// The first worker is ready: the server serves. Once.
    Ready,
    /// A reload has begun; the configuration is read next.
    Reloading,
    /// The configuration was read; the workers of the new generation are forked next.
    Renewed {
        /// The generation to come.
        generation: u64,
    },
    /// The reload is done: only workers of this generation are left.
    Reloaded {
        /// The new generation.
        generation: u64,
    },
    /// The reload was abandoned; this generation keeps serving.
    ReloadAbandoned {
        /// The generation that serves.
        generation: u64,
    },
    /// A graceful stop was requested. The server keeps serving for [`ArbiterSettings::drain_delay`]; then
    /// [`Notice::Stopping`] follows. Sent only if there is such a delay.
    Leaving,
    /// The server is stopping: next, the listeners are closed and the workers are stopped.
    Stopping,
    /// All workers have left and the arbiter ends; nothing follows.
    Stopped,
    /// The number of workers wanted has changed.
    WorkersChanged {
        /// Before; `None` at the start.
        old: Option<u32>,
        /// Now.
        new: u32,
    },
    /// The logs must be reopened (`USR1`); the workers get the signal too.
    ReopenLogs,
    /// A successor must be started from the program on disk (`USR2`).
    Upgrade,
    /// A worker's process has ended.
    WorkerExited {
        /// Which, as it was forked.
        spawn: Spawn,
        /// Its process.
        pid: Pid,
        /// How.
        status: ExitStatus,
        /// How long it had lived.
        lived: Duration,
    },
}

/// The level of a line of the log, with Python's names. farrier-log has the same levels, but this crate depends on no
/// other, so that it can be used alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For finding faults.
    Debug,
    /// Normal operation.
    Info,
    /// Something unusual.
    Warning,
    /// Something failed.
    Error,
    /// An operator must act.
    Critical,
}

impl Level {
    /// The word in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warning => "WARNING",
            Level::Error => "ERROR",
            Level::Critical => "CRITICAL",
        }
    }
}

/// A worker's exit code when it could not boot.
pub const EXIT_BOOT_FAILED: i32 = 3;

/// A worker's exit code when the application does not exist or is not callable.
pub const EXIT_APPLICATION_NOT_FOUND: i32 = 4;

/// Why a worker should be replaced at a convenient time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It has served `max_requests`; the worker has logged this.
    Requests,
    /// The application or a hook has asked for it.
    Asked,
    /// A call in it does not return; the worker has logged this.
    Stuck,
    /// It has lived for `max_worker_lifetime`.
    Lifetime,
    /// It holds more memory than `max_worker_rss`.
    Memory {
        /// Its resident memory when it was measured.
        rss_bytes: u64,
    },
}

/// The server's exit code when a worker or a template could not load the application and ended like this.
pub(super) fn boot_exit_code(status: ExitStatus) -> i32 {
    match status {
        ExitStatus::Code(EXIT_APPLICATION_NOT_FOUND) => EXIT_APPLICATION_NOT_FOUND,
        _ => EXIT_BOOT_FAILED,
    }
}

/// Adds a line of the log to the actions.
pub(super) fn log(out: &mut Vec<Action>, level: Level, message: String) {
    out.push(Action::Log { level, message });
}
