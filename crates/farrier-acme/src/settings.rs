//! The settings of the process: names, server and time limits.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::connection::Connection;

/// Everything that the process needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The certificates to keep, one for each entry.
    pub certificates: Vec<Names>,
    /// An address that the authority may write to.
    pub email: Option<String>,
    /// The address of the authority's directory (RFC 8555 §7.1.1).
    pub directory: String,
    /// How to prove control of the names; the first is tried first, and the next after a failure.
    pub challenges: Vec<Challenge>,
    /// The state directory, which exists.
    pub state: PathBuf,
    /// CA certificates in PEM that the ACME server is verified against; by default those that the system trusts.
    pub ca_certs: Option<String>,
    /// The external account binding.
    pub external_account: Option<ExternalAccount>,
    /// How long before its end a certificate is renewed; `None` for a third of its life.
    pub renew_before: Option<Duration>,
    /// The first wait after a failure; each further one is twice as long.
    pub retry_delay: Duration,
    /// The longest wait after a failure.
    pub retry_delay_max: Duration,
    /// How long the authority may take from the order to the certificate.
    pub timeout: Duration,
}

impl Settings {
    /// Checks the settings that were given as text.
    ///
    /// # Errors
    /// The setting that is wrong, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        Connection::roots(self.ca_certs.as_deref()).map_err(|reason| ("acme_ca_certs", reason))?;
        let binding = self.external_account.as_ref().map_or(Ok(()), |external| external.key().map(drop));
        binding.map_err(|reason| ("acme_eab_hmac_file", reason))
    }
}

/// The names of one certificate: lower-case DNS names, at least one. The first one gives the files their name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names(Vec<String>);

impl Names {
    /// Checks the names; `None` if there is none, or if one is no plain DNS name.
    pub fn new(names: Vec<String>) -> Option<Names> {
        let is_name = |name: &String| {
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && !label.starts_with('-')
                    && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            };
            name.len() <= 253 && name.split('.').all(is_label)
        };
        (!names.is_empty() && names.iter().all(is_name)).then_some(Names(names))
    }

    /// The first of them.
    pub fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// All of them, in the order given.
    pub fn all(&self) -> &[String] {
        &self.0
    }

    /// For messages.
    pub(crate) fn text(&self) -> String {
        self.0.join(", ")
    }
}

/// A way to prove control of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// The authority fetches a file over plain HTTP, from port 80 (RFC 8555 §8.3).
    Http01,
    /// The authority checks a special certificate at port 443 (RFC 8737).
    TlsAlpn01,
}

impl Challenge {
    /// Its name in the protocol.
    pub fn word(self) -> &'static str {
        match self {
            Challenge::Http01 => "http-01",
            Challenge::TlsAlpn01 => "tls-alpn-01",
        }
    }
}

/// An external account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// The key's identifier, as the authority gave it.
    pub key_id: String,
    /// The key, in base64 as the authority gave it.
    pub hmac_key: String,
}

impl ExternalAccount {
    /// The key: base64 of either alphabet, with padding or without.
    pub(crate) fn key(&self) -> Result<Vec<u8>, String> {
        let text = self.hmac_key.trim().replace('+', "-").replace('/', "_");
        let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        match GeneralPurpose::new(&URL_SAFE, lenient).decode(text) {
            Ok(key) if key.is_empty() => Err("there is no key in it".to_owned()),
            Ok(key) => Ok(key),
            Err(error) => Err(format!("the key is not in base64: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_a_binding_may_be_written_in_any_base64() {
        let key = |text: &str| ExternalAccount { key_id: "id".to_owned(), hmac_key: text.to_owned() }.key();
        for text in ["-_8=", "-_8", "+/8=\n"] {
            assert_eq!(key(text), Ok(vec![0xfb, 0xff]), "{text}");
        }
        assert!(key("").is_err() && key("?").is_err());
    }

    #[test]
    fn only_what_can_be_a_file_s_name_is_a_name() {
        let names = |text: &str| Names::new(vec![text.to_owned()]);
        for good in ["example.org", "localhost", "xn--bcher-kva.example", "1.example"] {
            assert!(names(good).is_some(), "{good}");
        }
        for bad in ["", ".", "..", "a..b", "../a", "a/b", "*.example.org", "A.org", "-a.org", "a b", "a.org."] {
            assert!(names(bad).is_none(), "{bad}");
        }
        assert!(Names::new(Vec::new()).is_none());
    }
}
