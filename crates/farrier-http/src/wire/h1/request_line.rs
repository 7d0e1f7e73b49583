//! The grammar of the request line (RFC 9112 §3).

use std::ops::Range;

use super::target::{self, Target};
use crate::error::{Error, Kind};
use crate::field::is_token;
use crate::limits::Limits;
use crate::request::Version;

/// Longest method that counts as conventional.
const METHOD_BYTES_MAX: usize = 20;

/// A request line's parts. The ranges are of the line; those inside `parts` are of the target.
#[derive(Debug)]
pub(super) struct RequestLine {
    pub(super) method: Range<usize>,
    pub(super) target: Range<usize>,
    pub(super) parts: Target,
    pub(super) version: Version,
}

/// Parses a line without its CRLF. What is wrong is looked for in this order: bytes that may not stand in the line, its three
/// parts, method, version, target.
pub(super) fn parse(line: &[u8], limits: &Limits) -> Result<RequestLine, Error> {
    if !line.iter().all(|b| matches!(b, b' '..=b'~')) {
        return Err(Error::bad_request("the request line contains a control or non-ASCII byte"));
    }
    let mut parts = line.split(|&b| b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Error::bad_request("the request line is not method, target and version with one space between"));
    };
    check_method(method, limits)?;
    let version = parse_version(version)?;
    let parts = target::parse(method, target)?;
    let start = method.len() + 1;
    Ok(RequestLine { method: 0..method.len(), target: start..start + target.len(), parts, version })
}

/// Whether the method is a token of the kind that `limits` permit (RFC 9110 §9.1).
pub(super) fn check_method(method: &[u8], limits: &Limits) -> Result<(), Error> {
    if !is_token(method) {
        return Err(Error::bad_request("the method is not a token"));
    }
    let conventional = method.len() <= METHOD_BYTES_MAX && method.iter().all(|b| matches!(b, b'A'..=b'Z' | b'-'));
    if conventional || limits.permit_unconventional_method {
        Ok(())
    } else {
        Err(Error::bad_request("the method is not 1 to 20 upper-case letters"))
    }
}

/// `HTTP/d.d`. A minor version above 1 is served as 1.1 (RFC 9110 §2.5).
fn parse_version(version: &[u8]) -> Result<Version, Error> {
    match version {
        b"HTTP/1.0" => Ok(Version::Http10),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Ok(Version::Http11),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => {
            Err(Error::client(Kind::UnsupportedVersion, "the version is not HTTP/1.x"))
        }
        _ => Err(Error::bad_request("the version is malformed")),
    }
}
