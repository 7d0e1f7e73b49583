//! The grammar of a chunk's size line with its extensions (RFC 9112 §7.1).

use crate::error::Error;
use crate::field::is_token;

/// A chunk's size line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChunkLine {
    /// Bytes of data that follow; 0 for the last chunk.
    pub(super) bytes: u64,
    /// Bytes of the line that are extensions, which are ignored.
    pub(super) extension_bytes: usize,
}

/// The most digits of a size: with more, some recipient on the way may overflow.
const DIGITS_MAX: usize = 16;

/// Parses a line without its CRLF. The grammar's "bad white space" is refused (RFC 9110 §5.6.3).
pub(super) fn parse(line: &[u8]) -> Result<ChunkLine, Error> {
    let mut bytes: u64 = 0;
    let mut digits = 0;
    for &byte in line {
        let Some(digit) = char::from(byte).to_digit(16) else { break };
        digits += 1;
        if digits > DIGITS_MAX {
            return Err(Error::bad_request("a chunk's size has too many digits"));
        }
        bytes = bytes << 4 | u64::from(digit);
    }
    if digits == 0 {
        return Err(Error::bad_request("a chunk's size is not hex digits"));
    }
    let extensions = &line[digits..];
    if !extensions.is_empty() && !is_extensions(extensions) {
        return Err(Error::bad_request("a chunk's size line is malformed"));
    }
    Ok(ChunkLine { bytes, extension_bytes: extensions.len() })
}

/// `*( ";" token [ "=" ( token / quoted-string ) ] )`
fn is_extensions(mut rest: &[u8]) -> bool {
    while let [b';', after @ ..] = rest {
        let (name, after) = split_token(after);
        if name.is_empty() {
            return false;
        }
        rest = match after {
            [b'=', b'"', quoted @ ..] => match quoted_end(quoted) {
                Some(end) => &quoted[end..],
                None => return false,
            },
            [b'=', after @ ..] => {
                let (value, after) = split_token(after);
                if value.is_empty() {
                    return false;
                }
                after
            }
            _ => after,
        };
    }
    rest.is_empty()
}

/// The token at the front, possibly empty, and the rest.
fn split_token(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|&b| !is_token(&[b])).unwrap_or(input.len());
    input.split_at(end)
}

/// The end of a quoted string after its opening quote: the position after the closing one (RFC 9110 §5.6.4).
fn quoted_end(input: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match input.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => match input.get(at + 1)? {
                b'\t' | b' '..=b'~' | 0x80.. => at += 2,
                _ => return None,
            },
            b'\t' | b' '..=b'~' | 0x80.. => at += 1,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<u64>) {
        assert_eq!(parse(line.as_bytes()).ok().map(|chunk| chunk.bytes), expected, "{line:?}");
    }

    #[test]
    fn a_size_is_hex_digits_only() {
        check("0", Some(0));
        check("5", Some(5));
        check("aF", Some(0xaf));
        check("0000000000000005", Some(5));
        check("ffffffffffffffff", Some(u64::MAX));
        check("00000000000000005", None);
        check("10000000000000000", None);
        check("", None);
        check("-5", None);
        check("+5", None);
        check("0x5", None);
        check("5_0", None);
        check("5h", None);
        check(" 5", None);
        check("5 ", None);
        check("5\t", None);
        check("\u{ff15}", None);
    }

    #[test]
    fn extensions_are_tokens_with_a_token_or_a_quoted_string() {
        check("5;a", Some(5));
        check("5;a=b", Some(5));
        check("5;a=b;c=\"d\\\"; \t\u{fc}\";e", Some(5));
        check("5;a=\"\"", Some(5));
        check("5;", None);
        check("5;;a", None);
        check("5;a=", None);
        check("5;=b", None);
        check("5;a=b c", None);
        check("5;a=\"b", None);
        check("5;a=\"b\"c", None);
        check("5;a=\"b\\", None);
        check("5;a=\"\\\r\"", None);
        check("5;a=\"\r\"", None);
        check("5;a\r", None);
        check("5;a\0", None);
        check("5 ;a", None);
        check("5; a", None);
        check("5;a =b", None);
        check("5,a", None);
    }
}
