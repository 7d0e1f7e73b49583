//! The authority that issues certificates, and the e-mail address that it may write to.

use super::{Completes, Rejected, Value};

/// An ACME server, by the address of its directory (RFC 8555 §7.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AcmeDirectory {
    /// Let's Encrypt.
    LetsEncrypt,
    /// Let's Encrypt's test server: no browser trusts its certificates, and its rate limits are high.
    Staging,
    /// Another one.
    Url(String),
}

impl AcmeDirectory {
    /// The directory's address.
    pub fn url(&self) -> &str {
        match self {
            AcmeDirectory::LetsEncrypt => "https://acme-v02.api.letsencrypt.org/directory",
            AcmeDirectory::Staging => "https://acme-staging-v02.api.letsencrypt.org/directory",
            AcmeDirectory::Url(url) => url,
        }
    }
}

impl Value for AcmeDirectory {
    const EXPECTED: &'static str = "`letsencrypt`, `staging` or the `https://` address of an ACME directory";
    const METAVAR: &'static str = "URL";
    const COMPLETES: Completes = Completes::Words(&["letsencrypt", "staging"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim() {
            "letsencrypt" => Ok(AcmeDirectory::LetsEncrypt),
            "staging" => Ok(AcmeDirectory::Staging),
            url if url.starts_with("http://") => Err(Rejected::because(format!(
                "`{url}` is not encrypted, so an attacker on the network path could forge the answers: ACME takes `https://`"
            ))),
            url => {
                let rest = url.strip_prefix("https://").ok_or_else(|| Rejected::unexpected(text))?;
                let authority = rest.split(['/', '?']).next().unwrap_or_default();
                let is_url = !authority.is_empty() && rest.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
                if is_url { Ok(AcmeDirectory::Url(url.to_owned())) } else { Err(Rejected::unexpected(text)) }
            }
        }
    }

    fn text(&self) -> String {
        match self {
            AcmeDirectory::LetsEncrypt => "letsencrypt".to_owned(),
            AcmeDirectory::Staging => "staging".to_owned(),
            AcmeDirectory::Url(url) => url.clone(),
        }
    }
}

/// An e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Email(pub String);

impl Value for Email {
    const EXPECTED: &'static str = "an e-mail address such as `admin@example.org`";
    const METAVAR: &'static str = "EMAIL";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        // Characters that a mailto URL takes unescaped (RFC 6068 §2); quoted forms are not accepted.
        let is_local = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b);
        let is_host = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.');
        match word.split_once('@') {
            Some((local, host))
                if !local.is_empty()
                    && local.bytes().all(is_local)
                    && host.contains('.')
                    && host.split('.').all(|label| !label.is_empty())
                    && host.bytes().all(is_host) =>
            {
                Ok(Email(word.to_owned()))
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}
