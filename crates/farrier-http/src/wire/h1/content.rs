//! Decodes the content of a message: a length or the chunked coding with its trailer section (RFC 9112 §6, §7.1).

use std::ops::Range;

use super::line::{self, Line};
use super::{chunk, trailer};
use crate::error::{Error, Kind};
use crate::limits::Limits;
use crate::request::BodyFraming;

/// Bytes of chunk extensions that a message may have beyond one for each byte of its content. Extensions are read and
/// dropped, so without a bound tiny chunks could carry any amount of them past the bound on content (RFC 9112 §7.1.1).
const EXTENSION_BYTES_FREE: u64 = 16 * 1024;

/// The limits that concern content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ContentBounds {
    /// Content after decoding.
    pub(crate) body_bytes_max: u64,
    /// One chunk's size line, extensions included.
    pub(crate) chunk_line_bytes_max: usize,
    /// The whole trailer section.
    pub(crate) trailer_bytes_max: usize,
}

impl ContentBounds {
    fn of(limits: &Limits) -> Self {
        ContentBounds {
            body_bytes_max: limits.body_bytes_max,
            chunk_line_bytes_max: limits.chunk_line_bytes_max,
            trailer_bytes_max: limits.trailer_bytes_max,
        }
    }
}

/// Decodes the content of one message.
///
/// As with the head, the result depends only on the bytes, not on how they arrive, and each byte is read once. A line
/// is checked when its end has arrived; its limit is checked as soon as it is exceeded. After an error the decoder
/// refuses everything.
#[derive(Debug)]
pub struct ContentDecoder {
    /// Bytes of the content, or of the current chunk, that have not arrived yet.
    remaining: u64,
    /// Bytes of content in all chunks up to the current one.
    total: u64,
    /// Bytes of chunk extensions up to the current chunk.
    extension_bytes: u64,
    /// How many bytes of the current line, which begins with the unconsumed input, are known to hold no LF.
    scanned: u32,
    /// Bytes of the trailer section before the current line.
    trailer_bytes: u32,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Content of a declared length.
    Length,
    /// A chunk's size line.
    ChunkSize,
    /// A chunk's data.
    ChunkData,
    /// The CRLF after a chunk's data.
    ChunkEnd,
    /// The trailer section and the empty line after it.
    Trailer,
    Done,
    Failed,
}

/// The result of one call of [`ContentDecoder::decode`].
#[derive(Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes of the input that are used up.
    pub consumed: usize,
    /// The content in them, as a range of the input.
    pub content: Range<usize>,
    /// Whether the message is complete. Bytes after `consumed` belong to the next request.
    pub done: bool,
}

impl ContentDecoder {
    /// A decoder for the framing that the head declared.
    ///
    /// # Errors
    /// The declared length is above `limits.body_bytes_max`.
    pub fn new(framing: BodyFraming, limits: &Limits) -> Result<Self, Error> {
        match framing {
            BodyFraming::Length(length) if length > limits.body_bytes_max => Err(TOO_LARGE),
            _ => Ok(ContentDecoder::unbounded(framing)),
        }
    }

    /// A decoder for content whose declared length is not bounded.
    pub(crate) fn unbounded(framing: BodyFraming) -> Self {
        let (stage, remaining) = match framing {
            BodyFraming::None | BodyFraming::Length(0) => (Stage::Done, 0),
            BodyFraming::Length(length) => (Stage::Length, length),
            BodyFraming::Chunked => (Stage::ChunkSize, 0),
        };
        ContentDecoder { remaining, total: remaining, extension_bytes: 0, scanned: 0, trailer_bytes: 0, stage }
    }

    /// Decodes from the front of `input` and stops after one run of content. Call it again with the rest, followed by
    /// new bytes. If it consumes nothing and is not done, more bytes are needed.
    ///
    /// # Errors The chunked coding is malformed or a limit is exceeded. No further byte of the connection may be
    /// parsed.
    pub fn decode(&mut self, input: &[u8], limits: &Limits) -> Result<Decoded, Error> {
        self.decode_with(input, ContentBounds::of(limits), &mut trailer::check)
    }

    /// The same, and `take_trailer` is given each line of the trailer section without its CRLF, once.
    pub(crate) fn decode_with(
        &mut self,
        input: &[u8],
        bounds: ContentBounds,
        take_trailer: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Decoded, Error> {
        let outcome = self.step(input, bounds, take_trailer);
        if outcome.is_err() {
            self.stage = Stage::Failed;
        }
        outcome
    }

    fn step(
        &mut self,
        input: &[u8],
        bounds: ContentBounds,
        take_trailer: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Decoded, Error> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            let taken = match self.stage {
                Stage::Length => return Ok(self.run(at, rest.len(), Stage::Done)),
                Stage::ChunkData if !rest.is_empty() => return Ok(self.run(at, rest.len(), Stage::ChunkEnd)),
                Stage::ChunkData => None,
                Stage::ChunkSize => self.chunk_size(rest, bounds)?,
                Stage::ChunkEnd => self.chunk_end(rest)?,
                Stage::Trailer => self.trailer_line(rest, bounds, take_trailer)?,
                Stage::Done => None,
                Stage::Failed => return Err(Error::bad_request("the connection has failed before")),
            };
            let Some(taken) = taken else {
                return Ok(Decoded { consumed: at, content: at..at, done: self.stage == Stage::Done });
            };
            at += taken;
        }
    }

    /// Consumes the content that is there; when it is complete, `then` follows.
    fn run(&mut self, at: usize, available: usize, then: Stage) -> Decoded {
        let length = usize::try_from(self.remaining).map_or(available, |remaining| remaining.min(available));
        self.remaining -= length as u64;
        if self.remaining == 0 {
            self.stage = then;
        }
        Decoded { consumed: at + length, content: at..at + length, done: self.stage == Stage::Done }
    }

    fn chunk_size(&mut self, rest: &[u8], bounds: ContentBounds) -> Result<Option<usize>, Error> {
        let line = match line::scan(rest, &mut self.scanned, bounds.chunk_line_bytes_max) {
            Line::Partial => return Ok(None),
            Line::Complete(length) => &rest[..length],
            Line::TooLong => {
                return Err(Error::bad_request("a chunk's size line is above its bound (see limit_chunk_line)"));
            }
            Line::BareLf => return Err(Error::bad_request("a chunk's size line ends with a bare LF")),
            Line::Control => return Err(Error::bad_request("a chunk's size line contains a control character")),
        };
        let chunk = chunk::parse(line)?;
        self.total =
            self.total.checked_add(chunk.bytes).filter(|&sum| sum <= bounds.body_bytes_max).ok_or(TOO_LARGE)?;
        self.extension_bytes += chunk.extension_bytes as u64;
        if self.extension_bytes > self.total.saturating_add(EXTENSION_BYTES_FREE) {
            return Err(Error::bad_request("the chunk extensions are above their bound"));
        }
        self.remaining = chunk.bytes;
        self.stage = if chunk.bytes == 0 { Stage::Trailer } else { Stage::ChunkData };
        Ok(Some(line.len() + 2))
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Result<Option<usize>, Error> {
        match rest {
            [] | [b'\r'] => Ok(None),
            [b'\r', b'\n', ..] => {
                self.stage = Stage::ChunkSize;
                Ok(Some(2))
            }
            _ => Err(Error::bad_request("a chunk's data is not followed by CRLF")),
        }
    }

    /// The limit applies to the field lines with their line ends; the empty line that ends every chunked message is not
    /// counted.
    fn trailer_line(
        &mut self,
        rest: &[u8],
        bounds: ContentBounds,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<Option<usize>, Error> {
        let room = bounds.trailer_bytes_max.saturating_sub(self.trailer_bytes as usize + 2);
        let line = match line::scan(rest, &mut self.scanned, room) {
            Line::Partial => return Ok(None),
            Line::Complete(length) => &rest[..length],
            Line::TooLong => {
                return Err(Error::bad_request("the trailer section is above its bound (see limit_trailers)"));
            }
            Line::BareLf => return Err(Error::bad_request("a trailer line ends with a bare LF")),
            Line::Control => {
                return Err(Error::bad_request("a trailer line contains a control character or a bare CR"));
            }
        };
        if line.is_empty() {
            self.stage = Stage::Done;
        } else {
            take(line)?;
            self.trailer_bytes += line.len() as u32 + 2;
        }
        Ok(Some(line.len() + 2))
    }
}

const TOO_LARGE: Error = Error::client(Kind::BodyTooLarge, "the content is above its bound (see limit_request_body)");
