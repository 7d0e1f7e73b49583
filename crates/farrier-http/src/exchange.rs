//! A request that is answered without a seat and not at once: a state machine that the engine steps whenever something has
//! happened for it.
//!
//! An exchange does no I/O, owns no thread and never waits: it takes content from a pipe, gives its answer to a sink, and says
//! what it waits for. The leader owns it, so it moves when the lead moves. Dropping it at any moment
//! frees everything it owns.

use std::task::Waker;

use crate::pipe::PipeDrain;
use crate::request::Request;
use crate::sink::AnswerSink;
use crate::upstream::Upstreams;

/// What has happened for an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The exchange begins: the first event, once.
    Begin,
    /// There is more content, or its end, where the last [`PipeDrain::pop`] gave nothing; or a waker was called.
    Content,
    /// The sink has room again, where it had none.
    Room,
    /// Something has happened on the connection to a server that it has.
    Upstream,
    /// The time has come that [`Next::WaitUntil`] named.
    Timer,
    /// The worker has begun to end: once, whatever the exchange does. What can be ended soon should be.
    Drain,
    /// The client has left. It is the last event, whatever the exchange says.
    ClientGone,
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next event.
    Wait,
    /// The next event, or this time of the engine's clock in ms. It replaces a time named before.
    WaitUntil(u64),
    /// Nothing: it is over. An answer that has not ended is aborted.
    Done,
}

/// What an exchange works with.
#[non_exhaustive]
pub struct ExchangeIo<'a> {
    /// The request that it answers.
    pub request: &'a Request,
    /// The content of the request. Where it was wanted buffered, all of it is there or can be had without the client.
    pub content: &'a PipeDrain,
    /// The content's length in bytes; `None` if it is not known before its end.
    pub content_bytes: Option<u64>,
    /// Where the answer goes. Give no more than it has room for.
    pub answer: &'a mut dyn AnswerSink,
    /// Connections to other servers.
    pub upstreams: &'a mut dyn Upstreams,
    /// Makes a waker that steps the exchange with [`Event::Content`], for one that waits for something of the worker's own.
    pub waker: &'a dyn Fn() -> Waker,
    /// Set by a step that has switched protocols ([`AnswerSink::switch`]): from the next event on the content is what the client
    /// sends in the other protocol.
    pub is_switched: bool,
    /// Set by a step that stopped early, so that others get their turn: [`Event::Room`] follows once the sink has room.
    pub is_stopped_early: bool,
}

impl<'a> ExchangeIo<'a> {
    /// What a step works with.
    pub fn new(
        request: &'a Request,
        content: &'a PipeDrain,
        content_bytes: Option<u64>,
        answer: &'a mut dyn AnswerSink,
        upstreams: &'a mut dyn Upstreams,
        waker: &'a dyn Fn() -> Waker,
    ) -> ExchangeIo<'a> {
        ExchangeIo {
            request,
            content,
            content_bytes,
            answer,
            upstreams,
            waker,
            is_switched: false,
            is_stopped_early: false,
        }
    }
}

/// Answers one request, step by step.
pub trait Exchange: Send {
    /// Goes on as far as it can. `now_ms` is the time of the engine's clock.
    fn step(&mut self, event: Event, now_ms: u64, io: &mut ExchangeIo<'_>) -> Next;
}
