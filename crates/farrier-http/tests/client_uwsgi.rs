//! Tests of a uwsgi upstream: the packet that it gets, and the heads that it may answer with.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use farrier_http::wire::client::uwsgi::{BLOCK_BYTES_MAX, append_variable, begin_packet, end_packet};
use farrier_http::wire::client::{Asked, Event, Fault, FaultKind, ResponseLimits, ResponseReader};
use farrier_http::wire::uwsgi::{HeadDecoder, PacketKind};
use farrier_http::{Limits, RequestHead};
use proptest::prelude::*;

#[test]
fn a_packet_is_its_size_and_its_variables() {
    let mut out = b"before".to_vec();
    let start = begin_packet(&mut out);
    append_variable(&mut out, b"A", b"bc").unwrap();
    append_variable(&mut out, b"D", b"").unwrap();
    assert_eq!(end_packet(&mut out, start), Ok(12));
    assert_eq!(out, b"before\x00\x0c\x00\x00\x01\x00A\x02\x00bc\x01\x00D\x00\x00");
}

#[test]
fn what_16_bits_cannot_say_is_refused() {
    let mut out = Vec::new();
    let start = begin_packet(&mut out);
    assert!(append_variable(&mut out, b"A", &vec![0; 65_536]).is_err());
    assert_eq!(out.len(), 4, "nothing is appended");
    append_variable(&mut out, b"A", &vec![0; BLOCK_BYTES_MAX - 5]).unwrap();
    let mut fits = out.clone();
    assert_eq!(end_packet(&mut fits, start), Ok(BLOCK_BYTES_MAX));
    append_variable(&mut out, b"", b"").unwrap();
    assert!(end_packet(&mut out, start).is_err());
    assert!(out.is_empty(), "the packet is removed");
}

#[test]
fn this_servers_own_front_reads_the_packet() {
    let variables =
        [("REQUEST_METHOD", "POST"), ("REQUEST_URI", "/a%20b?c"), ("PATH_INFO", "/a b"), ("CONTENT_LENGTH", "5")];
    let mut out = Vec::new();
    let start = begin_packet(&mut out);
    for (name, value) in variables {
        append_variable(&mut out, name.as_bytes(), value.as_bytes()).unwrap();
    }
    end_packet(&mut out, start).unwrap();
    let mut head = RequestHead::default();
    let decoded = HeadDecoder::default().decode(&mut out, &Limits::default(), &mut head);
    assert_eq!(decoded, Ok(Some(PacketKind::Request)));
    assert_eq!(&out[head.path.range()], b"/a b");
}

/// Status, reason and content of an answer, or its fault; in pieces of this many bytes.
fn read(stream: &[u8], asked: Asked, piece: usize) -> Result<(u16, String, Vec<u8>, bool), Fault> {
    let limits = ResponseLimits::default();
    let mut reader = ResponseReader::default();
    reader.restart_uwsgi(asked);
    let mut content = Vec::new();
    let (mut at, mut received) = (0, 0);
    loop {
        let input = &stream[at..received];
        let step = reader.read(input, &limits)?;
        if let Event::Data(range) = &step.event {
            content.extend_from_slice(&input[range.clone()]);
        }
        at += step.consumed;
        match step.event {
            Event::End => break,
            Event::NeedMore if received == stream.len() => {
                reader.closed(&stream[at..], true)?;
                break;
            }
            Event::NeedMore => received = (received + piece).min(stream.len()),
            _ => {}
        }
    }
    assert!(!reader.is_reusable(b""), "a connection carries one request");
    let head = reader.head();
    assert!(head.fields().values("status").next().is_none(), "Status is no field of the response");
    Ok((head.status().0, String::from_utf8_lossy(head.reason()).into_owned(), content, at == stream.len()))
}

#[track_caller]
fn check(stream: &str, code: u16, reason: &str, content: &str) {
    for piece in [1, 2, 7, stream.len()] {
        let expected = Ok((code, reason.to_owned(), content.as_bytes().to_vec(), true));
        assert_eq!(read(stream.as_bytes(), Asked::of(b"GET"), piece), expected, "{stream:?} by {piece}");
    }
}

#[track_caller]
fn refused(stream: &str, kind: FaultKind) {
    for piece in [1, 3, stream.len().max(1)] {
        let fault = read(stream.as_bytes(), Asked::of(b"GET"), piece).err();
        assert_eq!(fault.map(|fault| fault.kind), Some(kind), "{stream:?} by {piece}");
    }
}

#[test]
fn the_head_is_that_of_http_or_of_cgi() {
    check("HTTP/1.1 201 Made\r\nA: b\r\n\r\nhello", 201, "Made", "hello");
    check("HTTP/1.0 201 Made\r\nContent-Length: 2\r\n\r\nok", 201, "Made", "ok");
    check("Status: 404 Not here\r\nContent-Type: x\r\n\r\nno", 404, "Not here", "no");
    check("Content-Type: x\r\nstatus: 404\r\n\r\nno", 404, "", "no");
    check("Content-Type: x\n\nlines end with LF", 200, "", "lines end with LF");
    check("Location: /x\r\n\r\n", 302, "", "");
    check("Location: /x\r\nStatus: 201 Made\r\n\r\n", 201, "Made", "");
    check("HTTP-Like: x\r\n\r\nok", 200, "", "ok");
    check("HTTP/1.1 200 OK\r\nStatus: 404 No\r\n\r\nok", 200, "OK", "ok");
    // uWSGI repeats the version that it was told, so every answer to a client of HTTP/2 was refused.
    check("HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "OK", "ok");
    check("HTTP/2 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "OK", "ok");
}

#[test]
fn a_doubtful_head_is_refused() {
    for head in [
        "\r\nx",
        "Status: x\r\n",
        "Status: 20\r\n",
        "Status: 200 OK\r\nStatus: 404 N\r\n",
        "A\r\n",
        "A : b\r\n",
        "A: b\rc\r\n",
        "A: b\n c\n",
        "HTTP/1.1 x\r\n",
        "HTTP/a.b 200 OK\r\n",
        "HTTP/ 200 OK\r\n",
        "A: b\0\n",
    ] {
        refused(&format!("{head}\r\n"), FaultKind::Malformed);
    }
    refused("A: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FaultKind::Framing);
    refused("A: b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", FaultKind::Framing);
}

#[test]
fn the_end_of_the_connection_must_agree_with_the_length() {
    refused("", FaultKind::Unanswered);
    refused("A: b\r\n", FaultKind::HeadIncomplete);
    refused("A: b\r\nContent-Length: 3\r\n\r\nok", FaultKind::ContentIncomplete);
    let (_, _, content, is_all) = read(b"A: b\r\nContent-Length: 2\r\n\r\nokay", Asked::of(b"GET"), 3).unwrap();
    assert_eq!((content, is_all), (b"ok".to_vec(), false), "what is too much is left over");
    let head = read(b"A: b\r\nContent-Length: 3\r\n\r\n", Asked::of(b"HEAD"), 3).unwrap();
    assert_eq!(head.2, b"");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_answers_have_the_same_result_in_random_pieces(
        parts in prop::collection::vec(prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n", "Status: 404 N\r\n", "A: b\n", "Content-Length: 2\r\n", "\r\n", "\n", "\r", "ok", "\0", "H",
            "Location: x\r\n", "Transfer-Encoding: chunked\r\n", ":", " ",
        ]), 0..8),
        piece in 1..12_usize,
    ) {
        let stream = parts.concat();
        let whole = read(stream.as_bytes(), Asked::of(b"GET"), stream.len().max(1));
        prop_assert_eq!(read(stream.as_bytes(), Asked::of(b"GET"), piece), whole);
    }
}
