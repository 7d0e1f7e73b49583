//! Encodes a response's head and the chunked coding (RFC 9112 §4, §6, §7.1).

use crate::response::ResponseHead;
use crate::wire::h1::framing::{RequestFacts, ResponseFraming};

/// What ends a chunk's data.
pub const CHUNK_END: &[u8] = b"\r\n";

/// What ends a chunked message without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends status line and fields. `date` is an IMF-fixdate; `server` may be empty, then no Server field is written.
/// `keep_alive` is whether the connection lives on after this response.
pub fn encode_head(
    out: &mut Vec<u8>,
    head: &ResponseHead,
    framing: ResponseFraming,
    facts: RequestFacts,
    keep_alive: bool,
    date: &[u8],
    server: &[u8],
) {
    let _ = (out, head, framing, facts, keep_alive, date, server);
}

/// Appends a chunk's size line.
pub fn encode_chunk_size(out: &mut Vec<u8>, bytes: usize) {
    let _ = (out, bytes);
}
