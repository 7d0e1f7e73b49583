//! Decodes a request's head: the request line and the field section (RFC 9112 §2 to §5).

use super::line::{self, Line};
use super::{field_line, framing, request_line, semantics};
use crate::error::{Error, Kind};
use crate::field::{Field, KnownField, Seen, Span, is_token};
use crate::limits::Limits;
use crate::request::RequestHead;

/// Decodes one head, resuming where it stopped when more bytes arrive, so that the work is linear in the head's length
/// however it was split.
///
/// The result depends only on the bytes, not on how they arrive. Errors are found in the order of the stream: line by
/// line, and for each line first its limit, then the number of fields, then its syntax. Checks of the whole head follow
/// when it is complete: Host, then framing, then Expect, then Content-Type. A line is checked when its end has arrived, except for its
/// limit and for the very first byte, which must begin a method.
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
    /// Before the request line; at most one empty line was seen.
    #[default]
    Start,
    RequestLine,
    Fields,
    Failed,
}

impl HeadDecoder {
    /// Decodes all bytes received for this message so far: `bytes` begins at the message's first byte and only grows
    /// between calls. True when the head is complete and `head` is filled. Until then the content of `head` has no
    /// meaning, and each call may be given another one.
    ///
    /// # Errors
    /// The head is refused (RFC 9112; `Limits`). No further byte of the connection may be parsed.
    pub fn decode(&mut self, bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Error> {
        let resumed = self.line > 0;
        if resumed {
            // One head may be used for the incomplete requests of many connections, and must not collect the lines of
            // all of them.
            head.clear();
        }
        let outcome = match self.lines(bytes, limits, head) {
            // Lines that an earlier call saw are not in `head`. Now that the head is complete, read it at once.
            Ok(true) if resumed => {
                *self = HeadDecoder::default();
                self.lines(bytes, limits, head)
            }
            outcome => outcome,
        };
        let outcome = match outcome {
            Ok(true) => semantics::understand(bytes, head).map(|()| true),
            outcome => outcome,
        };
        match outcome {
            Ok(false) => {}
            Ok(true) => *self = HeadDecoder::default(),
            Err(_) => self.stage = Stage::Failed,
        }
        outcome
    }

    /// Reads the lines that have arrived since the last call into `head`. True when the head is complete.
    fn lines(&mut self, bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<bool, Error> {
        loop {
            let at = self.line as usize;
            let rest = bytes.get(at..).unwrap_or_default();
            match self.stage {
                Stage::Fields => {
                    let Some(line) = self.line(rest, limits)? else { return Ok(false) };
                    if line.is_empty() {
                        head.bytes = self.line as usize;
                        return Ok(true);
                    }
                    self.fields += 1;
                    if self.fields as usize > limits.fields_max {
                        return Err(Error::client(
                            Kind::HeadTooLarge,
                            "the head has too many fields (see limit_request_fields)",
                        ));
                    }
                    let parsed = match field_line::parse(line) {
                        Ok(parsed) => parsed,
                        Err(error) => {
                            self.continue_field(head, bytes, at, line, limits, error)?;
                            continue;
                        }
                    };
                    head.seen = head.seen.with(Seen::of(parsed.known)).with(parsed.oddity);
                    head.fields.push(Field {
                        known: parsed.known,
                        name: Span::new(at, at + parsed.name_bytes),
                        value: Span::new(at + parsed.value.start, at + parsed.value.end),
                    });
                }
                Stage::RequestLine => {
                    let Some(line) = self.line(rest, limits)? else { return Ok(false) };
                    let parsed = request_line::parse(line, limits)?;
                    let target = at + parsed.target.start;
                    let parts = parsed.parts;
                    head.clear();
                    head.method = Span::new(at, at + parsed.method_bytes);
                    head.target = Span::new(target, at + parsed.target.end);
                    head.form = parts.form;
                    head.path = Span::new(target + parts.path.start, target + parts.path.end);
                    head.query = Span::new(target + parts.query.start, target + parts.query.end);
                    head.version = parsed.version;
                    self.stage = Stage::Fields;
                }
                Stage::Start => match (at, rest) {
                    (_, []) | (0, [b'\r']) => return Ok(false),
                    // RFC 9112 §2.2: one empty line before the request line is skipped, for old clients.
                    (0, [b'\r', b'\n', ..]) => self.line = 2,
                    (_, [first, ..]) if is_token(&[*first]) => self.stage = Stage::RequestLine,
                    _ => return Err(Error::bad_request("the message does not begin with a method")),
                },
                Stage::Failed => return Err(Error::bad_request("the connection has failed before")),
            }
        }
    }

    /// A line that is no field line may be the continuation of the one before it.
    #[cold]
    fn continue_field(
        &mut self,
        head: &mut RequestHead,
        bytes: &[u8],
        at: usize,
        line: &[u8],
        limits: &Limits,
        error: Error,
    ) -> Result<(), Error> {
        if !limits.permit_folding || self.fields < 2 || !is_folded(line) {
            return Err(error);
        }
        self.fields -= 1;
        fold(head, bytes, at, line, limits)
    }

    /// The current line without its CRLF, if it has arrived; then advances to the next one.
    #[inline]
    fn line<'b>(&mut self, rest: &'b [u8], limits: &Limits) -> Result<Option<&'b [u8]>, Error> {
        let own_max = match self.stage {
            Stage::Fields => limits.field_bytes_max,
            _ => limits.request_line_bytes_max,
        };
        // The limit of the head leaves this much room for the line.
        let Some(room) = limits.head_bytes_max.checked_sub(self.line as usize + 2) else {
            return Err(Error::client(Kind::HeadTooLarge, "the head is above its bound (see limit_request_head)"));
        };
        match line::scan(rest, &mut self.scanned, own_max.min(room)) {
            Line::Complete(length) => {
                self.line += length as u32 + 2;
                Ok(Some(&rest[..length]))
            }
            Line::Partial => Ok(None),
            Line::BareLf => Err(Error::bad_request("a line of the head ends with a bare LF")),
            Line::Control => Err(Error::bad_request("a line of the head contains a control character or a bare CR")),
            Line::TooLong if room < own_max => {
                Err(Error::client(Kind::HeadTooLarge, "the head is above its bound (see limit_request_head)"))
            }
            Line::TooLong if self.stage == Stage::Fields => {
                Err(Error::client(Kind::HeadTooLarge, "a field line is above its bound (see limit_request_field_size)"))
            }
            Line::TooLong => {
                Err(Error::client(Kind::TargetTooLong, "the request line is above its bound (see limit_request_line)"))
            }
        }
    }
}

fn is_folded(line: &[u8]) -> bool {
    matches!(line, [b' ' | b'\t', ..])
}

/// Makes a line the continuation of the value before it. The value still contains its line ends; the owner of the arena
/// replaces them with spaces ([`Seen::FOLDED`]).
///
/// It decides from the bytes only: lines that an earlier call saw are not in `head`, which is read again when the head
/// is complete.
#[cold]
fn fold(head: &mut RequestHead, bytes: &[u8], at: usize, line: &[u8], limits: &Limits) -> Result<(), Error> {
    let mut start = at;
    while start == at || is_folded(&bytes[start..]) {
        // Invariant: the request line lies before every field, and each line ends with CRLF.
        start = bytes[..start.saturating_sub(2)].iter().rposition(|&byte| byte == b'\n').map_or(0, |lf| lf + 1);
        if at + line.len() - start > limits.field_bytes_max {
            return Err(Error::client(
                Kind::HeadTooLarge,
                "a folded field is above its bound (see limit_request_field_size)",
            ));
        }
    }
    let colon = bytes[start..at].iter().position(|&byte| byte == b':').unwrap_or_default();
    if framing::must_be_one_line(KnownField::of(&bytes[start..start + colon])) {
        return Err(Error::bad_request("a field that decides framing or routing is folded"));
    }
    head.seen = head.seen.with(Seen::FOLDED);
    let text = line.trim_ascii_start();
    if let Some(field) = head.fields.last_mut().filter(|_| !text.is_empty()) {
        let from = at + line.len() - text.len();
        let from = if field.value.is_empty() { from } else { field.value.start as usize };
        field.value = Span::new(from, at + line.trim_ascii_end().len());
    }
    Ok(())
}
