//! What a handler says of a request before it answers it: what the answer takes, and how the request's content is wanted.

use crate::exchange::Exchange;
use crate::filter::{AnswerFilter, Filtered};
use crate::request::Request;

/// What answering a request takes; all that the engine knows of a handler.
pub enum Plan {
    /// Nothing: the handler answers at once and never waits (static file, cached response, redirect, status).
    Now,
    /// The same, and the request is neither counted nor logged: it asks for the server's own health.
    NowUnseen,
    /// Nothing, once this was run by a thread that may wait for the disk.
    Disk(Box<dyn DiskLookup>),
    /// A seat, for as long as the call takes (a WSGI application).
    Seat(BodyMode),
    /// Neither a seat nor an answer at once: the engine steps this until it is over.
    Exchange(Box<dyn Exchange>, BodyMode),
}

impl Plan {
    /// The same plan, with a filter before the answer of an exchange; `filter` may want none. An answer that a seat or the
    /// server itself gives goes through the filter's handler.
    pub fn filtered(self, filter: impl FnOnce() -> Option<Box<dyn AnswerFilter>>) -> Plan {
        match self {
            Plan::Exchange(exchange, mode) => match filter() {
                Some(filter) => Plan::Exchange(Box::new(Filtered::new(exchange, filter)), mode),
                None => Plan::Exchange(exchange, mode),
            },
            plan => plan,
        }
    }
}

/// How a handler wants the content of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyMode {
    /// Complete before the handler is called: a slow client occupies nothing.
    #[default]
    Buffered,
    /// As it arrives: the handler is called when the head is complete.
    Streamed,
}

/// What must be done for a request by a thread that may wait for the disk, before it can be answered at once.
pub trait DiskLookup: Send {
    /// Does it, and notes in the request what came of it.
    fn run(self: Box<Self>, request: &mut Request);
}
