//! How a worker is told to stop: a descriptor the leader watches, and the commands read from it.

use std::os::fd::BorrowedFd;

/// What the worker is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Take no more connections, finish what is in flight, then end.
    Drain,
    /// End now.
    Quit,
    /// Open log files anew.
    ReopenLogs,
}

/// A source of commands (signals, the arbiter's end).
pub trait Control: Send {
    /// Readable when there is a command; edge-triggered.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Takes all commands that are there.
    fn take(&mut self) -> Vec<Command>;
}
