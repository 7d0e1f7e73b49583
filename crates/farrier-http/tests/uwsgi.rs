//! Tests of the uwsgi codec: what it reads and refuses, one line per case, however the bytes arrive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod gateway_connection;

use farrier_http::{Kind, Limits};
use gateway_connection::{Codec, check, deliver, packet};
use proptest::prelude::*;

type Pairs<'a> = [(&'a str, &'a str)];

const GET: [(&str, &str); 3] = [("REQUEST_METHOD", "GET"), ("REQUEST_URI", "/a%20b?c=d"), ("PATH_INFO", "/a b")];

fn read(modifier: u8, variables: &Pairs<'_>) -> Result<String, (Kind, String)> {
    let stream = packet(modifier, variables);
    check(Codec::Uwsgi, &stream, &[3, 5, 1]);
    let mut transcript = deliver(Codec::Uwsgi, &stream, &Limits::default(), std::iter::once(stream.len()));
    match transcript.end {
        Ok(_) => Ok(transcript.requests.pop().expect("a request").head),
        Err(error) => Err((error.kind, error.cause.into_owned())),
    }
}

fn with(more: &Pairs<'_>) -> String {
    read(0, &[&GET, more].concat()).expect("accepted")
}

#[track_caller]
fn refused(kind: Kind, words: &str, more: &Pairs<'_>) {
    let (found, cause) = read(0, &[&GET, more].concat()).expect_err("refused");
    assert_eq!(found, kind, "{cause}");
    assert!(cause.contains(words), "{cause}");
}

#[test]
fn nginxs_variables_become_the_request_of_its_client() {
    let head = read(
        0,
        &[
            ("QUERY_STRING", "c=d"),
            ("REQUEST_METHOD", "POST"),
            ("CONTENT_TYPE", "text/plain"),
            ("CONTENT_LENGTH", "3"),
            ("REQUEST_URI", "/a%20b?c=d"),
            ("PATH_INFO", "/a b"),
            ("DOCUMENT_ROOT", "/usr/share/nginx/html"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REQUEST_SCHEME", "https"),
            ("HTTPS", "on"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REMOTE_PORT", "50000"),
            ("SERVER_PORT", "443"),
            ("SERVER_NAME", "example.test"),
            ("HTTP_HOST", "example.test"),
            ("HTTP_USER_AGENT", "curl"),
            ("HTTP_X_FORWARDED_FOR", "1.1.1.1"),
        ],
    );
    let expected = "POST /a%20b?c=d HTTP/1.1 path=/a b (decoded) query=c=d host=example.test Length(3) keep=false
from 192.0.2.7:50000
by https
CONTENT-TYPE: text/plain
CONTENT-LENGTH: 3
HOST: example.test
USER-AGENT: curl
X-FORWARDED-FOR: 1.1.1.1
DOCUMENT_ROOT=/usr/share/nginx/html
SERVER_PROTOCOL=HTTP/1.1
REQUEST_SCHEME=https
SERVER_PORT=443
SERVER_NAME=example.test";
    assert_eq!(head.as_deref(), Ok(expected));
}

#[test]
fn empty_values_are_ignored_where_they_would_be_invalid() {
    let told = [("CONTENT_LENGTH", ""), ("CONTENT_TYPE", ""), ("HTTPS", ""), ("SERVER_NAME", ""), ("REMOTE_ADDR", "")];
    assert_eq!(with(&told), with(&[]));
    assert!(with(&[("REMOTE_USER", "")]).ends_with("\nREMOTE_USER="));
}

#[test]
fn fields_that_the_web_server_has_handled_are_not_repeated() {
    let noise = [("HTTP_TRANSFER_ENCODING", "chunked"), ("HTTP_CONTENT_LENGTH", "5"), ("HTTP_CONTENT_TYPE", "a/b")];
    assert_eq!(with(&noise), with(&[]));
}

#[test]
fn variables_cannot_override_or_configure_the_server() {
    for name in ["wsgi.url_scheme", "wsgi.input", "farrier.x", "gunicorn.socket", "uwsgi.version"] {
        assert_eq!(with(&[(name, "x")]), with(&[]), "{name}");
    }
    for name in ["UWSGI_FILE", "UWSGI_SCRIPT", "UWSGI_CHDIR", "UWSGI_SETENV", "UWSGI_SCHEME"] {
        assert_eq!(with(&[(name, "exec://id")]), format!("{}\nnot obeyed: UWSGI_*", with(&[])), "{name}");
    }
}

#[test]
fn the_last_of_two_variables_counts() {
    assert!(with(&[("SERVER_PORT", "80"), ("REQUEST_METHOD", "PUT")]).starts_with("PUT /a%20b"));
    assert!(with(&[("CONTENT_LENGTH", "0"), ("CONTENT_LENGTH", "0")]).contains("Length(0)"));
    assert!(with(&[("SCRIPT_NAME", "/a"), ("SCRIPT_NAME", "/b/")]).contains("mounted at /b"));
}

#[test]
fn the_path_is_path_info_or_else_the_target_without_script_name() {
    let path = |variables: &Pairs<'_>| {
        let head = read(0, &[&[("REQUEST_METHOD", "GET")], variables].concat()).expect("accepted");
        let mut lines = head.lines();
        let first = lines.next().unwrap().to_owned();
        let path = first.split_once("path=").unwrap().1.split_once(" query").unwrap().0.to_owned();
        (path, lines.find_map(|line| line.strip_prefix("mounted at ")).unwrap_or_default().to_owned())
    };
    let cases = [
        (vec![("PATH_INFO", "/x"), ("SCRIPT_NAME", "/app")], "/x (decoded)", "/app"),
        (vec![("PATH_INFO", "/x"), ("SCRIPT_NAME", "/")], "/x (decoded)", ""),
        (vec![("PATH_INFO", "")], " (decoded)", ""),
        (vec![("REQUEST_URI", "/x%20y?z")], "/x%20y", ""),
        (vec![("REQUEST_URI", "/app/x?z"), ("SCRIPT_NAME", "/app")], "/x", "/app"),
        (vec![("REQUEST_URI", "/apple"), ("SCRIPT_NAME", "/app")], "/apple", ""),
        (vec![("REQUEST_URI", "/x/y?z"), ("SCRIPT_NAME", "/x/y")], "/x/y", ""),
        (vec![("REQUEST_URI", "http://h/x?z")], "/x", ""),
    ];
    for (variables, expected, mounted) in cases {
        assert_eq!(path(&variables), (expected.to_owned(), mounted.to_owned()), "{variables:?}");
    }
}

#[test]
fn modifier_30_takes_script_name_off_path_info() {
    for (path, script_name, expected) in [
        ("/app/x", "/app", "path=/x (decoded)"),
        ("/app", "/app/", "path= (decoded)"),
        ("/apple", "/app", "path=/apple (decoded)"),
        ("/x", "", "path=/x (decoded)"),
    ] {
        let variables = [("REQUEST_METHOD", "GET"), ("PATH_INFO", path), ("SCRIPT_NAME", script_name)];
        let head = read(30, &variables).expect("accepted");
        assert!(head.contains(expected), "{head}");
        assert!(read(0, &variables).expect("accepted").contains(&format!("path={path}")));
    }
}

#[test]
fn either_variable_sets_https() {
    for (variables, scheme) in [
        (vec![("HTTPS", "on")], "by https"),
        (vec![("HTTPS", "off")], "by http"),
        (vec![("REQUEST_SCHEME", "https")], "by https"),
        (vec![("REQUEST_SCHEME", "http"), ("HTTPS", "1")], "by https"),
        (vec![("REQUEST_SCHEME", "http")], "by http"),
    ] {
        assert!(with(&variables).lines().any(|line| line == scheme), "{variables:?}");
    }
}

#[test]
fn variables_that_decide_framing_or_routing_must_be_valid() {
    let bad = Kind::BadRequest;
    for length in ["-5", "12abc", "10, 20", "+1", " 1", "1 ", "0x1", "9223372036854775808", "99999999999999999999"] {
        refused(bad, "CONTENT_LENGTH is not digits", &[("CONTENT_LENGTH", length)]);
    }
    refused(bad, "differently", &[("CONTENT_LENGTH", "1"), ("CONTENT_LENGTH", "2")]);
    refused(Kind::BodyTooLarge, "content is above", &[("CONTENT_LENGTH", "99999999999")]);
    refused(bad, "REQUEST_METHOD", &[("REQUEST_METHOD", "")]);
    refused(bad, "REQUEST_METHOD", &[("REQUEST_METHOD", "GE T")]);
    refused(bad, "upper-case", &[("REQUEST_METHOD", "get")]);
    refused(Kind::UnknownMethod, "CONNECT is not served", &[("REQUEST_METHOD", "CONNECT")]);
    refused(bad, "Host field is not a valid", &[("HTTP_HOST", "a b")]);
    refused(bad, "Host field is given twice", &[("HTTP_HOST", "a"), ("HTTP_HOST", "a")]);
    refused(bad, "control character", &[("HTTP_X", "a\r\nb")]);
    refused(bad, "control character", &[("QUERY_STRING", "a\nb")]);
    refused(bad, "control character", &[("REQUEST_URI", "/a\nb")]);
    // The path decides routing: who has checked one of two paths has not checked the other.
    refused(bad, "PATH_INFO is given twice", &[("PATH_INFO", "/admin")]);
    refused(bad, "CONTENT_TYPE is given twice", &[("CONTENT_TYPE", "a/b"), ("CONTENT_TYPE", "a/c")]);
    assert!(with(&[("CONTENT_TYPE", "a/b"), ("CONTENT_TYPE", "a/b")]).contains("a/b"));
    refused(bad, "NUL byte", &[("PATH_INFO", "/a b\0.txt")]);
    assert_eq!(with(&[("PATH_INFO", "/a b")]), with(&[]));
    refused(bad, "not a token", &[("HTTP_", "x")]);
    refused(bad, "not a token", &[("HTTP_X Y", "x")]);
    refused(bad, "no name", &[("", "x")]);
    refused(bad, "SERVER_PROTOCOL", &[("SERVER_PROTOCOL", "ICY")]);
    assert!(read(0, &[("REQUEST_METHOD", "GET")]).expect_err("refused").1.contains("neither"));
    assert!(read(0, &[("PATH_INFO", "/")]).expect_err("refused").1.contains("REQUEST_METHOD"));
}

#[test]
fn every_bound_has_its_status() {
    let long = "x".repeat(9000);
    refused(Kind::HeadTooLarge, "field is above", &[("HTTP_X", &long)]);
    refused(Kind::TargetTooLong, "request line", &[("REQUEST_URI", &format!("/{long}"))]);
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("HTTP_X", "1"), 101).collect();
    refused(Kind::HeadTooLarge, "too many fields", &many);
    let many: Vec<(&str, &str)> = std::iter::repeat_n(("X", "1"), 257).collect();
    refused(Kind::HeadTooLarge, "too many variables", &many);
    let limits = Limits { head_bytes_max: 100, ..Limits::default() };
    let stream = [0, 97, 0, 0];
    let transcript = deliver(Codec::Uwsgi, &stream, &limits, std::iter::once(4));
    assert_eq!(transcript.end.expect_err("refused before the block has come").kind, Kind::HeadTooLarge);
}

#[test]
fn blocks_with_wrong_lengths_are_refused() {
    for block in [&b"\x05\0ABC"[..], b"\x01\0A\x09\0B", b"\x01\0A", b"\x01\0A\x01", b"\x01", b"\xff\xffA"] {
        let mut stream = vec![0];
        stream.extend_from_slice(&(block.len() as u16).to_le_bytes());
        stream.push(0);
        stream.extend_from_slice(block);
        check(Codec::Uwsgi, &stream, &[4, 1]);
        let transcript = deliver(Codec::Uwsgi, &stream, &Limits::default(), std::iter::once(stream.len()));
        let error = transcript.end.expect_err("refused");
        assert!(error.cause.contains("beyond the end"), "{block:?}: {error}");
    }
}

#[test]
fn packets_that_are_no_requests_are_answered_or_refused() {
    let end = |stream: &[u8]| {
        let transcript = deliver(Codec::Uwsgi, stream, &Limits::default(), std::iter::once(stream.len()));
        (transcript.end.map_err(|error| (error.kind, error.cause.into_owned())), transcript.replies)
    };
    assert_eq!(end(&[100, 0, 0, 0]), (Ok(true), vec![100, 0, 0, 1]));
    for modifier in [1, 5, 10, 17, 22, 31, 72, 97, 98, 99, 101, 110, 111, 173, 200, 224, 250, 255] {
        assert_eq!(end(&[modifier, 1, 0, 0]).0.expect_err("refused").0, Kind::UnknownPacket, "{modifier}");
    }
    assert!(end(&[0, 0, 0, 0]).0.expect_err("refused").1.contains("empty"));
    for line in ["GET / HTTP/1.1\r\n", "POST / ", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0", "DELETE /x"] {
        let (kind, cause) = end(line.as_bytes()).0.expect_err("refused");
        assert_eq!(kind, Kind::BadRequest);
        assert!(cause.contains("not HTTP"), "{cause}");
    }
}

#[test]
fn content_is_as_long_as_content_length_says() {
    let mut stream = packet(0, &[&GET[..], &[("CONTENT_LENGTH", "5")]].concat());
    stream.extend_from_slice(b"hello and more");
    check(Codec::Uwsgi, &stream, &[7, 2]);
    let transcript = deliver(Codec::Uwsgi, &stream, &Limits::default(), std::iter::once(stream.len()));
    assert_eq!((transcript.requests[0].content.as_slice(), transcript.end), (&b"hello"[..], Ok(true)));
}

fn variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        "(REQUEST_METHOD|REQUEST_URI|PATH_INFO|SCRIPT_NAME|CONTENT_LENGTH|CONTENT_TYPE|QUERY_STRING|SERVER_PROTOCOL)",
        "(HTTP_HOST|HTTP_X|HTTP_COOKIE|HTTP_PROXY|HTTPS|REMOTE_ADDR|REMOTE_PORT|REQUEST_SCHEME|UWSGI_FILE|SERVER_NAME)",
        "[A-Z_.]{0,8}",
    ];
    let value = prop_oneof!["(GET|POST|/|/a|/a/b|5|0|HTTP/1.1|on|https|127.0.0.1|::1|80|a.test)", ".{0,12}"];
    prop::collection::vec((name, value), 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_packets_have_the_same_result_in_random_pieces(
        modifier in prop_oneof![4 => Just(0_u8), 1 => Just(30), 1 => any::<u8>()],
        valid in any::<bool>(),
        variables in variables(),
        content in prop::collection::vec(any::<u8>(), 0..20),
        mutation in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        pieces in prop::collection::vec(1..40_usize, 0..20),
    ) {
        let mut pairs: Vec<(&str, &str)> = if valid { GET.to_vec() } else { Vec::new() };
        pairs.extend(variables.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut stream = packet(modifier, &pairs);
        stream.extend_from_slice(&content);
        if let Some((at, byte)) = mutation {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        check(Codec::Uwsgi, &stream, &pieces);
    }
}
