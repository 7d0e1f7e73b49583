//! Tests of the HTTP/1.1 codec: heads that it refuses, one line per case. They cover the strict reading of RFC 9112,
//! and known vulnerabilities of other servers by their CVE number.

#![allow(clippy::unwrap_used)]

use farrier_http::wire::h1::HeadDecoder;
use farrier_http::{Kind, Limits, RequestHead};

use Kind::{
    BadRequest, ExpectationFailed, HeadTooLarge, TargetTooLong, UnknownCoding, UnknownMethod, UnsupportedVersion,
};

/// The head is refused with the defaults, at once and byte by byte.
#[track_caller]
fn check(bytes: impl AsRef<[u8]>, kind: Kind) {
    refused(bytes.as_ref(), kind, &Limits::default());
}

#[track_caller]
fn refused(bytes: &[u8], kind: Kind, limits: &Limits) {
    let input = bytes.escape_ascii();
    let mut head = RequestHead::default();
    let mut decoder = HeadDecoder::default();
    let error = decoder.decode(bytes, limits, &mut head).expect_err(&format!("accepted: {input}"));
    assert_eq!(error.kind, kind, "{}: {input}", error.cause);
    // CVE-2024-49768: after an error no further byte is parsed.
    assert!(decoder.decode(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", limits, &mut head).is_err());

    let mut decoder = HeadDecoder::default();
    for length in 0..=bytes.len() {
        match decoder.decode(&bytes[..length], limits, &mut head) {
            Ok(complete) => assert!(!complete && length < bytes.len(), "accepted byte by byte: {input}"),
            Err(same) => return assert_eq!(same, error, "byte by byte: {input}"),
        }
    }
}

/// A request line before a good Host field.
#[track_caller]
fn request_line(line: impl AsRef<[u8]>, kind: Kind) {
    check([line.as_ref(), b"\r\nHost: a\r\n\r\n"].concat(), kind);
}

/// A GET with a good Host field and another line.
#[track_caller]
fn field(line: impl AsRef<[u8]>, kind: Kind) {
    check([b"GET / HTTP/1.1\r\nHost: a\r\n", line.as_ref(), b"\r\n\r\n"].concat(), kind);
}

/// A POST with a good Host field and other lines.
#[track_caller]
fn framing(lines: &str, kind: Kind) {
    check(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n\r\n"), kind);
}

#[test]
fn a_request_line_is_method_target_and_version_with_one_space_between() {
    request_line("GET /", BadRequest);
    request_line("GET", BadRequest);
    request_line("GET  / HTTP/1.1", BadRequest);
    request_line("GET /  HTTP/1.1", BadRequest);
    request_line("GET / HTTP/1.1 ", BadRequest);
    request_line("GET / HTTP/1.1\t", BadRequest);
    request_line("GET / HTTP/1.1 x", BadRequest);
    request_line(" GET / HTTP/1.1", BadRequest);
    request_line("GET\t/ HTTP/1.1", BadRequest);
    request_line("GET /\tHTTP/1.1", BadRequest);
    request_line("GET /a b HTTP/1.1", BadRequest);
    request_line("GET HTTP/1.1", BadRequest);
    request_line("GET  HTTP/1.1", BadRequest);
    request_line("GET  HTTP/2.0", BadRequest);
    request_line("/ HTTP/1.1", BadRequest);
    request_line("HTTP/1.1 200 OK", BadRequest);
    request_line("\x16\x03\x01\x02\x00\x01", BadRequest);
}

#[test]
fn a_request_line_holds_no_control_or_non_ascii_byte() {
    request_line(b"GET /\0 HTTP/1.1", BadRequest);
    request_line(b"GET /\x01 HTTP/1.1", BadRequest);
    request_line(b"GET /\x7f HTTP/1.1", BadRequest);
    request_line(b"GET /\x0b HTTP/1.1", BadRequest);
    request_line("GET /\u{fc} HTTP/1.1", BadRequest);
    request_line(b"GET /\xfc HTTP/1.1", BadRequest);
    request_line(b"G\xc9T / HTTP/1.1", BadRequest);
    request_line(b"GET /\xa0 HTTP/1.1", BadRequest);
    request_line(b"GET / HTTP/1.\xb9", BadRequest);
    request_line(b"GET / HTTP/1.1\0", BadRequest);
    request_line(b"GET /\r HTTP/1.1", BadRequest);
}

#[test]
fn only_one_empty_line_may_stand_before_a_request_line() {
    check("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest);
    check("\r\n\r\n", BadRequest);
    check("\r\n\r", BadRequest);
    check("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest);
    check("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest);
    check("\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest);
    check(" \r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest);
}

#[test]
fn what_cannot_begin_a_method_is_refused_with_the_first_byte() {
    for byte in [b' ', b'\t', b'\n', 0, 0x16, 0x80, b'/', b':', b'"'] {
        check([byte], BadRequest);
        check([b'\r', b'\n', byte], BadRequest);
    }
}

#[test]
fn a_bare_lf_or_a_bare_cr_is_no_line_end() {
    // CVE-2019-16785
    check("GET / HTTP/1.1\nHost: a\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\r\n\n", BadRequest);
    check("GET / HTTP/1.1\n\n", BadRequest);
    check("GET / HTTP/1.1\rHost: a\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nHost: a\r\n\rX\r\n\r\n", BadRequest);
}

#[test]
fn connect_is_not_served_whatever_its_target() {
    for target in ["a:80", "[::1]:443", "/", "a", "http://a/", "*", "u@a:80"] {
        request_line(format!("CONNECT {target} HTTP/1.1"), UnknownMethod);
    }
}

#[test]
fn the_target_has_the_form_that_its_method_asks_for() {
    request_line("GET a HTTP/1.1", BadRequest);
    request_line("GET a/b HTTP/1.1", BadRequest);
    request_line("GET ../a HTTP/1.1", BadRequest);
    request_line("GET ?a HTTP/1.1", BadRequest);
    request_line("GET * HTTP/1.1", BadRequest);
    request_line("POST * HTTP/1.1", BadRequest);
    request_line("OPTIONS ** HTTP/1.1", BadRequest);
    request_line("OPTIONS *? HTTP/1.1", BadRequest);
    request_line("GET a:80 HTTP/1.1", BadRequest);
    request_line("GET a HTTP/1.1", BadRequest);
    request_line("GET ftp://a/ HTTP/1.1", BadRequest);
    request_line("GET http:/a HTTP/1.1", BadRequest);
    request_line("GET http:a HTTP/1.1", BadRequest);
    request_line("GET //a@b:c# HTTP/1.1", BadRequest);
    request_line("GET /a#b HTTP/1.1", BadRequest);
    request_line("GET /?a#b HTTP/1.1", BadRequest);
    request_line("GET http://a#b HTTP/1.1", BadRequest);
}

#[test]
fn a_method_is_a_token_of_at_most_20_upper_case_letters() {
    request_line("get / HTTP/1.1", BadRequest);
    request_line("Get / HTTP/1.1", BadRequest);
    request_line("GET1 / HTTP/1.1", BadRequest);
    request_line("GE_T / HTTP/1.1", BadRequest);
    request_line("ABCDEFGHIJKLMNOPQRSTU / HTTP/1.1", BadRequest);
    request_line("GE(T / HTTP/1.1", BadRequest);
    request_line("GET: / HTTP/1.1", BadRequest);
    let loose = Limits { permit_unconventional_method: true, ..Limits::default() };
    refused(b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest, &loose);
    refused(b"G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", BadRequest, &loose);
}

#[test]
fn a_version_is_http_1_and_a_digit() {
    request_line("GET / HTTP/2.0", UnsupportedVersion);
    request_line("GET / HTTP/0.9", UnsupportedVersion);
    request_line("GET / HTTP/3.0", UnsupportedVersion);
    request_line("GET / HTTP/9.9", UnsupportedVersion);
    check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UnsupportedVersion);
    request_line("GET / HTTP/1", BadRequest);
    request_line("GET / HTTP/1.", BadRequest);
    request_line("GET / HTTP/1.10", BadRequest);
    request_line("GET / HTTP/01.1", BadRequest);
    request_line("GET / HTTP/1,1", BadRequest);
    request_line("GET / HTTP/1.a", BadRequest);
    request_line("GET / HTTP/2", BadRequest);
    request_line("GET / http/1.1", BadRequest);
    request_line("GET / HTP/1.1", BadRequest);
    request_line("GET / HTTPS/1.1", BadRequest);
    request_line("GET / ICY/1.1", BadRequest);
    request_line("GET / /1.1", BadRequest);
}

#[test]
fn a_field_name_is_a_token_and_the_colon_follows_at_once() {
    field("X", BadRequest);
    field("X y", BadRequest);
    field(": y", BadRequest);
    field("X : y", BadRequest);
    field("X\t: y", BadRequest);
    field("X y: z", BadRequest);
    field("X(: y", BadRequest);
    field("X[]: y", BadRequest);
    field("\"X\": y", BadRequest);
    field("X\u{fc}: y", BadRequest);
    field("X\0: y", BadRequest);
    field("Content-Length : 0", BadRequest);
    field("Transfer-Encoding : chunked", BadRequest);
    field(b"Transfer-Encoding\x0b: chunked", BadRequest);
    field(b"Transfer-Encoding\xa0: chunked", BadRequest);
    field("GET / HTTP/1.1", BadRequest);
    check("GET / HTTP/1.1\r\nHost : a\r\n\r\n", BadRequest);
}

#[test]
fn a_field_line_is_not_folded() {
    field(" X: y", BadRequest);
    field("\tX: y", BadRequest);
    field("X: y\r\n z", BadRequest);
    field("X: y\r\n\tz", BadRequest);
    field("X: y\r\n ", BadRequest);
    field("X:\r\n y", BadRequest);
    check("GET / HTTP/1.1\r\n Host: a\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\n\tHost: a\r\nHost: b\r\n\r\n", BadRequest);
}

#[test]
fn a_field_value_holds_no_control_character_but_tab() {
    for byte in (0..b' ').chain([0x7f]).filter(|&b| b != b'\t' && b != b'\n') {
        let control = char::from(byte);
        field(format!("X: y{control}z"), BadRequest);
        field(format!("X: {control}"), BadRequest);
        field(format!("X:{control} a long value behind the control character"), BadRequest);
    }
    field("X: y\nz", BadRequest);
}

#[test]
fn http_1_1_has_exactly_one_valid_host() {
    check("GET / HTTP/1.1\r\n\r\n", BadRequest);
    check("GET / HTTP/1.1\r\nX: y\r\n\r\n", BadRequest);
    check("GET / HTTP/1.2\r\n\r\n", BadRequest);
    check("GET http://a/ HTTP/1.1\r\n\r\n", BadRequest);
    field("Host: a", BadRequest);
    field("Host: b", BadRequest);
    field("hOST:", BadRequest);
    check("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", BadRequest);
    for host in
        ["", " ", "a b", "a, b", "a/", "a?", "a#", "u@a", "a:b", "a:80:80", "a:99999", "a\\", "a\"", "[::1", "::1"]
    {
        check(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"), BadRequest);
        check(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n"), BadRequest);
    }
    check(b"GET / HTTP/1.1\r\nHost: \xfc\r\n\r\n", BadRequest);
    check(b"GET / HTTP/1.1\r\nHost: a\xa0\r\n\r\n", BadRequest);
}

#[test]
fn an_absolute_target_agrees_with_the_host() {
    for target in ["http://b/", "http://a:81/", "https://a:80/", "http://", "http:///", "http://u@a/", "http://u:p@a/"]
    {
        request_line(format!("GET {target} HTTP/1.1"), BadRequest);
    }
    request_line("GET http://a:/x:y@/ HTTP/2.0", UnsupportedVersion);
    request_line("GET http://[::1/ HTTP/1.1", BadRequest);
    request_line("GET http://a:x/ HTTP/1.1", BadRequest);
    check("GET http://a/ HTTP/1.0\r\nHost: b\r\n\r\n", BadRequest);
    check("GET http://u@a/ HTTP/1.0\r\n\r\n", BadRequest);
}

#[test]
fn a_content_length_is_digits_only_and_stands_once() {
    // CVE-2022-24761, CVE-2019-16792
    for value in ["+5", "-5", "0x5", "5_0", "5,", ",5", "5, 5", "5,5", "", "5 5", "5.0", "5e1", "\"5\"", "five", "5;"] {
        framing(&format!("Content-Length: {value}"), BadRequest);
    }
    framing("Content-Length: \u{665}", BadRequest);
    framing("Content-Length: 9223372036854775808", BadRequest);
    framing("Content-Length: 18446744073709551616", BadRequest);
    framing("Content-Length: 18446744073709551621", BadRequest);
    framing("Content-Length: 00000000000000000005", BadRequest);
    framing("Content-Length: 5\r\nContent-Length: 5", BadRequest);
    framing("Content-Length: 5\r\nContent-Length: 6", BadRequest);
    framing("Content-Length: 0\r\ncontent-length: 5", BadRequest);
    framing("Content-Length: 5\r\nX: y\r\nCONTENT-LENGTH:", BadRequest);
    check("POST / HTTP/1.0\r\nContent-Length: +5\r\n\r\n", BadRequest);
}

#[test]
fn transfer_encoding_and_content_length_exclude_each_other() {
    framing("Transfer-Encoding: chunked\r\nContent-Length: 5", BadRequest);
    framing("Content-Length: 5\r\nTransfer-Encoding: chunked", BadRequest);
    framing("Content-Length: 0\r\nTransfer-Encoding: chunked", BadRequest);
    framing("Content-Length: 5\r\nTransfer-Encoding: gzip, chunked", BadRequest);
    framing("Content-Length: 5\r\nTransfer-Encoding: x", BadRequest);
    framing("Content-Length: 5\r\nTransfer-Encoding:", BadRequest);
}

#[test]
fn transfer_encoding_is_chunked_once_and_last() {
    // CVE-2019-16786, CVE-2019-16789, CVE-2024-1135, CVE-2024-6827
    framing("Transfer-Encoding: chunked, chunked", BadRequest);
    framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BadRequest);
    framing("Transfer-Encoding: chunked, gzip", BadRequest);
    framing("Transfer-Encoding: chunked, identity", BadRequest);
    framing("Transfer-Encoding: chunked, x", BadRequest);
    framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", BadRequest);
    framing("Transfer-Encoding: chunked\r\nTransfer-Encoding: x", BadRequest);
    framing("Transfer-Encoding: identity", BadRequest);
    framing("Transfer-Encoding: gzip", BadRequest);
    framing("Transfer-Encoding: gzip\r\nTransfer-Encoding: deflate", BadRequest);
    framing("Transfer-Encoding:", BadRequest);
    framing("Transfer-Encoding: ,", BadRequest);
    framing("Transfer-Encoding: chunked,", BadRequest);
    framing("Transfer-Encoding: ,chunked", BadRequest);
    framing("Transfer-Encoding: gzip,,chunked", BadRequest);
    framing("Transfer-Encoding:\r\nTransfer-Encoding: chunked", BadRequest);
    framing("Transfer-Encoding: chunked;a=b", BadRequest);
    framing("Transfer-Encoding: chunked ;", BadRequest);
    framing("Transfer-Encoding: \"chunked\"", BadRequest);
    framing("Transfer-Encoding: 'chunked' x", BadRequest);
    framing("Transfer-Encoding: chunked chunked", BadRequest);
    framing("Transfer-Encoding: chun ked", BadRequest);
    framing("Transfer-Encoding: \u{b}chunked", BadRequest);
    framing("Transfer-Encoding: \u{c}chunked", BadRequest);
    framing("Transfer-Encoding: chunked\u{b}", BadRequest);
    framing("Transfer-Encoding: chunked\0", BadRequest);
    framing("Transfer-Encoding: \u{a0}chunked", BadRequest);
    framing("Transfer-Encoding: chunked\u{85}", BadRequest);
    framing("Transfer-Encoding: \u{ff43}hunked", BadRequest);
    framing("Transfer-Encoding: chun\u{212a}ed", BadRequest);
    field(b"Transfer-Encoding: chunked\xa0", BadRequest);
    field(b"Transfer-Encoding: \x85chunked", BadRequest);
    check("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", BadRequest);
    check("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: x\r\n\r\n", BadRequest);
}

#[test]
fn an_unknown_transfer_coding_is_not_implemented() {
    framing("Transfer-Encoding: x", UnknownCoding);
    framing("Transfer-Encoding: xchunked", UnknownCoding);
    framing("Transfer-Encoding: chunked-not", UnknownCoding);
    framing("Transfer-Encoding: 'chunked'", UnknownCoding);
    framing("Transfer-Encoding: x, chunked", UnknownCoding);
    framing("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", UnknownCoding);
    framing("Transfer-Encoding: gzip, chunked", UnknownCoding);
    framing("Transfer-Encoding: identity, chunked", UnknownCoding);
    framing("Transfer-Encoding: deflate\r\nTransfer-Encoding: Chunked", UnknownCoding);
}

#[test]
fn an_expectation_is_100_continue() {
    framing("Content-Length: 5\r\nExpect: 200-ok", ExpectationFailed);
    framing("Content-Length: 5\r\nExpect:", ExpectationFailed);
    framing("Content-Length: 5\r\nExpect: 100-continue, x", ExpectationFailed);
    framing("Content-Length: 5\r\nExpect: 100-continue;q=1", ExpectationFailed);
    framing("Content-Length: 5\r\nExpect: 100-continue\r\nExpect: x", ExpectationFailed);
    framing("Content-Length: 5\r\nExpect: x\r\nExpect: 100-continue", ExpectationFailed);
    field("Expect: 100 continue", ExpectationFailed);
    check("POST / HTTP/1.0\r\nExpect: x\r\n\r\n", ExpectationFailed);
}

#[test]
fn limits_are_checked_before_syntax() {
    let limits = Limits {
        request_line_bytes_max: 20,
        field_bytes_max: 10,
        fields_max: 3,
        head_bytes_max: 60,
        ..Limits::default()
    };
    let check = |bytes: &str, kind| refused(bytes.as_bytes(), kind, &limits);
    check("GET /0123456 HTTP/1.1\r\n", TargetTooLong);
    check("GET /01234567890123456", TargetTooLong);
    check("GET /\0\r\r0123456789012", TargetTooLong);
    check("GET /\x00012345678901234\n", TargetTooLong);
    check("GET / HTTP/1.1\r\nHost: 12345\r\n", HeadTooLarge);
    check("GET / HTTP/1.1\r\nHost 123456", HeadTooLarge);
    check("GET / HTTP/1.1\r\n 0123456789\r\n", HeadTooLarge);
    check("GET / HTTP/1.1\r\nX: 01234567", HeadTooLarge);
    check("GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nB:c\r\nC:d\r\n", HeadTooLarge);
    check("GET / HTTP/1.1\r\nHost: a\r\nA:b\r\nB:c\r\nC d\r\n", HeadTooLarge);
    // 20 + 2 and three lines of 12 leave 2 of 60 bytes: enough for the empty line and nothing else.
    check("GET /012345 HTTP/1.1\r\nHost: abcd\r\nX: 0123456\r\nY: 0123456\r\nZ", HeadTooLarge);
    let limits = Limits { head_bytes_max: 30, ..limits.clone() };
    let check = |bytes: &str, kind| refused(bytes.as_bytes(), kind, &limits);
    check("GET /012345 HTTP/1.1\r\nHost: a", HeadTooLarge);
    check("GET /0 HTTP/1.1\r\nHost: abcd\r\n", HeadTooLarge);
    check("\r\nGET /012 HTTP/1.1\r\nHost:a\r\n", HeadTooLarge);
    let limits = Limits { head_bytes_max: 19, ..limits.clone() };
    let check = |bytes: &str, kind| refused(bytes.as_bytes(), kind, &limits);
    check("GET /0123 HTTP/1.1", HeadTooLarge);
    check("GET /0123456789012", HeadTooLarge);
    check("GET /01 HTTP/1.1\r\n", HeadTooLarge);
}

#[test]
fn errors_come_in_the_order_of_the_stream() {
    check("GET / HTTP/2.0\r\nHost : a\r\n\r\n", UnsupportedVersion);
    check("GET / HTTP/1.1\r\nHost : a\r\nExpect: x\r\n\r\n", BadRequest);
    check("POST / HTTP/1.1\r\nExpect: x\r\nTransfer-Encoding: x\r\n\r\n", BadRequest);
    framing("Expect: x\r\nTransfer-Encoding: x", UnknownCoding);
    framing("Expect: x\r\nTransfer-Encoding: x\r\nX", BadRequest);
}
