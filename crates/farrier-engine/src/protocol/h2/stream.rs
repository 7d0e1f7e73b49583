//! The answering side of one stream, shared by the seat that answers it, the leader that writes its rest, and the watch that
//! answers in place of an overdue call.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};

use crate::protocol::h2::piece::{Meter, Piece};
use crate::transport::file_stretch::{self, ColdStretch, FileStretch};
use crate::transport::link::TakenOver;

/// Bytes of a file that are read in one go.
const FILE_PIECE_BYTES: usize = 64 * 1024;

/// A stream of which nothing more can be sent: it was reset, taken over, or its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// What the leader still has to read and send.
#[derive(Default)]
struct Rest {
    stretches: VecDeque<Stretch>,
    /// The response ends with it, with these trailers if there are any.
    end: Option<Option<HeaderMap>>,
    /// Somebody waits for the disk.
    is_fetching: bool,
}

enum Stretch {
    File(FileStretch),
    Bytes(Vec<u8>),
}

/// What came of sending more of what the leader has to read.
pub(crate) enum Fed {
    /// As much as may wait has been given, or everything.
    Enough,
    /// The disk has to be waited for; [`StreamLink::fetched`] follows.
    Cold(ColdStretch),
    /// The stream was given up.
    GivenUp,
}

/// One stream's answering side.
pub(crate) struct StreamLink {
    exit: Mutex<Exit>,
    pub(crate) meter: Arc<Meter>,
}

struct Exit {
    /// Taken away only at the end.
    respond: Option<SendResponse<Piece>>,
    body: Option<SendStream<Piece>>,
    /// Another than the seat has answered, or the stream was given up: what the seat sends goes nowhere.
    broken: bool,
    /// The last frame has been given.
    ended: bool,
    rest: Option<Box<Rest>>,
    /// The stream is reset with this when what was given is written.
    reset: Option<Reason>,
}

impl StreamLink {
    pub(crate) fn new(respond: SendResponse<Piece>) -> StreamLink {
        let exit = Exit { respond: Some(respond), body: None, broken: false, ended: false, rest: None, reset: None };
        StreamLink { exit: Mutex::new(exit), meter: Arc::default() }
    }

    /// Sends the head, content and perhaps the end, whatever of it there is.
    ///
    /// # Errors
    /// Nobody is there to be answered.
    pub(crate) fn send(&self, head: Option<Response<()>>, content: Vec<u8>, end: bool) -> Result<(), Gone> {
        self.exit().send(head, content, end, &self.meter)
    }

    /// Sends trailers, which end the response.
    ///
    /// # Errors
    /// Nobody is there to be answered.
    pub(crate) fn send_trailers(&self, trailers: HeaderMap) -> Result<(), Gone> {
        self.exit().send_trailers(trailers)
    }

    /// Sends an interim response.
    ///
    /// # Errors
    /// Nobody is there to be answered.
    pub(crate) fn inform(&self, interim: Response<()>) -> Result<(), Gone> {
        let mut exit = self.exit();
        if exit.broken {
            return Err(Gone);
        }
        let respond = exit.respond.as_mut().ok_or(Gone)?;
        ask(|| respond.send_informational(interim))?.map_err(|_| Gone)
    }

    /// Lets the leader send a stretch of a file behind what has been given.
    pub(crate) fn send_file(&self, stretch: FileStretch) {
        let mut exit = self.exit();
        exit.rest.get_or_insert_default().stretches.push_back(Stretch::File(stretch));
    }

    /// Says how the response ends when all files are sent. False when none is to be sent.
    pub(crate) fn end_after_files(&self, trailers: &mut Option<HeaderMap>) -> bool {
        match &mut self.exit().rest {
            Some(rest) => {
                rest.end = Some(trailers.take());
                true
            }
            None => false,
        }
    }

    /// Whether the leader has something to read and send, or the stream to reset.
    pub(crate) fn has_rest(&self) -> bool {
        let exit = self.exit();
        exit.rest.is_some() || exit.reset.is_some()
    }

    /// What was cold is in memory.
    pub(crate) fn fetched(&self) {
        if let Some(rest) = &mut self.exit().rest {
            rest.is_fetching = false;
        }
    }

    /// Reads and sends more, as long as no more than `high_water_bytes` wait.
    pub(crate) fn feed(&self, high_water_bytes: u64) -> Fed {
        let mut exit = self.exit();
        let fed = exit.feed(high_water_bytes, &self.meter);
        fed.unwrap_or_else(|reason| {
            exit.give_up(reason);
            Fed::GivenUp
        })
    }

    /// Whether the client has reset the stream, or its connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        let mut exit = self.exit();
        exit.broken || exit.is_reset()
    }

    /// Ends the stream visibly before its end, when what was given is written: a reset at once would overtake it.
    pub(crate) fn break_off(&self, reason: Reason) {
        let mut exit = self.exit();
        if !exit.broken {
            exit.rest = None;
            exit.broken = true;
            exit.reset = Some(reason);
        }
    }

    /// Ends the stream visibly before its end, at once.
    pub(crate) fn give_up(&self, reason: Reason) {
        self.exit().give_up(reason);
        self.meter.wake();
    }

    /// Waits until no more than `low_water_bytes` are unsent; `Some(false)` when nothing moves for too long.
    ///
    /// # Errors
    /// The stream is gone.
    pub(crate) fn wait_for_room(&self, low_water_bytes: u64, timeout: Duration) -> Result<bool, Gone> {
        let drained = self.meter.wait_for(low_water_bytes, timeout, || self.is_gone());
        if self.is_gone() { Err(Gone) } else { Ok(drained) }
    }

    /// Takes the stream from the seat that answers it: whatever that seat sends from now on goes nowhere. The client gets the
    /// answer that is given if the seat has sent nothing yet; otherwise the stream is reset. Other streams live on.
    pub(crate) fn take_over(&self, answer: Option<(Response<()>, Vec<u8>)>) -> TakenOver {
        let mut exit = self.exit();
        if exit.broken || exit.is_reset() {
            return TakenOver::Gone;
        }
        let taken = match answer {
            Some((head, content)) if exit.body.is_none() && !exit.ended => {
                match exit.send(Some(head), content, true, &self.meter) {
                    Ok(()) => TakenOver::Answered,
                    Err(Gone) => TakenOver::Gone,
                }
            }
            _ => {
                exit.give_up(Reason::INTERNAL_ERROR);
                TakenOver::Cut
            }
        };
        exit.broken = true;
        drop(exit);
        self.meter.wake();
        taken
    }

    fn exit(&self) -> MutexGuard<'_, Exit> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Exit {
    fn send(
        &mut self,
        head: Option<Response<()>>,
        content: Vec<u8>,
        end: bool,
        meter: &Arc<Meter>,
    ) -> Result<(), Gone> {
        if self.broken || self.ended {
            return Err(Gone);
        }
        if let Some(rest) = &mut self.rest {
            // Behind a file that the leader reads: what stands between stretches of it.
            rest.stretches.push_back(Stretch::Bytes(content));
            if end {
                rest.end = Some(None);
            }
            return Ok(());
        }
        self.send_now(head, content, end, meter)
    }

    fn send_now(
        &mut self,
        head: Option<Response<()>>,
        content: Vec<u8>,
        end: bool,
        meter: &Arc<Meter>,
    ) -> Result<(), Gone> {
        if let Some(head) = head {
            let is_whole = end && content.is_empty();
            let respond = self.respond.as_mut().ok_or(Gone)?;
            self.body = Some(ask(|| respond.send_response(head, is_whole))?.map_err(|_| Gone)?);
            if is_whole {
                self.ended = true;
                return Ok(());
            }
        }
        if content.is_empty() && !end {
            return Ok(());
        }
        let body = self.body.as_mut().ok_or(Gone)?;
        ask(|| body.send_data(Piece::new(content, meter), end))?.map_err(|_| Gone)?;
        self.ended = end;
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if self.broken || self.ended {
            return Err(Gone);
        }
        self.ended = true;
        let body = self.body.as_mut().ok_or(Gone)?;
        ask(|| body.send_trailers(trailers))?.map_err(|_| Gone)
    }

    /// Sends more of what the leader has to read; the reason for giving the stream up where that cannot be.
    fn feed(&mut self, high_water_bytes: u64, meter: &Arc<Meter>) -> Result<Fed, Reason> {
        if let Some(reason) = self.reset {
            if meter.unsent_bytes() > 0 {
                return Ok(Fed::Enough);
            }
            self.give_up(reason);
            return Ok(Fed::GivenUp);
        }
        loop {
            if self.broken || self.is_reset() {
                return Err(Reason::CANCEL);
            }
            let Some(rest) = &mut self.rest else { return Ok(Fed::Enough) };
            let piece = match rest.stretches.front_mut() {
                _ if rest.is_fetching || meter.unsent_bytes() >= high_water_bytes => return Ok(Fed::Enough),
                None => Vec::new(),
                Some(Stretch::Bytes(bytes)) => {
                    let bytes = std::mem::take(bytes);
                    rest.stretches.pop_front();
                    bytes
                }
                Some(Stretch::File(file)) => {
                    let mut piece = vec![0; FILE_PIECE_BYTES.min(file.left_bytes())];
                    // The file shrank or was changed: the message must not look complete.
                    match file.read_next(&mut piece).map_err(|_| Reason::INTERNAL_ERROR)? {
                        file_stretch::Piece::Bytes(count) => piece.truncate(count),
                        file_stretch::Piece::Cold => {
                            rest.is_fetching = true;
                            return Ok(Fed::Cold(file.take_cold()));
                        }
                    }
                    if file.left_bytes() == 0 {
                        rest.stretches.pop_front();
                    }
                    piece
                }
            };
            let is_last = rest.stretches.is_empty();
            let end = if is_last { self.rest.take().and_then(|rest| rest.end) } else { None };
            let sent = match end {
                Some(Some(trailers)) => {
                    self.send_now(None, piece, false, meter).and_then(|()| self.send_trailers(trailers))
                }
                Some(None) => self.send_now(None, piece, true, meter),
                None => self.send_now(None, piece, false, meter),
            };
            sent.map_err(|Gone| Reason::CANCEL)?;
        }
    }

    /// Asked without wishing to be told later.
    fn is_reset(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let reset = match (&mut self.body, &mut self.respond) {
            (Some(body), _) => ask(|| body.poll_reset(&mut context)),
            (None, Some(respond)) => ask(|| respond.poll_reset(&mut context)),
            (None, None) => return true,
        };
        !matches!(reset, Ok(Poll::Pending))
    }

    fn give_up(&mut self, reason: Reason) {
        self.rest = None;
        // Also after the last frame was given: it may wait for ever for the client's window.
        if !self.broken || self.reset.take().is_some() {
            // A stream that cannot even be reset is gone with its connection.
            let _ = match (&mut self.body, &mut self.respond) {
                (Some(body), _) => ask(|| body.send_reset(reason)),
                (None, Some(respond)) => ask(|| respond.send_reset(reason)),
                (None, None) => Ok(()),
            };
        }
        self.broken = true;
    }
}

impl Drop for Exit {
    fn drop(&mut self) {
        let (respond, body) = (self.respond.take(), self.body.take());
        // Nobody is left who could be told.
        let _ = ask(|| drop((respond, body)));
    }
}

/// Asks the `h2` crate for something. The streams of a connection share a lock in it, which a panic of the leader's would
/// poison; then every question panics, on whichever seat: that must cost the stream, and not the seat.
///
/// # Errors
/// It panicked.
fn ask<T>(question: impl FnOnce() -> T) -> Result<T, Gone> {
    catch_unwind(AssertUnwindSafe(question)).map_err(|_| Gone)
}
