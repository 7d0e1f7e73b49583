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
