//! Tests of the values of `value/server_url.rs`.

use farrier_config::value::*;

#[test]
fn an_address_has_a_protocol_and_a_place() {
    for (text, expected, authority) in [
        ("http://127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000", "127.0.0.1:9000"),
        ("HTTP://app", "http://app", "app"),
        ("app.example.org:80", "http://app.example.org", "app.example.org"),
        ("https://app", "https://app", "app"),
        ("https://app:80", "https://app:80", "app:80"),
        ("http://[::1]", "http://[::1]", "[::1]"),
        ("h2c://[::1]:81", "h2c://[::1]:81", "[::1]:81"),
        ("uwsgi://10.0.0.1:3031", "uwsgi://10.0.0.1:3031", "10.0.0.1:3031"),
        ("unix:/run/x.sock", "http://unix:/run/x.sock", "localhost"),
        ("http://unix:/run/x.sock", "http://unix:/run/x.sock", "localhost"),
        ("fastcgi://unix:@php", "fastcgi://unix:@php", "localhost"),
    ] {
        let url = ServerUrl::parse(text);
        assert_eq!(url.as_ref().map(Value::text), Ok(expected.to_owned()), "{text}");
        assert_eq!(url.as_ref().map(ServerUrl::authority), Ok(authority.to_owned()), "{text}");
        assert_eq!(ServerUrl::parse(expected), url, "{text}");
    }
}

#[test]
fn what_is_no_address_of_a_server_is_refused() {
    for text in [
        "",
        "http://",
        "ftp://a",
        "http://a/path",
        "http://a/",
        "http://a?x",
        "http://user@a",
        "http://a:0",
        "http://a:x",
        "http://a:70000",
        "http://:80",
        "http://*:80",
        "http://a b",
        "http://ä.example",
        "http://fd://3",
        "::1:80",
        "uwsgi://a",
        "unix:",
    ] {
        assert!(ServerUrl::parse(text).is_err(), "{text:?}: {:?}", ServerUrl::parse(text));
    }
}
