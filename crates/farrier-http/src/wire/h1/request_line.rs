//! The grammar of the request line (RFC 9112 §3).

use std::ops::Range;

use super::target::{self, Target};
use crate::error::{Error, Kind};
use crate::field::token_prefix;
use crate::limits::Limits;
use crate::request::Version;

/// Longest method that counts as conventional.
const METHOD_BYTES_MAX: usize = 20;

/// A request line's parts. `target` is a range of the line, the ranges inside `parts` are of the target.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method_bytes: usize,
    pub(super) target: Range<usize>,
    pub(super) parts: Target,
    pub(super) version: Version,
}

/// Parses a line without its CRLF: `method SP target SP version`, from left to right, and the target's form at last.
#[inline]
pub(super) fn parse(line: &[u8], limits: &Limits) -> Result<RequestLine, Error> {
    let method_bytes = token_prefix(line);
    let method = &line[..method_bytes];
    if method.is_empty() || line.get(method_bytes) != Some(&b' ') {
        return Err(Error::bad_request("the request line does not begin with a method and a space"));
    }
    check_method(method, limits)?;
    let start = method_bytes + 1;
    let (target_bytes, question) = target::prefix(&line[start..]);
    let end = start + target_bytes;
    if target_bytes == 0 || line.get(end) != Some(&b' ') {
        return Err(Error::bad_request("the target is empty or contains a byte that may not stand in it"));
    }
    let version = parse_version(&line[end + 1..])?;
    let parts = target::parse(method, &line[start..end], question)?;
    Ok(RequestLine { method_bytes, target: start..end, parts, version })
}

/// Checks a method, which is a token. CONNECT asks for a tunnel, which no application can make (RFC 9110 §9.3.6).
#[inline]
pub(crate) fn check_method(method: &[u8], limits: &Limits) -> Result<(), Error> {
    if method == b"CONNECT" {
        return Err(Error::client(Kind::UnknownMethod, "CONNECT is not served: this server is no proxy"));
    }
    if !limits.permit_unconventional_method && !is_conventional(method) {
        return Err(Error::bad_request("the method is not 1 to 20 upper-case letters"));
    }
    Ok(())
}

/// Whether a token looks like a usual method.
fn is_conventional(method: &[u8]) -> bool {
    method.len() <= METHOD_BYTES_MAX && method.iter().all(|b| matches!(b, b'A'..=b'Z' | b'-'))
}

/// `HTTP/d.d`. A minor version above 1 is served as 1.1 (RFC 9110 §2.5).
fn parse_version(version: &[u8]) -> Result<Version, Error> {
    match version {
        b"HTTP/1.1" => Ok(Version::Http11),
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'2'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Error::client(Kind::UnsupportedVersion, "the version is not HTTP/1.x"))
        }
        _ => Err(Error::bad_request("the version is malformed")),
    }
}
