//! Chooses the certificate for the name that a client asks for (RFC 6066 §3): exact, wildcard, or else the default.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureAlgorithm;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;

use super::certificates::{Identity, certified, certified_challenge};
use super::keyring::Contents;

/// The protocol by which an authority validates a domain (RFC 8737 §3).
pub(crate) const VALIDATION_PROTOCOL: &[u8] = b"acme-tls/1";

thread_local! {
    /// The name in the hello that this thread is processing. rustls gives it to the resolver alone.
    static ASKED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Forgets the last name that was asked for on this thread.
pub(crate) fn forget_asked() {
    ASKED.set(None);
}

/// The name that was asked for since [`forget_asked`].
pub(crate) fn take_asked() -> Option<String> {
    ASKED.take()
}

/// Certificates by name. Several certificates of one name differ in the type of their key.
#[derive(Debug, Default)]
pub(crate) struct Resolver {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// By the name behind `*.`.
    wildcard: HashMap<String, Vec<Arc<CertifiedKey>>>,
    default: Vec<Arc<CertifiedKey>>,
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl Resolver {
    pub(crate) fn new(contents: &Contents) -> Resolver {
        let mut resolver = Resolver::default();
        let mut default_names = None;
        for identity in &contents.identities {
            let Some(key) = certified(&identity.chain, &identity.key).map(Arc::new) else { continue };
            let names = names(identity);
            // The default is the first certificate, with those for the same names that have another type of key.
            if default_names.get_or_insert_with(|| names.clone()) == &names {
                resolver.default.push(Arc::clone(&key));
            }
            for name in names {
                let place = match name.strip_prefix("*.") {
                    Some(parent) => resolver.wildcard.entry(parent.to_owned()).or_default(),
                    None => resolver.exact.entry(name).or_default(),
                };
                place.push(Arc::clone(&key));
            }
        }
        let all = resolver.exact.values_mut().chain(resolver.wildcard.values_mut());
        for keys in all.chain([&mut resolver.default]) {
            // The cheaper signature comes first. Keys of one type keep the order of the settings.
            keys.sort_by_key(|key| key.key.algorithm() == SignatureAlgorithm::RSA);
        }
        for identity in &contents.challenges {
            if let Some(key) = certified_challenge(identity) {
                resolver.challenges.insert(identity.origin.to_ascii_lowercase(), Arc::new(key));
            }
        }
        resolver
    }

    fn for_name(&self, name: &str) -> &[Arc<CertifiedKey>] {
        let parent = || name.split_once('.').map(|(_, parent)| parent);
        let found = self.exact.get(name).or_else(|| self.wildcard.get(parent()?));
        found.unwrap_or(&self.default)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls gives the name in lower case and without a dot at its end.
        let name = hello.server_name();
        ASKED.set(name.map(str::to_owned));
        if hello.alpn().is_some_and(|mut protocols| protocols.any(|protocol| protocol == VALIDATION_PROTOCOL)) {
            return self.challenges.get(name?).cloned();
        }
        let candidates = name.map_or(&*self.default, |name| self.for_name(name));
        let fitting = candidates.iter().find(|key| key.key.choose_scheme(hello.signature_schemes()).is_some());
        fitting.or_else(|| candidates.first()).cloned()
    }
}

/// The names that a certificate is for: its alternative names (RFC 6125 §6.4.4), or else its common name.
fn names(identity: &Identity) -> Vec<String> {
    let Some((_, parsed)) = identity.chain.first().and_then(|leaf| x509_parser::parse_x509_certificate(leaf).ok())
    else {
        return Vec::new();
    };
    if let Ok(Some(alternative)) = parsed.subject_alternative_name() {
        let names = alternative.value.general_names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        return names.collect();
    }
    let common = parsed.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    common.map(str::to_ascii_lowercase).collect()
}
