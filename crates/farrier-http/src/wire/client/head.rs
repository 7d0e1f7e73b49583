//! Reads the head of an upstream's answer: status line and field section (RFC 9112 §4, §5), or the head that a CGI program
//! writes (RFC 3875 §6).

use memchr::memchr;

use super::fault::{Fault, FaultKind};
use super::fields::FieldLines;
use crate::error::Error;
use crate::field::{Span, is_value};
use crate::request::Version;
use crate::status::Status;
use crate::wire::h1::ResponseFraming;
use crate::wire::h1::field_line;
use crate::wire::h1::framing::received_framing;
use crate::wire::h1::line::{self, Line};

/// Limits of an upstream's answer, in bytes or counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseLimits {
    /// One head with all line ends.
    pub head_bytes_max: usize,
    /// Number of field lines of a head, and of a trailer section.
    pub fields_max: usize,
    /// Number of interim responses (1xx) before the final one.
    pub interim_max: u32,
    /// One chunk's size line, extensions included.
    pub chunk_line_bytes_max: usize,
    /// The whole trailer section.
    pub trailer_bytes_max: usize,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        ResponseLimits {
            head_bytes_max: 64 * 1024,
            fields_max: 200,
            interim_max: 16,
            chunk_line_bytes_max: 256,
            trailer_bytes_max: 8190,
        }
    }
}

/// What the response depends on in the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asked {
    /// The method was HEAD: no content follows, whatever the fields say.
    pub is_head: bool,
    /// The method was CONNECT: a 2xx begins a tunnel (RFC 9110 §9.3.6).
    pub is_connect: bool,
    /// The request had an Upgrade field, so 101 is allowed.
    pub upgrade: bool,
}

impl Asked {
    /// The facts of a request with this method, and without an Upgrade field.
    pub fn of(method: &[u8]) -> Self {
        Asked { is_head: method == b"HEAD", is_connect: method == b"CONNECT", upgrade: false }
    }
}

/// A received head. Its owner reuses it, so reading allocates nothing once it has grown.
#[derive(Debug, Clone)]
pub struct ReceivedHead {
    lines: FieldLines,
    status: Status,
    reason: Span,
    version: Version,
    pub(super) framing: ResponseFraming,
}

impl Default for ReceivedHead {
    fn default() -> Self {
        ReceivedHead {
            lines: FieldLines::default(),
            status: Status::OK,
            reason: Span::default(),
            version: Version::Http11,
            framing: ResponseFraming::UntilClose,
        }
    }
}

impl ReceivedHead {
    /// The status, from 100 to 999.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason, perhaps empty, without control characters.
    pub fn reason(&self) -> &[u8] {
        self.lines.slice(self.reason)
    }

    /// The version of the status line; HTTP/1.1 if there was none.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields in the order received, duplicates included. Those of framing are among them.
    pub fn fields(&self) -> &FieldLines {
        &self.lines
    }

    /// Whether content follows. It may still be empty.
    pub fn has_content(&self) -> bool {
        !matches!(self.framing, ResponseFraming::NoContent(_) | ResponseFraming::Length(0))
    }

    /// The declared length in bytes. In the answer to HEAD and in a 304 it is that of the content that is not sent.
    pub fn content_length(&self) -> Option<u64> {
        match self.framing {
            ResponseFraming::Length(length) => Some(length),
            ResponseFraming::NoContent(length) => length,
            ResponseFraming::Chunked | ResponseFraming::UntilClose => None,
        }
    }

    /// Whether the Connection fields have this option, in any case (RFC 9110 §7.6.1).
    pub fn has_connection_option(&self, option: &[u8]) -> bool {
        self.lines.elements("connection").any(|its| its.eq_ignore_ascii_case(option))
    }

    /// Whether the upstream keeps the connection after this response (RFC 9112 §9.3). `close` wins.
    pub fn is_persistent(&self) -> bool {
        let (mut close, mut keep_alive) = (false, false);
        for option in self.lines.elements("connection") {
            close |= option.eq_ignore_ascii_case(b"close");
            keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
        !close && self.framing.permits_keep_alive() && (keep_alive || self.version != Version::Http10)
    }

    /// How long the upstream keeps an idle connection, in seconds: `Keep-Alive: timeout=5`.
    pub fn keep_alive_timeout_s(&self) -> Option<u32> {
        self.lines.elements("keep-alive").find_map(|element| {
            let (name, value) = element.split_at_checked(8)?;
            let digits = name.eq_ignore_ascii_case(b"timeout=").then_some(value)?;
            str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?.parse().ok()
        })
    }

    /// Decides the framing, when the head is complete.
    fn decide(&mut self, asked: Asked) -> Result<(), Fault> {
        let FieldLines { bytes, fields } = &self.lines;
        // RFC 9110 §9.3.6: a 2xx to CONNECT has no content, whatever its fields say.
        let is_tunnel = asked.is_connect && matches!(self.status, Status(200..=299));
        self.framing = received_framing(bytes, asked.is_head || is_tunnel, self.version, self.status, fields)
            .map_err(|error| Fault { kind: FaultKind::Framing, cause: error.cause })?;
        Ok(())
    }

    /// Takes the status from the Status field of a CGI program, which is removed (RFC 3875 §6.3.3).
    fn take_cgi_status(&mut self, has_status_line: bool) -> Result<(), Fault> {
        const NAME: &[u8] = b"status";
        let lines = &mut self.lines;
        let mut told = lines.values("status").map(parse_status);
        let status = told.next();
        if told.next().is_some() {
            return Err(malformed("the Status field is given twice"));
        }
        drop(told);
        if has_status_line {
            // The status line says it already.
        } else if let Some(status) = status {
            let (code, reason) = status.ok_or(malformed("the Status field is malformed"))?;
            self.status = code;
            let value = lines.fields.iter().find(|field| lines.slice(field.name).eq_ignore_ascii_case(NAME));
            let end = value.map_or(0, |field| field.value.range().end);
            self.reason = Span::new(end - reason.len(), end);
        } else if lines.is_empty() {
            return Err(malformed("the head has no field"));
        } else if lines.values("location").next().is_some() {
            // RFC 3875 §6.2.3: a redirect.
            self.status = Status(302);
        }
        if status.is_some() {
            let bytes = &lines.bytes;
            lines.fields.retain(|field| !bytes[field.name.range()].eq_ignore_ascii_case(NAME));
        }
        Ok(())
    }
}

/// How the head is written.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// HTTP: a status line is required, and lines end with CRLF.
    #[default]
    Http,
    /// CGI: the status line may be left out, and lines may end with LF (RFC 3875 §6.2, §2.2 `NL`).
    Cgi,
}

/// Reads one head, resuming where it stopped, so that the work is linear in its length however it arrives. The result
/// depends only on the bytes.
#[derive(Debug, Default)]
pub(crate) struct HeadReader {
    /// Where the current line begins.
    line: u32,
    /// How many bytes of the current line are known to hold no LF.
    scanned: u32,
    stage: Stage,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Start,
    StatusLine,
    /// `true`: after a status line.
    Fields(bool),
    Failed,
}

/// How the status line of an HTTP/1.x server begins.
const BEGINNING: &[u8] = b"HTTP/1.";

/// How that of a gateway protocol begins. uWSGI repeats the version that it was told, which is 2.0 for clients of HTTP/2.
const BEGINNING_CGI: &[u8] = b"HTTP/";

/// How a server answers that expects TLS: with an alert or a handshake record (RFC 8446 §5.1).
const TLS_RECORDS: [u8; 2] = [0x15, 0x16];

impl Dialect {
    fn beginning(self) -> &'static [u8] {
        match self {
            Dialect::Http => BEGINNING,
            Dialect::Cgi => BEGINNING_CGI,
        }
    }

    /// Splits a status line into the version's digits behind the beginning, and what follows them.
    fn split_status_line(self, line: &[u8]) -> Option<(&[u8], &[u8])> {
        let rest = line.get(self.beginning().len()..)?;
        let (version, status) = rest.split_at(memchr(b' ', rest)?);
        let is_version = match (self, version) {
            (Dialect::Http, [minor]) => minor.is_ascii_digit(),
            (Dialect::Cgi, [major] | [major, b'.', _]) => {
                major.is_ascii_digit() && version.last().is_some_and(u8::is_ascii_digit)
            }
            _ => false,
        };
        is_version.then_some((version, &status[1..]))
    }
}

impl HeadReader {
    /// Reads the bytes received of this head so far: `bytes` begins with its first one and only grows between calls. The
    /// length of the head in bytes when it is complete; then the reader is ready for the next one.
    ///
    /// # Errors
    /// The head is refused. No further byte of the connection may be parsed.
    pub(crate) fn read(
        &mut self,
        bytes: &[u8],
        dialect: Dialect,
        asked: Asked,
        limits: &ResponseLimits,
        head: &mut ReceivedHead,
    ) -> Result<Option<usize>, Fault> {
        let outcome = self.lines(bytes, dialect, limits, head).and_then(|complete| {
            let Some(has_status_line) = complete else { return Ok(None) };
            let length = self.line as usize;
            head.lines.bytes.clear();
            head.lines.bytes.extend_from_slice(bytes.get(..length).unwrap_or_default());
            if dialect == Dialect::Cgi {
                head.take_cgi_status(has_status_line)?;
            }
            head.decide(asked)?;
            if dialect == Dialect::Cgi && head.framing == ResponseFraming::Chunked {
                // RFC 3875 §6.3: a CGI program has no transfer coding, so the chunks would be taken for content.
                return Err(Fault::new(FaultKind::Framing, "Transfer-Encoding in the answer of a gateway protocol"));
            }
            Ok(Some(length))
        });
        match outcome {
            Ok(None) => {}
            Ok(Some(_)) => *self = HeadReader::default(),
            Err(_) => self.stage = Stage::Failed,
        }
        outcome
    }

    /// Reads the lines that have arrived. Whether there was a status line, when the head is complete.
    fn lines(
        &mut self,
        bytes: &[u8],
        dialect: Dialect,
        limits: &ResponseLimits,
        head: &mut ReceivedHead,
    ) -> Result<Option<bool>, Fault> {
        loop {
            let at = self.line as usize;
            let rest = bytes.get(at..).unwrap_or_default();
            match self.stage {
                Stage::Fields(has_status_line) => {
                    let Some(line) = self.line(rest, dialect, limits)? else { return Ok(None) };
                    if line.is_empty() {
                        return Ok(Some(has_status_line));
                    }
                    if head.lines.len() >= limits.fields_max {
                        return Err(too_large("the head has more fields than limits allow"));
                    }
                    // A folded line is refused, as RFC 9112 §5.2 lets a proxy do.
                    head.lines.note(at, &field_line::parse(line).map_err(grammar)?);
                }
                Stage::StatusLine => {
                    let Some(line) = self.line(rest, dialect, limits)? else { return Ok(None) };
                    let split = dialect.split_status_line(line);
                    let status = split.and_then(|(version, status)| Some((version, parse_status(status)?)));
                    let (version, (code, reason)) = status.ok_or(malformed("the status line is malformed"))?;
                    head.status = code;
                    let end = at + line.len();
                    head.reason = Span::new(end - reason.len(), end);
                    head.version = match version {
                        b"0" | b"1.0" => Version::Http10,
                        _ => Version::Http11,
                    };
                    self.stage = Stage::Fields(true);
                }
                Stage::Start => {
                    let beginning = dialect.beginning();
                    let known = rest.len().min(beginning.len());
                    let is_status_line = rest[..known] == beginning[..known];
                    self.stage = match dialect {
                        _ if is_status_line && known < beginning.len() => return Ok(None),
                        _ if is_status_line => Stage::StatusLine,
                        Dialect::Cgi => Stage::Fields(false),
                        Dialect::Http if TLS_RECORDS.contains(&rest[0]) => {
                            return Err(malformed(
                                "the answer is TLS and not HTTP: the address of its server is `https://`",
                            ));
                        }
                        Dialect::Http => return Err(malformed("the answer does not begin with HTTP/1.x")),
                    };
                    head.lines.clear();
                    (head.status, head.version, head.reason) = (Status::OK, Version::Http11, Span::default());
                }
                Stage::Failed => return Err(malformed("the connection has failed before")),
            }
        }
    }

    /// The current line without its end, if it has arrived; then advances to the next one.
    fn line<'b>(
        &mut self,
        rest: &'b [u8],
        dialect: Dialect,
        limits: &ResponseLimits,
    ) -> Result<Option<&'b [u8]>, Fault> {
        let Some(room) = limits.head_bytes_max.checked_sub(self.line as usize + 2) else {
            return Err(too_large("the head is above its bound"));
        };
        let length = match line::scan(rest, &mut self.scanned, room) {
            Line::Complete(length) => {
                self.line += length as u32 + 2;
                length
            }
            Line::Partial => return Ok(None),
            Line::BareLf if dialect == Dialect::Cgi => {
                let length = memchr(b'\n', rest).unwrap_or_default();
                if !is_value(&rest[..length]) {
                    return Err(malformed("a line of the head contains a control character"));
                }
                self.line += length as u32 + 1;
                length
            }
            Line::BareLf => return Err(malformed("a line of the head ends with a bare LF")),
            Line::Control => return Err(malformed("a line of the head contains a control character or a bare CR")),
            Line::TooLong => return Err(too_large("the head is above its bound")),
        };
        Ok(Some(&rest[..length]))
    }
}

/// `ddd`, or `ddd reason`. The space is required by the grammar, but some upstreams leave it out with the reason.
fn parse_status(text: &[u8]) -> Option<(Status, &[u8])> {
    let (digits, rest) = text.split_first_chunk::<3>()?;
    let [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] = *digits else { return None };
    let digit = |byte: u8| u16::from(byte - b'0');
    let code = Status(digit(a) * 100 + digit(b) * 10 + digit(c));
    match rest {
        [] => Some((code, rest)),
        [b' ', reason @ ..] => Some((code, reason)),
        _ => None,
    }
}

fn grammar(error: Error) -> Fault {
    Fault { kind: FaultKind::Malformed, cause: error.cause }
}

const fn malformed(cause: &'static str) -> Fault {
    Fault::new(FaultKind::Malformed, cause)
}

const fn too_large(cause: &'static str) -> Fault {
    Fault::new(FaultKind::HeadTooLarge, cause)
}
