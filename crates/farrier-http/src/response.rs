//! The head of a response: status and fields, checked as they are added.

use crate::error::Error;
use crate::field::{Span, is_hop_by_hop, is_token, is_value};
use crate::status::Status;

/// Status and fields of a response. Its owner reuses it.
///
/// The field lines are stored as `name: value CRLF` in one buffer, with spans beside it. So HTTP/1.1 copies them at
/// once, and other protocols can iterate over them.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    status: Status,
    reason: Vec<u8>,
    lines: Vec<u8>,
    fields: Vec<(Span, Span)>,
    content_length: Option<u64>,
    has_date: bool,
    has_server: bool,
    has_etag: bool,
    names_file: bool,
    closes: bool,
    dropped: Vec<Box<[u8]>>,
}

impl Default for ResponseHead {
    fn default() -> Self {
        ResponseHead::new(Status(200))
    }
}

impl ResponseHead {
    /// A head with a status and its standard reason, and no fields.
    pub fn new(status: Status) -> Self {
        ResponseHead { reason: status.reason().as_bytes().to_vec(), ..ResponseHead::without_reason(status) }
    }

    fn without_reason(status: Status) -> Self {
        ResponseHead {
            status,
            reason: Vec::new(),
            lines: Vec::new(),
            fields: Vec::new(),
            content_length: None,
            has_date: false,
            has_server: false,
            has_etag: false,
            names_file: false,
            closes: false,
            dropped: Vec::new(),
        }
    }

    /// Starts again with a status line's `ddd reason` (PEP 3333, "The start_response() Callable"); keeps the memory.
    ///
    /// # Errors
    /// The status is not three digits from 200 to 999, followed by nothing or a space and a reason without control characters.
    pub fn restart(&mut self, status: &[u8]) -> Result<(), Error> {
        self.clear();
        let (code, rest) = match status {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', rest @ ..] => {
                (u16::from(a - b'0') * 100 + u16::from(b - b'0') * 10 + u16::from(c - b'0'), rest)
            }
            _ => return Err(Error::application("the status must be three digits (200 to 999), a space and a reason")),
        };
        if code < 200 {
            return Err(Error::application(INTERIM_AS_FINAL));
        }
        let reason = match rest {
            [] => rest,
            [b' ', reason @ ..] => reason,
            _ => {
                return Err(Error::application("the status must have a space between its three digits and the reason"));
            }
        };
        self.begin(Status(code), reason)
    }

    fn clear(&mut self) {
        self.lines.clear();
        self.fields.clear();
        self.reason.clear();
        self.content_length = None;
        self.has_date = false;
        self.has_server = false;
        self.has_etag = false;
        self.names_file = false;
        self.closes = false;
        self.dropped.clear();
    }

    /// Clears the head and gives it the status of a head that was received, which may be an interim one.
    ///
    /// # Errors
    /// The reason contains a control character.
    pub fn restart_received(&mut self, status: Status, reason: &[u8]) -> Result<(), Error> {
        self.clear();
        self.begin(status, reason)
    }

    fn begin(&mut self, status: Status, reason: &[u8]) -> Result<(), Error> {
        if !is_value(reason) {
            return Err(Error::application("the status must not contain control characters"));
        }
        self.status = status;
        self.reason.extend_from_slice(reason);
        Ok(())
    }

    /// A head with the same status and reason, and no fields.
    pub fn without_fields(&self) -> ResponseHead {
        let lines = Vec::with_capacity(self.lines.len() + ADDED_BYTES);
        let mut head = ResponseHead { reason: self.reason.clone(), lines, ..ResponseHead::without_reason(self.status) };
        head.take_after(self);
        head
    }

    /// Adds a field. White space around the value is not part of it (RFC 9110 §5.5), and HTTP/2 forbids it. A hop-by-hop field is not added, because only the server may set it (PEP 3333): its name is kept for the
    /// log, and `Connection: close` is obeyed.
    ///
    /// # Errors
    /// The name is no token, the value contains a control character, or a second or malformed Content-Length. The value never
    /// appears in the error.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        if !is_token(name) {
            return Err(Error::application("a response field's name is not a token"));
        }
        let value = trimmed(value);
        if !is_value(value) {
            return Err(Error::application(format!(
                "the value of response field {:?} contains a control character",
                String::from_utf8_lossy(name)
            )));
        }
        if is_hop_by_hop(name) {
            self.leave_out(name, value);
            return Ok(());
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"date") => self.has_date = true,
            4 if name.eq_ignore_ascii_case(b"etag") => self.has_etag = true,
            6 if name.eq_ignore_ascii_case(b"server") => self.has_server = true,
            10 if name.eq_ignore_ascii_case(b"x-sendfile") => self.names_file = true,
            16 if name.eq_ignore_ascii_case(b"x-accel-redirect") => self.names_file = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = parse_length(value)
                    .ok_or_else(|| Error::application("the Content-Length must be digits only and fit into 63 bits"))?;
                if self.content_length.is_some() {
                    return Err(Error::application("the Content-Length is given twice"));
                }
                self.content_length = Some(length);
                // The framing decides whether and where it is written.
                return Ok(());
            }
            _ => {}
        }
        let name_start = self.lines.len();
        self.lines.extend_from_slice(name);
        let name_end = self.lines.len();
        self.lines.extend_from_slice(b": ");
        let value_start = self.lines.len();
        self.lines.extend_from_slice(value);
        self.fields.push((Span::new(name_start, name_end), Span::new(value_start, self.lines.len())));
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// Notes a hop-by-hop field (RFC 9110 §7.6.1) in place of adding it.
    #[cold]
    fn leave_out(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
            let closes = |option: &[u8]| option.eq_ignore_ascii_case(b"close");
            self.closes |= options.clone().any(closes);
            if options.all(closes) {
                return;
            }
        }
        if self.dropped.len() < DROPPED_MAX && !self.dropped.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            self.dropped.push(name.into());
        }
    }

    /// Takes over what another head says about the connection, and the names of the fields that were left out of it.
    pub fn take_after(&mut self, other: &ResponseHead) {
        self.closes |= other.closes;
        self.dropped.extend_from_slice(&other.dropped);
    }

    /// Whether the connection is to be closed after the response.
    pub fn closes(&self) -> bool {
        self.closes
    }

    /// The names of hop-by-hop fields that were given and left out.
    pub fn dropped(&self) -> &[Box<[u8]>] {
        &self.dropped
    }

    /// Adds the Upgrade field of a 426 for an HTTP/1.1 client, which is refused as a field of an application's (RFC 9110 §15.5.22).
    /// It is among [`ResponseHead::lines`] and not among [`ResponseHead::fields`]: HTTP/2 has no place for it.
    ///
    /// # Errors
    /// The value contains a control character.
    pub fn offer_upgrade(&mut self, protocols: &[u8]) -> Result<(), Error> {
        if !is_value(protocols) {
            return Err(Error::application("the Upgrade field contains a control character"));
        }
        // RFC 9110 §7.8: whoever sends Upgrade names it in Connection.
        self.lines.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: ");
        self.lines.extend_from_slice(protocols);
        self.lines.extend_from_slice(b"\r\n");
        Ok(())
    }

    /// A copy with additional fields of the server, except those whose name it already has.
    pub fn stamped(&self, fields: &[(Box<str>, Box<[u8]>)]) -> ResponseHead {
        let mut copy = self.clone();
        for (name, value) in fields {
            if !self.fields().any(|(its, _)| its.eq_ignore_ascii_case(name.as_bytes())) {
                // Name and value are valid, so nothing is refused.
                let _ = copy.add(name.as_bytes(), value);
            }
        }
        copy
    }

    /// Checks that it can be the head of a final response, which every request gets (RFC 9110 §15.2).
    ///
    /// # Errors
    /// The status is 1xx: the client would wait for another response, or take the next one for this.
    pub fn check_final(&self) -> Result<(), Error> {
        if self.status.0 < 200 { Err(Error::application(INTERIM_AS_FINAL)) } else { Ok(()) }
    }

    /// The status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The reason, possibly empty.
    pub fn reason(&self) -> &[u8] {
        &self.reason
    }

    /// All field lines except Content-Length, each with its CRLF.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// All fields except Content-Length.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|(name, value)| (&self.lines[name.range()], &self.lines[value.range()]))
    }

    /// The declared Content-Length in bytes.
    pub fn content_length(&self) -> Option<u64> {
        self.content_length
    }

    /// Whether a Date field was added; then the server must not add one.
    pub fn has_date(&self) -> bool {
        self.has_date
    }

    /// Whether an entity tag was added, which names one version of the content.
    pub fn has_etag(&self) -> bool {
        self.has_etag
    }

    /// Whether it names a file for the server to send (`X-Sendfile`, `X-Accel-Redirect`), which clients must not see.
    pub fn names_file(&self) -> bool {
        self.names_file
    }

    /// The same head without the fields of [`names_file`](ResponseHead::names_file).
    pub fn without_file_names(&self) -> ResponseHead {
        let mut head = ResponseHead {
            reason: self.reason.clone(),
            content_length: self.content_length,
            ..ResponseHead::new(self.status)
        };
        head.take_after(self);
        let is_named =
            |name: &[u8]| name.eq_ignore_ascii_case(b"x-sendfile") || name.eq_ignore_ascii_case(b"x-accel-redirect");
        for (name, value) in self.fields().filter(|(name, _)| !is_named(name)) {
            // It was added before, so it is valid.
            let _ = head.add(name, value);
        }
        head
    }

    /// Whether a Server field was added.
    pub fn has_server(&self) -> bool {
        self.has_server
    }
}

/// The error of a final response with an interim status.
const INTERIM_AS_FINAL: &str =
    "a status of 1xx cannot be the response's own (for 103 Early Hints, call environ[\"wsgi.early_hints\"])";

/// The value without the spaces and tabs around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// The most names of left-out fields that a head keeps; there are nine.
const DROPPED_MAX: usize = 16;

/// Room for the fields that a filter adds.
const ADDED_BYTES: usize = 64;

/// A Content-Length value: digits only, at most 63 bits (RFC 9110 §8.6).
pub fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 {
        return None;
    }
    let mut length: u64 = 0;
    for &byte in value {
        if !byte.is_ascii_digit() {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    (length <= i64::MAX as u64).then_some(length)
}
