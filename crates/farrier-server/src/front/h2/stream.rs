//! The answering side of one stream, shared by the seat that answers it, the leader that writes its rest, and the watch that
//! answers in place of an overdue call.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::{HeaderMap, Response};

use crate::front::h2::piece::{Meter, Piece};
use crate::transport::TakenOver;

/// Bytes of a file that are read in one go.
const FILE_PIECE_BYTES: u64 = 64 * 1024;

/// A stream of which nothing more can be sent: it was reset, taken over, or its connection is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// A stretch of a file that is still to be sent.
pub(crate) struct FileStretch {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    /// The response ends with it, with these trailers if there are any.
    pub(crate) end: Option<Option<HeaderMap>>,
}

/// One stream's answering side.
pub(crate) struct StreamLink {
    exit: Mutex<Exit>,
    pub(crate) meter: Arc<Meter>,
}

struct Exit {
    respond: SendResponse<Piece>,
    body: Option<SendStream<Piece>>,
    /// Another than the seat has answered, or the stream was given up: what the seat sends goes nowhere.
    broken: bool,
    /// The last frame has been given.
    ended: bool,
    file: Option<FileStretch>,
}

impl StreamLink {
    pub(crate) fn new(respond: SendResponse<Piece>) -> StreamLink {
        let exit = Exit { respond, body: None, broken: false, ended: false, file: None };
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
        exit.respond.send_informational(interim).map_err(|_| Gone)
    }

    /// Lets the leader send a stretch of a file behind what has been given.
    pub(crate) fn set_file(&self, stretch: FileStretch) {
        self.exit().file = Some(stretch);
    }

    /// Says how the response ends when its file is sent. False when there is no file.
    pub(crate) fn end_after_file(&self, trailers: &mut Option<HeaderMap>) -> bool {
        match &mut self.exit().file {
            Some(stretch) => {
                stretch.end = Some(trailers.take());
                true
            }
            None => false,
        }
    }

    /// Whether a part of a file is still to be sent.
    pub(crate) fn has_file(&self) -> bool {
        self.exit().file.is_some()
    }

    /// Sends more of the file, as long as no more than `high_water_bytes` wait. False: the stream was given up.
    pub(crate) fn feed(&self, high_water_bytes: u64) -> bool {
        let mut exit = self.exit();
        while let Some(mut stretch) = exit.file.take() {
            if exit.broken || exit.is_reset() {
                exit.give_up(Reason::CANCEL);
                return false;
            }
            let wanted = FILE_PIECE_BYTES.min(stretch.bytes);
            if wanted > 0 && self.meter.unsent_bytes() + wanted > high_water_bytes.max(FILE_PIECE_BYTES) {
                exit.file = Some(stretch);
                return true;
            }
            let mut piece = vec![0; wanted as usize];
            if stretch.file.read_exact_at(&mut piece, stretch.offset).is_err() {
                // The file shrank: the message must not look complete.
                exit.give_up(Reason::INTERNAL_ERROR);
                return false;
            }
            stretch.offset += wanted;
            stretch.bytes -= wanted;
            let is_last = stretch.bytes == 0;
            let (ends, trailers) = match stretch.end.take() {
                Some(trailers) if is_last => (true, trailers),
                end => {
                    stretch.end = end;
                    (false, None)
                }
            };
            let sent = exit.send(None, piece, ends && trailers.is_none(), &self.meter);
            let sent = match trailers {
                Some(trailers) => sent.and_then(|()| exit.send_trailers(trailers)),
                None => sent,
            };
            if sent.is_err() {
                exit.give_up(Reason::CANCEL);
                return false;
            }
            if !is_last {
                exit.file = Some(stretch);
            }
        }
        true
    }

    /// Whether the client has reset the stream, or its connection is gone.
    pub(crate) fn is_gone(&self) -> bool {
        let mut exit = self.exit();
        exit.broken || exit.is_reset()
    }

    /// Ends the stream visibly before its end.
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
        if let Some(head) = head {
            let is_whole = end && content.is_empty();
            self.body = Some(self.respond.send_response(head, is_whole).map_err(|_| Gone)?);
            if is_whole {
                self.ended = true;
                return Ok(());
            }
        }
        if content.is_empty() && !end {
            return Ok(());
        }
        let body = self.body.as_mut().ok_or(Gone)?;
        body.send_data(Piece::new(content, meter), end).map_err(|_| Gone)?;
        self.ended = end;
        Ok(())
    }

    fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Gone> {
        if self.broken || self.ended {
            return Err(Gone);
        }
        self.ended = true;
        self.body.as_mut().ok_or(Gone)?.send_trailers(trailers).map_err(|_| Gone)
    }

    /// Asked without wishing to be told later.
    fn is_reset(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let reset = match &mut self.body {
            Some(body) => body.poll_reset(&mut context),
            None => self.respond.poll_reset(&mut context),
        };
        !matches!(reset, Poll::Pending)
    }

    fn give_up(&mut self, reason: Reason) {
        self.file = None;
        if !self.broken && !self.ended {
            match &mut self.body {
                Some(body) => body.send_reset(reason),
                None => self.respond.send_reset(reason),
            }
        }
        self.broken = true;
    }
}
