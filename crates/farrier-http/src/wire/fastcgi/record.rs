//! The framing of records: eight bytes of header, content, padding. It also handles management records, and records of
//! other requests.

use super::{encode, values};
use crate::error::{Error, Kind};

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 8;

/// The most management records during one request. A client that sends more is misbehaving.
const REPLIES_MAX: u32 = 16;

/// The largest content of a record that must be complete before it is read.
const WHOLE_BYTES_MAX: usize = 1024;

pub(crate) const BEGIN_REQUEST: u8 = 1;
pub(crate) const ABORT_REQUEST: u8 = 2;
pub(crate) const END_REQUEST: u8 = 3;
pub(crate) const PARAMS: u8 = 4;
pub(crate) const STDIN: u8 = 5;
pub(crate) const STDOUT: u8 = 6;
pub(crate) const STDERR: u8 = 7;
pub(super) const DATA: u8 = 8;
pub(super) const GET_VALUES: u8 = 9;
pub(crate) const GET_VALUES_RESULT: u8 = 10;
pub(crate) const UNKNOWN_TYPE: u8 = 11;

/// A record's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) request_id: u16,
    pub(crate) content_bytes: u16,
    pub(crate) padding_bytes: u8,
}

impl Header {
    /// The header at the front; `None` when it is not complete.
    ///
    /// # Errors
    /// It is of another version.
    pub(crate) fn at_front(bytes: &[u8]) -> Result<Option<Header>, Error> {
        match *bytes {
            [1, kind, id_high, id_low, high, low, padding_bytes, _, ..] => Ok(Some(Header {
                kind,
                request_id: u16::from_be_bytes([id_high, id_low]),
                content_bytes: u16::from_be_bytes([high, low]),
                padding_bytes,
            })),
            [] | [1, ..] => Ok(None),
            [b'A'..=b'Z', ..] => {
                Err(Error::bad_request("this address speaks FastCGI and not HTTP (see bind and protocol)"))
            }
            _ => Err(Error::bad_request("a FastCGI record is not of version 1")),
        }
    }
}

/// A begun request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Active {
    pub(super) id: u16,
    pub(super) keep_alive: bool,
}

/// Splits a stream into records.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// The stream whose content is being read, and how many bytes of the record are missing.
    stream_bytes: u16,
    /// Bytes to skip: padding, and content that is ignored.
    skipped_bytes: u32,
    replies: u32,
}

/// The next item in a stream of records.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// More bytes are needed.
    Nothing,
    /// A record of the requested stream, with this many bytes of content to come.
    Record(usize),
    /// Content of the requested stream begins here, with this many bytes.
    Content(usize),
    /// That stream has ended.
    End,
    /// A request has begun.
    Begin(Active),
}

impl Records {
    /// Decodes what begins at `*at` of `bytes`, and advances `*at` over everything that it has handled. The content of
    /// [`Next::Content`] begins at `*at`, and the caller advances over it.
    ///
    /// `stream` is the kind of record whose content is wanted, of the request `active`. Answers to other records are
    /// appended to `replies`.
    ///
    /// # Errors The protocol is violated, or the web server aborts the request.
    pub(super) fn next(
        &mut self,
        bytes: &[u8],
        at: &mut usize,
        stream: u8,
        active: Option<Active>,
        replies: &mut Vec<u8>,
    ) -> Result<Next, Error> {
        loop {
            let rest = bytes.get(*at..).unwrap_or_default();
            if self.stream_bytes > 0 {
                let available = rest.len().min(usize::from(self.stream_bytes));
                self.stream_bytes -= available as u16;
                return Ok(if available == 0 { Next::Nothing } else { Next::Content(available) });
            }
            if self.skipped_bytes > 0 {
                let available = rest.len().min(self.skipped_bytes as usize);
                self.skipped_bytes -= available as u32;
                *at += available;
                if self.skipped_bytes > 0 {
                    return Ok(Next::Nothing);
                }
                continue;
            }
            let Some(header) = Header::at_front(rest)? else { return Ok(Next::Nothing) };
            let is_mine = active.is_some_and(|active| active.id == header.request_id);
            if header.kind == stream && is_mine {
                if header.content_bytes == 0 {
                    // The next reader must begin at a record, so the padding is consumed with the end.
                    let bytes = HEADER_BYTES + usize::from(header.padding_bytes);
                    if rest.len() < bytes {
                        return Ok(Next::Nothing);
                    }
                    *at += bytes;
                    return Ok(Next::End);
                }
                *at += HEADER_BYTES;
                self.stream_bytes = header.content_bytes;
                self.skipped_bytes = u32::from(header.padding_bytes);
                return Ok(Next::Record(usize::from(header.content_bytes)));
            }
            let content_bytes = usize::from(header.content_bytes);
            if matches!(header.kind, BEGIN_REQUEST | GET_VALUES) {
                if content_bytes > WHOLE_BYTES_MAX {
                    return Err(Error::bad_request("a FastCGI record is longer than its kind may be"));
                }
                let Some(content) = rest.get(HEADER_BYTES..HEADER_BYTES + content_bytes) else {
                    return Ok(Next::Nothing);
                };
                *at += HEADER_BYTES + content_bytes;
                self.skipped_bytes = u32::from(header.padding_bytes);
                if let Some(begun) = self.answer(header, content, active, replies)? {
                    return Ok(Next::Begin(begun));
                }
                continue;
            }
            *at += HEADER_BYTES;
            self.skipped_bytes = u32::from(header.content_bytes) + u32::from(header.padding_bytes);
            match header.kind {
                ABORT_REQUEST if is_mine => {
                    encode::end_request(replies, header.request_id, encode::EndStatus::Complete);
                    return Err(Error::client(
                        Kind::ClientGone,
                        "the web server gave the request up before it was complete",
                    ));
                }
                // Streams in the wrong order: content before the variables are complete, or variables after it began.
                PARAMS | STDIN if is_mine => {
                    return Err(Error::bad_request("a FastCGI stream goes on where it may not"));
                }
                // Records of requests that are over, or were never accepted, must be ignored (§3.3).
                ABORT_REQUEST | PARAMS | STDIN | DATA => {}
                _ if header.request_id == 0 => {
                    self.count_reply()?;
                    encode::unknown_type(replies, header.kind);
                }
                END_REQUEST | STDOUT | STDERR | GET_VALUES_RESULT | UNKNOWN_TYPE => {
                    return Err(Error::bad_request("a FastCGI record that only an application may send"));
                }
                _ => {}
            }
        }
    }

    /// Whether the stream is between two records.
    pub(super) fn is_between(&self) -> bool {
        self.stream_bytes == 0 && self.skipped_bytes == 0
    }

    fn answer(
        &mut self,
        header: Header,
        content: &[u8],
        active: Option<Active>,
        replies: &mut Vec<u8>,
    ) -> Result<Option<Active>, Error> {
        if header.kind == GET_VALUES {
            self.count_reply()?;
            values::answer(content, replies)?;
            return Ok(None);
        }
        let [role_high, role_low, flags, ..] = *content else {
            return Err(Error::bad_request("a FastCGI request begins with too short a record"));
        };
        if content.len() != 8 || header.request_id == 0 {
            return Err(Error::bad_request("a FastCGI request begins with a malformed record"));
        }
        if active.is_some_and(|active| active.id == header.request_id) {
            return Err(Error::bad_request("a FastCGI request begins twice"));
        }
        let refusal = match u16::from_be_bytes([role_high, role_low]) {
            _ if active.is_some() => encode::EndStatus::CannotMultiplex,
            RESPONDER => return Ok(Some(Active { id: header.request_id, keep_alive: flags & KEEP_CONN != 0 })),
            _ => encode::EndStatus::UnknownRole,
        };
        self.count_reply()?;
        encode::end_request(replies, header.request_id, refusal);
        // §3.1: the application closes the connection after a request without that flag, which is over now.
        if active.is_none() && flags & KEEP_CONN == 0 {
            return Err(Error::client(Kind::ClientGone, "a FastCGI request is for a role that is not served"));
        }
        Ok(None)
    }

    fn count_reply(&mut self) -> Result<(), Error> {
        self.replies += 1;
        if self.replies > REPLIES_MAX {
            return Err(Error::bad_request("too many FastCGI records beside a request"));
        }
        Ok(())
    }
}

/// The role of an application that answers requests; authorizers and filters are not served.
pub(crate) const RESPONDER: u16 = 1;

/// The web server closes the connection, not the application.
pub(crate) const KEEP_CONN: u8 = 1;
