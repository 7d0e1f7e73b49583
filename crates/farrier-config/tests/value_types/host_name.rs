//! Tests of the values of `value/host_name.rs`.

use farrier_config::value::*;

#[test]
fn names_are_compared_in_lower_case_and_without_the_last_dot() {
    for (text, name) in [
        ("Example.ORG.", "example.org"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:DB8:0:0::1]", "[2001:db8::1]"),
        ("::1", "[::1]"),
    ] {
        assert_eq!(HostName::parse(text).map(|host| host.text()), Ok(name.to_string()), "{text}");
    }
    for text in ["", ".", "a..b", "a b", "a/b", "example.org:80", "http://a", "ü.org", "[::1", "*"] {
        assert!(HostName::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_pattern_serves_names() {
    for (pattern, host, serves) in [
        ("example.org", "example.org", true),
        ("example.org", "www.example.org", false),
        ("*.example.org", "www.example.org", true),
        ("*.example.org", "a.b.example.org", true),
        ("*.example.org", "example.org", false),
        ("*.example.org", "badexample.org", false),
        (".example.org", "example.org", true),
        (".example.org", "www.example.org", true),
        (".example.org", "badexample.org", false),
    ] {
        let pattern = HostPattern::parse(pattern).unwrap_or_else(|error| panic!("{error:?}"));
        let host = HostName::parse(host).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(pattern.serves(&host), serves, "{pattern} {host}");
        assert_eq!(HostPattern::parse(&pattern.text()), Ok(pattern));
    }
    for text in ["*", "*.", ".", "*.[::1]", "w*.example.org", "*.*.org"] {
        assert!(HostPattern::parse(text).is_err(), "{text}");
    }
}
