//! Tests of the reader of an upstream's HTTP/1.x responses: RFC 9112 §4 to §7 and §9, seen from the client.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod response_connection;

use farrier_http::wire::client::{Asked, Event, FaultKind, ResponseLimits, ResponseReader};
use proptest::prelude::*;
use response_connection::{Part, Protocol, Transcript, check, deliver};

const GET: Asked = Asked { is_head: false, is_connect: false, upgrade: false };
const HEAD: Asked = Asked { is_head: true, ..GET };
const CONNECT: Asked = Asked { is_connect: true, ..GET };
const UPGRADE: Asked = Asked { upgrade: true, ..GET };

fn read(asked: Asked, stream: &[u8]) -> Transcript {
    check(stream, &[3, 7, 1, 20]);
    deliver(stream, asked, Protocol::Http, &ResponseLimits::default(), &mut std::iter::once(stream.len()))
}

/// The content, and whether the connection may be used again.
#[track_caller]
fn accepted(asked: Asked, stream: &str, content: &str, reusable: bool) {
    let transcript = read(asked, stream.as_bytes());
    assert_eq!(transcript.fault, None, "{stream:?}");
    let found: Vec<u8> = transcript
        .parts
        .iter()
        .flat_map(|part| match part {
            Part::Data(bytes) => bytes.clone(),
            _ => Vec::new(),
        })
        .collect();
    assert_eq!(String::from_utf8_lossy(&found), content, "{stream:?}");
    assert_eq!(transcript.parts.last(), Some(&Part::End(reusable)), "{stream:?}");
}

#[track_caller]
fn refused(asked: Asked, stream: &str, kind: FaultKind) {
    let fault = read(asked, stream.as_bytes()).fault;
    assert_eq!(fault.as_ref().map(|fault| fault.kind), Some(kind), "{stream:?}: {fault:?}");
}

#[test]
fn a_length_or_the_chunked_coding_delimits_the_content() {
    accepted(GET, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", true);
    accepted(GET, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", true);
    accepted(
        GET,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        "abcde",
        true,
    );
    accepted(GET, "HTTP/1.1 200 OK\r\n\r\nuntil close", "until close", false);
    accepted(GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", false);
    accepted(GET, "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok", "ok", true);
}

#[test]
fn some_responses_have_no_content_whatever_their_fields_say() {
    for status in ["204 No Content", "304 Not Modified"] {
        accepted(GET, &format!("HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\n"), "", true);
        accepted(GET, &format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n"), "", true);
    }
    for fields in ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: x", "X: y"] {
        accepted(HEAD, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n"), "", true);
    }
}

#[test]
fn the_length_of_what_is_not_sent_is_known_only_if_it_is_certain() {
    for (fields, length) in [
        ("Content-Length: 5\r\n", Some(5)),
        ("Content-Length: 5\r\nContent-Length: 6\r\n", None),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", None),
        ("Content-Length: -1\r\n", None),
        ("", None),
    ] {
        let mut reader = ResponseReader::default();
        reader.restart(HEAD);
        let stream = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        reader.read(stream.as_bytes(), &ResponseLimits::default()).unwrap();
        assert_eq!((reader.head().content_length(), reader.head().has_content()), (length, false), "{fields}");
    }
}

#[test]
fn doubtful_framing_is_refused() {
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked,",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5,",
        "Content-Length:",
        "Content-Length: +5",
        "Content-Length: 5 5",
        "Content-Length: 0x5",
        "Content-Length: 9223372036854775808",
    ] {
        refused(GET, &format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n5\r\nhello\r\n0\r\n\r\n"), FaultKind::Framing);
    }
    refused(GET, "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FaultKind::Framing);
}

#[test]
fn the_chunked_coding_is_that_of_requests() {
    for content in ["x\r\n", "5\nhello", "1\r\nab\r\n", "5 \r\nhello\r\n", "11111111111111111\r\n", "1\r\na\n0\r\n\r\n"]
    {
        refused(GET, &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{content}"), FaultKind::Framing);
    }
    let huge = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n";
    refused(GET, huge, FaultKind::ContentIncomplete);
}

#[test]
fn a_status_line_is_a_version_three_digits_and_perhaps_a_reason() {
    for (line, reason) in [
        ("HTTP/1.1 200 OK", "OK"),
        ("HTTP/1.1 200 ", ""),
        ("HTTP/1.1 200", ""),
        ("HTTP/1.1 200 Not  so\tfast \u{fc}", "Not  so\\tfast \\xc3\\xbc"),
        ("HTTP/1.2 200 OK", "OK"),
    ] {
        let transcript = read(GET, format!("{line}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        let head = Part::Head("final", format!("HTTP/1.1 200 {reason} [Content-Length: 0]"));
        assert_eq!(transcript.parts, [head, Part::End(true)], "{line}");
    }
    for line in [
        "HTTP/1.1 20 OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 099 OK",
        "HTTP/1.1 000 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 2x0 OK",
        "HTTP/1.1 +20 OK",
        "HTTP/1.1200 OK",
        "HTTP/1. 200 OK",
        "HTTP/1.x 200 OK",
        "HTTP/1.11 200 OK",
        "HTTP/2 200 OK",
        "HTTP/2.0 200 OK",
        "http/1.1 200 OK",
        "HTTP 200 OK",
        "ICY 200 OK",
        " HTTP/1.1 200 OK",
        "",
        "HTTP/1.1 200 O\0K",
        "HTTP/1.1 200 O\rK",
        "HTTP/1.1",
        "<html>no head at all</html>",
    ] {
        refused(GET, &format!("{line}\r\nContent-Length: 0\r\n\r\n"), FaultKind::Malformed);
    }
}

#[test]
fn a_field_line_that_others_may_read_differently_is_refused() {
    for line in [
        "A : b",
        "A\t: b",
        " A: b",
        ": b",
        "A b",
        "A\u{e9}: b",
        "A: b\0",
        "A: b\rc",
        "A: b\x7f",
        "A: b\nB: c",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "(A): b",
        "A\0: b",
        "\0",
    ] {
        refused(GET, &format!("HTTP/1.1 200 OK\r\n{line}\r\nContent-Length: 0\r\n\r\n"), FaultKind::Malformed);
    }
    let bare = "HTTP/1.1 200 OK\nContent-Length: 0\n\n";
    refused(GET, bare, FaultKind::Malformed);
}

#[test]
fn order_and_duplicates_of_fields_are_kept() {
    let transcript = read(GET, b"HTTP/1.1 204 N\r\nSet-Cookie: a\r\nx:\r\nset-cookie:  b \r\nX: \xff\r\n\r\n");
    let head = "HTTP/1.1 204 N [Set-Cookie: a, x: , set-cookie: b, X: \\xff]".to_owned();
    assert_eq!(transcript.parts, [Part::Head("final", head), Part::End(true)]);
}

#[test]
fn interim_responses_come_before_the_final_one() {
    let stream = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\nContent-Length: 9\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let parts = read(GET, stream.as_bytes()).parts;
    assert_eq!(parts[0], Part::Head("interim", "HTTP/1.1 100 Continue []".into()));
    assert_eq!(parts[1], Part::Head("interim", "HTTP/1.1 103 Early Hints [Link: a, Content-Length: 9]".into()));
    assert_eq!(parts[4], Part::End(true));
    let many = "HTTP/1.1 102 P\r\n\r\n".repeat(17);
    refused(GET, &many, FaultKind::Malformed);
    refused(GET, &many[..16 * 18], FaultKind::HeadIncomplete);
}

#[test]
fn the_connection_changes_its_protocol_only_if_that_was_asked_for() {
    let switching =
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello";
    let transcript = read(UPGRADE, switching);
    assert_eq!((transcript.fault, transcript.left), (None, 7));
    assert!(matches!(&transcript.parts[..], [Part::Head("switched", _)]));
    refused(GET, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", FaultKind::Upgrade);
    accepted(UPGRADE, "HTTP/1.1 426 N\r\nContent-Length: 2\r\n\r\nno", "no", true);
    let tunnel = read(CONNECT, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nbytes");
    assert_eq!((tunnel.fault, tunnel.left), (None, 5));
    accepted(CONNECT, "HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", "no", true);
}

#[test]
fn the_end_of_the_connection_says_what_it_cut_off() {
    for (stream, kind) in [
        ("", FaultKind::Unanswered),
        ("H", FaultKind::HeadIncomplete),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", FaultKind::HeadIncomplete),
        ("HTTP/1.1 100 Continue\r\n\r\n", FaultKind::HeadIncomplete),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", FaultKind::ContentIncomplete),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", FaultKind::ContentIncomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", FaultKind::ContentIncomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n", FaultKind::ContentIncomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", FaultKind::ContentIncomplete),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n", FaultKind::ContentIncomplete),
    ] {
        refused(GET, stream, kind);
    }
}

#[test]
fn content_until_the_close_is_complete_only_if_the_close_was_orderly() {
    // RFC 9112 §9.8: a reset, or TLS that was cut off, may have lost the end.
    let limits = ResponseLimits::default();
    for (is_orderly, expected) in [(true, Ok(Event::End)), (false, Err(FaultKind::ContentIncomplete))] {
        let mut reader = ResponseReader::default();
        reader.restart(GET);
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        assert_eq!(reader.read(head, &limits).unwrap().event, Event::Head);
        assert_eq!(reader.read(b"abc", &limits).unwrap().event, Event::Data(0..3));
        assert_eq!(reader.read(b"", &limits).unwrap().event, Event::NeedMore);
        assert_eq!(reader.closed(b"", is_orderly).map_err(|fault| fault.kind), expected);
        assert!(!reader.is_reusable(b""));
    }
}

#[test]
fn a_connection_is_used_again_only_if_both_sides_keep_it_and_nothing_is_left() {
    for (head, reusable) in [
        ("HTTP/1.1 204 N\r\n", true),
        ("HTTP/1.1 204 N\r\nConnection: close\r\n", false),
        ("HTTP/1.1 204 N\r\nConnection: x, Close\r\n", false),
        ("HTTP/1.1 204 N\r\nConnection: keep-alive\r\nConnection: close\r\n", false),
        ("HTTP/1.0 204 N\r\n", false),
        ("HTTP/1.0 204 N\r\nConnection: Keep-Alive\r\n", true),
        ("HTTP/1.0 204 N\r\nConnection: keep-alive, close\r\n", false),
        ("HTTP/1.1 200 OK\r\n", false),
    ] {
        let mut reader = ResponseReader::default();
        reader.restart(GET);
        let head = format!("{head}\r\n");
        let step = reader.read(head.as_bytes(), &ResponseLimits::default()).unwrap();
        assert_eq!((step.event, step.consumed), (Event::Head, head.len()));
        assert_eq!(reader.is_reusable(b""), reusable, "{head}");
        assert!(!reader.is_reusable(b"HTTP/1.1 200 OK\r\n"), "surplus bytes");
    }
}

#[test]
fn the_upstream_says_how_long_it_keeps_an_idle_connection() {
    for (value, timeout) in
        [("timeout=5", Some(5)), ("max=9, Timeout=75", Some(75)), ("timeout=+5", None), ("timeout=", None), ("5", None)]
    {
        let mut reader = ResponseReader::default();
        let head = format!("HTTP/1.1 204 N\r\nKeep-Alive: {value}\r\n\r\n");
        reader.read(head.as_bytes(), &ResponseLimits::default()).unwrap();
        assert_eq!(reader.head().keep_alive_timeout_s(), timeout, "{value}");
    }
}

#[test]
fn trailers_are_given_without_those_that_may_not_stand_there() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n";
    let trailers = |lines: &str| read(GET, format!("{head}{lines}\r\n").as_bytes());
    let found = trailers("Server-Timing: a\r\nContent-Length: 9\r\nSet-Cookie: b\r\nX-Sum: 1\r\nHost: c\r\n");
    assert_eq!(found.parts[2..], [Part::Trailers("[Server-Timing: a, X-Sum: 1]".into()), Part::End(true)]);
    assert_eq!(trailers("Set-Cookie: b\r\n").parts[2..], [Part::End(true)]);
    for lines in
        ["A : b\r\n", "A: b\n", "A: b\r\n c\r\n", &"A: b\r\n".repeat(201), &format!("A: {}\r\n", "b".repeat(8190))]
    {
        assert_eq!(trailers(lines).fault.map(|fault| fault.kind), Some(FaultKind::Framing));
    }
}

#[test]
fn a_head_is_bounded_in_bytes_and_in_fields() {
    let many = "A: b\r\n".repeat(201);
    refused(GET, &format!("HTTP/1.1 200 OK\r\n{many}\r\n"), FaultKind::HeadTooLarge);
    let long = "b".repeat(64 * 1024);
    refused(GET, &format!("HTTP/1.1 200 OK\r\nA: {long}"), FaultKind::HeadTooLarge);
    refused(GET, &format!("HTTP/1.1 200 {long}"), FaultKind::HeadTooLarge);
    let exact = "HTTP/1.1 204 N\r\nA: ".len() + 4;
    accepted(GET, &format!("HTTP/1.1 204 N\r\nA: {}\r\n\r\n", "b".repeat(64 * 1024 - exact)), "", true);
    refused(
        GET,
        &format!("HTTP/1.1 204 N\r\nA: {}\r\n\r\n", "b".repeat(64 * 1024 - exact + 1)),
        FaultKind::HeadTooLarge,
    );
}

/// Answers and faulty answers, from which random streams are made.
const SAMPLES: [&str; 16] = [
    "Status: 404 Not Found\r\nContent-Type: x\n\nno",
    "Location: /x\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nHost: a\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\n",
    "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 200\r\nContent-Length: 2, 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\n\r\nuntil close",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "HTTP/1.1 200 OK\nA: b\r\n c\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
];

#[test]
fn every_split_in_two_gives_the_same_result() {
    for first in SAMPLES {
        for second in SAMPLES {
            let stream = [first, second].concat();
            (0..stream.len()).step_by(3).for_each(|at| check(stream.as_bytes(), &[at]));
        }
    }
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let telling = prop::sample::select(b"\r\n\t\0\x7f\x80 :;,\"\\/0159afxHT.+-".to_vec());
    let change = (any::<prop::sample::Index>(), telling, 0..4_u8);
    let samples = prop::collection::vec(prop::sample::select(SAMPLES.to_vec()), 1..4);
    (samples, prop::collection::vec(change, 0..4)).prop_map(|(samples, changes)| {
        let mut stream = samples.concat().into_bytes();
        for (at, byte, how) in changes {
            let at = at.index(stream.len() + 1);
            match how {
                0 => stream.insert(at, byte),
                1 if at < stream.len() => stream[at] = byte,
                2 if at < stream.len() => drop(stream.remove(at)),
                _ => stream.truncate(at),
            }
        }
        stream
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_answers_have_the_same_result_in_random_pieces(
        stream in stream(),
        pieces in prop::collection::vec(1..40_usize, 0..20),
    ) {
        check(&stream, &pieces);
    }
}
