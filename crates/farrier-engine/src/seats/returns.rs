//! What comes back to the leader from other threads: connections that seats have finished with, and what was read from the
//! disk.

use std::sync::{Mutex, MutexGuard, PoisonError};

use farrier_http::Request;

use crate::protocol::connection::Connection;
use farrier_transport::reactor::token::Token;

/// Something that comes back to the leader.
pub(crate) enum Returned {
    /// A connection that goes on.
    Open(Box<Connection>),
    /// A connection that is closed; its slot is free.
    Closed(Token),
    /// What its request needs is in memory: it can be answered at once.
    Ready(Waiting),
    /// What its response needs next is in memory: more of it can be written.
    Fetched(Token),
}

/// A request that waits for the disk.
pub(crate) struct Waiting {
    pub(crate) connection: Box<Connection>,
    pub(crate) request: Box<Request>,
    /// Where the request ends in its arena.
    pub(crate) end: usize,
}

/// What has come back and was not looked at yet. Whoever adds something wakes the leader if it must act at once.
#[derive(Default)]
pub(crate) struct Returns(Mutex<Vec<Returned>>);

impl Returns {
    /// The list. An event for a connection that a seat owns is noted under its lock, so that it is not missed.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Returned>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that has come back.
    pub(crate) fn take(&self) -> Vec<Returned> {
        std::mem::take(&mut *self.lock())
    }
}
