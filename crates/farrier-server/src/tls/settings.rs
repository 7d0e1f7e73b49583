//! The settings of TLS, as the sessions use them.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

use super::ciphers;
use crate::rules::{ClientCertificates, TlsVersion};

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
pub(crate) fn provider(ciphers: Option<&str>) -> Result<Arc<CryptoProvider>, String> {
    let cipher_suites = ciphers.map_or_else(|| Ok(ciphers::all()), ciphers::named)?;
    Ok(Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() }))
}
