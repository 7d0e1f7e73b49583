//! The settings of TLS, as the sessions use them.

use std::sync::Arc;
use std::time::Duration;

use farrier_config::{ClientCertificates, Config, TlsVersion};
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::ciphers;

/// What governs sessions, the same for all listeners of a worker.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    pub(crate) provider: Arc<CryptoProvider>,
    pub(crate) version_min: TlsVersion,
    pub(crate) client_certificates: ClientCertificates,
    /// How long a ticket may be used; zero for no tickets.
    pub(crate) ticket_lifetime: Duration,
    /// HTTP/2 is offered.
    pub(crate) offers_http2: bool,
    /// Authorities may validate domains by TLS.
    pub(crate) offers_validation: bool,
}

impl TlsSettings {
    /// # Errors
    /// A setting that means nothing, or two that contradict each other.
    pub fn of(config: &Config) -> Result<TlsSettings, String> {
        let cipher_suites = match &config.ciphers {
            Some(text) => ciphers::named(text)?,
            None => ciphers::all(),
        };
        if config.cert_reqs != ClientCertificates::None && config.ca_certs.is_none() {
            return Err(
                "cert_reqs: client certificates are verified against authorities; name their file with ca_certs"
                    .to_owned(),
            );
        }
        let provider = CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() };
        Ok(TlsSettings {
            provider: Arc::new(provider),
            version_min: config.tls_min_version,
            client_certificates: config.cert_reqs,
            // A ticket is accepted with the key that made it and with the one after.
            ticket_lifetime: config.tls_ticket_rotation,
            offers_http2: false,
            offers_validation: false,
        })
    }
}
