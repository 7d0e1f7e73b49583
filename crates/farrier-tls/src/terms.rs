//! The rustls configuration of new sessions. A handshake renews it if the arbiter has published a new version.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, version};

use super::keyring::{Contents, Keyring};
use super::resolver::{Resolver, VALIDATION_PROTOCOL};
use super::settings::TlsSettings;
use super::tickets::Tickets;
use farrier_config::{ClientCertificates, TlsVersion};
use farrier_log::error::{ErrorLog, Level};

/// How often a worker checks for a new published version, in ms.
const LOOK_INTERVAL_MS: u64 = 1000;

/// Tickets that a client of TLS 1.3 gets: enough for two further connections at the same time.
const TICKETS_SENT: usize = 2;

/// The rustls configuration of a worker's sessions.
pub struct Terms {
    settings: TlsSettings,
    keyring: Arc<dyn Keyring>,
    tickets: Arc<Tickets>,
    log: Arc<ErrorLog>,
    current: Mutex<Current>,
}

struct Current {
    version: u64,
    looked_ms: u64,
    terms: Arc<ServerConfig>,
}

impl Terms {
    /// Reads the present version from the keyring.
    ///
    /// # Errors
    /// The published version cannot be used with these settings.
    pub fn new(settings: TlsSettings, keyring: Arc<dyn Keyring>, log: Arc<ErrorLog>) -> Result<Terms, String> {
        let tickets = Arc::new(Tickets::new(Arc::clone(&keyring), settings.ticket_lifetime));
        let Some((version, bytes)) = keyring.read() else { return Err("TLS: no certificate is published".to_owned()) };
        let terms = made(&settings, &tickets, version, &bytes)?;
        let current = Mutex::new(Current { version, looked_ms: 0, terms });
        Ok(Terms { settings, keyring, tickets, log, current })
    }

    /// The configuration of a session that begins now.
    pub fn now(&self, now_ms: u64) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now_ms >= current.looked_ms + LOOK_INTERVAL_MS {
            current.looked_ms = now_ms;
            if self.keyring.version() != current.version {
                self.renew(&mut current);
            }
        }
        Arc::clone(&current.terms)
    }

    fn renew(&self, current: &mut Current) {
        // A version that is being written right now is read at the next check.
        let Some((version, bytes)) = self.keyring.read() else { return };
        match made(&self.settings, &self.tickets, version, &bytes) {
            Ok(terms) => current.terms = terms,
            Err(reason) => self.log.write(Level::Error, &format!("{reason}; the previous certificates stay in use")),
        }
        current.version = version;
    }
}

fn made(
    settings: &TlsSettings,
    tickets: &Arc<Tickets>,
    version: u64,
    bytes: &[u8],
) -> Result<Arc<ServerConfig>, String> {
    let contents = Contents::decode(bytes).ok_or("TLS: the published certificates cannot be decoded")?;
    tickets.renew(version, &contents.ticket_keys);
    let versions = match settings.version_min {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12][..],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let failed = |error: rustls::Error| format!("TLS: {error}");
    let builder = ServerConfig::builder_with_provider(Arc::clone(&settings.provider))
        .with_protocol_versions(versions)
        .map_err(failed)?;
    let builder = match settings.client_certificates {
        ClientCertificates::None => builder.with_no_client_auth(),
        asked => {
            let mut roots = RootCertStore::empty();
            for authority in &contents.authorities {
                roots
                    .add(authority.clone())
                    .map_err(|error| format!("ca_certs: an authority cannot be used: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&settings.provider));
            let verifier = match asked {
                ClientCertificates::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| format!("ca_certs: {error}"))?)
        }
    };
    let mut terms = builder.with_cert_resolver(Arc::new(Resolver::new(&contents)));
    // Sessions are kept in tickets alone: no worker stores any. A client without a ticket makes a full handshake.
    terms.session_storage = Arc::new(NoServerSessionStorage {});
    terms.send_tls13_tickets = 0;
    if !settings.ticket_lifetime.is_zero() {
        terms.ticketer = Arc::clone(tickets) as _;
        terms.send_tls13_tickets = TICKETS_SENT;
    }
    terms.alpn_protocols.extend(settings.offered.iter().map(|name| name.to_vec()));
    if settings.offers_validation {
        terms.alpn_protocols.push(VALIDATION_PROTOCOL.to_vec());
    }
    Ok(Arc::new(terms))
}
