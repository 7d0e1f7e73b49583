//! Encodes an application's records: a response, its end, and answers to management records.

use super::record;
use crate::response::ResponseHead;
use crate::wire::h1::ResponseFraming;
use crate::wire::uwsgi::encode::encode_status_and_fields;

/// The largest content of a record: a multiple of eight, so that no padding is needed.
pub const RECORD_BYTES_MAX: usize = 65_528;

/// Bytes of a record's header.
pub const HEADER_BYTES: usize = record::HEADER_BYTES;

/// How a request ended (§5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum EndStatus {
    /// The request was answered.
    Complete = 0,
    /// Refused: a connection has one request at a time.
    CannotMultiplex = 1,
    /// Refused: overloaded.
    Overloaded = 2,
    /// Refused: only the responder role is supported.
    UnknownRole = 3,
}

/// Begins a record and returns its position, for [`end_record`].
pub fn begin_record(out: &mut Vec<u8>, kind: u8, request_id: u16) -> usize {
    let start = out.len();
    let [high, low] = request_id.to_be_bytes();
    out.extend_from_slice(&[1, kind, high, low, 0, 0, 0, 0]);
    start
}

/// Ends the record that began at `start`: all bytes after its header are its content, at most 65,535 bytes.
pub fn end_record(out: &mut [u8], start: usize) {
    let bytes = out.len().saturating_sub(start + HEADER_BYTES);
    debug_assert!(bytes <= usize::from(u16::MAX), "a record has at most 65,535 bytes");
    set_bytes(out, start, bytes);
}

/// Ends the record that began at `start`. Its content is the staged bytes and `more` bytes that follow.
pub fn end_record_before(out: &mut [u8], start: usize, more: usize) {
    let bytes = out.len().saturating_sub(start + HEADER_BYTES) + more;
    debug_assert!(bytes <= usize::from(u16::MAX), "a record has at most 65,535 bytes");
    set_bytes(out, start, bytes);
}

fn set_bytes(out: &mut [u8], start: usize, bytes: usize) {
    if let Some(length) = out.get_mut(start + 4..start + 6) {
        length.copy_from_slice(&(bytes as u16).to_be_bytes());
    }
}

/// Begins a record of the response.
pub fn begin_stdout(out: &mut Vec<u8>, request_id: u16) -> usize {
    begin_record(out, record::STDOUT, request_id)
}

/// Appends status and fields to a record that has begun, as a CGI program writes them (RFC 3875 §6).
pub fn encode_head(out: &mut Vec<u8>, head: &ResponseHead, framing: ResponseFraming) {
    encode_status_and_fields(out, b"Status: ", head, framing);
}

/// Appends the end of the response's stream and of the request.
pub fn end_response(out: &mut Vec<u8>, request_id: u16, status: EndStatus) {
    begin_stdout(out, request_id);
    end_request(out, request_id, status);
}

/// Appends the end of a request.
pub fn end_request(out: &mut Vec<u8>, request_id: u16, status: EndStatus) {
    let start = begin_record(out, record::END_REQUEST, request_id);
    out.extend_from_slice(&[0, 0, 0, 0, status as u8, 0, 0, 0]);
    end_record(out, start);
}

/// Appends the answer to a record of unknown kind.
pub(super) fn unknown_type(out: &mut Vec<u8>, kind: u8) {
    let start = begin_record(out, record::UNKNOWN_TYPE, 0);
    out.extend_from_slice(&[kind, 0, 0, 0, 0, 0, 0, 0]);
    end_record(out, start);
}
