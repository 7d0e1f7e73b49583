//! The answering side of a stream as the `h2` crate sees it: the crate gets only what flow control admits.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Buf;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::Response;

use crate::h2::outgoing::{End, Next, Outgoing};
use crate::h2::piece::{Meter, Piece, Unsent};
use farrier_transport::account::kept_bytes;
use farrier_transport::file_stretch::ColdStretch;
use farrier_transport::response_budget::ResponseBudget;

/// Content that a seat gives to the `h2` crate itself. For larger content, the leader passes on what the connection
/// takes.
const DIRECT_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a stream requested in flow control at a time, and read from a file at a time.
pub const PIECE_BYTES_MAX: usize = 64 * 1024;

/// A stream on which nothing more can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone;

/// The result of passing more of a stream to the connection.
pub enum Fed {
    /// So many bytes were passed, or an end; false: nothing can be passed now.
    Given(bool, usize),
    /// The next bytes must be read from the disk; `StreamLink::fetched` follows.
    Cold(ColdStretch),
    /// The stream was given up.
    GivenUp,
}

/// What is still to be passed, and to which stream.
pub struct Exit {
    /// Removed only at the end.
    pub respond: Option<SendResponse<Piece>>,
    pub(crate) body: Option<SendStream<Piece>>,
    /// Data from the seat is dropped: the stream was answered in place of the seat, or the response was broken off.
    pub is_closed: bool,
    /// Nothing can be sent: the stream was reset.
    pub is_gone: bool,
    /// The last frame was passed.
    pub ended: bool,
    pub(crate) outgoing: Outgoing,
    /// Bytes requested in flow control and not passed yet.
    reserved_bytes: usize,
}

impl Exit {
    /// An exit that has passed nothing yet.
    pub fn new(respond: SendResponse<Piece>) -> Exit {
        Exit {
            respond: Some(respond),
            body: None,
            is_closed: false,
            is_gone: false,
            ended: false,
            outgoing: Outgoing::default(),
            reserved_bytes: 0,
        }
    }

    /// Whether all data from its producer is dropped.
    pub fn takes_nothing(&self) -> bool {
        self.is_closed || self.is_gone || self.ended || self.outgoing.end.is_some()
    }

    /// Passes the head; with `is_whole` the response has no content.
    pub fn send_head(&mut self, head: Response<()>, is_whole: bool) -> Result<(), Gone> {
        let respond = self.respond.as_mut().ok_or(Gone)?;
        self.body = Some(ask(|| respond.send_response(head, is_whole))?.map_err(|_| Gone)?);
        self.ended = is_whole;
        Ok(())
    }

    /// Passes small content to the `h2` crate if nothing waits before it and flow control admits all of it. False: it
    /// has to wait.
    pub fn send_at_once(
        &mut self,
        first: &mut Vec<u8>,
        then: &[u8],
        end: bool,
        is_full: bool,
        budget: &ResponseBudget,
        meter: &Arc<Meter>,
    ) -> Result<bool, Gone> {
        if !self.outgoing.is_empty() || !then.is_empty() {
            return Ok(false);
        }
        if first.is_empty() {
            if end {
                self.send_data(Piece::empty(), true)?;
            }
            return Ok(true);
        }
        if is_full || first.len() > DIRECT_BYTES_MAX || self.admitted(first.len())? < first.len() {
            return Ok(false);
        }
        // It is sent at once, so it need not fit into the limit.
        let kept = budget.keep(first.len() as u64);
        let unsent = Unsent::new(meter, first.len() as u64);
        self.send_data(Piece::new(kept_bytes(std::mem::take(first), kept), unsent), end)?;
        Ok(true)
    }

    fn send_data(&mut self, piece: Piece, end: bool) -> Result<(), Gone> {
        let body = self.body.as_mut().ok_or(Gone)?;
        self.reserved_bytes = self.reserved_bytes.saturating_sub(piece.remaining());
        ask(|| body.send_data(piece, end))?.map_err(|_| Gone)?;
        self.ended = end;
        Ok(())
    }

    /// How many of these bytes both windows admit now. The rest is requested.
    fn admitted(&mut self, bytes: usize) -> Result<usize, Gone> {
        let body = self.body.as_mut().ok_or(Gone)?;
        if self.reserved_bytes != bytes {
            self.reserved_bytes = bytes;
            ask(|| body.reserve_capacity(bytes))?;
        }
        Ok(ask(|| body.capacity())?.min(bytes))
    }

    /// Passes what is admitted; returns the reason for giving up the stream if that is impossible.
    pub fn feed(&mut self, bytes_max: usize, meter: &Arc<Meter>) -> Result<Fed, Reason> {
        if self.is_gone || self.is_reset() {
            return Err(Reason::CANCEL);
        }
        let mut given_bytes = 0;
        loop {
            let Some(next_bytes) = self.outgoing.next_bytes() else {
                let has_ended = self.send_end(meter)?;
                return Ok(Fed::Given(has_ended || given_bytes > 0, given_bytes));
            };
            let wanted = next_bytes.min(PIECE_BYTES_MAX).min(bytes_max - given_bytes);
            let admitted = if wanted == 0 { 0 } else { self.admitted(wanted).map_err(|Gone| Reason::CANCEL)? };
            if admitted == 0 {
                return Ok(Fed::Given(given_bytes > 0, given_bytes));
            }
            match self.outgoing.take(admitted, meter).map_err(|_| Reason::INTERNAL_ERROR)? {
                None => {}
                Some(Next::Cold(stretch)) => {
                    // Other streams may use the connection's window meanwhile.
                    self.admitted(0).map_err(|Gone| Reason::CANCEL)?;
                    return Ok(Fed::Cold(stretch));
                }
                Some(Next::Piece(piece)) => {
                    given_bytes += piece.remaining();
                    let is_last = self.outgoing.ends_with_last_piece();
                    if is_last {
                        self.outgoing.end = None;
                    }
                    self.send_data(piece, is_last).map_err(|Gone| Reason::CANCEL)?;
                }
            }
        }
    }

    /// Passes the end, if nothing waits before it.
    fn send_end(&mut self, meter: &Meter) -> Result<bool, Reason> {
        let sent = match self.outgoing.take_end() {
            None => return Ok(false),
            Some(End::Frame) => self.send_data(Piece::empty(), true),
            Some(End::Trailers(trailers)) => {
                self.ended = true;
                self.body.as_mut().ok_or(Gone).and_then(|body| ask(|| body.send_trailers(trailers))?.map_err(|_| Gone))
            }
            Some(End::Reset(reason)) if meter.unsent_bytes() > 0 => {
                self.outgoing.end = Some(End::Reset(reason));
                return Ok(false);
            }
            Some(End::Reset(reason)) => return Err(reason),
        };
        sent.map(|()| true).map_err(|Gone| Reason::CANCEL)
    }

    /// Asked without being notified later.
    pub fn is_reset(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let reset = match (&mut self.body, &mut self.respond) {
            (Some(body), _) => ask(|| body.poll_reset(&mut context)),
            (None, Some(respond)) => ask(|| respond.poll_reset(&mut context)),
            (None, None) => return true,
        };
        !matches!(reset, Ok(Poll::Pending))
    }

    /// Resets the stream, and drops what waits.
    pub fn give_up(&mut self, reason: Reason) {
        self.outgoing.clear();
        // Also after the last frame was passed: it may wait for ever for the client's window.
        if !self.is_gone {
            // A stream that cannot even be reset has ended with its connection.
            let _ = match (&mut self.body, &mut self.respond) {
                (Some(body), _) => ask(|| body.send_reset(reason)),
                (None, Some(respond)) => ask(|| respond.send_reset(reason)),
                (None, None) => Ok(()),
            };
        }
        (self.is_closed, self.is_gone) = (true, true);
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let (respond, body) = (self.respond.take(), self.body.take());
        // There is no client left to notify.
        let _ = ask(|| drop((respond, body)));
    }
}

/// Calls the `h2` crate. The streams of a connection share a lock in it, which a panic of the leader would poison. Then
/// every call panics, on any seat: that must end the stream, and not the seat.
///
/// # Errors
/// It panicked.
pub fn ask<T>(question: impl FnOnce() -> T) -> Result<T, Gone> {
    catch_unwind(AssertUnwindSafe(question)).map_err(|_| Gone)
}
