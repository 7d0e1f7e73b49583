//! The rustls configuration of sessions with other servers: whom they trust, and how they identify themselves.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use farrier_config::{TlsVersion, UpstreamTls};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};

use super::certificates;
use super::client_sessions::ClientSessions;
use super::settings::provider;

/// The protocol that is offered (RFC 7301 §6).
const OFFERED: &[u8] = b"http/1.1";

/// The authorities that this system trusts.
///
/// # Errors
/// There is none.
pub fn system_roots() -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    // The same crate as for ACME: an authority that an administrator adds to the system is trusted here, too.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    match roots.is_empty() {
        true => {
            Err("`tls.ca`: this system has no certificates of authorities; name a file with those to trust".to_owned())
        }
        false => Ok(Arc::new(roots)),
    }
}

/// The terms of a table `tls`, whose files are read now.
///
/// `roots` gives the system's authorities. It is only called where they are needed.
///
/// # Errors
/// The key in the table and its file, and what is wrong.
pub fn client_terms(
    tls: &UpstreamTls,
    roots: &mut dyn FnMut() -> Result<Arc<RootCertStore>, String>,
) -> Result<Arc<ClientConfig>, String> {
    let provider = provider(None)?;
    let versions = match tls.min {
        TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12][..],
        TlsVersion::V1_3 => &[&version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|error| format!("`tls`: {error}"))?
        .dangerous();
    let builder = builder.with_custom_certificate_verifier(match (tls.verify, &tls.ca) {
        (false, _) => Arc::new(Unverified(provider)),
        (true, None) => verifier(roots()?, &provider)?,
        (true, Some(path)) => verifier(authorities(path)?, &provider)?,
    });
    let mut terms = match (&tls.certificate, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (None, Some(_)) => return Err("`tls.key`: there is a key but no `tls.certificate`".to_owned()),
        (Some(certificate), key) => {
            let (chain, key) = certificates::shown(certificate, key.as_deref())?;
            builder.with_client_auth_cert(chain, key).map_err(|error| format!("`tls.certificate`: {error}"))?
        }
    };
    terms.alpn_protocols = vec![OFFERED.to_vec()];
    terms.resumption = rustls::client::Resumption::store(Arc::<ClientSessions>::default());
    Ok(Arc::new(terms))
}

fn authorities(path: &Path) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    for authority in certificates::authorities(path, "`tls.ca`")? {
        let name = path.display();
        roots.add(authority).map_err(|error| format!("`tls.ca`: an authority in {name} cannot be used: {error}"))?;
    }
    Ok(Arc::new(roots))
}

fn verifier(roots: Arc<RootCertStore>, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let verifier = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
    Ok(verifier.map_err(|error| format!("`tls.ca`: {error}"))?)
}

/// Accepts every certificate, as `tls.verify = false` says. The server must still have the key of what it shows.
struct Unverified(Arc<CryptoProvider>);

impl fmt::Debug for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unverified")
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
