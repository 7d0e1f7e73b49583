//! Passes one response through an encoder. A short response is gathered, so that its length is known. A longer one is
//! streamed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use farrier_http::{Bytes, Error, Flush, Respond, ResponseHead, SendError};

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

/// A `Respond` around another one.
pub(super) struct Compressing<'a> {
    compressor: &'a Compressor,
    /// The encoders for the coding that the client prefers, if there is one.
    encoders: Option<&'a Encoders>,
    is_head: bool,
    if_none_match: Option<Vec<u8>>,
    inner: &'a mut dyn Respond,
    state: State,
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

impl<'a> Compressing<'a> {
    pub(super) fn new(
        compressor: &'a Compressor,
        encoders: Option<&'a Encoders>,
        is_head: bool,
        if_none_match: Option<Vec<u8>>,
        inner: &'a mut dyn Respond,
    ) -> Compressing<'a> {
        Compressing {
            compressor,
            encoders,
            is_head,
            if_none_match,
            inner,
            state: State::Plain,
            head: None,
            encoder: None,
            out: Vec::new(),
            held_bytes: 0,
            expected: None,
            given: 0,
            fault: None,
        }
    }

    /// The error in the response, once the handler has returned.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.release();
        self.fault.take().map_or(Ok(()), Err)
    }

    fn release(&mut self) {
        if let (Some(encoders), Some(encoder)) = (self.encoders, self.encoder.take()) {
            encoders.give_back(encoder);
        }
    }

    /// Begins to gather the content that follows a head.
    fn gather(&mut self, head: &ResponseHead, length: Option<u64>, encoders: &Encoders) {
        match encoders.take(length) {
            Ok(encoder) => {
                self.encoder = Some(encoder);
                self.head = Some(head.clone());
                self.state = State::Gathering;
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Sends the head for content of `length` encoded bytes.
    fn commit(&mut self, length: Option<u64>) {
        if let (Some(head), Some(encoders)) = (self.head.take(), self.encoders) {
            self.inner.head(&eligible::varied(&head, Some(encoders.coding())), length);
            self.state = State::Streaming;
        }
    }

    /// Sends the head for unencoded content, as for a client that accepts no coding.
    fn leave_plain(&mut self) {
        if let Some(head) = self.head.take() {
            self.inner.head(&eligible::varied(&head, None), self.expected);
        }
        self.release();
        self.state = State::Plain;
    }

    /// Encodes content, and sends it on if it is due.
    fn encode(&mut self, content: &[u8], until: Until, flush: Flush) -> Result<(), SendError> {
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
                    self.commit(Some(self.out.len() as u64));
                } else if until == Until::Flushed || self.out.len() > GATHERED_BYTES_MAX {
                    self.commit(None);
                }
            }
            let is_due = until != Until::More || self.out.len() >= EMITTED_BYTES_MIN;
            if self.state == State::Streaming && is_due && !self.out.is_empty() {
                let out = &self.out;
                let sent = self.inner.send_shared(out, flush_now, &mut || Bytes::copy_from_slice(out));
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
        let Compressing { compressor, encoder, out, held_bytes, .. } = self;
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

    /// Reads a file into the encoder.
    fn encode_file(&mut self, file: &File, offset: u64, bytes: u64) -> Result<(), SendError> {
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
                    self.give(&buffer[..count], Flush::Later)?;
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    /// Takes content that is to be encoded.
    fn give(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
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
            self.encode(content, until, flush)?;
            if is_complete {
                self.state = State::Complete;
            }
        }
        if content.len() < chunk.len() {
            self.fault.get_or_insert(Error::application("the application gave more than its Content-Length"));
            return Err(SendError::Full);
        }
        Ok(())
    }
}

impl Respond for Compressing<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if self.inner.head_sent() {
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
                Some(weaker) => self.inner.head(&weaker, length),
                None => self.inner.head(head, length),
            }
            return;
        }
        match self.encoders {
            None => self.inner.head(&eligible::varied(head, None), length),
            // The head is that of a GET, without the length, which only encoding would show (RFC 9110 §9.3.2).
            Some(encoders) if self.is_head => {
                self.inner.head(&eligible::varied(head, Some(encoders.coding())), None);
            }
            Some(encoders) => self.gather(head, self.expected, encoders),
        }
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.inner.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        self.inner.inform(interim)
    }

    fn head_sent(&self) -> bool {
        self.inner.head_sent()
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        match self.state {
            State::Plain => self.inner.send(chunk, flush),
            _ => self.give(chunk, flush),
        }
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        match self.state {
            State::Plain => self.inner.send_shared(chunk, flush, keep),
            _ => self.give(chunk, flush),
        }
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        if self.state == State::Gathering && self.given == 0 && bytes > self.compressor.rules.file_bytes_max {
            self.leave_plain();
        }
        match self.state {
            State::Plain => self.inner.send_file(file, offset, bytes),
            _ => self.encode_file(&file, offset, bytes),
        }
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.inner.trailers(trailers);
    }

    fn finish(&mut self) {
        if self.state == State::Gathering && self.given == 0 && self.expected.is_none_or(|expected| expected == 0) {
            // There is nothing to encode.
            self.leave_plain();
        }
        match self.state {
            State::Plain | State::Complete => self.inner.finish(),
            State::Broken => {}
            State::Gathering | State::Streaming => {
                if self.expected.is_some_and(|expected| self.given < expected) {
                    // The encoded message must not be ended, as it would look complete.
                    let cause = "the application gave fewer bytes than its Content-Length";
                    self.fault.get_or_insert(Error::application(cause));
                    self.state = State::Broken;
                } else if self.encode(b"", Until::Ended, Flush::Later).is_ok() {
                    self.inner.finish();
                }
            }
        }
    }

    fn client_gone(&self) -> bool {
        self.inner.client_gone()
    }
}
