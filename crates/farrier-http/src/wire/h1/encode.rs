//! Encodes a response's head and the chunked coding (RFC 9112 §4, §6, §7.1).

use crate::request::Version;
use crate::response::ResponseHead;
use crate::wire::h1::framing::{RequestFacts, ResponseFraming};

/// The end of a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The end of a chunked message without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The interim response that asks for the content (RFC 9110 §15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Appends status line and fields. `date` is an IMF-fixdate. If `server` is empty, no Server field is written.
/// `keep_alive` is whether the connection is kept alive after this response.
pub fn encode_head(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    framing: ResponseFraming,
    facts: RequestFacts,
    keep_alive: bool,
    date: &[u8],
    server: &[u8],
) {
    // Room for the fixed parts: 130 bytes of status line, names and the longest length.
    out.reserve(160 + head.reason().len() + head.lines().len() + date.len() + server.len());
    let code = head.status().0;
    let digit = |value: u16| b'0' + (value % 10) as u8;
    // RFC 9112 §2.3: the version is the server's own, not the request's.
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(&[digit(code / 100), digit(code / 10), digit(code), b' ']);
    out.extend_from_slice(head.reason());
    if !server.is_empty() && !head.has_server() {
        out.extend_from_slice(b"\r\nServer: ");
        out.extend_from_slice(server);
    }
    if !head.has_date() {
        out.extend_from_slice(b"\r\nDate: ");
        out.extend_from_slice(date);
    }
    if !keep_alive {
        out.extend_from_slice(b"\r\nConnection: close");
    } else if facts.version == Version::Http10 {
        out.extend_from_slice(b"\r\nConnection: keep-alive");
    }
    match framing {
        ResponseFraming::Length(length) | ResponseFraming::NoContent(Some(length)) => {
            out.extend_from_slice(b"\r\nContent-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        }
        ResponseFraming::Chunked => out.extend_from_slice(b"\r\nTransfer-Encoding: chunked"),
        ResponseFraming::NoContent(None) | ResponseFraming::UntilClose => {}
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.lines());
    out.extend_from_slice(b"\r\n");
}

/// Appends an interim response (RFC 9110 §15.2), which has no framing and no Connection field.
pub fn encode_interim(out: &mut Vec<u8>, head: &ResponseHead) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(head.status().0).as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.reason());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.lines());
    out.extend_from_slice(b"\r\n");
}

/// Appends a chunk's size line. An empty chunk would end the message, so `bytes` must not be 0.
pub fn encode_chunk_size(out: &mut Vec<u8>, bytes: usize) {
    debug_assert!(bytes > 0, "a chunk of 0 bytes ends the message");
    let mut line = [0; 2 * size_of::<usize>() + 2];
    let mut at = line.len() - 2;
    line[at..].copy_from_slice(b"\r\n");
    let mut rest = bytes;
    loop {
        at -= 1;
        line[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&line[at..]);
}
