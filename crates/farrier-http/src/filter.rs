//! Acts on an answer before it reaches the sink, for every kind of producer.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::Error;
use crate::exchange::{Event, Exchange, ExchangeIo, Next};
use crate::request::Request;
use crate::response::ResponseHead;
use crate::sink::{Accepted, AnswerSink};

/// What acts on one answer. Each method is given the sink behind the filter; unless it says otherwise, everything is handed on.
pub trait AnswerFilter: Send {
    /// The exchange begins: the place for fields that every head gets ([`AnswerSink::stamp`]).
    fn begin(&mut self, next: &mut dyn AnswerSink) {
        let _ = next;
    }

    /// As [`AnswerSink::head`].
    fn head(&mut self, head: &ResponseHead, length: Option<u64>, next: &mut dyn AnswerSink) {
        next.head(head, length);
    }

    /// As [`AnswerSink::data`].
    fn data(&mut self, piece: Bytes, next: &mut dyn AnswerSink) -> Accepted {
        next.data(piece)
    }

    /// As [`AnswerSink::lend`].
    fn lend(&mut self, piece: &[u8], next: &mut dyn AnswerSink) -> Accepted {
        self.data(Bytes::copy_from_slice(piece), next)
    }

    /// As [`AnswerSink::file`].
    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64, next: &mut dyn AnswerSink) -> Accepted {
        next.file(file, offset, bytes)
    }

    /// As [`AnswerSink::trailers`].
    fn trailers(&mut self, trailers: &ResponseHead, next: &mut dyn AnswerSink) {
        next.trailers(trailers);
    }

    /// As [`AnswerSink::end`]. `request` is the one that is answered.
    fn end(&mut self, request: &Request, next: &mut dyn AnswerSink) {
        let _ = request;
        next.end();
    }

    /// Whether content that was given waits here for a later turn. Meanwhile the exchange gets no [`Event::Room`], its sink has
    /// no room, and its end waits too: [`AnswerFilter::step_ended`] is called again when the sink behind has room.
    fn holds_back(&self) -> bool {
        false
    }

    /// A step of the exchange is over, and the exchange waits. What the filter holds back goes on now, if `next` has room.
    fn step_ended(&mut self, next: &mut dyn AnswerSink) -> Stepped {
        let _ = next;
        Stepped::Waits
    }
}

/// What a filter says of a step of its exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// The exchange waits for its next event.
    Waits,
    /// The filter said [`Accepted::Full`] of its own accord, so that the step ends. [`Event::Room`] must follow.
    StoppedEarly,
}

/// Fields that every head of an answer gets, one for an error too.
pub struct Stamps(pub Vec<(String, Vec<u8>)>);

impl AnswerFilter for Stamps {
    fn begin(&mut self, next: &mut dyn AnswerSink) {
        for (name, value) in &self.0 {
            next.stamp(name, value);
        }
    }

    fn lend(&mut self, piece: &[u8], next: &mut dyn AnswerSink) -> Accepted {
        next.lend(piece)
    }
}

/// An exchange whose answer goes through a filter.
pub(crate) struct Filtered {
    exchange: Box<dyn Exchange>,
    filter: Box<dyn AnswerFilter>,
    /// The exchange is over. It is kept as long as the filter holds content back.
    is_over: bool,
    is_aborted: bool,
    is_switched: bool,
}

impl Filtered {
    pub(crate) fn new(exchange: Box<dyn Exchange>, filter: Box<dyn AnswerFilter>) -> Filtered {
        Filtered { exchange, filter, is_over: false, is_aborted: false, is_switched: false }
    }
}

impl Exchange for Filtered {
    fn step(&mut self, event: Event, now_ms: u64, io: &mut ExchangeIo<'_>) -> Next {
        if event == Event::Begin {
            self.filter.begin(io.answer);
        }
        // What the exchange has given goes on before it may give more.
        let is_for_filter = event == Event::Room && self.filter.holds_back() && !self.is_aborted;
        let mut next = Next::Wait;
        if !self.is_over && !is_for_filter {
            let Filtered { exchange, filter, is_aborted, is_switched, .. } = self;
            let mut answer = FilteredSink {
                filter: &mut **filter,
                next: &mut *io.answer,
                is_aborted,
                is_switched,
                has_ended: false,
            };
            let mut filtered =
                ExchangeIo::new(io.request, io.content, io.content_bytes, &mut answer, &mut *io.upstreams, io.waker);
            next = exchange.step(event, now_ms, &mut filtered);
            io.is_stopped_early |= filtered.is_stopped_early;
            io.is_switched |= filtered.is_switched;
            if answer.has_ended && *answer.is_switched {
                io.answer.end();
            } else if answer.has_ended {
                filter.end(io.request, io.answer);
            }
            self.is_over = next == Next::Done;
        }
        if self.is_aborted || self.is_switched || io.answer.is_gone() {
            return next;
        }
        if !self.is_over || self.filter.holds_back() {
            io.is_stopped_early |= self.filter.step_ended(io.answer) == Stepped::StoppedEarly;
        }
        if self.filter.holds_back() {
            io.is_stopped_early = true;
            return if self.is_over { Next::Wait } else { next };
        }
        if self.is_over {
            return Next::Done;
        }
        // The exchange gets the room that the filter has left.
        io.is_stopped_early |= is_for_filter;
        next
    }
}

/// A sink behind a filter.
struct FilteredSink<'a> {
    filter: &'a mut dyn AnswerFilter,
    next: &'a mut dyn AnswerSink,
    /// The exchange has ended its answer. The filter is told when the step is over.
    has_ended: bool,
    is_aborted: &'a mut bool,
    /// What follows is no content: the filter does not see it.
    is_switched: &'a mut bool,
}

impl AnswerSink for FilteredSink<'_> {
    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.next.stamp(name, value);
    }

    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.filter.head(head, length, self.next);
    }

    fn inform(&mut self, interim: &ResponseHead) {
        self.next.inform(interim);
    }

    fn switch(&mut self, head: &[u8]) -> bool {
        *self.is_switched = self.next.switch(head);
        *self.is_switched
    }

    fn accept_connect(&mut self, head: &ResponseHead) -> bool {
        *self.is_switched = self.next.accept_connect(head);
        *self.is_switched
    }

    fn end_direction(&mut self) -> bool {
        self.next.end_direction()
    }

    fn data(&mut self, piece: Bytes) -> Accepted {
        if *self.is_switched {
            return self.next.data(piece);
        }
        self.filter.data(piece, self.next)
    }

    fn lend(&mut self, piece: &[u8]) -> Accepted {
        if *self.is_switched {
            return self.next.lend(piece);
        }
        self.filter.lend(piece, self.next)
    }

    fn flush(&mut self) {
        self.next.flush();
    }

    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Accepted {
        self.filter.file(file, offset, bytes, self.next)
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.filter.trailers(trailers, self.next);
    }

    fn end(&mut self) {
        self.has_ended = true;
    }

    fn note(&mut self, fault: Error) {
        self.next.note(fault);
    }

    fn abort(&mut self, error: Error) {
        *self.is_aborted = true;
        self.next.abort(error);
    }

    fn room_bytes(&self) -> u64 {
        if self.filter.holds_back() { 0 } else { self.next.room_bytes() }
    }

    fn is_gone(&self) -> bool {
        self.next.is_gone()
    }
}
