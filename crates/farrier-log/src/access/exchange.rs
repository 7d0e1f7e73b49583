//! One request and its response, as passed to the access log, and how their parts become text.

use farrier_http::{Peer, Request, Status};

/// One request and the facts about its response.
pub struct Exchange<'a> {
    /// The request, as far as it was understood.
    pub request: &'a Request,
    /// The status that was sent; 499 if the client had disconnected.
    pub status: Status,
    /// Bytes of content sent.
    pub content_bytes: u64,
    /// The time from the call of the handler to the end of the response, in ns.
    pub duration_ns: u64,
    /// The response's field lines, if [`AccessLog::wants_response_fields`] says so.
    pub response_lines: &'a [u8],
}

/// The client's address as logs show it; empty for a unix socket, as in Gunicorn.
pub fn peer_text(peer: Peer) -> String {
    match peer {
        Peer::Tcp(address) => address.ip().to_string(),
        Peer::Unix => String::new(),
    }
}

/// Bytes of a message as text in which control characters are escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    push_escaped(&mut text, bytes);
    text
}

/// Converts latin-1 to text. Quotes and backslashes are escaped, so that a value cannot close its quotes. Control
/// characters are escaped, so that they cannot break the line.
pub(super) fn push_escaped(line: &mut String, bytes: &[u8]) {
    for &byte in bytes {
        match byte {
            b'"' => line.push_str("\\\""),
            b'\\' => line.push_str("\\\\"),
            0..0x20 | 0x7f..0xa0 => line.push_str(&format!("\\x{byte:02x}")),
            _ => line.push(char::from(byte)),
        }
    }
}

/// Name and value of each field line of a response's head.
pub(super) fn response_fields(lines: &[u8]) -> impl DoubleEndedIterator<Item = (&[u8], &[u8])> {
    lines.split(|&byte| byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}
