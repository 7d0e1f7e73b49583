//! Writes requests to an HTTP/1.1 upstream (RFC 9112 §3, §5, §6). Which fields are sent is decided elsewhere.

use crate::request::BodyFraming;
use crate::response::ResponseHead;
use crate::wire::h1::encode::{CHUNK_END, LAST_CHUNK};

/// Appends the request line. `method` is a token, `target` a valid target without white space.
pub fn encode_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Appends a field line. `name` is a token, `value` a valid field value.
pub fn encode_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends the field of the framing, if it has one, and the empty line that ends the head.
pub fn encode_framing(out: &mut Vec<u8>, framing: BodyFraming) {
    match framing {
        BodyFraming::None => {}
        BodyFraming::Length(length) => {
            encode_field(out, b"Content-Length", itoa::Buffer::new().format(length).as_bytes());
        }
        BodyFraming::Chunked => encode_field(out, b"Transfer-Encoding", b"chunked"),
    }
    out.extend_from_slice(CHUNK_END);
}

/// Appends the end of content in the chunked coding, with the fields behind it (RFC 9112 §7.1.2).
pub fn encode_last_chunk(out: &mut Vec<u8>, trailers: Option<&ResponseHead>) {
    match trailers.filter(|trailers| !trailers.lines().is_empty()) {
        None => out.extend_from_slice(LAST_CHUNK),
        Some(trailers) => {
            out.extend_from_slice(b"0\r\n");
            out.extend_from_slice(trailers.lines());
            out.extend_from_slice(CHUNK_END);
        }
    }
}
