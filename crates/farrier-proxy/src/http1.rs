//! Writes a forwarded request's head for an HTTP/1.1 upstream (RFC 9112).

use farrier_http::Request;
use farrier_http::wire::client::encode::{encode_field, encode_framing, encode_request_line};
use farrier_http::wire::h1::framing::sent_framing;

use crate::request::{Facts, Refused, RequestPolicy};
use crate::target;

/// Appends the head of a request: request line, Host, fields, framing and the empty line. The content follows in the framing
/// of [`sent_framing`]: as it is, or in chunks where its length is not known. `scratch` is memory that the caller reuses.
///
/// # Errors
/// The request is not forwarded, and nothing is appended.
pub fn encode_head(
    out: &mut Vec<u8>,
    request: &Request,
    policy: &RequestPolicy,
    facts: &Facts<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), Refused> {
    let start = out.len();
    let outcome = encode(out, request, policy, facts, scratch);
    if outcome.is_err() {
        out.truncate(start);
    }
    outcome
}

fn encode(
    out: &mut Vec<u8>,
    request: &Request,
    policy: &RequestPolicy,
    facts: &Facts<'_>,
    scratch: &mut Vec<u8>,
) -> Result<(), Refused> {
    scratch.clear();
    target::append(scratch, request, &policy.path, facts.mounted_bytes)?;
    let method = if facts.websocket_key.is_some() { b"GET" } else { request.method() };
    encode_request_line(out, method, scratch);
    policy.fields(request, facts, scratch, &mut |name, value| encode_field(out, name, value))?;
    policy.set_fields(request, facts, scratch, &mut |name, value| encode_field(out, name, value))?;
    // Fields of the connection are made anew for this one.
    let asks_trailers = facts.takes_trailers && request.takes_trailers() && facts.upgrade.is_none();
    if let Some(protocol) = facts.upgrade {
        encode_field(out, b"Connection", b"Upgrade");
        encode_field(out, b"Upgrade", protocol);
        if let Some(key) = facts.websocket_key {
            encode_field(out, b"Sec-WebSocket-Key", key);
        }
    } else {
        match (facts.is_last, asks_trailers) {
            (true, true) => encode_field(out, b"Connection", b"close, TE"),
            (true, false) => encode_field(out, b"Connection", b"close"),
            (false, true) => encode_field(out, b"Connection", b"TE"),
            // RFC 9112 §9.3: connections of HTTP/1.1 are kept without a word.
            (false, false) => {}
        }
    }
    if asks_trailers {
        encode_field(out, b"TE", b"trailers");
    }
    // RFC 9110 §7.8: what follows a request to switch is the other protocol's, so it has no content.
    let content_length = if facts.upgrade.is_some() { Some(0) } else { facts.content_length };
    encode_framing(out, sent_framing(method, content_length));
    Ok(())
}
