//! Tests of what uwsgi and FastCGI upstreams are sent (RFC 3875 §4.1). This server's own fronts read it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forwarding;

use std::collections::BTreeMap;

use farrier_http::wire::client::{Fault, FaultKind};
use farrier_http::{Error, Kind, Peer, Request, Scheme, Version};
use farrier_proxy::gateway::{encode_fastcgi, encode_uwsgi, explain_unanswered};
use farrier_proxy::target::PathRule;
use farrier_proxy::variables::{FastCgiFacts, Params, Script, Variables};
use farrier_proxy::{Facts, ForwardedForm, Refused, RequestPolicy, Template};
use forwarding::{facts, request};

fn bare() -> RequestPolicy {
    RequestPolicy { forwarded: ForwardedForm::None, ..RequestPolicy::default() }
}

type Given = BTreeMap<String, String>;

fn given(
    request: &Request,
    policy: &RequestPolicy,
    params: &Params,
    facts: &Facts<'_>,
    fastcgi: Option<&FastCgiFacts<'_>>,
) -> Result<Given, Refused> {
    let mut given = Given::new();
    let mut put = |name: &[u8], value: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(given.insert(text(name), text(value)), None, "{} is given once", text(name));
        Ok(())
    };
    Variables::default().give(request, policy, params, facts, fastcgi, &mut put)?;
    Ok(given)
}

#[track_caller]
fn check(given: &Given, expected: &[(&str, &str)]) {
    let found: Vec<(&str, &str)> = given.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn the_variables_are_those_of_nginx() {
    let mut request = request(
        "POST /a%20b/c?d=%41 HTTP/1.1\r\nHost: a.test:8443\r\nContent-Type: text/x\r\nContent-Length: 5\r\nAccept: */*\r\n\r\n",
    );
    request.origin.scheme = Scheme::Https;
    let facts = Facts { content_length: Some(5), ..facts(&request) };
    let given = given(&request, &bare(), &Params::default(), &facts, None).unwrap();
    check(
        &given,
        &[
            ("CONTENT_LENGTH", "5"),
            ("CONTENT_TYPE", "text/x"),
            ("HTTPS", "on"),
            ("HTTP_ACCEPT", "*/*"),
            ("HTTP_HOST", "a.test:8443"),
            ("PATH_INFO", "/a b/c"),
            ("QUERY_STRING", "d=%41"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_PORT", "4711"),
            ("REQUEST_METHOD", "POST"),
            ("REQUEST_SCHEME", "https"),
            ("REQUEST_URI", "/a%20b/c?d=%41"),
            ("SERVER_NAME", "a.test"),
            ("SERVER_PORT", "443"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
        ],
    );
}

#[test]
fn fields_become_variables_only_if_they_cannot_be_mistaken() {
    // httpoxy (CVE-2016-5385): Proxy would become HTTP_PROXY. X_Y would become X-Y.
    let request = request(
        "GET / HTTP/1.1\r\nHost: a\r\nProxy: evil\r\nX_Y: evil\r\nX-Y: good\r\nx!y: evil\r\nConnection: X-Z\r\nX-Z: evil\r\n\
         Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nTE: x\r\nCookie: a\r\nX-y: too\r\nCookie: b\r\n\r\n",
    );
    let facts = Facts { expect_continue: true, ..facts(&request) };
    let given = given(&request, &bare(), &Params::default(), &facts, None).unwrap();
    let fields: Vec<_> = given.iter().filter(|(name, _)| name.starts_with("HTTP_")).collect();
    let expected = [("HTTP_COOKIE", "a; b"), ("HTTP_HOST", "a"), ("HTTP_X_Y", "good, too")];
    assert_eq!(
        fields,
        expected
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .iter()
            .map(|(n, v)| (n, v))
            .collect::<Vec<_>>()
    );
    assert!(!given.contains_key("CONTENT_LENGTH"));
}

#[test]
fn what_is_said_of_the_client_is_this_servers_own() {
    let request = request("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: evil\r\n\r\n");
    let given = given(&request, &RequestPolicy::default(), &Params::default(), &facts(&request), None).unwrap();
    assert_eq!(given["HTTP_X_FORWARDED_FOR"], "192.0.2.7");
    assert_eq!(given["HTTP_X_REAL_IP"], "192.0.2.7");
}

#[test]
fn the_path_is_split_at_the_mount() {
    for (path, mounted, strip, put, expected) in [
        ("/api/x%20y", 4, true, "", ["/api/x%20y", "/api", "/x y"]),
        ("/api", 4, true, "", ["/api", "/api", ""]),
        ("/%61pi/x", 6, true, "", ["/%61pi/x", "/api", "/x"]),
        ("/api/x", 4, true, "/v2", ["/v2/x", "", "/v2/x"]),
        ("/api/x", 4, false, "", ["/api/x", "", "/api/x"]),
        ("/x", 0, true, "", ["/x", "", "/x"]),
    ] {
        let policy = RequestPolicy { path: PathRule { strip, put: put.as_bytes().into() }, ..bare() };
        let request = request(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let facts = facts(&request).stripping(&request, &policy.path, mounted);
        let given = given(&request, &policy, &Params::default(), &facts, None).unwrap();
        let of = |name| given.get(name).map_or("", String::as_str);
        assert_eq!([of("REQUEST_URI"), of("SCRIPT_NAME"), of("PATH_INFO")], expected, "{path}");
    }
}

#[test]
fn an_encoded_nul_is_refused() {
    let request = request("GET /a.php%00.jpg HTTP/1.1\r\nHost: a\r\n\r\n");
    let refused = given(&request, &bare(), &Params::default(), &facts(&request), None);
    assert!(matches!(refused, Err(Refused::Error(Error { kind: Kind::BadRequest, .. }))));
}

#[test]
fn content_needs_a_length() {
    let request = request("POST / HTTP/1.1\r\nHost: a\r\n\r\n");
    let facts = Facts { content_length: None, ..facts(&request) };
    assert!(given(&request, &bare(), &Params::default(), &facts, None).is_err());
    let facts = Facts { content_length: Some(0), ..facts };
    assert_eq!(given(&request, &bare(), &Params::default(), &facts, None).unwrap()["CONTENT_LENGTH"], "0");
}

#[test]
fn a_client_without_an_address_has_none() {
    let mut request = request("GET / HTTP/1.0\r\n\r\n");
    request.origin.peer = Peer::Unix;
    request.head.version = Version::Http2;
    let given = given(&request, &bare(), &Params::default(), &Facts { port: None, ..facts(&request) }, None).unwrap();
    assert!(
        !given.contains_key("REMOTE_ADDR") && !given.contains_key("REMOTE_PORT") && !given.contains_key("SERVER_PORT")
    );
    assert_eq!((given["SERVER_NAME"].as_str(), given["SERVER_PROTOCOL"].as_str()), ("up", "HTTP/2"));
}

#[test]
fn a_script_is_named_by_its_file() {
    let request = request("GET /blog/index.php/post%201?x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n");
    let script = Script { filename: b"/srv/blog/index.php", name: b"/blog/index.php", path_info: b"/post 1" };
    let fastcgi = FastCgiFacts { software: b"farrier", root: b"/srv", script: Some(script) };
    let given = given(&request, &bare(), &Params::default(), &facts(&request), Some(&fastcgi)).unwrap();
    for (name, expected) in [
        ("SCRIPT_FILENAME", "/srv/blog/index.php"),
        ("SCRIPT_NAME", "/blog/index.php"),
        ("PATH_INFO", "/post 1"),
        ("DOCUMENT_URI", "/blog/index.php/post 1"),
        ("DOCUMENT_ROOT", "/srv"),
        ("REQUEST_URI", "/blog/index.php/post%201?x"),
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_SOFTWARE", "farrier"),
        ("REDIRECT_STATUS", "200"),
        ("SERVER_NAME", "[::1]"),
    ] {
        assert_eq!(given[name], expected, "{name}");
    }
}

#[test]
fn the_configuration_sets_variables_instead_of_the_usual() {
    let mut params = Params::default();
    params.set("SERVER_NAME", Template::parse("first").unwrap()).unwrap();
    params.set("SERVER_NAME", Template::parse("own").unwrap()).unwrap();
    params.set("REMOTE_PORT", Template::parse("").unwrap()).unwrap();
    params.set("APP_URL", Template::parse("$scheme://$host").unwrap()).unwrap();
    for name in ["UWSGI_FILE", "HTTP_X", "CONTENT_LENGTH", "a", "", "A=B", "A B"] {
        assert!(params.set(name, Template::parse("x").unwrap()).is_err(), "{name}");
    }
    let request = request("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let given = given(&request, &bare(), &params, &facts(&request), None).unwrap();
    assert_eq!((given["SERVER_NAME"].as_str(), given["APP_URL"].as_str()), ("own", "http://a.test"));
    assert!(!given.contains_key("REMOTE_PORT"));
}

#[test]
fn this_servers_own_fronts_read_what_is_sent() {
    use farrier_http::wire::{fastcgi, uwsgi};
    use farrier_http::{BodyFraming, Limits, RequestHead};
    let request = request("PUT /a%2Fb?c HTTP/1.1\r\nHost: a.test\r\nX-A: 1\r\nContent-Length: 3\r\n\r\n");
    let facts = Facts { content_length: Some(3), ..facts(&request) };
    let limits = Limits::default();
    let mut out = Vec::new();
    let variables = &mut Variables::default();
    let bytes = encode_uwsgi(&mut out, &request, &bare(), &Params::default(), &facts, variables).unwrap();
    assert_eq!(bytes + 4, out.len());
    let mut head = RequestHead::default();
    assert!(uwsgi::HeadDecoder::default().decode(&mut out, &limits, &mut head).unwrap().is_some());
    let of = |span: farrier_http::Span| String::from_utf8_lossy(&out[span.range()]).into_owned();
    assert_eq!((of(head.method), of(head.target), of(head.path)), ("PUT".into(), "/a%2Fb?c".into(), "/a/b".into()));
    assert_eq!((of(head.host), head.framing), ("a.test".into(), BodyFraming::Length(3)));

    let fastcgi = FastCgiFacts { software: b"farrier", root: b"", script: None };
    let mut out = Vec::new();
    encode_fastcgi(&mut out, &request, &bare(), &Params::default(), &facts, &fastcgi, variables).unwrap();
    let mut read = Request::with_room(64);
    read.arena.append(&out);
    let mut replies = Vec::new();
    let done = fastcgi::HeadDecoder::default().decode(&mut read.arena, &limits, &mut read.head, &mut replies);
    assert_eq!(done, Ok(true));
    assert_eq!((read.method(), read.path(), read.host()), (&b"PUT"[..], &b"/a/b"[..], &b"a.test"[..]));
    assert_eq!((read.head.framing, read.head.keep_alive), (BodyFraming::Length(3), true));
}

#[test]
fn variables_that_no_packet_can_carry_are_refused() {
    let fields = format!("X: {}\r\n", "y".repeat(8000)).repeat(9);
    let mut request = Request::with_room(64);
    request.arena.append(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
    let limits = farrier_http::Limits { head_bytes_max: 200_000, ..farrier_http::Limits::default() };
    let mut decoder = farrier_http::wire::h1::HeadDecoder::default();
    assert_eq!(decoder.decode(request.arena.filled(), &limits, &mut request.head), Ok(true));
    let mut out = b"before".to_vec();
    let facts = facts(&request);
    let refused = encode_uwsgi(&mut out, &request, &bare(), &Params::default(), &facts, &mut Variables::default());
    assert!(matches!(refused, Err(Refused::Error(Error { kind: Kind::HeadTooLarge, .. }))));
    assert_eq!(out, b"before");
}

#[test]
fn a_closed_uwsgi_connection_is_explained() {
    let fault = |kind, bytes| explain_unanswered(Fault::new(kind, "closed"), bytes).cause.into_owned();
    assert_eq!(fault(FaultKind::Unanswered, 4096), "closed");
    assert!(fault(FaultKind::Unanswered, 4097).contains("buffer-size"));
    assert_eq!(fault(FaultKind::HeadIncomplete, 4097), "closed");
}
