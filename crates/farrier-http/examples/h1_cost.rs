//! Decodes or encodes a head many times, to count instructions: `valgrind --tool=callgrind
//! target/release/examples/h1_cost wrk 100000`. The first argument is `wrk`, `browser`, `browser_in_two`, `response` (a head)
//! or `answer`.

#![allow(clippy::unwrap_used)]

use std::hint::black_box;

use farrier_http::wire::h1::encode::encode_head;
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::h1::{HeadDecoder, RequestFacts};
use farrier_http::wire::response_encoder::ServerFields;
use farrier_http::wire::{ResponseAccount, ResponseEncoder};
use farrier_http::{Limits, RequestHead, ResponseHead, Version, Via};

const WRK: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2024/a-title-of-some-length/?page=2&sort=date HTTP/1.1\r\n\
Host: www.example.com\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-US,en;q=0.5\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.com/articles/2024/\r\n\
Connection: keep-alive\r\n\
Cookie: csrftoken=0123456789abcdefghijklmnopqrstuv; sessionid=abcdefghijklmnopqrstuvwxyz012345\r\n\
Upgrade-Insecure-Requests: 1\r\n\
Sec-Fetch-Dest: document\r\n\
Sec-Fetch-Mode: navigate\r\n\
Sec-Fetch-Site: same-origin\r\n\
\r\n";

fn decode(bytes: &[u8], splits: &[usize], count: usize) {
    let limits = Limits::default();
    let mut head = RequestHead::default();
    for _ in 0..count {
        let mut decoder = HeadDecoder::default();
        for &split in splits {
            assert!(!decoder.decode(black_box(&bytes[..split]), &limits, &mut head).unwrap());
        }
        assert!(decoder.decode(black_box(bytes), &limits, &mut head).unwrap());
        black_box(&head);
    }
}

fn encode(count: usize) {
    let mut head = RequestHead::default();
    HeadDecoder::default().decode(WRK, &Limits::default(), &mut head).unwrap();
    let facts = RequestFacts::of(&head, WRK);
    let mut response = ResponseHead::default();
    response.add(b"Content-Type", b"text/plain").unwrap();
    let mut out = Vec::new();
    for _ in 0..count {
        out.clear();
        let response = black_box(&response);
        let framing = response_framing(facts, response, Some(13));
        encode_head(&mut out, response, framing, facts, true, b"Sun, 06 Nov 1994 08:49:37 GMT", b"farrier");
        black_box(&out);
    }
}

/// A whole response with small content, as a seat gives it.
fn answer(count: usize) {
    let facts = RequestFacts { is_head: false, version: Version::Http11, keep_alive: true };
    let mut response = ResponseHead::default();
    response.add(b"Content-Type", b"text/plain").unwrap();
    let fields = ServerFields { date: b"Sun, 06 Nov 1994 08:49:37 GMT", server: b"farrier" };
    let mut out = Vec::new();
    for _ in 0..count {
        out.clear();
        let mut encoder = ResponseEncoder::new(facts, Via::Http);
        let mut account = ResponseAccount::default();
        encoder.head(&mut out, black_box(&response), Some(13), fields, &mut account);
        assert!(!account.count(13).is_cut);
        encoder.copy(&mut out, black_box(b"Hello, world!"));
        assert!(account.close());
        encoder.finish(&mut out);
        black_box(&out);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let what = arguments.next().unwrap_or_default();
    let count = arguments.next().map_or(1_000_000, |count| count.parse().unwrap());
    match what.as_str() {
        "wrk" => decode(WRK, &[], count),
        "browser" => decode(BROWSER, &[], count),
        "browser_in_two" => decode(BROWSER, &[400], count),
        "response" => encode(count),
        "answer" => answer(count),
        _ => eprintln!("usage: h1_cost wrk|browser|browser_in_two|response|answer [count]"),
    }
}
