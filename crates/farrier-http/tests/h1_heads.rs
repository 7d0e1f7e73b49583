//! Tests of the HTTP/1.1 codec: heads that it accepts.

#![allow(clippy::unwrap_used)]

use farrier_http::TargetForm::{Absolute, Asterisk, Origin};
use farrier_http::Version::{Http10, Http11};
use farrier_http::wire::h1::HeadDecoder;
use farrier_http::{BodyFraming, KnownField, Limits, RequestHead, Span, TargetForm};

/// Decodes a head at once and byte by byte, with the same result, and leaves what follows it alone.
#[track_caller]
fn accepted(bytes: impl AsRef<[u8]>, limits: &Limits) -> RequestHead {
    let bytes = bytes.as_ref();
    let (mut head, mut same) = (RequestHead::default(), RequestHead::default());
    let behind = [bytes, b"GET"].concat();
    assert_eq!(HeadDecoder::default().decode(&behind, limits, &mut head), Ok(true), "{}", bytes.escape_ascii());
    assert_eq!(head.bytes, bytes.len());
    let mut decoder = HeadDecoder::default();
    for length in 0..bytes.len() {
        assert_eq!(decoder.decode(&bytes[..length], limits, &mut same), Ok(false), "at {length}");
    }
    assert_eq!(decoder.decode(bytes, limits, &mut same), Ok(true));
    assert_eq!(format!("{head:?}"), format!("{same:?}"));
    head
}

fn head(bytes: impl AsRef<[u8]>) -> RequestHead {
    accepted(bytes, &Limits::default())
}

fn text(bytes: &str, span: Span) -> &str {
    &bytes[span.range()]
}

#[test]
fn a_target_is_split_into_its_parts() {
    #[track_caller]
    fn check(line: &str, form: TargetForm, path: &str, query: &str) {
        for bytes in [
            format!("{line} HTTP/1.1\r\nHost: a.example:8000\r\n\r\n"),
            format!("\r\n{line} HTTP/1.1\r\nHost: a.example:8000\r\n\r\n"),
        ] {
            let head = head(&bytes);
            let (method, target) = line.split_once(' ').unwrap();
            assert_eq!(text(&bytes, head.method), method);
            assert_eq!(text(&bytes, head.target), target);
            assert_eq!(head.form, form);
            assert_eq!(text(&bytes, head.path), path);
            assert_eq!(text(&bytes, head.query), query);
            assert_eq!(text(&bytes, head.host), "a.example:8000");
        }
    }
    check("GET /", Origin, "/", "");
    check("GET /?", Origin, "/", "");
    check("GET /?a", Origin, "/", "a");
    check("GET /a/b;c?d=e?f&g=/h", Origin, "/a/b;c", "d=e?f&g=/h");
    check("GET //a//b", Origin, "//a//b", "");
    check("GET //b.example/", Origin, "//b.example/", "");
    check("GET /%00%zz%", Origin, "/%00%zz%", "");
    check("GET /a|{b}\\\"<>^`[]", Origin, "/a|{b}\\\"<>^`[]", "");
    check("GET /*", Origin, "/*", "");
    check("GET /http://b.example/", Origin, "/http://b.example/", "");
    check("DELETE /", Origin, "/", "");
    check("X /", Origin, "/", "");
    check("M-SEARCH /", Origin, "/", "");
    check("ABCDEFGHIJKLMNOPQRST /", Origin, "/", "");
    check("OPTIONS *", Asterisk, "*", "");
    check("OPTIONS /*", Origin, "/*", "");
    check("GET http://a.example:8000", Absolute, "", "");
    check("GET http://a.example:8000/", Absolute, "/", "");
    check("GET http://a.example:8000?a", Absolute, "", "a");
    check("GET http://a.example:8000/a?b/c?d", Absolute, "/a", "b/c?d");
    check("GET hTTp://A.eXample:8000/a@b:c", Absolute, "/a@b:c", "");
    check("GET https://a.example:8000/a", Absolute, "/a", "");
    check("OPTIONS http://a.example:8000", Absolute, "", "");
}

#[test]
fn an_absolute_target_may_leave_out_the_default_port() {
    for (target, host) in [
        ("http://a/", "a:80"),
        ("http://a:80/", "a"),
        ("http://a:/", "a"),
        ("https://a/", "a:443"),
        ("HTTPS://A:443/", "a"),
        ("http://[::1]/", "[::1]:80"),
    ] {
        head(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    }
}

#[test]
fn an_unconventional_method_is_a_setting() {
    let limits = Limits { permit_unconventional_method: true, ..Limits::default() };
    for method in ["get", "GET1", "a_b", "!#$%&'*+-.^_`|~", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"] {
        let head = accepted(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"), &limits);
        assert_eq!(head.method, Span::new(0, method.len()));
    }
}

#[test]
fn a_minor_version_above_1_is_served_as_1_1() {
    for (version, expected) in [("1.0", Http10), ("1.1", Http11), ("1.2", Http11), ("1.9", Http11)] {
        assert_eq!(head(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).version, expected);
    }
}

#[test]
fn http_1_0_may_lack_a_host() {
    assert!(head("GET / HTTP/1.0\r\n\r\n").host.is_empty());
    let bytes = "GET http://a:1/ HTTP/1.0\r\n\r\n";
    assert_eq!(text(bytes, head(bytes).host), "a:1");
    let bytes = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
    assert_eq!(text(bytes, head(bytes).host), "a");
}

#[test]
fn fields_stand_in_their_order_without_the_white_space_around_their_values() {
    let bytes =
        b"GET / HTTP/1.1\r\nhost:a\r\nCOOKIE: \t b=c; d \t\r\nX-Empty:\r\nX-Blank: \t \r\nX_y: \xfc\xff:\tz\r\n\
                  ab:c\r\ncookie: e\r\nX:\t\r\n\r\n";
    let head = head(bytes);
    let found: Vec<(KnownField, &[u8], &[u8])> =
        head.fields.iter().map(|f| (f.known, &bytes[f.name.range()], &bytes[f.value.range()])).collect();
    let expected: [(KnownField, &[u8], &[u8]); 8] = [
        (KnownField::Host, b"host", b"a"),
        (KnownField::Cookie, b"COOKIE", b"b=c; d"),
        (KnownField::Other, b"X-Empty", b""),
        (KnownField::Other, b"X-Blank", b""),
        (KnownField::Other, b"X_y", b"\xfc\xff:\tz"),
        (KnownField::Other, b"ab", b"c"),
        (KnownField::Cookie, b"cookie", b"e"),
        (KnownField::Other, b"X", b""),
    ];
    assert_eq!(found, expected);
}

#[test]
fn framing_is_what_the_head_declares() {
    #[track_caller]
    fn check(lines: &str, framing: BodyFraming) {
        assert_eq!(head(format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).framing, framing);
    }
    check("", BodyFraming::None);
    check("Content-Length: 0\r\n", BodyFraming::Length(0));
    check("Content-Length: 5\r\n", BodyFraming::Length(5));
    check("Content-Length:\t005 \r\n", BodyFraming::Length(5));
    check("Content-Length: 9223372036854775807\r\n", BodyFraming::Length(i64::MAX as u64));
    check("Transfer-Encoding: chunked\r\n", BodyFraming::Chunked);
    check("transfer-encoding:\tChUnKeD \t\r\n", BodyFraming::Chunked);
    check("TE: trailers, gzip\r\nX-Transfer-Encoding: x\r\nContent-Length-X: 5\r\n", BodyFraming::None);
    assert_eq!(head("POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\n").framing, BodyFraming::Length(5));
    assert_eq!(head("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n").framing, BodyFraming::Length(5));
}

#[test]
fn a_client_that_waits_for_100_continue_gets_it() {
    #[track_caller]
    fn check(version: &str, lines: &str, waits: bool) {
        assert_eq!(head(format!("POST / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).expect_continue, waits, "{lines}");
    }
    check("1.1", "Content-Length: 5\r\nExpect: 100-continue\r\n", true);
    check("1.1", "Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n", true);
    check("1.1", "Content-Length: 5\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n", true);
    check("1.1", "Content-Length: 5\r\n", false);
    check("1.1", "Content-Length: 0\r\nExpect: 100-continue\r\n", false);
    check("1.1", "Expect: 100-continue\r\n", false);
    check("1.0", "Content-Length: 5\r\nExpect: 100-continue\r\n", false);
}

#[test]
fn keep_alive_follows_the_clients_connection_field() {
    #[track_caller]
    fn check(version: &str, lines: &str, keep_alive: bool) {
        let found = head(format!("GET / HTTP/{version}\r\nHost: a\r\n{lines}\r\n")).keep_alive;
        assert_eq!(found, keep_alive, "{version} {lines}");
    }
    check("1.1", "", true);
    check("1.1", "Connection: keep-alive\r\n", true);
    check("1.1", "Connection: close\r\n", false);
    check("1.1", "Connection: Close\r\n", false);
    check("1.1", "connection: upgrade,\t CLOSE ,x\r\n", false);
    check("1.1", "Connection: x\r\nConnection: close\r\n", false);
    check("1.1", "Connection: close\r\nConnection: keep-alive\r\n", false);
    check("1.1", "Connection: keep-alive, close\r\n", false);
    check("1.1", "Connection: closed\r\n", true);
    check("1.1", "Connection: not close\r\n", true);
    check("1.1", "Connection:\r\n", true);
    check("1.1", "Connection: ,,\r\n", true);
    check("1.1", "Proxy-Connection: close\r\n", true);
    check("1.0", "", false);
    check("1.0", "Connection: Keep-Alive\r\n", true);
    check("1.0", "Connection: x, keep-alive\r\n", true);
    check("1.0", "Connection: keep-alive\r\nConnection: close\r\n", false);
    check("1.0", "Keep-Alive: timeout=5\r\n", false);
    check("1.2", "", true);
}

#[test]
fn values_exactly_at_their_limit_are_accepted() {
    let limits = Limits {
        request_line_bytes_max: 20,
        field_bytes_max: 10,
        fields_max: 3,
        head_bytes_max: 60,
        ..Limits::default()
    };
    let bytes = "GET /012345 HTTP/1.1\r\nHost: abcd\r\nX: 0123456\r\nY: 0123456\r\n\r\n";
    assert_eq!(accepted(bytes, &limits).fields.len(), 3);
    assert_eq!(bytes.len(), 60);
    let many: String = (0..1000).map(|number| format!("X-{number}: {number}\r\n")).collect();
    let limits = Limits { fields_max: 1001, ..Limits::default() };
    assert_eq!(accepted(format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), &limits).fields.len(), 1001);
}

#[test]
fn a_recycled_head_allocates_nothing() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let mut head = RequestHead { fields: Vec::with_capacity(2), ..RequestHead::default() };
    let memory = head.fields.as_ptr();
    for _ in 0..3 {
        assert_eq!(HeadDecoder::default().decode(bytes, &Limits::default(), &mut head), Ok(true));
        assert_eq!((head.fields.len(), head.fields.as_ptr()), (2, memory));
    }
}

#[test]
fn a_decoder_serves_one_head_after_the_other() {
    let mut decoder = HeadDecoder::default();
    let mut head = RequestHead::default();
    let limits = Limits::default();
    for _ in 0..2 {
        assert_eq!(decoder.decode(b"GET / HTTP/1.1\r\nHo", &limits, &mut head), Ok(false));
        assert_eq!(decoder.decode(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &limits, &mut head), Ok(true));
    }
}

#[test]
fn each_call_may_be_given_another_head() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let mut decoder = HeadDecoder::default();
    assert_eq!(decoder.decode(&bytes[..26], &Limits::default(), &mut RequestHead::default()), Ok(false));
    let mut head = RequestHead::default();
    assert_eq!(decoder.decode(bytes, &Limits::default(), &mut head), Ok(true));
    assert_eq!(head.fields.len(), 2);
}

#[test]
fn a_head_does_not_gather_the_lines_of_incomplete_requests() {
    let mut head = RequestHead::default();
    for _ in 0..100 {
        let mut decoder = HeadDecoder::default();
        assert_eq!(decoder.decode(b"GET / HTTP/1.1\r\n", &Limits::default(), &mut RequestHead::default()), Ok(false));
        assert_eq!(decoder.decode(b"GET / HTTP/1.1\r\nX: y\r\n", &Limits::default(), &mut head), Ok(false));
    }
    assert!(head.fields.len() <= 1);
}

#[test]
fn a_waiting_connection_keeps_little() {
    assert!(size_of::<HeadDecoder>() <= 16);
}

#[test]
fn folding_is_a_setting_and_never_touches_framing() {
    let limits = Limits { permit_folding: true, ..Limits::default() };
    let decode = |fields: &str, limits: &Limits| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let mut head = RequestHead::default();
        HeadDecoder::default().decode(bytes.as_bytes(), limits, &mut head).map(|_| head.fields.len())
    };
    assert_eq!(decode("X-A: 1\r\n 2\r\n\t\r\nX-B: 3\r\n", &limits), Ok(3));
    assert!(decode("X-A: 1\r\n 2\r\n", &Limits::default()).is_err());
    for framing in ["Content-Length: 1", "Transfer-Encoding: chu", "Connection: clo", "Expect: 100"] {
        assert!(decode(&format!("{framing}\r\n 0\r\n"), &limits).is_err(), "{framing}");
    }
    assert!(decode(&format!("X-A: 1\r\n{}", " 234567\r\n".repeat(1000)), &limits).is_err(), "the bound holds");
    let mut head = RequestHead::default();
    let before_all = HeadDecoder::default().decode(b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", &limits, &mut head);
    assert!(before_all.is_err(), "nothing is there to be continued");
}
