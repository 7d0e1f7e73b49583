//! The settings of TLS, as the sessions use them.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::ciphers;
use farrier_config::{AcmeChallenge, ClientCertificates, Config, HttpVersion, TlsVersion};

/// What governs sessions, the same for all listeners of a worker. Made from the configuration by [`TlsSettings::of`].
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) version_min: TlsVersion,
    pub(crate) client_certificates: ClientCertificates,
    /// How long a ticket may be used; zero for no tickets.
    pub(crate) ticket_lifetime: Duration,
    /// The versions of HTTP that are offered, by their names in ALPN, the preferred one first.
    pub(crate) offered: Vec<&'static [u8]>,
    /// Authorities may validate domains by TLS.
    pub(crate) offers_validation: bool,
}

/// What encrypts, with the suites that the setting `ciphers` names, or all.
///
/// # Errors
/// A name that is none, or that names what is not offered.
pub fn provider(ciphers: Option<&str>) -> Result<Arc<CryptoProvider>, String> {
    let cipher_suites = ciphers.map_or_else(|| Ok(ciphers::all()), ciphers::named)?;
    Ok(Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }))
}

impl TlsSettings {
    /// # Errors
    /// A setting that means nothing, or two that contradict each other.
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
            // A ticket is accepted with the key that made it and with the one after.
            ticket_lifetime: config.tls_ticket_rotation,
            offered: offered(config),
            offers_validation: !config.acme.is_empty() && config.acme_challenge != AcmeChallenge::Http01,
        })
    }
}

/// The versions of HTTP by their names in ALPN (RFC 7301 §6, RFC 9113 §3.2), in the order of preference.
fn offered(config: &Config) -> Vec<&'static [u8]> {
    let mut names: Vec<&'static [u8]> = Vec::new();
    for version in &config.http_protocols {
        let known: &[&[u8]] = match version {
            // Who speaks only HTTP/1.0 says so, and without a name in common the handshake would fail (RFC 7301 §3.2).
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
