//! Decodes a request's head: the request line and the field section (RFC 9112 §2 to §5).

use super::line::{self, Line};
use super::{fast, field_line, request_line, semantics};
use crate::error::{Error, Kind};
use crate::field::{Field, KnownField, Span, is_token};
use crate::limits::Limits;
use crate::request::RequestHead;

/// Decodes one head, resuming where it stopped when more bytes arrive, so that the work is linear in the head's length
/// however it was split.
///
/// The outcome is a function of the bytes alone, not of their arrival. Errors are found in the order of the stream: line by
/// line, and for each line first its bound, then the number of fields, then its grammar. What needs the whole head is looked
/// at when it is complete: Host, then framing, then Expect. A line is judged when its end has arrived, except for its bound
/// and for the very first byte, which must begin a method.
///
/// When a head is complete the decoder is ready for the next one; after an error it refuses everything.
#[derive(Debug, Default)]
pub struct HeadDecoder {
    /// Where the current line begins.
    line: u32,
    /// How many bytes of the current line are known to hold no LF.
    scanned: u32,
    /// Field lines before the current one.
    fields: u32,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Before the request line: nothing seen but perhaps one empty line.
    #[default]
    Start,
    RequestLine,
    Fields,
    Failed,
}

impl HeadDecoder {
    /// Looks at all bytes received for this message so far (`bytes` begins at the message's first byte and only grows
    /// between calls). True when the head is complete and `head` is filled; until then what `head` holds means nothing,
    /// and each call may be given another one.
    ///
    /// # Errors
    /// The head is refused (RFC 9112; `Limits`). No further byte of the connection may be parsed.
    pub fn decode(&mut self, bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Error> {
        let outcome = if self.stage == Stage::Start && fast::fill(bytes, limits, head) {
            semantics::understand(bytes, head).map(|()| true)
        } else {
            self.decode_lines(bytes, limits, head)
        };
        match outcome {
            Ok(false) => {}
            Ok(true) => *self = HeadDecoder::default(),
            Err(_) => self.stage = Stage::Failed,
        }
        outcome
    }

    /// Checks line by line, and reads the head once all of it is checked.
    fn decode_lines(&mut self, bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Error> {
        let Some(end) = self.check_lines(bytes, limits)? else {
            return Ok(false);
        };
        read(&bytes[..end], limits, head)?;
        semantics::understand(bytes, head)?;
        Ok(true)
    }

    /// Checks the lines that have arrived. The head's length once it is complete.
    fn check_lines(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Error> {
        loop {
            let start = self.line as usize;
            let rest = &bytes[start.min(bytes.len())..];
            if self.stage == Stage::Start {
                match (start, rest) {
                    (_, []) | (0, [b'\r']) => return Ok(None),
                    // RFC 9112 §2.2: one empty line before the request line is skipped, for clients of old.
                    (0, [b'\r', b'\n', ..]) => {
                        self.line = 2;
                        continue;
                    }
                    (_, [first, ..]) if is_token(&[*first]) => self.stage = Stage::RequestLine,
                    _ => return Err(Error::bad_request("the message does not begin with a method")),
                }
            }
            let (bytes_max, too_long) = self.bound(limits)?;
            let line = match line::scan(rest, &mut self.scanned, bytes_max) {
                Line::Partial => return Ok(None),
                Line::Complete(length) => &rest[..length],
                Line::TooLong => return Err(too_long),
                Line::BareLf => return Err(Error::bad_request("a line of the head ends with a bare LF")),
            };
            self.line += line.len() as u32 + 2;
            match self.stage {
                Stage::Start | Stage::RequestLine => {
                    request_line::parse(line, limits)?;
                    self.stage = Stage::Fields;
                }
                Stage::Fields if line.is_empty() => return Ok(Some(self.line as usize)),
                Stage::Fields => {
                    self.fields += 1;
                    if self.fields as usize > limits.fields_max {
                        return Err(Error::client(Kind::HeadTooLarge, "the head has too many fields"));
                    }
                    field_line::parse(line)?;
                }
                Stage::Failed => break Err(Error::bad_request("the connection has failed before")),
            }
        }
    }

    /// How long the current line may be without its CRLF, and what a longer one is refused with. The nearer of the line's own
    /// bound and the head's.
    fn bound(&self, limits: &Limits) -> Result<(usize, Error), Error> {
        const HEAD: Error = Error::client(Kind::HeadTooLarge, "the head is above its bound");
        let Some(room) = limits.head_bytes_max.checked_sub(self.line as usize + 2) else {
            return Err(HEAD);
        };
        let (bytes_max, too_long) = match self.stage {
            Stage::Fields => {
                (limits.field_bytes_max, Error::client(Kind::HeadTooLarge, "a field line is above its bound"))
            }
            _ => (
                limits.request_line_bytes_max,
                Error::client(Kind::TargetTooLong, "the request line is above its bound"),
            ),
        };
        Ok(if bytes_max <= room { (bytes_max, too_long) } else { (room, HEAD) })
    }
}

/// Fills `head` from a complete head.
fn read(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<(), Error> {
    head.clear();
    let mut at = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let mut first = true;
    while let Line::Complete(length) = line::scan(&bytes[at..], &mut 0, usize::MAX) {
        let line = &bytes[at..at + length];
        let span = |part: std::ops::Range<usize>| Span::new(at + part.start, at + part.end);
        if first {
            let parsed = request_line::parse(line, limits)?;
            let target = parsed.target.start;
            let within = |part: std::ops::Range<usize>| span(target + part.start..target + part.end);
            head.method = span(parsed.method);
            head.path = within(parsed.parts.path);
            head.query = within(parsed.parts.query);
            head.target = span(parsed.target);
            head.form = parsed.parts.form;
            head.version = parsed.version;
            first = false;
        } else if !line.is_empty() {
            let parsed = field_line::parse(line)?;
            let known = KnownField::of(&line[parsed.name.clone()]);
            head.fields.push(Field { known, name: span(parsed.name), value: span(parsed.value) });
        }
        at += length + 2;
    }
    head.bytes = bytes.len();
    Ok(())
}
