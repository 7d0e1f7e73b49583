//! Passes one answer of a seat or of an exchange through an encoder. A short answer is gathered, so that its length is known. A longer
//! one is streamed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use farrier_http::{Error, Flush, KnownField, Request, ResponseHead, SendError};

use super::encoder::{Encoder, Encoders, OUTPUT_KEPT_BYTES, Until};
use super::{Compressor, eligible, failed};

/// The most encoded bytes that are gathered. A longer response is sent in chunks, without a Content-Length.
const GATHERED_BYTES_MAX: usize = 256 * 1024;

/// The encoded bytes of a stream that are sent together, unless a flush sends fewer.
const EMITTED_BYTES_MIN: usize = 16 * 1024;

/// The most content that is encoded in one call.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// From this much content on, encoding takes so long (tens of microseconds) that the interpreter is released meanwhile.
const DETACHED_BYTES_MIN: usize = 4096;

/// The bytes of a file that are read at once.
const FILE_PIECE_BYTES: usize = 64 * 1024;

/// Where an answer goes behind the encoder.
pub(super) trait Destination {
    /// Gives the head. Until it has left, the next one replaces it.
    fn head(&mut self, head: &ResponseHead, length: Option<u64>);

    /// Whether a head is known to have left.
    fn head_sent(&self) -> bool;

    /// Gives a piece of the encoded content.
    ///
    /// # Errors
    /// [`SendError`]: produce no more.
    fn content(&mut self, piece: &[u8], flush: Flush) -> Result<(), SendError>;

    /// Ends a complete answer.
    fn finish(&mut self);
}

/// Who gives an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Producer {
    /// A seat, which may take its time.
    Seat,
    /// An exchange, on the leader's thread.
    Exchange,
}

/// One answer, which may be compressed. Each method is given the destination.
pub(super) struct CompressedAnswer {
    compressor: Arc<Compressor>,
    producer: Producer,
    /// The place of the encoders for the coding that the client prefers, if there is one.
    choice: Option<usize>,
    is_head: bool,
    if_none_match: Option<Vec<u8>>,
    state: State,
    /// A head of this answer has left.
    has_left: bool,
    /// The handler's head, until it is sent.
    head: Option<ResponseHead>,
    encoder: Option<Encoder>,
    /// Encoded content that is not sent yet.
    out: Vec<u8>,
    /// Content that the encoder has accepted since its last flush.
    held_bytes: usize,
    /// The length of the handler's content, if it is known, and the bytes given so far.
    expected: Option<u64>,
    given: u64,
    fault: Option<Error>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The response is passed through unchanged.
    Plain,
    /// The head waits for the whole content.
    Gathering,
    /// The head was sent without a length.
    Streaming,
    /// All content of the expected length was passed on.
    Complete,
    /// The response cannot be completed.
    Broken,
}

impl CompressedAnswer {
    /// The answer to this request.
    pub(super) fn new(compressor: &Arc<Compressor>, producer: Producer, request: &Request) -> CompressedAnswer {
        let choice = compressor.choice_for(request);
        // Only a client that accepts a coding can have an encoded copy.
        let if_none_match = choice.and_then(|_| request.field(KnownField::IfNoneMatch)).map(<[u8]>::to_vec);
        CompressedAnswer {
            compressor: Arc::clone(compressor),
            producer,
            choice,
            is_head: request.method() == b"HEAD",
            if_none_match,
            state: State::Plain,
            has_left: false,
            head: None,
            encoder: None,
            out: Vec::new(),
            held_bytes: 0,
            expected: None,
            given: 0,
            fault: None,
        }
    }

    /// Whether the answer, as far as it is known, goes through unchanged.
    pub(super) fn is_plain(&self) -> bool {
        self.state == State::Plain
    }

    /// Whether the answer cannot be completed.
    pub(super) fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// Whether a head has left, so that no other can replace it.
    pub(super) fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether it occupies an encoder.
    pub(super) fn has_encoder(&self) -> bool {
        self.encoder.is_some()
    }

    /// Whether the next head may take an encoder.
    pub(super) fn may_encode(&self) -> bool {
        self.choice.is_some() && !self.is_head
    }

    /// Compresses nothing from now on, as for a client that accepts no coding.
    pub(super) fn decline(&mut self) {
        self.choice = None;
    }

    /// The error in the answer, once.
    pub(super) fn take_fault(&mut self) -> Option<Error> {
        self.fault.take()
    }

    /// Takes a head. It is given to `to` at once, or with the content that it belongs to.
    pub(super) fn head(&mut self, head: &ResponseHead, length: Option<u64>, to: &mut dyn Destination) {
        if self.has_left || to.head_sent() {
            return;
        }
        self.release();
        self.out.clear();
        (self.held_bytes, self.given) = (0, 0);
        (self.state, self.head, self.fault) = (State::Plain, None, None);
        self.expected = head.content_length().or(length);
        let rules = &self.compressor.rules;
        if !eligible::is_eligible(head, self.expected, &rules.types, rules.least_bytes) {
            let known = self.if_none_match.as_deref().filter(|_| head.status().0 == 304);
            match known.and_then(|known| eligible::not_modified(head, known)) {
                Some(weaker) => to.head(&weaker, length),
                None => to.head(head, length),
            }
            return;
        }
        match self.encoders().map(Encoders::coding) {
            None => to.head(&eligible::varied(head, None), length),
            // The head is that of a GET, without the length, which only encoding would show (RFC 9110 §9.3.2).
            Some(coding) if self.is_head => to.head(&eligible::varied(head, Some(coding)), None),
            Some(_) => self.gather(head),
        }
    }

    /// Content goes through unchanged: no other head can follow.
    pub(super) fn note_plain_content(&mut self) {
        self.has_left = true;
    }

    /// Takes content that is to be encoded.
    pub(super) fn give(&mut self, chunk: &[u8], flush: Flush, to: &mut dyn Destination) -> Result<(), SendError> {
        match self.state {
            State::Broken => return Err(SendError::Gone),
            _ if chunk.is_empty() => return Ok(()),
            State::Plain | State::Gathering | State::Streaming | State::Complete => {}
        }
        let room = self.expected.map_or(u64::MAX, |expected| expected - self.given);
        let content = &chunk[..chunk.len().min(usize::try_from(room).unwrap_or(usize::MAX))];
        self.given += content.len() as u64;
        let is_complete = self.expected == Some(self.given);
        if self.state != State::Complete {
            let until = match flush {
                _ if is_complete => Until::Ended,
                Flush::Now => Until::Flushed,
                Flush::Later => Until::More,
            };
            self.encode(content, until, flush, to)?;
            if is_complete {
                self.complete();
            }
        }
        if content.len() < chunk.len() {
            self.fault.get_or_insert(Error::application("the application gave more than its Content-Length"));
            return Err(SendError::Full);
        }
        Ok(())
    }

    /// Takes a file. False: it is the first content and has more than `bytes_max`, so it goes through unchanged.
    pub(super) fn admits_file(&mut self, bytes: u64, bytes_max: u64, to: &mut dyn Destination) -> bool {
        if self.state == State::Gathering && self.given == 0 && bytes > bytes_max {
            self.leave_plain(to);
        }
        self.state != State::Plain
    }

    /// Reads a file into the encoder.
    pub(super) fn give_file(
        &mut self,
        file: &File,
        offset: u64,
        bytes: u64,
        to: &mut dyn Destination,
    ) -> Result<(), SendError> {
        let mut buffer = vec![0; FILE_PIECE_BYTES.min(usize::try_from(bytes).unwrap_or(FILE_PIECE_BYTES))];
        let (mut offset, end) = (offset, offset.saturating_add(bytes));
        while offset < end {
            let wanted = buffer.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let mut read = Ok(0);
            self.compressor.host.detached(&mut || read = file.read_at(&mut buffer[..wanted], offset));
            match read {
                // The file has shrunk. The missing bytes are noticed at the end of the response.
                Ok(0) | Err(_) => return Ok(()),
                Ok(count) => {
                    self.give(&buffer[..count], Flush::Later, to)?;
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Sends all content so far, in a form that the client can decode.
    pub(super) fn flush(&mut self, to: &mut dyn Destination) -> Result<(), SendError> {
        match self.state {
            State::Gathering | State::Streaming if self.held_bytes > 0 || !self.out.is_empty() => {
                self.encode(b"", Until::Flushed, Flush::Now, to)
            }
            _ => Ok(()),
        }
    }

    /// Ends the answer. It is broken if content is missing.
    pub(super) fn finish(&mut self, to: &mut dyn Destination) {
        if self.state == State::Gathering && self.given == 0 && self.expected.is_none_or(|expected| expected == 0) {
            // There is nothing to encode.
            self.leave_plain(to);
        }
        match self.state {
            State::Plain | State::Complete => to.finish(),
            State::Broken => {}
            State::Gathering | State::Streaming => {
                if self.expected.is_some_and(|expected| self.given < expected) {
                    // The encoded message must not be ended, as it would look complete.
                    let cause = "the application gave fewer bytes than its Content-Length";
                    self.fault.get_or_insert(Error::application(cause));
                    self.state = State::Broken;
                } else if self.encode(b"", Until::Ended, Flush::Later, to).is_ok() {
                    self.complete();
                    to.finish();
                }
            }
        }
    }

    fn encoders(&self) -> Option<&Encoders> {
        let Compressor { encoders, exchange_encoders, .. } = &*self.compressor;
        match self.producer {
            Producer::Seat => encoders.get(self.choice?),
            Producer::Exchange => exchange_encoders.get(self.choice?),
        }
    }

    fn complete(&mut self) {
        self.state = State::Complete;
        self.release();
    }

    fn release(&mut self) {
        if let Some(encoder) = self.encoder.take()
            && let Some(encoders) = self.encoders()
        {
            encoders.give_back(encoder);
        }
    }

    /// Begins to gather the content that follows a head.
    fn gather(&mut self, head: &ResponseHead) {
        match self.encoders().map(|encoders| encoders.take(self.expected)) {
            Some(Ok(encoder)) => {
                self.encoder = Some(encoder);
                self.head = Some(head.clone());
                self.state = State::Gathering;
            }
            Some(Err(error)) => self.fail(&error),
            None => {}
        }
    }

    /// Sends the head for content of `length` encoded bytes.
    fn commit(&mut self, length: Option<u64>, to: &mut dyn Destination) {
        if let (Some(head), Some(coding)) = (self.head.take(), self.encoders().map(Encoders::coding)) {
            to.head(&eligible::varied(&head, Some(coding)), length);
            self.state = State::Streaming;
            self.has_left = true;
        }
    }

    /// Sends the head for unencoded content, as for a client that accepts no coding.
    fn leave_plain(&mut self, to: &mut dyn Destination) {
        if let Some(head) = self.head.take() {
            to.head(&eligible::varied(&head, None), self.expected);
        }
        self.release();
        self.state = State::Plain;
    }

    /// Encodes content, and sends it on if it is due.
    fn encode(
        &mut self,
        content: &[u8],
        until: Until,
        flush: Flush,
        to: &mut dyn Destination,
    ) -> Result<(), SendError> {
        let mut rest = content;
        loop {
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(PIECE_BYTES_MAX));
            let is_last = rest.is_empty();
            let until = if is_last { until } else { Until::More };
            // What follows is at hand: there is nothing to wait for.
            let flush_now = if is_last { flush } else { Flush::Later };
            self.push(piece, until)?;
            if self.state == State::Gathering {
                if until == Until::Ended {
                    self.commit(Some(self.out.len() as u64), to);
                } else if until == Until::Flushed || self.out.len() > GATHERED_BYTES_MAX {
                    self.commit(None, to);
                }
            }
            let is_due = until != Until::More || self.out.len() >= EMITTED_BYTES_MIN;
            if self.state == State::Streaming && is_due && !self.out.is_empty() {
                let sent = to.content(&self.out, flush_now);
                self.out.clear();
                self.out.shrink_to(OUTPUT_KEPT_BYTES);
                sent?;
            }
            if is_last {
                return Ok(());
            }
        }
    }

    fn push(&mut self, piece: &[u8], until: Until) -> Result<(), SendError> {
        let CompressedAnswer { compressor, encoder, out, held_bytes, .. } = self;
        let Some(encoder) = encoder else { return Err(SendError::Gone) };
        *held_bytes += piece.len();
        // At a flush an encoder also works on the content that it has held back.
        let work_bytes = if until == Until::More { piece.len() } else { *held_bytes };
        if until != Until::More {
            *held_bytes = 0;
        }
        let mut result = Ok(());
        if work_bytes >= DETACHED_BYTES_MIN {
            compressor.host.detached(&mut || result = encoder.push(piece, until, out));
        } else {
            result = encoder.push(piece, until, out);
        }
        result.map_err(|error| {
            self.fail(&error);
            SendError::Gone
        })
    }

    fn fail(&mut self, error: &std::io::Error) {
        self.state = State::Broken;
        self.fault.get_or_insert_with(|| failed(error));
    }
}

impl Drop for CompressedAnswer {
    fn drop(&mut self) {
        self.release();
    }
}
