//! Tests of a FastCGI upstream: the records that it gets, and those that it may answer with (FastCGI 1.0).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod fastcgi_answer;

use farrier_http::wire::client::fastcgi::STDERR_BYTES_MAX;
use farrier_http::wire::client::fastcgi_encode::{
    append_pair, encode_abort, encode_begin, encode_params, encode_stdin_end, encode_stdin_header,
};
use farrier_http::wire::client::{Asked, FaultKind, ResponseLimits};
use farrier_http::wire::fastcgi::{HeadDecoder, StdinDecoder};
use farrier_http::{BodyFraming, Limits, Request};
use fastcgi_answer::{Answer, check, read};
use proptest::prelude::*;

const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// A record with padding of this many bytes.
fn record(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let [id_high, id_low] = id.to_be_bytes();
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[1, kind, id_high, id_low, high, low, padding, 0], content, &vec![0xaa; usize::from(padding)][..]].concat()
}

fn out(content: &str) -> Vec<u8> {
    record(STDOUT, 1, content.as_bytes(), 3)
}

fn end(status: u8) -> Vec<u8> {
    record(3, 1, &[0, 0, 1, 2, status, 0, 0, 0], 0)
}

fn answer(method: &str, records: &[Vec<u8>]) -> Answer {
    let stream = records.concat();
    if stream.len() < 4000 {
        (0..stream.len()).step_by(5).for_each(|at| check(&stream, &[at]));
    }
    read(&stream, Asked::of(method.as_bytes()), &ResponseLimits::default(), std::iter::once(stream.len()))
}

#[track_caller]
fn accepted(method: &str, records: &[Vec<u8>], head: &str, content: &str) {
    let answer = answer(method, records);
    assert_eq!(answer.fault, None);
    assert_eq!((answer.head.as_deref(), String::from_utf8_lossy(&answer.content).as_ref()), (Some(head), content));
    assert_eq!((answer.app_status, answer.left), (258, 0));
}

#[track_caller]
fn refused(records: &[Vec<u8>], kind: FaultKind) {
    let fault = answer("GET", records).fault;
    assert_eq!(fault.as_ref().map(|fault| fault.kind), Some(kind), "{fault:?}");
}

#[test]
fn an_answer_is_a_head_and_content_in_any_records() {
    accepted("GET", &[out("Status: 404 N\r\nA: b\r\n\r\nno"), out(""), end(0)], "404 N A=b", "no");
    accepted("GET", &[out("A: b\r\n"), out("\r"), out("\nc"), out("d"), end(0)], "200  A=b", "cd");
    accepted("GET", &[out("Location: /x\n\n"), out(""), end(0)], "302  Location=/x", "");
    accepted("GET", &[out("HTTP/1.1 201 Made\r\n\r\nx"), out(""), end(0)], "201 Made", "x");
    accepted("GET", &[out("A: b\r\nContent-Length: 2\r\n\r\n"), out("ok"), end(0)], "200  A=b Content-Length=2", "ok");
    accepted("HEAD", &[out("A: b\r\n\r\ndropped"), end(0)], "200  A=b", "");
    accepted("GET", &[out("Status: 304\r\n\r\ndropped"), end(0)], "304 ", "");
}

#[test]
fn a_head_may_be_longer_than_what_is_read_at_once() {
    let long = format!("A: {}\r\n\r\n{}", "b".repeat(9000), "c".repeat(9000));
    let records: Vec<Vec<u8>> = [out(&long), end(0)].into();
    accepted("GET", &records, &format!("200  A={}", "b".repeat(9000)), &"c".repeat(9000));
    refused(&[out(&format!("A: {}", "b".repeat(65_000))), out(&"b".repeat(1000))], FaultKind::HeadTooLarge);
}

#[test]
fn stderr_is_for_the_log_and_bounded() {
    let found =
        answer("GET", &[record(STDERR, 1, b"one ", 0), out("A: b\r\n\r\nx"), record(STDERR, 1, b"two", 5), end(0)]);
    assert_eq!((found.stderr, found.content), (b"one two".to_vec(), b"x".to_vec()));
    let much = record(STDERR, 1, &vec![b'e'; 60_000], 0);
    let found = answer("GET", &[much.clone(), much, out("A: b\r\n\r\nx"), end(0)]);
    assert_eq!((found.stderr.len(), found.content), (STDERR_BYTES_MAX, b"x".to_vec()));
}

#[test]
fn the_answer_is_complete_only_when_the_request_is_ended() {
    refused(&[], FaultKind::Unanswered);
    refused(&[record(STDERR, 1, b"oops", 0)], FaultKind::HeadIncomplete);
    refused(&[out("A: b\r\n")], FaultKind::HeadIncomplete);
    refused(&[out("A: b\r\n\r\nall"), out("")], FaultKind::ContentIncomplete);
    refused(&[out("A: b\r\nContent-Length: 3\r\n\r\nall"), out("")], FaultKind::ContentIncomplete);
    refused(&[out("A: b\r\nContent-Length: 4\r\n\r\nall"), out(""), end(0)], FaultKind::ContentIncomplete);
    refused(&[out("A: b\r\nContent-Length: 2\r\n\r\nall"), end(0)], FaultKind::Framing);
    refused(&[out("A: b\r\n"), end(0)], FaultKind::HeadIncomplete);
    refused(&[end(0)], FaultKind::HeadIncomplete);
}

#[test]
fn how_the_request_was_ended_matters() {
    let whole = out("A: b\r\n\r\nx");
    refused(&[whole.clone(), end(1)], FaultKind::Protocol);
    refused(&[end(2)], FaultKind::Overloaded);
    refused(&[whole.clone(), end(3)], FaultKind::Protocol);
    refused(&[whole.clone(), end(9)], FaultKind::Protocol);
    refused(&[whole, record(3, 1, &[0; 7], 0)], FaultKind::Protocol);
}

#[test]
fn records_that_are_not_of_the_answer() {
    let whole = out("A: b\r\n\r\nx");
    let management = [record(10, 0, b"xyz", 1), record(11, 0, &[0; 8], 0), record(200, 0, b"", 0)].concat();
    accepted("GET", &[management.clone(), whole.clone(), management, end(0)], "200  A=b", "x");
    for kind in [1, 2, 4, 5, 8, 9, 0, 10, 200] {
        refused(&[whole.clone(), record(kind, 1, &[0; 8], 0), end(0)], FaultKind::Protocol);
    }
    refused(&[record(STDOUT, 2, b"A: b\r\n\r\n", 0)], FaultKind::Protocol);
    refused(&[whole.clone(), record(3, 2, &[0; 8], 0)], FaultKind::Protocol);
    refused(&[whole.clone(), out(""), out("more"), end(0)], FaultKind::Protocol);
    refused(&[vec![2, 6, 0, 1, 0, 0, 0, 0]], FaultKind::Protocol);
    refused(&[b"HTTP/1.1 200 OK\r\n\r\n".to_vec()], FaultKind::Protocol);
    refused(&vec![record(11, 0, b"", 255); 65], FaultKind::Protocol);
}

#[test]
fn a_doubtful_head_is_refused() {
    refused(&[out("A: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), end(0)], FaultKind::Framing);
    refused(&[out("\r\nx"), end(0)], FaultKind::Malformed);
    refused(&[out("Status: 103 Early\r\n\r\n"), end(0)], FaultKind::Malformed);
    refused(&[out("<b>Fatal error</b>\r\n\r\n"), end(0)], FaultKind::Malformed);
}

#[test]
fn bytes_behind_the_end_are_left() {
    assert_eq!(answer("GET", &[out("A: b\r\n\r\nx"), end(0), out("y")]).left, 12);
}

#[test]
fn this_servers_own_front_reads_the_request() {
    let mut params = Vec::new();
    let long = "x".repeat(70_000);
    for (name, value) in [
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/a"),
        ("CONTENT_LENGTH", "70000"),
        ("LONG", long.as_str()),
        ("EMPTY", ""),
    ] {
        append_pair(&mut params, name.as_bytes(), value.as_bytes());
    }
    let mut request = Request::with_room(64);
    let mut out = Vec::new();
    encode_begin(&mut out, true);
    encode_params(&mut out, &params);
    let mut rest = long.as_bytes();
    while !rest.is_empty() {
        let bytes = encode_stdin_header(&mut out, rest.len());
        out.extend_from_slice(&rest[..bytes]);
        rest = &rest[bytes..];
    }
    encode_stdin_end(&mut out);
    request.arena.append(&out);
    let limits = Limits { head_bytes_max: 200_000, ..Limits::default() };
    let mut replies = Vec::new();
    let decoded = HeadDecoder::default().decode(&mut request.arena, &limits, &mut request.head, &mut replies);
    assert_eq!(decoded, Ok(true));
    assert_eq!(
        (request.method(), request.path(), request.head.framing),
        (&b"POST"[..], &b"/a"[..], BodyFraming::Length(70_000))
    );
    assert!(
        request.head.keep_alive && request.variables().any(|(name, value)| name == b"LONG" && value.len() == 70_000)
    );
    let mut stdin = StdinDecoder::new(&request.head, &limits).unwrap();
    let mut at = request.head.bytes;
    let mut content = 0;
    loop {
        let decoded = stdin.decode(&request.arena.filled()[at..], &limits, &mut replies).unwrap();
        content += decoded.content.len();
        at += decoded.consumed;
        if decoded.done {
            break;
        }
    }
    assert_eq!((content, at, replies.len()), (70_000, request.arena.filled().len(), 0));
}

#[test]
fn a_request_is_given_up_with_a_record() {
    let mut out = Vec::new();
    encode_abort(&mut out);
    assert_eq!(out, [1, 2, 0, 1, 0, 0, 0, 0]);
    out.clear();
    encode_begin(&mut out, false);
    assert_eq!(out, [1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_records_have_the_same_result_in_random_pieces(
        records in prop::collection::vec(
            (prop::sample::select(vec![3_u8, 6, 6, 6, 6, 7, 10, 11, 99]), 0..2_u16, prop::sample::select(vec![
                "A: b\r\n", "\r\n", "Status: 204\r\n", "Content-Length: 3\r\n\r\n", "x", "abc", "", "\0\0\0\0\0\0\0\0",
            ]), 0..4_u8),
            0..10,
        ),
        cut in any::<prop::sample::Index>(),
        pieces in prop::collection::vec(1..20_usize, 0..20),
    ) {
        let mut stream: Vec<u8> = records.iter().flat_map(|(kind, id, content, padding)| {
            record(*kind, if *kind < 10 { 1 } else { *id }, content.as_bytes(), *padding)
        }).collect();
        check(&stream, &pieces);
        stream.truncate(cut.index(stream.len() + 1));
        check(&stream, &pieces);
    }
}
