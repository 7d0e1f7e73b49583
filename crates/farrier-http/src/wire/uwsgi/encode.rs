//! Encodes the answers of the uwsgi protocol: a response's head, and the answer to a ping.

use crate::response::ResponseHead;
use crate::wire::h1::ResponseFraming;

/// The answer to a ping: alive, without a warning.
pub const PONG: [u8; 4] = [100, 0, 0, 1];

/// Appends status line and fields. The web server writes Date, Server and Connection. There is no transfer coding:
/// content of unknown length ends with the connection.
pub fn encode_head(out: &mut Vec<u8>, head: &ResponseHead, framing: ResponseFraming) {
    encode_status_and_fields(out, b"HTTP/1.1 ", head, framing);
}

/// A head in the form of gateway protocols: `prefix`, then status, fields and an empty line.
pub(crate) fn encode_status_and_fields(
    out: &mut Vec<u8>,
    prefix: &[u8],
    head: &ResponseHead,
    framing: ResponseFraming,
) {
    out.reserve(64 + head.reason().len() + head.lines().len());
    let code = head.status().0;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    out.extend_from_slice(prefix);
    out.extend_from_slice(&[digit(code / 100), digit(code / 10), digit(code), b' ']);
    out.extend_from_slice(head.reason());
    if let ResponseFraming::Length(length) | ResponseFraming::NoContent(Some(length)) = framing {
        out.extend_from_slice(b"\r\nContent-Length: ");
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.lines());
    out.extend_from_slice(b"\r\n");
}
