//! Tests of the values of `value/proxy_host.rs`.

use farrier_config::value::*;

#[test]
fn a_host_is_a_word_or_what_may_stand_in_the_field() {
    for text in ["client", "upstream", "example.org", "example.org:8080", "[::1]:80", "localhost"] {
        assert_eq!(ProxyHost::parse(text).map(|host| host.text()), Ok(text.to_owned()));
    }
    for text in ["", "a b", "a/b", "u@a", "a\r\nb", "unix:/x", "ä.example", "http://a"] {
        assert!(ProxyHost::parse(text).is_err(), "{text:?}");
    }
}
