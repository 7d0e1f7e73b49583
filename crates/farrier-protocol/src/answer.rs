//! One answer of HTTP/1.1, uwsgi or FastCGI. It is framed, counted and gathered, so that it is sent in as few system
//! calls as its producer allows. The outlet decides where it is sent and which thread waits.

use std::fs::File;
use std::sync::Arc;

use farrier_http::wire::h1::RequestFacts;
use farrier_http::wire::response_encoder::ServerFields;
use farrier_http::wire::{ResponseAccount, ResponseEncoder};
use farrier_http::{Error, Flush, ResponseHead, SendError, Via};

use crate::after_response::AfterResponse;
use crate::final_head::FinalHead;
use crate::outlet::{GaveUp, Outcome, Outlet, Source, Stretch};
use farrier_transport::outbox::Outgoing;
use farrier_transport::reactor::clock::Date;

/// Content up to this size is copied behind the head and sent with it as one piece.
const COPIED_BYTES_MAX: usize = 4096;

/// Staged bytes that are sent even without a request for it.
const STAGED_BYTES_MAX: usize = 64 * 1024;

/// Staged bytes in front of content that is not copied, at most.
const STAGED_BEFORE_MAX: usize = 16 * 1024;

/// One answer.
pub struct Answer {
    encoder: ResponseEncoder,
    account: ResponseAccount,
    /// The request's site, for its error page.
    choice: u32,
    state: State,
    /// Staged bytes.
    out: Vec<u8>,
    head: FinalHead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head yet.
    Waiting,
    /// The head is staged and can be replaced.
    Staged,
    /// The head has left.
    Sent,
    Finished,
    Broken,
}

impl Answer {
    /// An answer that stages its bytes in an empty buffer.
    pub fn new(facts: RequestFacts, via: Via, choice: u32, keep_lines: bool, out: Vec<u8>) -> Answer {
        Answer {
            encoder: ResponseEncoder::new(facts, via),
            account: ResponseAccount::default(),
            choice,
            state: State::Waiting,
            out,
            head: FinalHead::new(keep_lines),
        }
    }

    /// Notes that the client accepts trailers.
    pub fn permit_trailers(&mut self) {
        self.encoder.permit_trailers();
    }

    /// Stages the head, or replaces the staged one.
    pub fn head(&mut self, outlet: &mut impl Outlet, date: &mut Date, head: &ResponseHead, length: Option<u64>) {
        if self.head_sent() {
            return;
        }
        let head = match self.head.prepare(head, outlet.passes_file_names(), &mut self.account) {
            Ok(head) => head,
            Err(error) => return self.fail(outlet, date, error),
        };
        self.out.clear();
        // Checked when the head is made: the drain may have begun during the call.
        if outlet.is_draining() {
            self.encoder.end_connection();
        }
        let fields = ServerFields { date: date.now().as_bytes(), server: &outlet.rules().server_header };
        self.encoder.head(&mut self.out, &head, length, fields, &mut self.account);
        self.state = State::Staged;
    }

    pub(crate) fn stamp(&mut self, name: &str, value: &[u8]) {
        self.head.stamp(name, value);
    }

    /// The bytes of an interim response, if one may be sent.
    pub fn interim(&mut self, interim: &ResponseHead) -> Option<Vec<u8>> {
        self.account.note_dropped(interim);
        let mut bytes = Vec::new();
        // Beside the buffer: a staged head stays where it is.
        (!self.head_sent() && self.encoder.interim(&mut bytes, interim)).then_some(bytes)
    }

    pub(crate) fn head_sent(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Staged)
    }

    /// Adds a piece of content.
    ///
    /// # Errors
    /// [`SendError`]: no more is wanted.
    pub fn send(
        &mut self,
        outlet: &mut impl Outlet,
        chunk: &[u8],
        flush: Flush,
        source: Source<'_>,
    ) -> Result<(), SendError> {
        match self.state {
            State::Staged | State::Sent => {}
            State::Broken => return Err(SendError::Gone),
            State::Waiting | State::Finished => return Ok(()),
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let counted = self.account.count(chunk.len() as u64);
        let content = &chunk[..counted.bytes as usize];
        let is_small = content.len() <= COPIED_BYTES_MAX;
        if !is_small && self.out.len() > STAGED_BEFORE_MAX {
            // It is copied if it is not sent now; content need not be.
            self.emit(outlet, true, source.of_staged())?;
        } else if is_small && self.out.len() + content.len() > STAGED_BYTES_MAX {
            self.emit(outlet, !content.is_empty(), source.of_staged())?;
        }
        if content.is_empty() {
            // Without content there is only the head to send; it is sent at the end.
        } else if is_small {
            self.encoder.copy(&mut self.out, content);
            // Once the declared length is reached nothing else can come: it may be sent with or without a flush.
            if flush == Flush::Now {
                self.emit(outlet, false, source.of_staged())?;
            }
        } else {
            self.send_behind(outlet, content, flush, source)?;
        }
        if counted.is_cut { Err(SendError::Full) } else { Ok(()) }
    }

    /// Sends content behind what is staged, without copying it there.
    fn send_behind(
        &mut self,
        outlet: &mut impl Outlet,
        content: &[u8],
        flush: Flush,
        mut source: Source<'_>,
    ) -> Result<(), SendError> {
        // Only if more is sure to follow: the kernel would hold the last piece back.
        let more = flush == Flush::Later && (!self.account.is_complete() || self.encoder.has_end());
        let mut at = 0;
        while at < content.len() {
            let frame = self.encoder.frame(&mut self.out, content.len() - at);
            let piece = &content[at..at + frame.bytes];
            let is_last = at + frame.bytes == content.len();
            self.leave(outlet);
            let outgoing = Outgoing { before: &self.out, content: piece, end: frame.end, more: more || !is_last };
            let source = match &mut source {
                Source::Borrowed => Source::Borrowed,
                Source::Whole => Source::Whole,
                Source::Shared(whole, from) => Source::Shared(&mut **whole, *from + at),
                Source::Piece(whole, from) => Source::Piece(&mut **whole, *from + at),
            };
            let put = outlet.put(outgoing, source);
            self.out.clear();
            put.map_err(|gave_up| self.give_up(outlet, gave_up))?;
            at += frame.bytes;
        }
        Ok(())
    }

    /// Sends the head, unless it was sent.
    pub fn flush(&mut self, outlet: &mut impl Outlet) {
        if self.state == State::Staged {
            // If it cannot be sent, the end of the response notices that.
            let _ = self.emit(outlet, false, Source::Whole);
        }
    }

    /// Sends the head of a change of protocol. What follows is sent as it is. False: a head has left already.
    pub fn switch(&mut self, outlet: &mut impl Outlet, head: &[u8]) -> bool {
        if self.head_sent() || !self.encoder.switch(&mut self.account) {
            return false;
        }
        self.out.clear();
        self.out.extend_from_slice(head);
        self.state = State::Sent;
        let put = outlet.put(Outgoing { before: b"", content: &self.out, end: b"", more: false }, Source::Whole);
        // A tunnel may be idle for hours.
        self.out = Vec::new();
        if let Err(gave_up) = put {
            self.give_up(outlet, gave_up);
        }
        true
    }

    /// Adds a stretch of a file as content.
    ///
    /// # Errors
    /// [`SendError`]: no more is wanted.
    pub fn send_file(
        &mut self,
        outlet: &mut impl Outlet,
        file: Arc<File>,
        offset: u64,
        bytes: u64,
    ) -> Result<(), SendError> {
        match self.state {
            State::Staged | State::Sent => {}
            State::Broken => return Err(SendError::Gone),
            State::Waiting | State::Finished => return Ok(()),
        }
        let bytes = self.account.count_up_to(bytes).bytes;
        if bytes == 0 {
            return Ok(());
        }
        self.emit(outlet, true, Source::Whole)?;
        let (framing, is_version) = (self.encoder.piece_framing(), self.account.names_version());
        let put = outlet.put_file(file, Stretch { offset, bytes, framing, is_version });
        put.map_err(|gave_up| self.give_up(outlet, gave_up))
    }

    pub(crate) fn trailers(&mut self, trailers: &ResponseHead) {
        self.account.note_dropped(trailers);
        self.encoder.trailers(trailers);
    }

    /// Ends a complete response.
    pub fn finish(&mut self, outlet: &mut impl Outlet) {
        match self.state {
            State::Staged | State::Sent => {}
            State::Waiting | State::Finished | State::Broken => return,
        }
        if !self.account.close() {
            // Fewer bytes than declared: the connection closes, so that the client notices.
            let _ = self.emit(outlet, false, Source::Whole);
            self.state = State::Broken;
            return;
        }
        if let Err(gave_up) = outlet.complete() {
            self.give_up(outlet, gave_up);
            return;
        }
        self.encoder.finish(&mut self.out);
        if self.emit(outlet, false, Source::Whole).is_ok() {
            self.state = State::Finished;
        }
    }

    /// Notes why the answer is not what its producer meant. It goes on.
    pub fn note(&mut self, fault: Error) {
        self.account.note(fault);
    }

    /// Answers with an error: a whole response if nothing was sent yet, otherwise the response visibly breaks off.
    pub fn fail(&mut self, outlet: &mut impl Outlet, date: &mut Date, error: Error) {
        self.encoder.note(&error);
        if !self.head_sent() {
            if let Some((head, content)) = outlet.rules().response_to(&error, self.choice) {
                let content = content.into_owned();
                self.head(outlet, date, &head, Some(content.len() as u64));
                // If it cannot be sent, the end of the response notices that.
                let _ = self.send(outlet, &content, Flush::Later, Source::Whole);
                self.finish(outlet);
            } else {
                self.state = State::Broken;
            }
        } else if self.state == State::Sent {
            self.state = State::Broken;
        }
        self.account.fail(error);
    }

    /// Ends the response, as far as its producer made it, and returns its outcome. It also returns the lines of the
    /// head, if they are kept, and the buffer.
    pub fn outcome(
        mut self,
        outlet: &mut impl Outlet,
        date: &mut Date,
        lingers: bool,
    ) -> (Outcome, Option<Vec<u8>>, Vec<u8>) {
        match self.state {
            State::Finished | State::Broken => {}
            // The handler noticed that there is no client left to read the rest.
            State::Waiting | State::Staged | State::Sent if outlet.link().is_gone() => {
                self.give_up(outlet, GaveUp::GONE);
            }
            State::Waiting | State::Staged => {
                self.fail(outlet, date, Error::application("the handler ended without a complete response"));
            }
            State::Sent => {
                self.state = State::Broken;
                self.account.note(Error::application("the handler ended in the middle of its response"));
            }
        }
        let after = match self.state {
            State::Broken => {
                outlet.link().set_incomplete();
                AfterResponse::Close
            }
            _ if lingers => AfterResponse::Linger,
            _ if self.encoder.lives_on() => AfterResponse::KeepAlive,
            _ => AfterResponse::Close,
        };
        let outcome = Outcome::of(self.account, after, outlet.has_unsent());
        self.out.clear();
        (outcome, self.head.into_lines(), self.out)
    }

    /// Sends the staged bytes.
    fn emit(&mut self, outlet: &mut impl Outlet, more: bool, source: Source<'_>) -> Result<(), SendError> {
        self.encoder.settle(&mut self.out);
        if self.out.is_empty() {
            return Ok(());
        }
        self.leave(outlet);
        let put = outlet.put(Outgoing { before: b"", content: &self.out, end: b"", more }, source);
        self.out.clear();
        put.map_err(|gave_up| self.give_up(outlet, gave_up))
    }

    /// The head is about to be sent, unless it was sent already.
    fn leave(&mut self, outlet: &impl Outlet) {
        if self.state == State::Staged {
            self.state = State::Sent;
            if self.encoder.ends_by_close() {
                outlet.link().set_ends_by_close();
            }
        }
    }

    pub(crate) fn give_up(&mut self, outlet: &impl Outlet, gave_up: GaveUp) -> SendError {
        self.state = State::Broken;
        outlet.link().set_gone();
        self.account.note(Error::client(gave_up.kind, gave_up.cause));
        SendError::Gone
    }
}
