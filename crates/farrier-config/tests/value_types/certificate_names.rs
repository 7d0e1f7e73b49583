//! Tests of the values of `value/certificate_names.rs`.

use farrier_config::value::*;

#[test]
fn names_are_read_in_lower_case_and_written_back() {
    for (text, written) in [
        ("example.org", "example.org"),
        ("Example.org., www.example.org", "example.org,www.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("localhost", "localhost"),
    ] {
        let read = CertificateNames::parse(text).map(|names| names.text());
        assert_eq!(read.as_deref(), Ok(written), "{text}");
    }
}

#[test]
fn what_no_authority_would_certify_is_explained() {
    for (text, word) in [
        ("*.example.org", "wildcard"),
        ("127.0.0.1", "address"),
        ("[::1]", "address"),
        ("bücher.example", "punycode"),
        ("https://example.org", "URL"),
        ("example.org:443", "port"),
        ("a.example,A.example", "twice"),
    ] {
        match CertificateNames::parse(text) {
            Err(Rejected { reason: Reason::Because(sentence), .. }) => {
                assert!(sentence.contains(word), "{sentence}")
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["", "a,,b", "a_b.example", "-a.example", "a..example", ".."] {
        assert_eq!(CertificateNames::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}
