//! Tests of the HTTP/1.1 codec: the content of requests, accepted and refused.

#![allow(clippy::unwrap_used)]

use farrier_http::wire::h1::ContentDecoder;
use farrier_http::{BodyFraming, Error, Kind, Limits};

use Kind::{BadRequest, BodyTooLarge};

const LIMITS: Limits = Limits {
    request_line_bytes_max: 0,
    field_bytes_max: 0,
    fields_max: 0,
    head_bytes_max: 0,
    body_bytes_max: 40,
    chunk_line_bytes_max: 24,
    trailer_bytes_max: 20,
    permit_unconventional_method: false,
    permit_folding: false,
};

/// The content, whether it was complete, and how many bytes were used up.
type Found = (Vec<u8>, bool, usize);

/// Decodes what arrives in pieces of `piece` bytes; what is not consumed is presented again with the next piece.
fn decode(framing: BodyFraming, input: &[u8], piece: usize) -> Result<Found, Error> {
    let mut decoder = ContentDecoder::new(framing, &LIMITS)?;
    let (mut content, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        end = (end + piece).min(input.len());
        loop {
            let decoded = decoder.decode(&input[start..end], &LIMITS).inspect_err(|_| {
                assert!(decoder.decode(b"0\r\n\r\n", &LIMITS).is_err(), "an error is final");
            })?;
            content.extend_from_slice(&input[start..][decoded.content]);
            start += decoded.consumed;
            if decoded.done {
                return Ok((content, true, start));
            }
            if decoded.consumed == 0 {
                break;
            }
        }
        if end == input.len() {
            return Ok((content, false, start));
        }
    }
}

#[track_caller]
fn check(framing: BodyFraming, input: &[u8], expected: Result<Found, Kind>) {
    let whole = decode(framing, input, usize::MAX / 2);
    assert_eq!(whole.clone().map_err(|error| error.kind), expected, "{}", input.escape_ascii());
    for piece in 1..=7 {
        assert_eq!(decode(framing, input, piece), whole, "{} by {piece}", input.escape_ascii());
    }
}

/// A chunked message that is complete, with something behind it that is left alone.
#[track_caller]
fn chunked(input: &str, content: &str) {
    for behind in ["", "GET", "\r\n", "0"] {
        let input = [input, behind].concat();
        let used = input.len() - behind.len();
        check(BodyFraming::Chunked, input.as_bytes(), Ok((content.into(), true, used)));
    }
}

#[track_caller]
fn refused(input: impl AsRef<[u8]>, kind: Kind) {
    check(BodyFraming::Chunked, input.as_ref(), Err(kind));
}

#[test]
fn a_length_delimits_the_content() {
    check(BodyFraming::None, b"GET", Ok((vec![], true, 0)));
    check(BodyFraming::Length(0), b"GET", Ok((vec![], true, 0)));
    check(BodyFraming::Length(5), b"", Ok((vec![], false, 0)));
    check(BodyFraming::Length(5), b"hel", Ok((b"hel".into(), false, 3)));
    check(BodyFraming::Length(5), b"hello", Ok((b"hello".into(), true, 5)));
    check(BodyFraming::Length(5), b"\r\nGETPUT", Ok((b"\r\nGET".into(), true, 5)));
}

#[test]
fn a_length_above_the_bound_is_refused_before_a_byte_is_read() {
    assert!(ContentDecoder::new(BodyFraming::Length(40), &LIMITS).is_ok());
    for length in [41, u64::MAX] {
        assert_eq!(ContentDecoder::new(BodyFraming::Length(length), &LIMITS).unwrap_err().kind, BodyTooLarge);
    }
}

#[test]
fn chunks_are_joined() {
    chunked("0\r\n\r\n", "");
    chunked("000\r\n\r\n", "");
    chunked("5\r\nhello\r\n0\r\n\r\n", "hello");
    chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world");
    chunked("2\r\n\r\n\r\n0\r\n\r\n", "\r\n");
    chunked("5\r\n0\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n");
    chunked("a\r\n0123456789\r\n0A\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789");
    chunked("5;a=b;c=\"d\\\";\"\r\nhello\r\n0;e\r\n\r\n", "hello");
    chunked("0\r\nX: y\r\n\r\n", "");
    chunked("0\r\nX: 0123456\r\nY:\r\n\r\n", "");
}

#[test]
fn missing_bytes_are_waited_for() {
    for (input, content, used) in [
        ("", "", 0),
        ("5", "", 0),
        ("5\r", "", 0),
        ("5\r\n", "", 3),
        ("5\r\nhel", "hel", 6),
        ("5\r\nhello", "hello", 8),
        ("5\r\nhello\r", "hello", 8),
        ("5\r\nhello\r\n", "hello", 10),
        ("5\r\nhello\r\n0", "hello", 10),
        ("0\r\n", "", 3),
        ("0\r\n\r", "", 3),
        ("0\r\nX: y", "", 3),
        ("0\r\nX: y\r\n", "", 9),
    ] {
        check(BodyFraming::Chunked, input.as_bytes(), Ok((content.into(), false, used)));
    }
}

#[test]
fn a_chunk_size_is_hex_digits_only() {
    // CVE-2022-24761
    for size in
        ["", "+5", "-5", "0x5", "5_0", "5h", " 5", "5 ", "5\t", "g", ";", ";a", "5,", "\0", "5\0", "5\u{b}", "\u{ff15}"]
    {
        refused(format!("{size}\r\nhello\r\n0\r\n\r\n"), BadRequest);
    }
    refused(b"5\xa0\r\nhello\r\n0\r\n\r\n", BadRequest);
}

#[test]
fn a_chunk_size_does_not_overflow() {
    refused("ffffffffffffffff\r\n", BodyTooLarge);
    refused("10000000000000000\r\n", BadRequest);
    refused("10000000000000005\r\nhello\r\n0\r\n\r\n", BadRequest);
    refused("00000000000000005\r\nhello\r\n0\r\n\r\n", BadRequest);
    refused("5\r\nhello\r\nfffffffffffffffb\r\n", BodyTooLarge);
    refused("5\r\nhello\r\nffffffffffffffff\r\n", BodyTooLarge);
}

#[test]
fn a_chunk_extension_is_a_token_with_a_token_or_a_quoted_string() {
    for extension in [
        ";",
        ";;a",
        ";a=",
        ";=b",
        " ;a",
        "; a",
        ";a ",
        ";a =b",
        ";a= b",
        ";a=\"b",
        ";a=b\"",
        ";a\r",
        ";a=\"\r\"",
        ";a=\"\0\"",
    ] {
        refused(format!("5{extension}\r\nhello\r\n0\r\n\r\n"), BadRequest);
    }
}

#[test]
fn chunks_end_with_crlf() {
    // CVE-2019-16785
    refused("5\nhello\r\n0\r\n\r\n", BadRequest);
    refused("5;a\nhello\r\n0\r\n\r\n", BadRequest);
    refused("5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", BadRequest);
    refused("5\r\nhello\n0\r\n\r\n", BadRequest);
    refused("5\r\nhello0\r\n\r\n", BadRequest);
    refused("5\r\nhellos\r\n0\r\n\r\n", BadRequest);
    refused("5\r\nhello\rX", BadRequest);
    refused("5\r\nhello\r\r\n0\r\n\r\n", BadRequest);
    refused("5\rhello\r\n0\r\n\r\n", BadRequest);
    refused("0\n\r\n", BadRequest);
    refused("0\r\n\n", BadRequest);
    refused("0\r\n\r\r\n", BadRequest);
    refused("0\r\nX: y\n\r\n", BadRequest);
    refused("0\r\nX: y\r\n\n", BadRequest);
    refused("0\r\nX: y\rZ: a\r\n\r\n", BadRequest);
    refused("5\r\nhello\r\n\r\n0\r\n\r\n", BadRequest);
    refused("\r\n0\r\n\r\n", BadRequest);
}

#[test]
fn a_trailer_line_is_a_field_line() {
    refused("0\r\nX\r\n\r\n", BadRequest);
    refused("0\r\nX : y\r\n\r\n", BadRequest);
    refused("0\r\n: y\r\n\r\n", BadRequest);
    refused("0\r\n X: y\r\n\r\n", BadRequest);
    refused("0\r\nX: y\r\n z\r\n\r\n", BadRequest);
    refused("0\r\nX: \0\r\n\r\n", BadRequest);
    refused("0\r\nGET / HTTP/1.1\r\n\r\n", BadRequest);
}

#[test]
fn a_trailer_that_would_change_what_the_head_said_is_refused() {
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Trailer",
        "TE",
        "Host",
        "Authorization",
        "Content-Type",
        "Content-Range",
        "Content-Encoding",
        "Cookie",
        "Set-Cookie",
        "Connection",
        "Expect",
        "Cache-Control",
        "Keep-Alive",
        "Upgrade",
        "cOOKIE",
    ] {
        let limits = Limits { trailer_bytes_max: 100, ..LIMITS };
        let mut decoder = ContentDecoder::new(BodyFraming::Chunked, &limits).unwrap();
        let input = format!("0\r\n{name}: 1\r\n\r\n");
        assert_eq!(decoder.decode(input.as_bytes(), &limits).unwrap_err().kind, BadRequest, "{name}");
    }
}

#[test]
fn content_above_the_bound_is_refused_when_its_chunk_is_announced() {
    chunked(&format!("28\r\n{}\r\n0\r\n\r\n", "x".repeat(40)), &"x".repeat(40));
    refused("29\r\n", BodyTooLarge);
    refused(format!("28\r\n{}\r\n1\r\n", "x".repeat(40)), BodyTooLarge);
}

#[test]
fn a_size_line_and_a_trailer_section_keep_their_bounds() {
    chunked("5;0123456789012345678901\r\nhello\r\n0\r\n\r\n", "hello");
    refused("5;01234567890123456789012\r\nhello\r\n0\r\n\r\n", BadRequest);
    refused("0000000000000000000000000", BadRequest);
    refused("5;\"                       ", BadRequest);
    chunked("0\r\nX: 0123456\r\nY:yyyy\r\n\r\n", "");
    chunked("0\r\nX: 012345678901234\r\n\r\n", "");
    refused("0\r\nX: 0123456789012345\r\n\r\n", BadRequest);
    refused("0\r\nX: 0123456789012345", BadRequest);
    refused("0\r\nX: 0123456\r\nY:yyyyy\r\n\r\n", BadRequest);
    refused("0\r\nX: 0123456\r\nYyyyyyy", BadRequest);
}

#[test]
fn chunk_extensions_are_bounded_over_the_whole_message() {
    let limits = Limits::default();
    let mut decoder = ContentDecoder::new(BodyFraming::Chunked, &limits).unwrap();
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(200));
    let mut bytes = 0;
    let error = loop {
        let mut rest = chunk.as_bytes();
        let outcome = loop {
            match decoder.decode(rest, &limits) {
                Ok(decoded) if decoded.consumed == 0 => break None,
                Ok(decoded) => rest = &rest[decoded.consumed..],
                Err(error) => break Some(error),
            }
        };
        bytes += 201;
        match outcome {
            Some(error) => break error,
            None => assert!(bytes < 20_000, "unbounded"),
        }
    };
    assert_eq!(error.kind, BadRequest);
    assert!(bytes > 16 * 1024, "{bytes}");
}

#[test]
fn a_waiting_connection_keeps_little() {
    assert!(size_of::<ContentDecoder>() <= 40);
}
