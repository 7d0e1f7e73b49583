//! How a worker is stopped: a file descriptor that the leader watches, and the commands read from it.

use std::os::fd::BorrowedFd;

/// A command to the worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Take no more connections, finish what is in flight, then end.
    Drain,
    /// End now.
    Quit,
    /// Reopen the log files.
    ReopenLogs,
}

/// A source of commands: signals, and the death of the arbiter. It also answers the arbiter when that asks.
pub trait Control: Send {
    /// Readable when there is a command; edge-triggered.
    fn descriptors(&self) -> Vec<BorrowedFd<'_>>;

    /// Takes all commands that are there.
    fn take(&mut self) -> Vec<Command>;
}
