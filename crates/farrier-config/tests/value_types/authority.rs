//! Tests of the values of `value/authority.rs`.

use farrier_config::value::*;

#[test]
fn an_authority_is_a_word_or_an_address() {
    for text in ["letsencrypt", "staging", "https://localhost:14000/dir", "https://[::1]/dir"] {
        assert_eq!(AcmeDirectory::parse(text).map(|read| read.text()).as_deref(), Ok(text));
    }
    for text in ["", "production", "https://", "https:///dir", "https://a b/", "ftp://a/"] {
        assert_eq!(AcmeDirectory::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
    match AcmeDirectory::parse("http://localhost/dir") {
        Err(Rejected { reason: Reason::Because(sentence), .. }) => assert!(sentence.contains("not encrypted")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_e_mail_address_has_a_name_and_a_host() {
    assert_eq!(Email::parse("a.b+c@example.org"), Ok(Email("a.b+c@example.org".to_owned())));
    for text in ["", "a", "a@", "@example.org", "a@host", "a@b..c", "a b@example.org", "a@b@example.org", "a@.org"] {
        assert_eq!(Email::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}
