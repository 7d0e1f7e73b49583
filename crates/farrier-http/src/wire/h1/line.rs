//! Finds a line's CRLF, resuming where it stopped, within a bound (RFC 9112 §2.2: a bare LF is no line end here).

use memchr::memchr;

use crate::octets;

/// The line at the front of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// A line that is not complete yet, and within its bound so far.
    Partial,
    /// A line of this many bytes, then CRLF. Its only control characters are tabs.
    Complete(usize),
    /// A line, complete or not, above its bound.
    TooLong,
    /// A line that a bare LF ends.
    BareLf,
    /// A line with a control character in it, such as a bare CR.
    Control,
}

/// Looks for the end of the line at the front of `input`. The first `scanned` bytes are known to hold no LF; that is kept
/// up to date, so that the work is linear however the line arrives.
///
/// The limit is checked first: a line above it is `TooLong` from the byte that exceeds it on, whatever it contains, and
/// even before its end has arrived. So the result depends only on the bytes, not on how they arrive.
#[inline]
pub(crate) fn scan(input: &[u8], scanned: &mut u32, bytes_max: usize) -> Line {
    // The usual case: text and CRLF, in one piece.
    if *scanned == 0 {
        let bytes = octets::text_prefix(input);
        if bytes <= bytes_max && input[bytes..].starts_with(b"\r\n") {
            return Line::Complete(bytes);
        }
    }
    resume(input, scanned, bytes_max)
}

fn resume(input: &[u8], scanned: &mut u32, bytes_max: usize) -> Line {
    let from = (*scanned as usize).min(input.len());
    let Some(offset) = memchr(b'\n', &input[from..]) else {
        *scanned = input.len() as u32;
        // A CR at the end may be half of the line's end.
        let bytes = input.len() - usize::from(input.last() == Some(&b'\r'));
        return if bytes > bytes_max { Line::TooLong } else { Line::Partial };
    };
    *scanned = 0;
    let lf = from + offset;
    let crlf = lf > 0 && input[lf - 1] == b'\r';
    let bytes = lf - usize::from(crlf);
    match () {
        () if bytes > bytes_max => Line::TooLong,
        () if !crlf => Line::BareLf,
        () if octets::text_prefix(&input[..bytes]) < bytes => Line::Control,
        () => Line::Complete(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &[u8], bytes_max: usize, expected: Line) {
        assert_eq!(scan(input, &mut 0, bytes_max), expected, "at once");
        let mut scanned = 0;
        for length in 0..=input.len() {
            let line = scan(&input[..length], &mut scanned, bytes_max);
            if line == Line::Partial {
                assert_eq!(scanned as usize, length, "no byte is looked at twice");
            }
            if line != Line::Partial || length == input.len() {
                assert_eq!(line, expected, "byte by byte, at {length}");
                break;
            }
        }
    }

    #[test]
    fn a_line_ends_with_crlf() {
        check(b"", 9, Line::Partial);
        check(b"abc", 9, Line::Partial);
        check(b"abc\r", 9, Line::Partial);
        check(b"abc\r\n", 9, Line::Complete(3));
        check(b"\r\n", 9, Line::Complete(0));
        check(b"a\tc\r\n", 9, Line::Complete(3));
        check(b"a\rc\r\n", 9, Line::Control);
        check(b"a\r\r\n", 9, Line::Control);
        check(b"a\0c\r\n", 9, Line::Control);
        check(b"a\x7f\r\n", 9, Line::Control);
        check(b"a\x01\n", 9, Line::BareLf);
        check(b"abc\n", 9, Line::BareLf);
        check(b"\n", 9, Line::BareLf);
    }

    #[test]
    fn the_bound_does_not_count_the_line_end_and_comes_first() {
        check(b"abc\r\n", 3, Line::Complete(3));
        check(b"abc\r", 3, Line::Partial);
        check(b"abcd", 3, Line::TooLong);
        check(b"abc\r\r\n", 3, Line::TooLong);
        check(b"abc\rd\r\n", 3, Line::TooLong);
        check(b"abcd\n", 3, Line::TooLong);
        check(b"abc\n", 3, Line::BareLf);
        check(b"\r\n", 0, Line::Complete(0));
        check(b"a", 0, Line::TooLong);
    }
}
