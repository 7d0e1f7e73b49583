//! Tests of what is written to an HTTP/1.1 upstream: request line, fields, framing and the end of chunked content
//! (RFC 9112 §3, §5, §6, §7.1).

#![allow(clippy::unwrap_used)]

use farrier_http::wire::client::encode::{encode_field, encode_framing, encode_last_chunk, encode_request_line};
use farrier_http::wire::h1::encode::{CHUNK_END, encode_chunk_size};
use farrier_http::wire::h1::framing::sent_framing;
use farrier_http::wire::h1::{ContentDecoder, HeadDecoder};
use farrier_http::{BodyFraming, Limits, RequestHead, ResponseHead};

#[test]
fn the_framing_of_a_request_follows_from_method_and_length() {
    for (method, length, framing) in [
        ("GET", Some(0), BodyFraming::None),
        ("POST", Some(0), BodyFraming::Length(0)),
        ("PUT", Some(0), BodyFraming::Length(0)),
        ("PATCH", Some(0), BodyFraming::Length(0)),
        ("GET", Some(3), BodyFraming::Length(3)),
        ("GET", None, BodyFraming::Chunked),
    ] {
        assert_eq!(sent_framing(method.as_bytes(), length), framing, "{method} {length:?}");
    }
}

fn head(framing: BodyFraming) -> Vec<u8> {
    let mut out = Vec::new();
    encode_request_line(&mut out, b"POST", b"/a?b");
    encode_field(&mut out, b"Host", b"a.test");
    encode_framing(&mut out, framing);
    out
}

#[test]
fn a_head_is_a_request_line_fields_and_one_framing() {
    let start = "POST /a?b HTTP/1.1\r\nHost: a.test\r\n";
    for (framing, field) in [
        (BodyFraming::None, ""),
        (BodyFraming::Length(0), "Content-Length: 0\r\n"),
        (BodyFraming::Length(u64::MAX), "Content-Length: 18446744073709551615\r\n"),
        (BodyFraming::Chunked, "Transfer-Encoding: chunked\r\n"),
    ] {
        assert_eq!(String::from_utf8_lossy(&head(framing)), format!("{start}{field}\r\n"));
    }
}

#[test]
fn chunked_content_ends_with_its_trailers() {
    let mut trailers = ResponseHead::default();
    trailers.add(b"X-Sum", b"1").unwrap();
    for (trailers, end) in
        [(Some(&trailers), "0\r\nX-Sum: 1\r\n\r\n"), (Some(&ResponseHead::default()), "0\r\n\r\n"), (None, "0\r\n\r\n")]
    {
        let mut out = head(BodyFraming::Chunked);
        encode_chunk_size(&mut out, 3);
        out.extend_from_slice(b"abc");
        out.extend_from_slice(CHUNK_END);
        encode_last_chunk(&mut out, trailers);
        assert!(out.ends_with(format!("3\r\nabc\r\n{end}").as_bytes()));
        let (limits, mut read) = (Limits::default(), RequestHead::default());
        assert_eq!(HeadDecoder::default().decode(&out, &limits, &mut read), Ok(true));
        let mut content = ContentDecoder::new(read.framing, &limits).unwrap();
        let rest = &out[read.bytes..];
        let piece = content.decode(rest, &limits).unwrap();
        assert_eq!(&rest[piece.content], b"abc");
        let last = content.decode(&rest[piece.consumed..], &limits).unwrap();
        assert_eq!((last.done, piece.consumed + last.consumed), (true, rest.len()));
    }
}
