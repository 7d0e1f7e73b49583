//! The grammar of a field line (RFC 9112 §5), the same in a head and in a trailer section.

use std::ops::Range;

use crate::error::Error;
use crate::field::{KnownField, Seen, is_token};
use crate::octets;

/// A field line's parts. The value, a range of the line, is without surrounding white space.
#[derive(Debug)]
pub(crate) struct FieldLine {
    pub(crate) known: KnownField,
    /// An underscore in its name.
    pub(crate) oddity: Seen,
    pub(crate) name_bytes: usize,
    pub(crate) value: Range<usize>,
}

/// Parses a line without its CRLF. It must contain no control characters except tab, so its value is valid.
#[inline]
pub(crate) fn parse(line: &[u8]) -> Result<FieldLine, Error> {
    let Some(colon) = octets::position(line, b':') else {
        return Err(no_name(line));
    };
    let name = &line[..colon];
    let known = KnownField::of(name);
    let mut oddity = Seen::default();
    if known == KnownField::Other {
        if !is_token(name) {
            return Err(no_name(name));
        }
        if octets::position(name, b'_').is_some() {
            oddity = Seen::UNDERSCORE;
        }
    }
    let mut value = colon + 1..line.len();
    while value.start < value.end && is_space(line[value.start]) {
        value.start += 1;
    }
    while value.start < value.end && is_space(line[value.end - 1]) {
        value.end -= 1;
    }
    Ok(FieldLine { known, oddity, name_bytes: colon, value })
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// The error of text in the place of a name.
#[cold]
fn no_name(name: &[u8]) -> Error {
    Error::bad_request(match name {
        // RFC 9112 §5.2: such a line would continue the line before it.
        [b' ' | b'\t', ..] => "a field line is folded or begins with white space",
        // RFC 9112 §5.1
        [.., b' ' | b'\t'] => "white space between a field's name and its colon",
        _ => "a field's name is not a token, or no colon follows it",
    })
}
