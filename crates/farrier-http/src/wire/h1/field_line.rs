//! The grammar of a field line (RFC 9112 §5), the same in a head and in a trailer section.

use std::ops::Range;

use memchr::memchr;

use crate::error::Error;
use crate::field::{is_token, is_value};

/// A field line's parts, as ranges of the line. The value is without surrounding white space.
#[derive(Debug)]
pub(super) struct FieldLine {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Parses a line without its CRLF.
pub(super) fn parse(line: &[u8]) -> Result<FieldLine, Error> {
    // RFC 9112 §5.2: a line that begins with white space would continue the line before it.
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Error::bad_request("a field line is folded or begins with white space"));
    }
    let Some(colon) = memchr(b':', line) else {
        return Err(Error::bad_request("a field line has no colon"));
    };
    // RFC 9112 §5.1: no white space between name and colon; what else is no token falls under the same test.
    if !is_token(&line[..colon]) {
        return Err(Error::bad_request("a field's name is not a token"));
    }
    if !is_value(&line[colon + 1..]) {
        return Err(Error::bad_request("a field's value contains a control character"));
    }
    let mut value = colon + 1..line.len();
    while value.start < value.end && matches!(line[value.start], b' ' | b'\t') {
        value.start += 1;
    }
    while value.start < value.end && matches!(line[value.end - 1], b' ' | b'\t') {
        value.end -= 1;
    }
    Ok(FieldLine { name: 0..colon, value })
}
