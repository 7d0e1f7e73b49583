//! Responses as bytes: one encoder for HTTP/1.1, HTTP/1.0, uwsgi and FastCGI, and the account beside it.

#![allow(clippy::unwrap_used)]

use farrier_http::wire::h1::{RequestFacts, ResponseFraming};
use farrier_http::wire::response_encoder::{PieceFraming, ServerFields};
use farrier_http::wire::{ResponseAccount, ResponseEncoder};
use farrier_http::{ResponseHead, Status, Version, Via};
use proptest::prelude::*;

const FIELDS: ServerFields<'_> = ServerFields { date: b"Sun, 06 Nov 1994 08:49:37 GMT", server: b"" };

fn facts(version: Version) -> RequestFacts {
    RequestFacts { is_head: false, version, keep_alive: version == Version::Http11 }
}

/// A whole response, its content given in pieces: copied ones and ones that stay where they are take turns.
fn encoded(via: Via, version: Version, length: Option<u64>, pieces: &[&[u8]]) -> Vec<u8> {
    let mut encoder = ResponseEncoder::new(facts(version), via);
    let (mut out, mut wire) = (Vec::new(), Vec::new());
    encoder.head(&mut out, &ResponseHead::new(Status::OK), length, FIELDS, &mut ResponseAccount::default());
    for (index, piece) in pieces.iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
        if index % 2 == 0 {
            encoder.copy(&mut out, piece);
            continue;
        }
        let mut rest = *piece;
        while !rest.is_empty() {
            let frame = encoder.frame(&mut out, rest.len());
            wire.append(&mut out);
            wire.extend_from_slice(&rest[..frame.bytes]);
            wire.extend_from_slice(frame.end);
            rest = &rest[frame.bytes..];
        }
    }
    encoder.finish(&mut out);
    wire.append(&mut out);
    wire
}

#[test]
fn each_protocol_has_its_form() {
    #[track_caller]
    fn check(via: Via, version: Version, length: Option<u64>, wire: &[u8]) {
        let is = encoded(via, version, length, &[b"abc", b"de"]);
        assert_eq!(is.escape_ascii().to_string(), wire.escape_ascii().to_string());
    }
    let chunked = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    check(Via::Http, Version::Http11, None, chunked);
    let with_length = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 5\r\n\r\nabcde";
    check(Via::Http, Version::Http11, Some(5), with_length);
    let until_close = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nConnection: close\r\n\r\nabcde";
    check(Via::Http, Version::Http10, None, until_close);
    check(Via::Uwsgi, Version::Http11, None, b"HTTP/1.1 200 OK\r\n\r\nabcde");
    let records = b"\x01\x06\x00\x07\x00\x17\x00\x00Status: 200 OK\r\n\r\nabcde\x01\x06\x00\x07\x00\x00\x00\x00\x01\x03\x00\x07\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    check(Via::FastCgi(7), Version::Http10, None, records);
}

#[test]
fn only_a_response_that_ends_with_its_connection_ends_by_close() {
    let ends_by_close = |via, version, length| {
        let mut encoder = ResponseEncoder::new(facts(version), via);
        encoder.head(&mut Vec::new(), &ResponseHead::new(Status::OK), length, FIELDS, &mut ResponseAccount::default());
        (encoder.ends_by_close(), encoder.lives_on())
    };
    assert_eq!(ends_by_close(Via::Http, Version::Http11, None), (false, true));
    assert_eq!(ends_by_close(Via::Http, Version::Http10, None), (true, false));
    assert_eq!(ends_by_close(Via::Http, Version::Http10, Some(1)), (false, false));
    assert_eq!(ends_by_close(Via::Uwsgi, Version::Http11, None), (true, false));
    assert_eq!(ends_by_close(Via::FastCgi(1), Version::Http10, None), (false, false));
}

#[test]
fn only_an_interim_status_makes_an_interim_response() {
    let encoder = ResponseEncoder::new(facts(Version::Http11), Via::Http);
    for (status, is_sent) in [(100, true), (101, false), (103, true), (200, false)] {
        let mut out = Vec::new();
        assert_eq!(encoder.interim(&mut out, &ResponseHead::new(Status(status))), is_sent, "{status}");
        assert_eq!(out.is_empty(), !is_sent);
    }
}

#[test]
fn the_account_cuts_what_is_too_long_and_misses_what_is_too_short() {
    let mut account = ResponseAccount::default();
    account.begin(&ResponseHead::new(Status::OK), ResponseFraming::Length(5));
    assert_eq!(account.count(3).bytes, 3);
    assert!(!account.is_complete() && account.fault().is_none());
    let last = account.count(3);
    assert_eq!((last.bytes, last.is_cut, account.is_complete(), account.close()), (2, true, true, true));
    assert!(account.fault().unwrap().cause.contains("more than its Content-Length"));
    let mut account = ResponseAccount::default();
    account.begin(&ResponseHead::new(Status::OK), ResponseFraming::Length(5));
    account.count(4);
    assert!(!account.close());
    assert!(account.fault().unwrap().cause.contains("fewer bytes"));
    let mut account = ResponseAccount::default();
    account.begin(&ResponseHead::new(Status::OK), ResponseFraming::NoContent(Some(5)));
    assert_eq!((account.count(5).bytes, account.close(), account.content_bytes()), (0, true, 0));
}

/// The content of an HTTP response, read as a client reads it.
fn read_http(wire: &[u8]) -> Vec<u8> {
    let head_bytes = wire.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let (head, mut rest) = wire.split_at(head_bytes);
    if !String::from_utf8_lossy(head).contains("chunked") {
        return rest.to_vec();
    }
    let mut content = Vec::new();
    loop {
        let line_bytes = rest.windows(2).position(|two| two == b"\r\n").unwrap();
        let bytes = usize::from_str_radix(std::str::from_utf8(&rest[..line_bytes]).unwrap(), 16).unwrap();
        rest = &rest[line_bytes + 2..];
        assert_eq!(&rest[bytes..bytes + 2], b"\r\n");
        content.extend_from_slice(&rest[..bytes]);
        rest = &rest[bytes + 2..];
        if bytes == 0 {
            assert!(rest.is_empty());
            return content;
        }
    }
}

/// The stream of a FastCGI response behind its head.
fn read_fastcgi(wire: &[u8]) -> Vec<u8> {
    let (mut rest, mut stream, mut has_ended) = (wire, Vec::new(), false);
    while !rest.is_empty() {
        assert_eq!((rest[0], &rest[2..4], rest[6]), (1, &[0, 7][..], 0));
        let bytes = usize::from(u16::from_be_bytes([rest[4], rest[5]]));
        match rest[1] {
            6 if bytes == 0 => has_ended = true,
            6 => stream.extend_from_slice(&rest[8..8 + bytes]),
            kind => assert_eq!((kind, has_ended), (3, true)),
        }
        rest = &rest[8 + bytes..];
    }
    let head_bytes = stream.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    stream.split_off(head_bytes)
}

proptest! {
    #[test]
    fn any_split_of_the_content_reaches_the_client_as_the_same_bytes(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..5000), 0..8),
        large in 0_usize..200_000,
    ) {
        let large = vec![b'x'; large];
        let mut pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        pieces.push(&large);
        let content = pieces.concat();
        let length = Some(content.len() as u64);
        prop_assert!(read_http(&encoded(Via::Http, Version::Http11, None, &pieces)) == content);
        prop_assert!(read_http(&encoded(Via::Http, Version::Http11, length, &pieces)) == content);
        prop_assert!(read_http(&encoded(Via::Http, Version::Http10, None, &pieces)) == content);
        prop_assert!(read_http(&encoded(Via::Uwsgi, Version::Http11, None, &pieces)) == content);
        prop_assert!(read_fastcgi(&encoded(Via::FastCgi(7), Version::Http11, None, &pieces)) == content);
    }
}

#[test]
fn pieces_of_a_file_are_framed_without_an_encoder() {
    let framed = |framing: PieceFraming| {
        let mut out = Vec::new();
        framing.encode(&mut out, b"abc");
        out
    };
    assert_eq!(framed(PieceFraming::Bare), b"abc");
    assert_eq!(framed(PieceFraming::Chunk), b"3\r\nabc\r\n");
    assert_eq!(framed(PieceFraming::Record(7)), b"\x01\x06\x00\x07\x00\x03\x00\x00abc");
}
