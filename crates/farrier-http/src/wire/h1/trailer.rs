//! Checks the fields of a trailer section (RFC 9110 §6.5.1). Those of a request are then dropped: WSGI has no place for them.

use super::field_line;
use crate::error::Error;
use crate::field::is_hop_by_hop;

/// Checks a trailer line without its CRLF.
pub(super) fn check(line: &[u8]) -> Result<(), Error> {
    let parsed = field_line::parse(line)?;
    if is_forbidden(&line[..parsed.name_bytes]) {
        return Err(Error::bad_request("a field stands in the trailer section that may not"));
    }
    Ok(())
}

/// Whether a field of this name may not stand in a trailer section.
pub(crate) fn is_forbidden(name: &[u8]) -> bool {
    is_hop_by_hop(name) || FORBIDDEN.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden.as_bytes()))
}

/// Fields that affect framing, routing, authentication, content handling or caching, besides the hop-by-hop fields.
const FORBIDDEN: [&str; 39] = [
    "age",
    "authentication-info",
    "authorization",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy-authentication-info",
    "range",
    "retry-after",
    "set-cookie",
    "vary",
    "warning",
    "www-authenticate",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-protocol",
    "x-forwarded-ssl",
    "x-real-ip",
];
