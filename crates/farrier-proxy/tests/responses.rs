//! Tests of what a client gets of an upstream's response (RFC 9110 §7.6), and of addresses that are changed in it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forwarding;

use farrier_http::{Request, Scheme, Version};
use farrier_proxy::rewrite::{CookieDomain, Sides};
use farrier_proxy::target::PathRule;
use farrier_proxy::{Accel, Facts, ResponsePolicy, Rewrite};
use forwarding::{answered, answered_with, facts, lines, request};

fn get() -> Request {
    request("GET /api/x HTTP/1.1\r\nHost: a.test\r\n\r\n")
}

#[track_caller]
fn check(policy: &ResponsePolicy, fields: &str, expected: &str) {
    let request = get();
    let (head, _) = answered(fields, &request, policy, &facts(&request));
    assert_eq!(lines(&head), expected, "{fields:?}");
}

#[test]
fn fields_of_the_connection_stay_with_it() {
    let policy = ResponsePolicy::default();
    check(
        &policy,
        "Connection: close, X-A\r\nX-A: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nTrailer: X\r\n\
         Upgrade: h2c\r\nTransfer-Encoding: chunked\r\nX-B: 2\r\n",
        "X-B: 2\r\n",
    );
    check(&policy, "Proxy-Connection: x\r\nSet-Cookie: a\r\nset-cookie: b\r\n", "Set-Cookie: a\r\nset-cookie: b\r\n");
}

#[test]
fn a_426_says_which_protocol_is_required() {
    let mut request = get();
    let policy = ResponsePolicy::default();
    let fields = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n";
    let (head, _) = answered_with("426 U", fields, &request, &policy, &facts(&request));
    assert_eq!(lines(&head), "Sec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    assert_eq!(head.fields().count(), 1, "HTTP/2 has no field for it");
    request.head.version = Version::Http2;
    let (head, _) = answered_with("426 U", fields, &request, &policy, &facts(&request));
    assert_eq!(lines(&head), "Sec-WebSocket-Version: 13\r\n");
}

#[test]
fn status_reason_and_a_certain_length_are_passed_on() {
    let request = get();
    let (head, _) =
        answered("Content-Length: 5\r\nContent-Length: 5\r\n", &request, &ResponsePolicy::default(), &facts(&request));
    assert_eq!((head.status().0, head.reason(), head.content_length()), (200, &b"Fine"[..], Some(5)));
    let request = forwarding::request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    let fields = "Content-Length: 5\r\nContent-Length: 6\r\n";
    let (head, _) = answered(fields, &request, &ResponsePolicy::default(), &facts(&request));
    assert_eq!(head.content_length(), None);
}

#[test]
fn what_describes_the_upstream_is_removed() {
    let fields = "Server: up/1\r\nDate: x\r\nAlt-Svc: h3=\":443\"\r\nX-Powered-By: y\r\n";
    let mut policy = ResponsePolicy::default();
    check(&policy, fields, "Date: x\r\nX-Powered-By: y\r\n");
    policy.edits.hide("x-powered-by").unwrap();
    policy.passes_server = true;
    check(&policy, fields, "Server: up/1\r\nDate: x\r\n");
}

#[test]
fn the_configuration_sets_fields_instead_of_the_upstreams() {
    let mut policy = ResponsePolicy::default();
    policy.edits.set("x-frame-options", "SAMEORIGIN").unwrap();
    policy.edits.set("X-Frame-Options", "DENY").unwrap();
    policy.edits.set("X-Gone", "").unwrap();
    check(&policy, "x-frame-options: ALLOW\r\nX-Gone: 1\r\nA: b\r\n", "A: b\r\nX-Frame-Options: DENY\r\n");
    assert!(
        policy.edits.set("A", "b\r\nC: d").is_err()
            && policy.edits.set("Connection", "x").is_err()
            && policy.edits.hide("te").is_err()
    );
}

#[test]
fn x_accel_fields_are_obeyed_if_allowed_and_always_removed() {
    let fields = "X-Accel-Buffering: No\r\nX-Accel-Expires: 60\r\nX-Accel-Charset: utf-8\r\nX-Accel-Redirect: /p/f\r\n\
                  X-Accel-Limit-Rate: 1\r\nX-Sendfile: /etc/passwd\r\nContent-Type: text/html\r\n";
    let request = get();
    let all = Accel { buffering: true, expires: true, charset: true, redirect: true };
    let (head, signals) =
        answered(fields, &request, &ResponsePolicy { accel: all, ..ResponsePolicy::default() }, &facts(&request));
    assert_eq!(lines(&head), "Content-Type: text/html; charset=utf-8\r\n");
    assert!(!head.names_file());
    assert_eq!(signals.buffering, Some(false));
    assert_eq!(signals.expires.as_deref(), Some(&b"60"[..]));
    assert_eq!(signals.redirect.as_deref(), Some(&b"/p/f"[..]));
    let (head, signals) = answered(fields, &request, &ResponsePolicy::default(), &facts(&request));
    assert_eq!((lines(&head).as_str(), signals), ("Content-Type: text/html\r\n", farrier_proxy::Signals::default()));
}

#[test]
fn a_charset_is_added_to_text_without_one() {
    let policy = ResponsePolicy { accel: Accel { charset: true, ..Accel::default() }, ..ResponsePolicy::default() };
    for (media_type, expected) in [
        ("text/css", "text/css; charset=x"),
        ("text/html; Charset=y", "text/html; Charset=y"),
        ("image/png", "image/png"),
    ] {
        let fields = format!("X-Accel-Charset: x\r\nContent-Type: {media_type}\r\n");
        check(&policy, &fields, &format!("Content-Type: {expected}\r\n"));
    }
}

fn rewriting(put: &str) -> ResponsePolicy {
    let path = PathRule { strip: true, put: put.as_bytes().into() };
    let rule = |from: &str, to: &str| CookieDomain { from: from.as_bytes().into(), to: to.as_bytes().into() };
    let cookie_domains = vec![rule("up.internal", "a.test"), rule("gone", "")];
    let rewrite = Rewrite { locations: true, cookie_paths: true, cookie_domains, path };
    ResponsePolicy { rewrite, ..ResponsePolicy::default() }
}

#[track_caller]
fn check_below(policy: &ResponsePolicy, fields: &str, expected: &str) {
    let mut request = get();
    request.origin.scheme = Scheme::Https;
    let facts = facts(&request).stripping(&request, &policy.rewrite.path, 4);
    let (head, _) = answered(fields, &request, policy, &facts);
    assert_eq!(lines(&head), expected, "{fields:?}");
}

#[test]
fn addresses_of_the_upstream_become_those_that_the_client_knows() {
    for (put, location, expected) in [
        ("", "http://up:8000/login?next=/x", "https://a.test/api/login?next=/x"),
        ("", "HTTP://UP:8000", "https://a.test/api/"),
        ("", "//up:8000/x", "https://a.test/api/x"),
        ("", "http://up:8000/api/x", "https://a.test/api/x"),
        ("", "/login", "/api/login"),
        ("", "/", "/api/"),
        ("", "/api/login", "/api/login"),
        ("", "/apis", "/api/apis"),
        ("", "http://up:80001/x", "http://up:80001/x"),
        ("", "http://other.test/x", "http://other.test/x"),
        ("", "//other.test/x", "//other.test/x"),
        ("", "next", "next"),
        ("", "?a=b", "?a=b"),
        ("/v2", "/v2/login", "/api/login"),
        ("/v2", "/v2", "/api"),
        ("/v2", "/v2x", "/v2x"),
        ("/v2", "/other", "/other"),
        ("/v2", "http://up:8000/other", "https://a.test/other"),
    ] {
        for name in ["Location", "content-location"] {
            check_below(&rewriting(put), &format!("{name}: {location}\r\n"), &format!("{name}: {expected}\r\n"));
        }
    }
    check_below(&rewriting(""), "Refresh: 5; URL=/x\r\n", "Refresh: 5; URL=/api/x\r\n");
    check_below(&rewriting(""), "Refresh: 5;url='http://up:8000/x'\r\n", "Refresh: 5;url='https://a.test/api/x'\r\n");
    check_below(&rewriting(""), "Refresh: 5\r\n", "Refresh: 5\r\n");
    check(&ResponsePolicy::default(), "Location: http://up:8000/\r\n", "Location: http://up:8000/\r\n");
}

#[test]
fn path_and_domain_of_cookies_follow() {
    for (cookie, expected) in [
        ("a=b; Path=/; HttpOnly", "a=b; Path=/api/; HttpOnly"),
        ("a=b;path=/admin;Secure", "a=b; Path=/api/admin;Secure"),
        ("a=b; Path=/api/x", "a=b; Path=/api/x"),
        ("a=b; Domain=.UP.internal; Path=/", "a=b; Domain=a.test; Path=/api/"),
        ("a=b; domain=gone; Secure", "a=b; Secure"),
        ("a=b; Domain=other.test", "a=b; Domain=other.test"),
        ("path=/; a=b", "path=/; a=b"),
        ("a=\"b\"; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=\"b\"; Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        ("a=b; Path", "a=b; Path"),
        ("a=b; Path=", "a=b; Path="),
    ] {
        check_below(&rewriting(""), &format!("Set-Cookie: {cookie}\r\n"), &format!("Set-Cookie: {expected}\r\n"));
    }
}

#[test]
fn a_head_that_is_valid_stays_valid_when_it_is_changed() {
    let sides = Sides { scheme: b"https", host: b"a.test", authority: b"up:8000", prefix: b"/api" };
    let rewrite = rewriting("").rewrite;
    let mut out = Vec::new();
    for value in
        [&b"a=b;;;Path=/\xff;=;Domain="[..], b"", b";", b"a;path=/;path=/x;", b"url=", b"5; url=\"", b"http://"]
    {
        for change in [Rewrite::location, Rewrite::refresh, Rewrite::set_cookie] {
            out.clear();
            let changed = change(&rewrite, &mut out, value, &sides);
            assert!(changed || out.is_empty(), "what is not changed is not appended");
            assert!(farrier_http::field::is_value(&out));
        }
    }
}

#[test]
fn the_prefix_of_a_trusted_proxy_stands_before_the_mounts() {
    let mut request = request("GET /api/x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Prefix: /outer\r\n\r\n");
    request.forwarded.prefix = request.head.fields[1].value;
    let policy = rewriting("");
    let facts = Facts { is_trusted: true, ..facts(&request) }.stripping(&request, &policy.rewrite.path, 4);
    let (head, _) = answered("Location: /x\r\n", &request, &policy, &facts);
    assert_eq!(lines(&head), "Location: /outer/api/x\r\n");
}
