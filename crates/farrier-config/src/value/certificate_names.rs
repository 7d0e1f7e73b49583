//! The names of one certificate.

use std::fmt;
use std::net::IpAddr;

use super::{Rejected, Value};

/// The DNS names of one certificate, at least one, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CertificateNames(Vec<String>);

/// Authorities accept no more names in one certificate.
const NAMES_MAX: usize = 100;

impl CertificateNames {
    /// The names; the first gives the certificate's file its name.
    pub fn names(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl Value for CertificateNames {
    const EXPECTED: &'static str = "names of hosts such as `example.org,www.example.org`";
    const METAVAR: &'static str = "NAMES";
    const ENDS_AT_COMMA: bool = false;

    fn parse(text: &str) -> Result<Self, Rejected> {
        let mut names = Vec::new();
        for name in text.split(',').map(str::trim) {
            let name = checked(name, text)?;
            if names.contains(&name) {
                return Err(Rejected::because(format!("`{name}` is named twice")));
            }
            names.push(name);
        }
        if names.len() > NAMES_MAX {
            return Err(Rejected::because(format!("a certificate has at most {NAMES_MAX} names")));
        }
        Ok(CertificateNames(names))
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn checked(name: &str, text: &str) -> Result<String, Rejected> {
    let because = |reason: String| Err(Rejected::because(reason));
    if name.starts_with("*.") {
        return because(format!(
            "`{name}` is a wildcard, which authorities prove by DNS alone: name each host, or use certfile"
        ));
    }
    if name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return because(format!("`{name}` is an address; a certificate by ACME is for names"));
    }
    if !name.is_ascii() {
        return because(format!("`{name}` must be written in ASCII, as in `xn--…` (punycode)"));
    }
    if name.contains("://") || name.contains('/') {
        return because(format!("`{name}` is a URL: write the host's name alone"));
    }
    if name.contains(':') {
        return because(format!("`{name}` has a port: a certificate is for a name on every port"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    // RFC 1123 §2.1.
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    match name.len() <= 253 && name.split('.').all(is_label) {
        true => Ok(name.to_ascii_lowercase()),
        false => Err(Rejected::unexpected(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Reason;
    use super::*;

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
}
