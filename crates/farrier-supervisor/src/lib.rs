//! Supervision of processes: an arbiter that is a pure state machine, and the modules that perform its decisions.
//!
//! [`Arbiter`] turns events and the time into actions and does nothing else. [`supervise`] performs those actions:
//! fork, signal, wait, sleep. Neither depends on HTTP or Python: the caller passes in how to fork, what a worker runs
//! and where lines are logged. There is no async runtime and no thread.

#![deny(unsafe_code)]

pub mod arbiter;
pub mod clock;
mod companion;
mod companion_link;
pub mod daemon;
pub mod file_watch;
pub mod heartbeat;
pub mod keyring;
mod last_words;
pub mod link;
mod memory;
mod nursery;
mod offspring;
pub mod pid_file;
pub mod privileges;
pub mod process;
pub mod run;
pub mod service_manager;
pub mod shared_words;
pub mod signals;
pub mod sockets;
pub mod stats;
pub mod title;
pub mod upgrade;

pub use arbiter::{
    Action, Arbiter, ArbiterSettings, Cause, Event, Level, Notice, Spawn, TemplateId, TemplateSpawn, WorkerId,
};
pub use companion_link::CompanionLink;
pub use file_watch::FileWatch;
pub use heartbeat::{HeartbeatPage, Slot};
pub use last_words::LastWords;
pub use link::WorkerLink;
pub use process::{ExitStatus, Fork, Forked, Pid};
pub use run::{Accompany, Ended, Housekeeping, Plan, Preload, Renewal, supervise};
pub use shared_words::SharedWords;
pub use signals::{Signal, SignalPipe};
pub use sockets::{BindOptions, ListenSpec, Listener, LocalAddress};
