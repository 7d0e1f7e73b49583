//! Tests of the values of `value/proxy_target.rs`.

use farrier_config::value::*;

#[test]
fn a_word_is_the_name_of_an_upstream_and_everything_else_an_address() {
    let name = |text: &str| matches!(ProxyTarget::parse(text), Ok(ProxyTarget::Upstream(_)));
    let url = |text: &str| matches!(ProxyTarget::parse(text), Ok(ProxyTarget::Server(_)));
    assert!(name("app") && name("localhost") && name("a-b_2"));
    assert!(url("localhost:80") && url("a.b") && url("http://app") && url("unix:/x"));
    assert!(ProxyTarget::parse("").is_err() && ProxyTarget::parse("a b").is_err());
}

#[test]
fn a_mount_on_one_line_is_a_path_and_an_address() {
    let read = ProxyMount::parse("/api/=127.0.0.1:9000").map(|mount| mount.text());
    assert_eq!(read, Ok("/api=http://127.0.0.1:9000".to_owned()));
    for text in ["", "/api", "/api=", "api=app", "=app", "/api=ftp://x"] {
        assert!(ProxyMount::parse(text).is_err(), "{text}");
    }
}
