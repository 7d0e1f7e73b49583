//! Tests of what an HTTP/1.1 upstream is sent: one line of the specification per test (RFC 9110 §7, RFC 9112 §3, §6).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forwarding;

use farrier_http::wire::h1::HeadDecoder;
use farrier_http::{BodyFraming, KnownField, Limits, Peer, RequestHead, Scheme, Version};
use farrier_proxy::request::HostRule;
use farrier_proxy::target::PathRule;
use farrier_proxy::{Facts, ForwardedForm, Refused, RequestPolicy, Template};
use forwarding::{facts, forwarded, request};
use proptest::prelude::*;

/// A policy that adds nothing.
fn bare() -> RequestPolicy {
    RequestPolicy { forwarded: ForwardedForm::None, ..RequestPolicy::default() }
}

/// Compares the fields that are sent, without Host and in order.
#[track_caller]
fn check(policy: &RequestPolicy, fields: &str, expected: &str) {
    let request = request(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
    let sent = forwarded(&request, policy, &facts(&request)).expect("is forwarded");
    assert_eq!(sent, format!("GET / HTTP/1.1\r\nHost: a.test\r\n{expected}\r\n"), "{fields:?}");
}

#[track_caller]
fn check_refused(fields: &str) {
    let request = request(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n"));
    let refused = forwarded(&request, &bare(), &facts(&request));
    assert!(matches!(refused, Err(Refused::Error(_))), "{fields:?}: {refused:?}");
}

#[track_caller]
fn check_target(line: &str, expected: &str) {
    let request = request(&format!("{line} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
    let sent = forwarded(&request, &bare(), &facts(&request)).expect("is forwarded");
    assert_eq!(sent.split(' ').nth(1), Some(expected), "{line}");
}

#[test]
fn the_target_is_in_origin_form_and_as_it_was_received() {
    check_target("GET /a%2fb/../%41?x=%20&y?z", "/a%2fb/../%41?x=%20&y?z");
    check_target("GET /a?", "/a?");
    check_target("GET //host/x", "//host/x");
    check_target("GET /{|}\"", "/{|}\"");
    check_target("GET http://a.test/b?c", "/b?c");
    check_target("GET http://a.test", "/");
    check_target("GET http://a.test?c", "/?c");
    check_target("OPTIONS *", "*");
    check_target("OPTIONS http://a.test", "*");
    check_target("OPTIONS http://a.test/", "/");
}

#[test]
fn a_mount_may_take_its_path_away_and_put_another_there() {
    for (path, mount, put, expected) in [
        ("/api/x?y", "/api", "", "/x?y"),
        ("/api", "/api", "", "/"),
        ("/api/", "/api", "", "/"),
        ("/api?q", "/api", "", "/?q"),
        ("/%61pi/x", "/%61pi", "", "/x"),
        ("/api//evil.test/x", "/api", "", "/evil.test/x"),
        ("/api%2Fx", "/api", "", "/x"),
        ("/api/%2e%2e/x", "/api", "", "/%2e%2e/x"),
        ("/api/x", "/api", "/v2", "/v2/x"),
        ("/api", "/api", "/v2", "/v2"),
        ("/api/", "/api", "/v2", "/v2/"),
        ("/x", "", "/v2", "/v2/x"),
        ("/x", "", "", "/x"),
    ] {
        let rule = PathRule { strip: true, put: put.as_bytes().into() };
        let policy = RequestPolicy { path: rule, ..bare() };
        let request = request(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
        let facts = facts(&request).stripping(&request, &policy.path, mount.len());
        let sent = forwarded(&request, &policy, &facts).unwrap();
        assert_eq!(sent.split(' ').nth(1), Some(expected), "{path} below {mount} with {put}");
    }
}

#[test]
fn there_is_one_host_and_it_comes_first() {
    let host = |line: &str, rule: HostRule| {
        let policy = RequestPolicy { host: rule, ..bare() };
        let request = request(line);
        forwarded(&request, &policy, &facts(&request)).unwrap().lines().nth(1).unwrap().to_owned()
    };
    let line = "GET / HTTP/1.1\r\nAccept: x\r\nHost: A.test:80\r\n\r\n";
    assert_eq!(host(line, HostRule::Client), "Host: A.test:80");
    assert_eq!(host(line, HostRule::Upstream), "Host: up:8000");
    assert_eq!(host(line, HostRule::Fixed(b"b.test"[..].into())), "Host: b.test");
    assert_eq!(host("GET http://a.test/ HTTP/1.0\r\n\r\n", HostRule::Client), "Host: a.test");
    assert_eq!(host("GET / HTTP/1.0\r\n\r\n", HostRule::Client), "Host: up:8000");
}

#[test]
fn fields_of_the_connection_are_not_forwarded() {
    let fields = "Keep-Alive: 1\r\nProxy-Connection: x\r\nTE: gzip\r\nTrailer: x\r\nUpgrade: h2c\r\n\
                  Proxy-Authenticate: x\r\nProxy-Authorization: x\r\nHTTP2-Settings: x\r\nConnection: keep-alive, upgrade\r\n";
    check(&bare(), &format!("{fields}X: y\r\n"), "X: y\r\n");
    check(&bare(), "Connection: close,, X-A ,\r\nX-A: 1\r\nX-B: 2\r\nconnection: x-c\r\nX-C: 3\r\n", "X-B: 2\r\n");
    check_refused("Connection: Host\r\n");
    check_refused("Connection: x, content-length\r\n");
    check_refused(&format!("Connection: {}\r\n", "a,".repeat(40)));
}

#[test]
fn order_spelling_and_duplicates_of_other_fields_are_kept() {
    let fields = "cookie: a\r\nX-B: \r\naCCEPT: 1, 2\r\nX-B: 3\r\nRange: bytes=0-1\r\n";
    check(&bare(), fields, fields);
}

#[test]
fn fields_that_talk_to_servers_are_removed() {
    check(
        &bare(),
        "Proxy: http://evil.test\r\nX-Accel-Redirect: /x\r\nx-accel-buffering: no\r\nX-Sendfile: /x\r\nX-Accel-On: 1\r\nA: b\r\n",
        "A: b\r\n",
    );
}

#[test]
fn framing_is_made_anew() {
    for (method, length, expected) in [
        ("GET", Some(0), ""),
        ("DELETE", Some(0), ""),
        ("POST", Some(0), "Content-Length: 0\r\n"),
        ("PUT", Some(0), "Content-Length: 0\r\n"),
        ("PATCH", Some(0), "Content-Length: 0\r\n"),
        ("GET", Some(5), "Content-Length: 5\r\n"),
        ("POST", Some(5), "Content-Length: 5\r\n"),
        ("POST", None, "Transfer-Encoding: chunked\r\n"),
    ] {
        for client in ["Content-Length: 77\r\n", "Transfer-Encoding: chunked\r\n", ""] {
            let request = request(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{client}\r\n"));
            let facts = Facts { content_length: length, ..facts(&request) };
            let sent = forwarded(&request, &bare(), &facts).unwrap();
            assert_eq!(sent, format!("{method} / HTTP/1.1\r\nHost: a\r\n{expected}\r\n"));
        }
    }
}

#[test]
fn trailers_are_asked_for_only_if_client_and_front_take_them() {
    let of = |fields: &str, takes_trailers, version| {
        let mut request = request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        request.head.version = version;
        let facts = Facts { takes_trailers, ..facts(&request) };
        forwarded(&request, &bare(), &facts).unwrap().contains("Connection: TE\r\nTE: trailers\r\n")
    };
    assert!(of("TE: gzip, trailers\r\n", true, Version::Http11));
    assert!(!of("TE: trailers\r\n", false, Version::Http11));
    assert!(!of("TE: gzip\r\n", true, Version::Http11));
    assert!(of("", true, Version::Http2));
}

#[test]
fn the_last_request_of_a_connection_says_so() {
    let request = request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let sent = forwarded(&request, &bare(), &Facts { is_last: true, ..facts(&request) }).unwrap();
    assert!(sent.contains("Connection: close\r\n"));
}

#[test]
fn an_expectation_is_consumed_unless_the_upstream_shall_decide() {
    let request = request("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    let sent = |expect_continue| {
        let facts = Facts { expect_continue, content_length: Some(5), ..facts(&request) };
        forwarded(&request, &bare(), &facts).unwrap().contains("Expect")
    };
    assert_eq!((sent(false), sent(true)), (false, true));
}

#[test]
fn max_forwards_counts_the_hops_of_options_and_trace() {
    let of = |method: &str, value: &str| {
        let request = request(&format!("{method} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: {value}\r\n\r\n"));
        forwarded(&request, &bare(), &facts(&request))
    };
    assert!(of("OPTIONS", "5").unwrap().contains("Max-Forwards: 4\r\n"));
    assert_eq!(of("OPTIONS", "0"), Err(Refused::LastHop));
    assert_eq!(of("TRACE", "0"), Err(Refused::LastHop));
    assert!(matches!(of("TRACE", "x"), Err(Refused::Error(_))));
    assert!(of("GET", "0").unwrap().contains("Max-Forwards: 0\r\n"));
}

#[test]
fn via_is_extended_and_shows_a_loop() {
    let policy = RequestPolicy { via: b"farrier"[..].into(), ..bare() };
    check(&policy, "", "Via: 1.1 farrier\r\n");
    check(
        &policy,
        "Via: 1.0 fred\r\nA: b\r\nvia: 2 p (x, y)\r\n",
        "A: b\r\nVia: 1.0 fred, 2 p (x, y), 1.1 farrier\r\n",
    );
    let of = |times: usize| {
        let request = request(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "Via: 1.1 Farrier\r\n".repeat(times)));
        forwarded(&request, &policy, &facts(&request)).err()
    };
    assert_eq!((of(10), of(11)), (None, Some(Refused::Loop)));
    check(&bare(), "Via: 1.1 x\r\n", "Via: 1.1 x\r\n");
}

const CLAIMS: &str = "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n\
                      X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Real-IP: 198.51.100.1\r\nX-Forwarded-User: root\r\n\
                      Forwarded: for=198.51.100.1\r\nX-Forwarded-Ssl: on\r\n";

#[test]
fn what_an_untrusted_peer_says_of_the_client_is_replaced() {
    let policy = RequestPolicy::default();
    let own = "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a.test\r\n\
               X-Forwarded-Port: 443\r\nX-Real-IP: 192.0.2.7\r\n";
    check(&policy, CLAIMS, own);
    check(&bare(), CLAIMS, "");
    // CVE-2022-31813: a client had the proxy's own fields removed by naming them in Connection.
    check(
        &policy,
        "Connection: X-Forwarded-For, x-forwarded-proto, X-Real-IP, X-Forwarded-Host, X-Forwarded-Port\r\n",
        own,
    );
}

#[test]
fn what_a_trusted_peer_says_of_the_client_is_extended() {
    let mut request = request(&format!("GET / HTTP/1.1\r\nHost: a.test\r\n{CLAIMS}\r\n"));
    request.origin.peer = Peer::Tcp("198.51.100.1:0".parse().unwrap());
    request.origin.scheme = Scheme::Https;
    let peer = Peer::Tcp("10.0.0.1:9".parse().unwrap());
    let of = |form, peer| {
        let facts = Facts { is_trusted: true, peer, ..facts(&request) };
        let policy = RequestPolicy { forwarded: form, ..RequestPolicy::default() };
        let sent = forwarded(&request, &policy, &facts).unwrap();
        sent.split_once("Host: a.test\r\n").unwrap().1.to_owned()
    };
    let sent = of(ForwardedForm::X, peer);
    assert_eq!(
        sent,
        "X-Forwarded-User: root\r\nX-Forwarded-For: 198.51.100.1, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: a.test\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 198.51.100.1\r\n\r\n"
    );
    assert!(
        of(ForwardedForm::X, Peer::Unix).contains("X-Forwarded-For: 198.51.100.1\r\n"),
        "a unix peer has no address"
    );
    assert_eq!(
        of(ForwardedForm::Rfc7239, peer),
        "X-Forwarded-User: root\r\nForwarded: for=198.51.100.1, for=10.0.0.1;proto=https;host=\"a.test\"\r\n\r\n"
    );
    assert_eq!(of(ForwardedForm::None, peer), format!("{CLAIMS}\r\n"));
}

#[test]
fn an_ipv6_address_is_quoted_and_in_brackets_in_forwarded() {
    let request = request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    for (peer, expected) in [("[2001:db8::1]:9", "for=\"[2001:db8::1]\""), ("[::ffff:192.0.2.1]:9", "for=192.0.2.1")] {
        let facts = Facts { peer: Peer::Tcp(peer.parse().unwrap()), ..facts(&request) };
        let policy = RequestPolicy { forwarded: ForwardedForm::Rfc7239, ..RequestPolicy::default() };
        let sent = forwarded(&request, &policy, &facts).unwrap();
        assert!(sent.contains(&format!("Forwarded: {expected};proto=http;host=\"a.test\"\r\n")), "{sent}");
    }
}

#[test]
fn the_prefix_that_was_taken_away_is_told() {
    let policy = RequestPolicy { path: PathRule { strip: true, put: Box::default() }, ..RequestPolicy::default() };
    let request = request("GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let facts = facts(&request).stripping(&request, &policy.path, 4);
    assert!(forwarded(&request, &policy, &facts).unwrap().contains("X-Forwarded-Prefix: /api\r\n"));
}

#[test]
fn the_configuration_has_the_last_word_on_a_field() {
    let mut policy = RequestPolicy::default();
    policy.edits.set("X-Forwarded-For", Template::parse("$remote_addr").unwrap()).unwrap();
    policy.edits.set("X-Url", Template::parse("$scheme://$host$path?$query#$request_id").unwrap()).unwrap();
    policy.edits.set("Accept-Encoding", Template::parse("").unwrap()).unwrap();
    for name in ["x-forwarded-proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Real-IP", "Cookie"] {
        policy.edits.remove(name).unwrap();
    }
    let request =
        request("GET /p?q HTTP/1.1\r\nHost: a.test\r\nx-url: y\r\nAccept-Encoding: gzip\r\ncookie: c\r\n\r\n");
    let sent = forwarded(&request, &policy, &Facts { request_id: b"id7", ..facts(&request) }).unwrap();
    assert_eq!(
        sent,
        "GET /p?q HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: 192.0.2.7\r\nX-Url: http://a.test/p?q#id7\r\n\r\n"
    );
    policy.edits.set("x-url", Template::parse("last").unwrap()).unwrap();
    let sent = forwarded(&request, &policy, &facts(&request)).unwrap();
    assert_eq!(sent.to_lowercase().matches("x-url: ").count(), 1, "of two values for a name the last counts: {sent}");
    for name in ["Host", "Content-Length", "connection", "Transfer-Encoding", "te", "a b", ""] {
        assert!(policy.edits.set(name, Template::parse("x").unwrap()).is_err(), "{name}");
        assert!(policy.edits.remove(name).is_err(), "{name}");
    }
}

#[test]
fn a_decoded_path_is_encoded_again() {
    // A web server in front has decoded PATH_INFO; the bytes must not end the request line.
    let mut request = request("GET /abcdefghijkl HTTP/1.1\r\nHost: a\r\n\r\n");
    let path = request.head.path;
    request.head.gateway.path_is_decoded = true;
    request.arena.filled_mut()[path.range()].copy_from_slice(b"/a b?#%\r\n\xff\"\\|");
    let sent = forwarded(&request, &bare(), &facts(&request)).unwrap();
    assert!(sent.starts_with("GET /a%20b%3F%23%25%0D%0A%FF%22%5C%7C HTTP/1.1\r\n"), "{sent}");
}

/// Parts of heads that are each harmless or not.
const LINES: [&str; 16] = [
    "Connection: close, X-A",
    "Connection: TE, keep-alive",
    "X-A: 1",
    "Via: 1.1 p",
    "TE: trailers",
    "Upgrade: websocket",
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
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_forwarded_head_is_one_request_to_a_strict_reader(
        lines in prop::collection::vec(prop::sample::select(LINES.to_vec()), 0..12),
        framing in prop::sample::select(vec!["", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n"]),
        method in prop::sample::select(vec!["GET", "POST", "OPTIONS"]),
        length in prop::option::of(0..9_u64),
        form in prop::sample::select(vec![ForwardedForm::X, ForwardedForm::Rfc7239, ForwardedForm::Both, ForwardedForm::None]),
        (is_trusted, is_last, takes_trailers) in any::<(bool, bool, bool)>(),
    ) {
        let fields: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let request = request(&format!("{method} /x HTTP/1.1\r\nHost: a\r\n{framing}{fields}\r\n"));
        let policy = RequestPolicy { forwarded: form, via: b"v"[..].into(), ..RequestPolicy::default() };
        let facts = Facts { content_length: length, is_trusted, is_last, takes_trailers, ..facts(&request) };
        let mut out = Vec::new();
        farrier_proxy::http1::encode_head(&mut out, &request, &policy, &facts, &mut Vec::new()).unwrap();
        let mut head = RequestHead::default();
        let limits = Limits::default();
        prop_assert_eq!(HeadDecoder::default().decode(&out, &limits, &mut head), Ok(true));
        prop_assert_eq!(head.bytes, out.len(), "nothing follows the head");
        let expected = match length {
            None => BodyFraming::Chunked,
            Some(0) if method != "POST" => BodyFraming::None,
            Some(length) => BodyFraming::Length(length),
        };
        prop_assert_eq!(head.framing, expected);
        let count = |known| head.fields.iter().filter(|field| field.known == known).count();
        prop_assert_eq!(count(KnownField::Host), 1);
        prop_assert_eq!(count(KnownField::KeepAlive) + count(KnownField::Upgrade) + count(KnownField::Trailer), 0);
        prop_assert_eq!(head.keep_alive, !is_last);
    }
}

#[test]
fn what_the_client_has_encoded_of_the_mounts_path_is_the_mounts() {
    // Bytes were counted in the decoded path, so `/%61pi/x` below `/api` became `/pi/x`.
    for (path, mount, bytes) in [
        ("/api/x", "/api", 4),
        ("/%61pi/x", "/api", 6),
        ("/%61%70%69%2fx", "/api", 10),
        ("/%C3%bc", "/\u{fc}", 7),
        ("/x", "", 0),
        ("/other", "/api", 0),
        ("/%6", "/a", 0),
        ("/ap", "/api", 0),
    ] {
        let request = forwarding::request(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(farrier_proxy::target::mounted_bytes(&request, mount.as_bytes()), bytes, "{path}");
    }
}

#[test]
fn a_cookie_of_this_servers_own_is_taken_out() {
    for (sent, passed) in [("srv=x", ""), ("a=1; srv=x; b=2", "Cookie: a=1; b=2\r\n"), ("a=1", "Cookie: a=1\r\n")] {
        let request = request(&format!("GET / HTTP/1.1\r\nHost: a.test\r\nCookie: {sent}\r\n\r\n"));
        let facts = Facts { hidden_cookie: b"srv", ..facts(&request) };
        let policy = RequestPolicy { forwarded: ForwardedForm::default(), ..RequestPolicy::default() };
        let head = forwarded(&request, &policy, &facts).expect("is forwarded");
        assert_eq!(
            head.lines().find(|line| line.starts_with("Cookie")).map(|line| format!("{line}\r\n")).unwrap_or_default(),
            passed
        );
    }
}
