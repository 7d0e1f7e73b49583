//! Reads responses of an HTTP/1.x upstream: heads, content, trailers, and whether the connection can be used again.

use std::ops::Range;

use super::fault::{Fault, FaultKind};
use super::fields::FieldLines;
use super::head::{Asked, Dialect, HeadReader, ReceivedHead, ResponseLimits};
use crate::error::{Error, Kind};
use crate::request::BodyFraming;
use crate::status::Status;
use crate::wire::h1::content::{ContentBounds, ContentDecoder};
use crate::wire::h1::{ResponseFraming, field_line, trailer};

/// One step of a reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Bytes at the front of the input that are used up.
    pub consumed: usize,
    /// What they were.
    pub event: Event,
}

/// What a step has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing more can be read from these bytes.
    NeedMore,
    /// An interim response other than 101 (RFC 9110 §15.2): [`ResponseReader::head`].
    Interim,
    /// The final head: [`ResponseReader::head`].
    Head,
    /// The head of a 101, or of a 2xx to CONNECT. All further bytes belong to the other protocol.
    Switched,
    /// Content, as a range of the input that is not empty.
    Data(Range<usize>),
    /// The fields behind the content, at least one: [`ResponseReader::trailers`].
    Trailers,
    /// The response is complete. It is repeated at further steps, which consume nothing.
    End,
}

/// Reads one response. The result depends only on the bytes, not on how they arrive, and each byte is read at most twice.
/// After a fault the reader refuses everything.
#[derive(Debug, Default)]
pub struct ResponseReader {
    asked: Asked,
    dialect: Dialect,
    heads: HeadReader,
    head: ReceivedHead,
    trailers: FieldLines,
    interims: u32,
    stage: Stage,
}

#[derive(Debug, Default)]
enum Stage {
    #[default]
    Head,
    Content(ContentDecoder),
    UntilClose,
    Trailers,
    End,
    Switched,
    Failed,
}

impl ResponseReader {
    /// Begins with the next response, and keeps the memory.
    pub fn restart(&mut self, asked: Asked) {
        self.asked = asked;
        self.dialect = Dialect::Http;
        self.heads = HeadReader::default();
        self.trailers.clear();
        self.interims = 0;
        self.stage = Stage::Head;
    }

    /// Begins with the response to a uwsgi request, and keeps the memory. The head is that of HTTP or of CGI. There is no
    /// transfer coding, and the connection carries no other request.
    pub fn restart_uwsgi(&mut self, asked: Asked) {
        self.restart(asked);
        self.dialect = Dialect::Cgi;
    }

    /// The last head that was complete.
    pub fn head(&self) -> &ReceivedHead {
        &self.head
    }

    /// The fields behind the content. Those that may not stand there are dropped (RFC 9110 §6.5.1).
    pub fn trailers(&self) -> &FieldLines {
        &self.trailers
    }

    /// Whether the response is complete.
    pub fn is_complete(&self) -> bool {
        matches!(self.stage, Stage::End)
    }

    /// Whether a byte of the response was consumed. `rest` is what was received and is left.
    pub fn has_begun(&self, rest: &[u8]) -> bool {
        !matches!(self.stage, Stage::Head) || self.interims > 0 || !rest.is_empty()
    }

    /// Whether the connection can carry another request: the response is complete, the upstream keeps the connection, and no
    /// byte is left over. A surplus byte would be taken for the next answer (response splitting). The request must have
    /// been sent completely, which the caller knows.
    pub fn is_reusable(&self, rest: &[u8]) -> bool {
        self.is_complete() && rest.is_empty() && self.dialect == Dialect::Http && self.head.is_persistent()
    }

    /// Reads from the front of `input`: the bytes that the last step left, with new ones behind them. It stops at the first
    /// event. With [`Event::NeedMore`] the caller keeps what is left, which is bounded by the limits.
    ///
    /// # Errors
    /// The answer is refused. No further byte of the connection may be parsed.
    pub fn read(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        let outcome = self.step(input, limits);
        if outcome.is_err() {
            self.stage = Stage::Failed;
        }
        outcome
    }

    /// The upstream has closed or reset the connection; `rest` is what [`ResponseReader::read`] left when it needed more.
    /// `is_orderly` is false
    /// for a reset, and for TLS without a close_notify (RFC 9112 §9.8).
    ///
    /// # Errors
    /// The response is not complete.
    pub fn closed(&mut self, rest: &[u8], is_orderly: bool) -> Result<Event, Fault> {
        let fault = match self.stage {
            Stage::End => return Ok(Event::End),
            Stage::Switched => return Ok(Event::Switched),
            Stage::UntilClose if is_orderly => {
                self.stage = Stage::End;
                return Ok(Event::End);
            }
            Stage::Head if !self.has_begun(rest) => {
                Fault::new(FaultKind::Unanswered, "the upstream closed the connection without an answer")
            }
            Stage::Head => Fault::new(FaultKind::HeadIncomplete, "the upstream closed the connection inside the head"),
            Stage::Trailers => {
                self.stage = Stage::End;
                return Ok(Event::Trailers);
            }
            Stage::Failed => return Err(FAILED),
            Stage::UntilClose | Stage::Content(_) => {
                Fault::new(FaultKind::ContentIncomplete, "the upstream closed the connection inside the content")
            }
        };
        self.stage = Stage::Failed;
        Err(fault)
    }

    fn step(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        match &mut self.stage {
            Stage::Head => self.read_head(input, limits),
            Stage::Content(_) => self.content(input, limits),
            Stage::UntilClose if input.is_empty() => Ok(Step { consumed: 0, event: Event::NeedMore }),
            Stage::UntilClose => Ok(Step { consumed: input.len(), event: Event::Data(0..input.len()) }),
            Stage::Trailers => {
                self.stage = Stage::End;
                Ok(Step { consumed: 0, event: Event::Trailers })
            }
            Stage::End => Ok(Step { consumed: 0, event: Event::End }),
            Stage::Switched => Ok(Step { consumed: 0, event: Event::Switched }),
            Stage::Failed => Err(FAILED),
        }
    }

    fn read_head(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        let Some(consumed) = self.heads.read(input, self.dialect, self.asked, limits, &mut self.head)? else {
            return Ok(Step { consumed: 0, event: Event::NeedMore });
        };
        let (stage, event) = match self.head.status() {
            Status(101) if self.asked.upgrade => (Stage::Switched, Event::Switched),
            // RFC 9110 §7.8: a server must not switch to a protocol that was not asked for.
            Status(101) => return Err(Fault::new(FaultKind::Upgrade, "101 to a request that asked for no upgrade")),
            Status(100..=199) => {
                self.interims += 1;
                if self.interims > limits.interim_max {
                    return Err(Fault::new(FaultKind::Malformed, "too many interim responses"));
                }
                (Stage::Head, Event::Interim)
            }
            Status(200..=299) if self.asked.is_connect => (Stage::Switched, Event::Switched),
            _ => {
                let stage = match self.head.framing {
                    ResponseFraming::NoContent(_) | ResponseFraming::Length(0) => Stage::End,
                    ResponseFraming::UntilClose => Stage::UntilClose,
                    ResponseFraming::Length(length) => {
                        Stage::Content(ContentDecoder::unbounded(BodyFraming::Length(length)))
                    }
                    ResponseFraming::Chunked => Stage::Content(ContentDecoder::unbounded(BodyFraming::Chunked)),
                };
                (stage, Event::Head)
            }
        };
        self.stage = stage;
        Ok(Step { consumed, event })
    }

    fn content(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Fault> {
        let ResponseReader { stage: Stage::Content(decoder), trailers, .. } = self else { return Err(FAILED) };
        let bounds = ContentBounds {
            body_bytes_max: u64::MAX,
            chunk_line_bytes_max: limits.chunk_line_bytes_max,
            trailer_bytes_max: limits.trailer_bytes_max,
        };
        let mut take = |line: &[u8]| take_trailer(trailers, line, limits.fields_max);
        let decoded = decoder.decode_with(input, bounds, &mut take).map_err(framing)?;
        if decoded.done {
            self.stage = if self.trailers.is_empty() { Stage::End } else { Stage::Trailers };
        }
        let consumed = decoded.consumed;
        if !decoded.content.is_empty() {
            return Ok(Step { consumed, event: Event::Data(decoded.content) });
        }
        if !decoded.done {
            return Ok(Step { consumed, event: Event::NeedMore });
        }
        let event = if self.trailers.is_empty() { Event::End } else { Event::Trailers };
        self.stage = Stage::End;
        Ok(Step { consumed, event })
    }
}

/// Notes a line of the trailer section, unless its field may not stand there.
fn take_trailer(trailers: &mut FieldLines, line: &[u8], fields_max: usize) -> Result<(), Error> {
    let parsed = field_line::parse(line)?;
    if trailer::is_forbidden(&line[..parsed.name_bytes]) {
        return Ok(());
    }
    if trailers.len() >= fields_max {
        return Err(Error::bad_request("the trailer section has too many fields"));
    }
    trailers.append(line, &parsed);
    Ok(())
}

fn framing(error: Error) -> Fault {
    let cause = match error.kind {
        Kind::BodyTooLarge => "the chunks are together larger than 64 bits can count".into(),
        _ => error.cause,
    };
    Fault { kind: FaultKind::Framing, cause }
}

const FAILED: Fault = Fault::new(FaultKind::Malformed, "the connection has failed before");
