//! The TLS settings that sessions use.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::ciphers;
use farrier_config::{AcmeChallenge, ClientCertificates, Config, HttpVersion, TlsVersion};

/// Settings of sessions, the same for all listeners of a worker. [`TlsSettings::of`] makes them from the configuration.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) version_min: TlsVersion,
    pub(crate) client_certificates: ClientCertificates,
    /// How long a ticket may be used. Zero means no tickets.
    pub(crate) ticket_lifetime: Duration,
    /// The versions of HTTP that are offered, by their ALPN names, the preferred one first.
    pub(crate) offered: Vec<&'static [u8]>,
    /// Whether ACME authorities may validate domains over TLS (`tls-alpn-01`).
    pub(crate) offers_validation: bool,
}

/// The cryptography provider with the cipher suites that the setting `ciphers` names, or with all.
///
/// # Errors
/// A name is not a cipher suite, or the suite is not offered.
pub fn provider(ciphers: Option<&str>) -> Result<Arc<CryptoProvider>, String> {
    let cipher_suites = ciphers.map_or_else(|| Ok(ciphers::all()), ciphers::named)?;
    Ok(Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }))
}

impl TlsSettings {
    /// # Errors
    /// A setting is invalid, or two settings contradict each other.
    pub fn of(config: &Config) -> Result<TlsSettings, String> {
        if config.cert_reqs != ClientCertificates::None && config.ca_certs.is_none() {
            let reason =
                "cert_reqs: client certificates are verified against authorities; name their file with ca_certs";
            return Err(reason.to_owned());
        }
        Ok(TlsSettings {
            provider: provider(config.ciphers.as_deref())?,
            version_min: config.tls_min_version,
            client_certificates: config.cert_reqs,
            // A ticket is accepted as long as its key is the present or the previous one.
            ticket_lifetime: config.tls_ticket_rotation,
            offered: offered(config),
            offers_validation: !config.acme.is_empty() && config.acme_challenge != AcmeChallenge::Http01,
        })
    }
}

/// The versions of HTTP by their ALPN names (RFC 7301 §6, RFC 9113 §3.2), in the order of preference.
fn offered(config: &Config) -> Vec<&'static [u8]> {
    let mut names: Vec<&'static [u8]> = Vec::new();
    for version in &config.http_protocols {
        let known: &[&[u8]] = match version {
            // A client of HTTP/1.0 offers `http/1.0`. Without a common name the handshake fails (RFC 7301 §3.2).
            HttpVersion::H1 => &[b"http/1.1", b"http/1.0"],
            HttpVersion::H2 => &[b"h2"],
        };
        for name in known {
            if !names.contains(name) {
                names.push(name);
            }
        }
    }
    if names.is_empty() { vec![b"http/1.1", b"http/1.0"] } else { names }
}
