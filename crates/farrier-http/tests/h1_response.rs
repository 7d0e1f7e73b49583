//! Tests of a response's framing, and of its head on the wire.

#![allow(clippy::unwrap_used)]

use farrier_http::Version::{Http10, Http11};
use farrier_http::wire::h1::ResponseFraming::{Chunked, Length, NoContent, UntilClose};
use farrier_http::wire::h1::encode::{encode_chunk_size, encode_head};
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::h1::{HeadDecoder, RequestFacts, ResponseFraming};
use farrier_http::{Limits, RequestHead, ResponseHead, Status, Version};

fn facts(method: &str, version: Version) -> RequestFacts {
    let bytes = format!("{method} / {}\r\nHost: a\r\n\r\n", version.as_str());
    let mut head = RequestHead::default();
    assert_eq!(HeadDecoder::default().decode(bytes.as_bytes(), &Limits::default(), &mut head), Ok(true));
    RequestFacts::of(&head, bytes.as_bytes())
}

fn response(status: &str, fields: &[(&str, &str)]) -> ResponseHead {
    let mut head = ResponseHead::default();
    head.restart(status.as_bytes()).unwrap();
    for (name, value) in fields {
        head.add(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

#[test]
fn facts_are_those_of_the_request() {
    assert!(facts("HEAD", Http11).is_head);
    assert!(!facts("GET", Http11).is_head);
    assert!(facts("GET", Http11).keep_alive);
    assert!(!facts("GET", Http10).keep_alive);
    assert_eq!(facts("GET", Http10).version, Http10);
}

#[test]
fn framing_follows_from_method_status_version_and_length() {
    #[track_caller]
    fn check(
        method: &str,
        version: Version,
        status: &str,
        declared: Option<&str>,
        length: Option<u64>,
        is: ResponseFraming,
    ) {
        let fields: Vec<_> = declared.map(|length| ("Content-Length", length)).into_iter().collect();
        assert_eq!(response_framing(facts(method, version), &response(status, &fields), length), is);
    }
    check("GET", Http11, "200 OK", None, None, Chunked);
    check("GET", Http10, "200 OK", None, None, UntilClose);
    check("GET", Http11, "200 OK", None, Some(5), Length(5));
    check("GET", Http10, "200 OK", None, Some(5), Length(5));
    check("GET", Http11, "200 OK", Some("7"), Some(5), Length(7));
    check("GET", Http11, "200 OK", Some("7"), None, Length(7));
    check("GET", Http11, "500 X", None, Some(0), Length(0));
    // RFC 9110 §15.3.6: a 205 has no content, whatever the application gives or declares.
    check("GET", Http11, "205 Reset Content", None, None, NoContent(Some(0)));
    check("GET", Http10, "205 Reset Content", Some("7"), Some(7), NoContent(Some(0)));
    check("HEAD", Http11, "205 Reset Content", Some("7"), None, NoContent(Some(0)));
    check("HEAD", Http11, "200 OK", None, None, NoContent(None));
    check("HEAD", Http10, "200 OK", None, None, NoContent(None));
    check("HEAD", Http11, "200 OK", None, Some(5), NoContent(Some(5)));
    check("HEAD", Http11, "200 OK", Some("7"), Some(5), NoContent(Some(7)));
    check("HEAD", Http11, "204 No Content", Some("7"), Some(5), NoContent(None));
    check("HEAD", Http11, "304 Not Modified", None, Some(5), NoContent(None));
    check("GET", Http11, "204 No Content", Some("0"), Some(0), NoContent(None));
    check("GET", Http11, "304 Not Modified", None, Some(0), NoContent(None));
    check("GET", Http11, "304 Not Modified", Some("7"), Some(0), NoContent(Some(7)));
}

#[test]
fn an_interim_status_cannot_be_the_status_of_a_final_response() {
    for status in ["100 Continue", "101 Switching Protocols", "102", "103 Early Hints", "199 X"] {
        let error = ResponseHead::default().restart(status.as_bytes()).unwrap_err();
        assert!(error.cause.contains("1xx"), "{status}: {error}");
    }
    for code in [100, 101, 103, 199] {
        assert!(ResponseHead::new(Status(code)).check_final().is_err(), "{code}");
    }
    assert!(response("200 OK", &[]).check_final().is_ok());
}

#[test]
fn only_a_response_that_ends_with_the_connection_prevents_keep_alive() {
    assert!(!UntilClose.permits_keep_alive());
    for framing in [NoContent(None), Length(0), Chunked] {
        assert!(framing.permits_keep_alive());
    }
}

#[track_caller]
fn head(
    head: &ResponseHead,
    framing: ResponseFraming,
    version: Version,
    keep_alive: bool,
    server: &str,
    expected: &str,
) {
    let mut out = b"before".to_vec();
    encode_head(&mut out, head, framing, facts("GET", version), keep_alive, b"<date>", server.as_bytes());
    assert_eq!(str::from_utf8(&out).unwrap(), format!("before{}\r\n\r\n", expected.replace('\n', "\r\n")));
}

#[test]
fn a_head_is_status_line_own_fields_framing_and_the_applications_fields() {
    let plain = response("200 OK", &[]);
    head(&plain, Length(13), Http11, true, "", "HTTP/1.1 200 OK\nDate: <date>\nContent-Length: 13");
    head(&plain, Length(0), Http11, true, "s", "HTTP/1.1 200 OK\nServer: s\nDate: <date>\nContent-Length: 0");
    head(&plain, NoContent(None), Http11, true, "", "HTTP/1.1 200 OK\nDate: <date>");
    head(
        &plain,
        NoContent(Some(u64::MAX)),
        Http11,
        true,
        "",
        "HTTP/1.1 200 OK\nDate: <date>\nContent-Length: 18446744073709551615",
    );
    head(&plain, Chunked, Http11, true, "", "HTTP/1.1 200 OK\nDate: <date>\nTransfer-Encoding: chunked");
    head(
        &plain,
        Chunked,
        Http11,
        false,
        "",
        "HTTP/1.1 200 OK\nDate: <date>\nConnection: close\nTransfer-Encoding: chunked",
    );
    head(&plain, UntilClose, Http10, false, "", "HTTP/1.1 200 OK\nDate: <date>\nConnection: close");
    head(
        &plain,
        Length(1),
        Http10,
        true,
        "",
        "HTTP/1.1 200 OK\nDate: <date>\nConnection: keep-alive\nContent-Length: 1",
    );
    head(
        &response("404 Where?", &[("X", "y"), ("Set-Cookie", "a=b"), ("Set-Cookie", "")]),
        Length(1),
        Http11,
        true,
        "",
        "HTTP/1.1 404 Where?\nDate: <date>\nContent-Length: 1\nX: y\nSet-Cookie: a=b\nSet-Cookie: ",
    );
    head(
        &response("200 OK", &[("Date", "d"), ("Server", "t")]),
        Length(1),
        Http11,
        true,
        "s",
        "HTTP/1.1 200 OK\nContent-Length: 1\nDate: d\nServer: t",
    );
    head(
        &response("200 OK", &[("Content-Length", "7")]),
        Length(7),
        Http11,
        true,
        "",
        "HTTP/1.1 200 OK\nDate: <date>\nContent-Length: 7",
    );
}

#[test]
fn white_space_around_a_value_is_not_part_of_it() {
    let head = response("200 OK", &[("X-A", " \ta \tb\t "), ("X-B", " \t"), ("Content-Length", " 5 ")]);
    assert_eq!((head.lines(), head.content_length()), (&b"X-A: a \tb\r\nX-B: \r\n"[..], Some(5)));
    for value in ["a\r\n", "\r\na", "a\n b", "\x0b"] {
        assert!(ResponseHead::default().add(b"X", value.as_bytes()).is_err(), "{value:?}");
    }
}

#[test]
fn a_hop_by_hop_field_is_left_out_and_named() {
    let given = [("Connection", "keep-alive"), ("KEEP-ALIVE", "timeout=5"), ("keep-alive", "x"), ("X-A", "1")];
    let head = response("200 OK", &given);
    assert_eq!((head.lines(), head.closes()), (&b"X-A: 1\r\n"[..], false));
    assert_eq!(head.dropped(), [b"Connection"[..].into(), b"KEEP-ALIVE"[..].into()]);
    assert_eq!(head.without_fields().dropped(), head.dropped());
    assert_eq!(head.without_file_names().dropped(), head.dropped());
}

#[test]
fn connection_close_is_obeyed_and_another_option_beside_it_is_named() {
    let said = |value| {
        let head = response("200 OK", &[("Connection", value)]);
        (head.closes(), head.dropped().len())
    };
    assert_eq!(said("close"), (true, 0));
    assert_eq!(said("Close , close"), (true, 0));
    assert_eq!(said("keep-alive, close"), (true, 1));
    assert_eq!(said("closed"), (false, 1));
    assert_eq!(said("upgrade"), (false, 1));
    let mut head = response("200 OK", &[("Connection", "close")]);
    head.restart(b"200 OK").unwrap();
    assert!(!head.closes());
}

#[test]
fn a_reason_may_be_empty_and_its_space_stays() {
    let mut out = Vec::new();
    encode_head(&mut out, &response("999", &[]), Length(1), facts("GET", Http11), true, b"d", b"");
    assert!(out.starts_with(b"HTTP/1.1 999 \r\nDate: d\r\n"));
}

#[test]
fn a_chunk_size_is_hex() {
    for (bytes, expected) in
        [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (0xabcdef, "abcdef\r\n"), (usize::MAX, "ffffffffffffffff\r\n")]
    {
        let mut out = Vec::new();
        encode_chunk_size(&mut out, bytes);
        assert_eq!(str::from_utf8(&out).unwrap(), expected);
    }
}
