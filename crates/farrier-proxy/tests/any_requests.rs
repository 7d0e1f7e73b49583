//! Property test: whatever the front takes for a request becomes one well-formed request for an upstream.

#![allow(clippy::expect_used)]

mod any_request;

use proptest::prelude::*;

const LINES: [&str; 24] = [
    "Connection: close, X-A",
    "Connection: TE, upgrade",
    "Connection: host",
    "X-A: 1",
    "Via: 1.1 p (a, b)",
    "TE: trailers",
    "Upgrade: websocket",
    "Upgrade: h2c, x/1",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "X-Forwarded-For: 1.1.1.1",
    "Forwarded: for=a",
    "Expect: 100-continue",
    "Cookie: a=b",
    "X-B: \u{fc}\t c",
    "Trailer: X",
    "Proxy: x",
    "Max-Forwards: 3",
    "Keep-Alive: timeout=9",
    "X-Accel-Limit-Rate: 1",
    "Content-Length: 3",
    "X_A: 1",
    "Transfer-Encoding: chunked",
    "Content-Type: a",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_request_is_one_request_for_the_upstream(
        flags in any::<u16>(),
        line in prop::sample::select(vec![
            "GET /a/%41?b", "POST /", "OPTIONS *", "OPTIONS http://h", "GET http://h?x", "PUT /a", "GET /a//b", "TRACE /a%2Fb?",
            "GET /%00", "CONNECT h:1",
        ]),
        version in prop::sample::select(vec!["1.1", "1.0", "1.1"]),
        host in prop::sample::select(vec!["Host: h\r\n", "Host: h\r\n", "Host: h:80\r\n", "Host: h:1\r\n", ""]),
        lines in prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..8),
    ) {
        let fields: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        any_request::check(flags, format!("{line} HTTP/{version}\r\n{host}{fields}\r\n").as_bytes());
    }
}
