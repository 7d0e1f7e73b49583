//! Whole messages through the HTTP/1.1 codec: head, content, and the response's head.

#![allow(clippy::unwrap_used)]

use farrier_http::wire::h1::encode::encode_head;
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::h1::{ContentDecoder, HeadDecoder, RequestFacts};
use farrier_http::{BodyFraming, Limits, RequestHead, ResponseHead};

#[test]
fn a_plain_request_is_read() {
    let bytes = b"GET /a/b?c=d HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept: */*\r\n\r\nGET";
    let mut head = RequestHead::default();
    assert_eq!(HeadDecoder::default().decode(bytes, &Limits::default(), &mut head), Ok(true));
    let text = |span: farrier_http::Span| str::from_utf8(&bytes[span.range()]).unwrap();
    assert_eq!(text(head.method), "GET");
    assert_eq!(text(head.target), "/a/b?c=d");
    assert_eq!(text(head.path), "/a/b");
    assert_eq!(text(head.query), "c=d");
    assert_eq!(text(head.host), "127.0.0.1:8000");
    assert_eq!(head.fields.len(), 2);
    assert_eq!(head.framing, BodyFraming::None);
    assert!(head.keep_alive);
    assert_eq!(&bytes[head.bytes..], b"GET");
}

#[test]
fn a_chunked_content_is_decoded() {
    let bytes = b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET";
    let limits = Limits::default();
    let mut decoder = ContentDecoder::new(BodyFraming::Chunked, &limits).unwrap();
    let (mut at, mut content) = (0, Vec::new());
    loop {
        let decoded = decoder.decode(&bytes[at..], &limits).unwrap();
        content.extend_from_slice(&bytes[at..][decoded.content]);
        at += decoded.consumed;
        if decoded.done {
            break;
        }
    }
    assert_eq!(content, b"hello world");
    assert_eq!(&bytes[at..], b"GET");
}

#[test]
fn a_response_head_is_encoded() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut head = RequestHead::default();
    assert_eq!(HeadDecoder::default().decode(bytes, &Limits::default(), &mut head), Ok(true));
    let facts = RequestFacts::of(&head, bytes);
    let mut response = ResponseHead::default();
    response.add(b"Content-Type", b"text/plain").unwrap();
    let framing = response_framing(facts, &response, Some(13));
    let mut out = Vec::new();
    encode_head(&mut out, &response, framing, facts, true, b"Sun, 06 Nov 1994 08:49:37 GMT", b"farrier");
    assert_eq!(
        str::from_utf8(&out).unwrap(),
        "HTTP/1.1 200 OK\r\nServer: farrier\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 13\r\n\
         Content-Type: text/plain\r\n\r\n"
    );
}
