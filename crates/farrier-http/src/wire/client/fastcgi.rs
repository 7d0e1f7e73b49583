//! Reads the answer of a FastCGI application: the streams STDOUT and STDERR in records, and the end of the request
//! (FastCGI 1.0 §3.3, §5.5, §6.2).

use super::fastcgi_encode::REQUEST_ID;
use super::fault::{Fault, FaultKind};
use super::head::{Asked, Dialect, HeadReader, ReceivedHead, ResponseLimits};
use super::response::{Event, Step};
use crate::wire::fastcgi::record::{self, HEADER_BYTES, Header};
use crate::wire::h1::ResponseFraming;

/// The most bytes of STDERR that are kept for the log. The rest is dropped.
pub const STDERR_BYTES_MAX: usize = 4096;

/// The most records of one answer that carry nothing of it: of other kinds, or empty.
const IDLE_RECORDS_MAX: u32 = 64;

/// The most bytes that are looked at together for the end of a head.
const HEAD_PIECE_BYTES: usize = 4096;

/// Reads one answer. The result depends only on the bytes, not on how they arrive. After a fault the reader refuses
/// everything.
///
/// It works in steps as [`super::ResponseReader`] does; it never gives an interim head, a switch or trailers. The answer is
/// complete when the application ends the request, not when its content seems complete.
#[derive(Debug, Default)]
pub struct FastCgiReader {
    asked: Asked,
    keep_connection: bool,
    heads: HeadReader,
    head: ReceivedHead,
    /// The bytes of STDOUT up to the end of the head.
    head_bytes: Vec<u8>,
    stderr: Vec<u8>,
    records: Records,
    /// Bytes of content so far.
    total: u64,
    idle_records: u32,
    app_status: u32,
    has_begun: bool,
    stage: Stage,
}

/// The record that is being read.
#[derive(Debug, Default)]
struct Records {
    /// Where its content goes, and how much is to come.
    stream: Stream,
    content_bytes: usize,
    /// Bytes to skip behind the content.
    padding_bytes: usize,
    /// STDOUT has ended.
    has_ended: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
    #[default]
    Ignored,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    Content,
    End,
    Failed,
}

impl FastCgiReader {
    /// Begins with the next answer, and keeps the memory. `keep_connection` is what the request said.
    pub fn restart(&mut self, asked: Asked, keep_connection: bool) {
        let FastCgiReader { head, mut head_bytes, mut stderr, .. } = std::mem::take(self);
        head_bytes.clear();
        stderr.clear();
        *self = FastCgiReader { asked, keep_connection, head, head_bytes, stderr, ..FastCgiReader::default() };
    }

    /// The head, when it is complete.
    pub fn head(&self) -> &ReceivedHead {
        &self.head
    }

    /// What the application wrote for the log, up to [`STDERR_BYTES_MAX`]. It may contain any bytes.
    pub fn stderr(&self) -> &[u8] {
        &self.stderr
    }

    /// The application's own status at the end: the exit status of a CGI program.
    pub fn app_status(&self) -> u32 {
        self.app_status
    }

    /// Whether the answer is complete.
    pub fn is_complete(&self) -> bool {
        self.stage == Stage::End
    }

    /// Whether the connection can carry another request: the answer is complete, the application leaves the connection open, and
    /// no byte is left over.
    pub fn is_reusable(&self, rest: &[u8]) -> bool {
        self.is_complete() && self.keep_connection && rest.is_empty()
    }

    /// Reads from the front of `input`, as [`super::ResponseReader::read`] does.
    ///
    /// # Errors
    /// The answer is refused. No further byte of the connection may be parsed.
    pub fn read(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        self.has_begun |= !input.is_empty();
        let outcome = self.step(input, limits);
        if outcome.is_err() {
            self.stage = Stage::Failed;
        }
        outcome
    }

    /// The upstream has closed or reset the connection.
    ///
    /// # Errors
    /// The request was not ended: the answer is not complete, however the content looks.
    pub fn closed(&mut self) -> Result<Event, Fault> {
        let fault = match self.stage {
            Stage::End => return Ok(Event::End),
            Stage::Failed => return Err(FAILED),
            Stage::Head if !self.has_begun => {
                Fault::new(FaultKind::Unanswered, "the upstream closed the connection without an answer")
            }
            Stage::Head => Fault::new(FaultKind::HeadIncomplete, "the upstream closed the connection inside the head"),
            Stage::Content => Fault::new(
                FaultKind::ContentIncomplete,
                "the upstream closed the connection before the end of the request",
            ),
        };
        self.stage = Stage::Failed;
        Err(fault)
    }

    fn step(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        let mut at = 0;
        loop {
            match self.stage {
                Stage::End => return Ok(Step { consumed: at, event: Event::End }),
                Stage::Failed => return Err(FAILED),
                Stage::Head | Stage::Content => {}
            }
            let rest = &input[at..];
            if self.records.content_bytes > 0 {
                let piece = &rest[..rest.len().min(self.records.content_bytes)];
                if piece.is_empty() {
                    return Ok(Step { consumed: at, event: Event::NeedMore });
                }
                let (taken, event) = self.content(piece, limits)?;
                self.records.content_bytes -= taken;
                match event {
                    Some(Event::Data(range)) => {
                        return Ok(Step { consumed: at + taken, event: Event::Data(at + range.start..at + range.end) });
                    }
                    Some(event) => return Ok(Step { consumed: at + taken, event }),
                    None => at += taken,
                }
                continue;
            }
            if self.records.padding_bytes > 0 {
                let skipped = rest.len().min(self.records.padding_bytes);
                if skipped == 0 {
                    return Ok(Step { consumed: at, event: Event::NeedMore });
                }
                self.records.padding_bytes -= skipped;
                at += skipped;
                continue;
            }
            match self.header(rest)? {
                Some(taken) => at += taken,
                None => return Ok(Step { consumed: at, event: Event::NeedMore }),
            }
        }
    }

    /// Takes a piece of a record's content, which is not empty. How much was taken, and what it was.
    fn content(&mut self, piece: &[u8], limits: &ResponseLimits) -> Result<(usize, Option<Event>), Fault> {
        match (self.records.stream, self.stage) {
            (Stream::Stderr, _) => {
                let room = STDERR_BYTES_MAX.saturating_sub(self.stderr.len());
                self.stderr.extend_from_slice(&piece[..piece.len().min(room)]);
                Ok((piece.len(), None))
            }
            (Stream::Stdout, Stage::Head) => {
                let before = self.head_bytes.len();
                let piece = &piece[..piece.len().min(HEAD_PIECE_BYTES)];
                self.head_bytes.extend_from_slice(piece);
                let complete = self.heads.read(&self.head_bytes, Dialect::Cgi, self.asked, limits, &mut self.head)?;
                let Some(length) = complete else { return Ok((piece.len(), None)) };
                if self.head.status().0 < 200 {
                    return Err(Fault::new(
                        FaultKind::Malformed,
                        "an interim status in the answer of a FastCGI application",
                    ));
                }
                self.stage = Stage::Content;
                self.head_bytes.clear();
                Ok((length - before, Some(Event::Head)))
            }
            (Stream::Stdout, _) => {
                // The content of a HEAD, which a program may send all the same, is dropped.
                if matches!(self.head.framing, ResponseFraming::NoContent(_)) {
                    return Ok((piece.len(), None));
                }
                self.total += piece.len() as u64;
                match self.head.framing {
                    ResponseFraming::Length(length) if self.total > length => {
                        Err(Fault::new(FaultKind::Framing, "the content is longer than its Content-Length"))
                    }
                    _ => Ok((piece.len(), Some(Event::Data(0..piece.len())))),
                }
            }
            (Stream::Ignored, _) => Ok((piece.len(), None)),
        }
    }

    /// Takes the header of a record, and all of the record that ends the request. `None`: it has not arrived.
    fn header(&mut self, rest: &[u8]) -> Result<Option<usize>, Fault> {
        let Some(header) = Header::at_front(rest).map_err(|_| protocol("a record that is not of FastCGI version 1"))?
        else {
            return Ok(None);
        };
        let is_mine = header.request_id == REQUEST_ID;
        let content_bytes = usize::from(header.content_bytes);
        let stream = match header.kind {
            record::END_REQUEST if is_mine => {
                let content = rest.get(HEADER_BYTES..HEADER_BYTES + content_bytes + usize::from(header.padding_bytes));
                if content_bytes != 8 {
                    return Err(protocol("the end of the request is malformed"));
                }
                let Some(&[a, b, c, d, status, ..]) = content else { return Ok(None) };
                self.app_status = u32::from_be_bytes([a, b, c, d]);
                self.end(status)?;
                return Ok(Some(HEADER_BYTES + content_bytes + usize::from(header.padding_bytes)));
            }
            record::STDOUT if is_mine && self.records.has_ended => {
                return Err(protocol("STDOUT goes on after its end"));
            }
            record::STDOUT if is_mine => {
                self.records.has_ended = content_bytes == 0;
                Stream::Stdout
            }
            record::STDERR if is_mine => Stream::Stderr,
            record::GET_VALUES_RESULT | record::UNKNOWN_TYPE if header.request_id == 0 => Stream::Ignored,
            // §3.3: kinds that are unknown are for the future.
            12.. if header.request_id == 0 => Stream::Ignored,
            _ => return Err(protocol("a record that does not belong to the answer")),
        };
        if stream == Stream::Ignored || content_bytes == 0 {
            self.idle_records += 1;
            if self.idle_records > IDLE_RECORDS_MAX {
                return Err(protocol("too many records without content"));
            }
        }
        self.records.stream = stream;
        self.records.content_bytes = content_bytes;
        self.records.padding_bytes = usize::from(header.padding_bytes);
        Ok(Some(HEADER_BYTES))
    }

    /// The application has ended the request.
    fn end(&mut self, status: u8) -> Result<(), Fault> {
        match status {
            0 => {}
            2 => return Err(Fault::new(FaultKind::Overloaded, "the FastCGI application says that it is overloaded")),
            1 => return Err(protocol("the FastCGI application refuses a second request on its connection")),
            3 => return Err(protocol("the FastCGI application is no responder")),
            _ => return Err(protocol("the FastCGI application ended the request with an unknown status")),
        }
        match (self.stage, self.head.framing) {
            (Stage::Head, _) => {
                Err(Fault::new(FaultKind::HeadIncomplete, "the application ended the request without a complete head"))
            }
            (_, ResponseFraming::Length(length)) if self.total < length => {
                Err(Fault::new(FaultKind::ContentIncomplete, "the content is shorter than its Content-Length"))
            }
            _ => {
                self.stage = Stage::End;
                Ok(())
            }
        }
    }
}

const fn protocol(cause: &'static str) -> Fault {
    Fault::new(FaultKind::Protocol, cause)
}

const FAILED: Fault = Fault::new(FaultKind::Protocol, "the connection has failed before");
