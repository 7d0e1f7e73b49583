//! What other threads return to the leader: connections that seats have finished with, and what was read from the disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use farrier_http::Request;

use farrier_protocol::connection::Connection;
use farrier_transport::reactor::token::Token;

/// Something that is returned to the leader.
pub(crate) enum Returned {
    /// A connection that goes on.
    Open(Box<Connection>),
    /// A connection that is closed; its slot is free.
    Closed(Token),
    /// The files that its request needs are in memory: it can be answered at once.
    Ready(Waiting),
    /// The data that its response needs next is in memory: more of it can be sent.
    Fetched(Token),
}

/// A request that waits for the disk.
pub(crate) struct Waiting {
    pub(crate) connection: Box<Connection>,
    pub(crate) request: Box<Request>,
    /// Where the request ends in its arena.
    pub(crate) end: usize,
}

/// What was returned and not looked at yet. The thread that adds something wakes the leader if it must act at once.
#[derive(Default)]
pub(crate) struct Returns(Mutex<Vec<Returned>>);

impl Returns {
    /// The list. An event for a connection that a seat owns is noted under its lock, so that it is not missed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Returned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes everything that was returned.
    pub(crate) fn take(&self) -> Vec<Returned> {
        std::mem::take(&mut *self.lock())
    }
}
