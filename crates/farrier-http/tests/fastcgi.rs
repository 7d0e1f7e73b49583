//! Tests of the FastCGI codec: what it reads, answers and refuses, one line per case, however the bytes arrive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod gateway_connection;

use farrier_http::wire::fastcgi::encode::{self, EndStatus};
use farrier_http::{Kind, Limits};
use gateway_connection::{Codec, Transcript, begin, check, deliver, pairs, record};
use proptest::prelude::*;

const PARAMS: u8 = 4;
const STDIN: u8 = 5;

const GET: [(&str, &str); 3] = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a?b"), ("SERVER_PROTOCOL", "HTTP/1.1")];

fn read(stream: &[u8]) -> Transcript {
    check(Codec::FastCgi, stream, &[3, 9, 1, 17]);
    deliver(Codec::FastCgi, stream, &Limits::default(), std::iter::once(stream.len()))
}

fn request(id: u16, flags: u8, variables: &[(&str, &str)], content: &[u8]) -> Vec<u8> {
    let mut stream =
        [begin(id, 1, flags), record(PARAMS, id, &pairs(variables), 5), record(PARAMS, id, b"", 3)].concat();
    if !content.is_empty() {
        stream.extend(record(STDIN, id, content, 7));
    }
    stream.extend(record(STDIN, id, b"", 0));
    stream
}

#[track_caller]
fn refused(kind: Kind, words: &str, stream: &[u8]) {
    let error = read(stream).end.expect_err("refused");
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.cause.contains(words), "{error}");
}

#[test]
fn a_request_is_read_with_its_padding() {
    let transcript = read(&request(1, 0, &GET, b""));
    let expected = "GET /a?b HTTP/1.1 path=/a query=b host= None keep=false\nSERVER_PROTOCOL=HTTP/1.1";
    assert_eq!((transcript.requests[0].head.as_str(), transcript.end), (expected, Ok(true)));
    assert_eq!(transcript.replies, b"");
}

#[test]
fn content_comes_in_any_number_of_records() {
    let variables = [&GET[..], &[("CONTENT_LENGTH", "9")]].concat();
    let stream = [
        begin(1, 1, 0),
        record(PARAMS, 1, &pairs(&variables), 0),
        record(PARAMS, 1, b"", 0),
        record(STDIN, 1, b"abc", 200),
        record(8, 1, b"data is of no interest", 0),
        record(STDIN, 1, b"defghi", 0),
        record(STDIN, 1, b"", 250),
    ]
    .concat();
    let transcript = read(&stream);
    assert_eq!((transcript.requests[0].content.as_slice(), transcript.end), (&b"abcdefghi"[..], Ok(true)));
}

#[test]
fn content_may_come_without_a_length() {
    let transcript = read(&request(1, 0, &GET, b"as long as it is"));
    assert_eq!(transcript.requests[0].content, b"as long as it is");
}

#[test]
fn variables_may_be_cut_anywhere() {
    let block = pairs(&[&GET[..], &[("HTTP_COOKIE", &"c".repeat(300))]].concat());
    let mut stream = begin(7, 1, 1);
    for piece in block.chunks(3) {
        stream.extend(record(PARAMS, 7, piece, 1));
    }
    stream.extend(record(PARAMS, 7, b"", 0));
    stream.extend(record(STDIN, 7, b"", 0));
    let transcript = read(&stream);
    assert!(transcript.requests[0].head.contains(&format!("COOKIE: {}", "c".repeat(300))));
    assert!(transcript.requests[0].head.contains("keep=true"));
}

#[test]
fn variables_may_be_longer_than_a_record_where_the_bound_permits() {
    let value = "v".repeat(100_000);
    let block = pairs(&[&GET[..], &[("LONG", &value)]].concat());
    let mut stream = begin(1, 1, 0);
    for piece in block.chunks(65_535) {
        stream.extend(record(PARAMS, 1, piece, 0));
    }
    stream.extend(record(PARAMS, 1, b"", 0));
    let limits = Limits { head_bytes_max: 1 << 20, ..Limits::default() };
    let transcript = deliver(Codec::FastCgi, &stream, &limits, std::iter::repeat(1000));
    assert!(transcript.requests[0].head.ends_with(&value));
    let transcript = deliver(Codec::FastCgi, &stream, &Limits::default(), std::iter::repeat(1000));
    assert_eq!(transcript.end.expect_err("refused").kind, Kind::HeadTooLarge);
}

#[test]
fn several_requests_come_one_after_the_other() {
    let stream = [request(1, 1, &GET, b"one"), request(1, 1, &GET, b""), request(2, 1, &GET, b"three")].concat();
    let transcript = read(&stream);
    let content: Vec<&[u8]> = transcript.requests.iter().map(|request| request.content.as_slice()).collect();
    assert_eq!((content, transcript.end), (vec![&b"one"[..], b"", b"three"], Ok(true)));
}

#[test]
fn records_of_requests_that_are_over_are_ignored() {
    let stream = [record(2, 1, b"", 0), record(STDIN, 1, b"late", 4), request(2, 0, &GET, b"")].concat();
    assert_eq!(read(&stream).requests.len(), 1);
}

#[test]
fn a_second_concurrent_request_is_refused() {
    let first = request(1, 0, &GET, b"");
    let (begun, rest) = first.split_at(16);
    let stream = [begun, &begin(2, 1, 1), &record(PARAMS, 2, b"ignored", 0), rest].concat();
    let transcript = read(&stream);
    let mut expected = Vec::new();
    encode::end_request(&mut expected, 2, EndStatus::CannotMultiplex);
    assert_eq!((transcript.replies, transcript.requests.len(), transcript.end), (expected, 1, Ok(true)));
}

#[test]
fn other_roles_are_refused_and_the_connection_goes_on() {
    let transcript = read(&[begin(1, 2, 1), request(2, 0, &GET, b"")].concat());
    let mut expected = Vec::new();
    encode::end_request(&mut expected, 1, EndStatus::UnknownRole);
    assert_eq!((transcript.replies, transcript.requests.len()), (expected, 1));
}

#[test]
fn the_connection_ends_with_a_request_of_another_role_unless_it_is_to_be_kept() {
    let transcript = read(&begin(1, 2, 0));
    let mut expected = Vec::new();
    encode::end_request(&mut expected, 1, EndStatus::UnknownRole);
    assert_eq!((transcript.end.expect_err("it ends").kind, transcript.replies), (Kind::ClientGone, expected));
}

#[test]
fn the_application_tells_about_itself() {
    let question =
        pairs(&[("FCGI_MPXS_CONNS", ""), ("FCGI_MAX_REQS", ""), ("FCGI_OTHER", ""), ("FCGI_MPXS_CONNS", "")]);
    let transcript = read(&[record(9, 0, &question, 1), record(77, 0, b"??", 0), request(1, 0, &GET, b"")].concat());
    let answer = pairs(&[("FCGI_MPXS_CONNS", "0"), ("FCGI_MAX_REQS", "10000")]);
    let expected = [record(10, 0, &answer, 0), record(11, 0, &[77, 0, 0, 0, 0, 0, 0, 0], 0)].concat();
    assert_eq!((transcript.replies, transcript.requests.len()), (expected, 1));
    refused(Kind::BadRequest, "beyond the end", &record(9, 0, b"\x09", 0));
    refused(Kind::BadRequest, "too many", &record(9, 0, b"", 0).repeat(17));
}

#[test]
fn a_request_that_is_given_up_ends() {
    let whole = request(1, 1, &[&GET[..], &[("CONTENT_LENGTH", "5")]].concat(), b"hello");
    for cut in [16, whole.len() - 8 - 7 - 13] {
        let transcript = read(&[&whole[..cut], &record(2, 1, b"", 0)].concat());
        let mut expected = Vec::new();
        encode::end_request(&mut expected, 1, EndStatus::Complete);
        assert_eq!((transcript.end.expect_err("gone").kind, transcript.replies), (Kind::ClientGone, expected));
    }
}

#[test]
fn broken_streams_are_refused() {
    let bad = Kind::BadRequest;
    refused(bad, "not HTTP", b"GET / HTTP/1.1\r\n\r\n");
    refused(bad, "version 1", &[2, 1, 0, 1, 0, 8, 0, 0]);
    refused(bad, "malformed", &record(1, 0, &[0, 1, 0, 0, 0, 0, 0, 0], 0));
    refused(bad, "too short", &record(1, 1, &[0, 1], 0));
    refused(bad, "longer than its kind", &record(1, 1, &[0; 1025], 0));
    refused(bad, "begins twice", &[begin(1, 1, 0), begin(1, 1, 0)].concat());
    refused(bad, "where it may not", &[begin(1, 1, 0), record(STDIN, 1, b"x", 0)].concat());
    refused(bad, "only an application", &record(6, 1, b"x", 0));
    let begun = [begin(1, 1, 0), record(PARAMS, 1, &pairs(&GET), 0)].concat();
    let end = record(PARAMS, 1, b"", 0);
    refused(bad, "beyond the end", &[&begun, &record(PARAMS, 1, b"\x05\x05abc", 0)[..], &end].concat());
    refused(
        bad,
        "beyond the end",
        &[&begun, &record(PARAMS, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff", 0)[..], &end].concat(),
    );
    refused(bad, "where it may not", &[&begun, &end[..], &record(PARAMS, 1, b"x", 0)].concat());
    let sized =
        |length: &str, content: &[u8]| request(1, 0, &[&GET[..], &[("CONTENT_LENGTH", length)]].concat(), content);
    refused(bad, "shorter", &sized("4", b"abc"));
    refused(bad, "longer", &sized("2", b"abc"));
    refused(bad, "longer", &sized("0", b"abc"));
    refused(Kind::BodyTooLarge, "above", &sized("99999999999", b""));
}

#[test]
fn content_without_a_length_has_a_bound_too() {
    let limits = Limits { body_bytes_max: 3, ..Limits::default() };
    let stream = request(1, 0, &GET, b"abcd");
    let transcript = deliver(Codec::FastCgi, &stream, &limits, std::iter::repeat(5));
    assert_eq!(transcript.end.expect_err("refused").kind, Kind::BodyTooLarge);
}

#[derive(Debug, Clone)]
struct Piece {
    kind: u8,
    id: u16,
    content: Vec<u8>,
    padding: u8,
}

fn piece() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        2 => Just(Vec::new()),
        2 => Just(pairs(&GET)),
        1 => Just(pairs(&[("CONTENT_LENGTH", "3"), ("HTTP_X", "1")])),
        1 => Just(vec![0, 1, 1, 0, 0, 0, 0, 0]),
        2 => prop::collection::vec(any::<u8>(), 0..12),
    ];
    let kind = prop_oneof![8 => prop::sample::select(vec![1_u8, PARAMS, STDIN]), 2 => 0..13_u8];
    (kind, prop_oneof![6 => Just(1_u16), 1 => 0..3_u16], content, 0..9_u8)
        .prop_map(|(kind, id, content, padding)| Piece { kind, id, content, padding })
        .prop_map(|Piece { kind, id, content, padding }| record(kind, id, &content, padding))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_streams_have_the_same_result_in_random_pieces(
        valid in any::<bool>(),
        records in prop::collection::vec(piece(), 0..8),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        pieces in prop::collection::vec(1..40_usize, 0..20),
    ) {
        let mut stream = if valid { request(1, 1, &GET, b"content") } else { begin(1, 1, 1) };
        stream.extend(records.concat());
        if let Some((at, byte)) = mutation {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        check(Codec::FastCgi, &stream, &pieces);
    }
}
