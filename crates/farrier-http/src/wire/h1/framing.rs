//! Decides framing: where the content of a request or a received response ends, and how that of a message that is sent is
//! delimited (RFC 9112 §6.3). No other module decides this.

use super::list;
use crate::error::{Error, Kind};
use crate::field::{Field, KnownField, is_token};
use crate::request::{BodyFraming, RequestHead, Version};
use crate::response::{ResponseHead, parse_length};
use crate::status::Status;

/// The properties of the request that a response needs.
#[derive(Debug, Clone, Copy)]
pub struct RequestFacts {
    /// The method was HEAD.
    pub is_head: bool,
    /// The request's version.
    pub version: Version,
    /// Both client and server want to keep the connection alive.
    pub keep_alive: bool,
}

impl RequestFacts {
    /// Reads them from a decoded head; `bytes` is the buffer of its spans.
    pub fn of(head: &RequestHead, bytes: &[u8]) -> Self {
        RequestFacts {
            is_head: bytes.get(head.method.range()) == Some(b"HEAD"),
            version: head.version,
            keep_alive: head.keep_alive,
        }
    }
}

/// How a response's content is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFraming {
    /// No content follows (HEAD, 1xx, 204, 205, 304); for all but 1xx and 204 a Content-Length may still be sent.
    NoContent(Option<u64>),
    /// Exactly this many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// The connection's end delimits it (HTTP/1.0 without a length).
    UntilClose,
}

impl ResponseFraming {
    /// Whether the connection can be kept alive after a complete response (RFC 9112 §9.3).
    pub fn permits_keep_alive(self) -> bool {
        self != ResponseFraming::UntilClose
    }
}

/// Decides for one response. `length` is the content's whole length, if the handler knows it; a length that the head
/// declares has precedence.
pub fn response_framing(facts: RequestFacts, head: &ResponseHead, length: Option<u64>) -> ResponseFraming {
    let declared = head.content_length();
    match head.status() {
        // RFC 9110 §8.6: no Content-Length in 1xx and 204; in 304 it would be that of the 200, which only the head can know.
        Status(100..=199 | 204) => ResponseFraming::NoContent(None),
        Status(304) => ResponseFraming::NoContent(declared),
        // RFC 9110 §15.3.6: a 205 has no content, and says so by a length of 0.
        Status(205) => ResponseFraming::NoContent(Some(0)),
        _ if facts.is_head => ResponseFraming::NoContent(declared.or(length)),
        _ => match declared.or(length) {
            Some(length) => ResponseFraming::Length(length),
            None if facts.version >= Version::Http11 => ResponseFraming::Chunked,
            None => ResponseFraming::UntilClose,
        },
    }
}

/// Whether a field decides framing or routing. All readers must read it in the same way, so it may not be folded.
pub(super) fn must_be_one_line(known: KnownField) -> bool {
    use KnownField::{Connection, ContentLength, Expect, Host, TransferEncoding};
    matches!(known, Connection | ContentLength | Expect | Host | TransferEncoding)
}

/// Decides for one request, from all its fields. Errors are checked in this order: Content-Length, then
/// Transfer-Encoding with HTTP/1.0, with Content-Length, and its codings.
pub(crate) fn request_framing(bytes: &[u8], version: Version, fields: &[Field]) -> Result<BodyFraming, Error> {
    let mut length = None;
    let mut codings = Codings::default();
    for field in fields {
        match field.known {
            KnownField::ContentLength => {
                // RFC 9110 §8.6 allows to merge equal values, but the framing of a client that sends two cannot be
                // trusted.
                if length.is_some() {
                    return Err(Error::bad_request("the Content-Length is given twice"));
                }
                let value = parse_length(&bytes[field.value.range()]);
                length = Some(value.ok_or(Error::bad_request("the Content-Length is not digits only, or too large"))?);
            }
            KnownField::TransferEncoding => codings.read(&bytes[field.value.range()]),
            _ => {}
        }
    }
    if codings.is_empty() {
        return Ok(length.map_or(BodyFraming::None, BodyFraming::Length));
    }
    // RFC 9112 §6.1: no HTTP/1.0 client knows the coding, so one of the hops has the framing wrong.
    if version == Version::Http10 {
        return Err(Error::bad_request("Transfer-Encoding in an HTTP/1.0 request"));
    }
    if length.is_some() {
        return Err(Error::bad_request("Transfer-Encoding together with Content-Length"));
    }
    codings.check()?;
    Ok(BodyFraming::Chunked)
}

/// Decides for one response that was received, from all its fields. `is_head` is whether the request was HEAD.
///
/// # Errors
/// Lengths that differ or are malformed, Transfer-Encoding with HTTP/1.0 or with Content-Length, and codings other than
/// chunked alone. The end of the content would be doubtful.
pub(crate) fn received_framing(
    bytes: &[u8],
    is_head: bool,
    version: Version,
    status: Status,
    fields: &[Field],
) -> Result<ResponseFraming, Error> {
    let mut length = None;
    let mut lengths_fault = None;
    let mut codings = Codings::default();
    for field in fields {
        let value = &bytes[field.value.range()];
        match field.known {
            KnownField::ContentLength => match received_length(value, length) {
                Ok(told) => length = Some(told),
                Err(error) => lengths_fault = Some(error),
            },
            KnownField::TransferEncoding => codings.read(value),
            _ => {}
        }
    }
    // RFC 9112 §6.3 (1): no content, whatever the fields say. A doubtful length is not passed on.
    if is_head || status.has_no_content() {
        let is_certain = lengths_fault.is_none() && codings.is_empty();
        return Ok(ResponseFraming::NoContent(length.filter(|_| is_certain)));
    }
    if let Some(error) = lengths_fault {
        return Err(error);
    }
    if codings.is_empty() {
        return Ok(length.map_or(ResponseFraming::UntilClose, ResponseFraming::Length));
    }
    if version == Version::Http10 {
        return Err(Error::bad_request("Transfer-Encoding in an HTTP/1.0 response"));
    }
    // RFC 9112 §6.3 (3): one of both was added on the way, perhaps to split the response.
    if length.is_some() {
        return Err(Error::bad_request("Transfer-Encoding together with Content-Length"));
    }
    codings.check()?;
    Ok(ResponseFraming::Chunked)
}

/// The length in one Content-Length line, where the lines before it said `before`. RFC 9110 §8.6: equal values count once.
fn received_length(value: &[u8], before: Option<u64>) -> Result<u64, Error> {
    let mut length = before;
    for element in list::elements(value) {
        let told =
            parse_length(element).ok_or(Error::bad_request("the Content-Length is not digits only, or too large"))?;
        if length.is_some_and(|length| length != told) {
            return Err(Error::bad_request("the Content-Length is given twice, and differently"));
        }
        length = Some(told);
    }
    length.ok_or(Error::bad_request("the Content-Length is empty"))
}

/// Decides for one request that is sent. `length` is the length of its content in bytes; `None` is content of unknown length.
pub fn sent_framing(method: &[u8], length: Option<u64>) -> BodyFraming {
    match length {
        None => BodyFraming::Chunked,
        // RFC 9110 §8.6: without the field, a server may wait for the content that these methods mean.
        Some(0) if !matches!(method, b"POST" | b"PUT" | b"PATCH") => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
    }
}

/// The transfer codings of all Transfer-Encoding lines, counted (RFC 9112 §6.1).
#[derive(Debug, Default)]
struct Codings {
    malformed: u32,
    chunked: u32,
    /// Codings that exist and are not implemented.
    registered: u32,
    unknown: u32,
    chunked_is_last: bool,
}

impl Codings {
    fn read(&mut self, value: &[u8]) {
        for coding in list::elements(value) {
            self.chunked_is_last = coding.eq_ignore_ascii_case(b"chunked");
            if self.chunked_is_last {
                self.chunked += 1;
            } else if REGISTERED.iter().any(|name| coding.eq_ignore_ascii_case(name)) {
                self.registered += 1;
            } else if is_token(coding) {
                self.unknown += 1;
            } else {
                // Empty, with unusual white space or quotes around it, or with parameters, which no known coding has.
                self.malformed += 1;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.malformed + self.chunked + self.registered + self.unknown == 0
    }

    fn check(&self) -> Result<(), Error> {
        if self.malformed > 0 {
            return Err(Error::bad_request("the Transfer-Encoding is malformed"));
        }
        if self.chunked > 1 || (self.chunked == 1 && !self.chunked_is_last) {
            return Err(Error::bad_request("chunked must be the last transfer coding, and only once"));
        }
        if self.unknown > 0 {
            return Err(Error::client(Kind::UnknownCoding, "an unknown transfer coding"));
        }
        // RFC 9112 §6.3: unless chunked is the last coding, the end of the content is unknown.
        if self.chunked == 0 {
            return Err(Error::bad_request("the last transfer coding is not chunked"));
        }
        if self.registered > 0 {
            return Err(Error::client(Kind::UnknownCoding, "a transfer coding that is not implemented"));
        }
        Ok(())
    }
}

/// RFC 9112 §7.2, §7.3 and the `identity` of old.
const REGISTERED: [&[u8]; 6] = [b"gzip", b"x-gzip", b"deflate", b"compress", b"x-compress", b"identity"];
