//! Certificates and their keys: reads PEM files, checks them, and puts chains in order. An error names the file, the
//! setting and what to do.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::certificate::X509Certificate;

/// The largest file of certificates or keys, far larger than any chain.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate's chain, leaf first, and the key of the leaf.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity {
    /// The file that it was read from, or the domain of a challenge, for messages.
    pub origin: String,
    /// The certificates in DER, the server's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key.
    pub key: PrivateKeyDer<'static>,
}

/// The files of an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentityFiles {
    /// The file with the chain, and with the key if `key` is `None`.
    pub certificate: PathBuf,
    /// The key's own file, if it has one.
    pub key: Option<PathBuf>,
}

/// An identity, with warnings about harmless mistakes in its files.
#[derive(Debug)]
pub struct Loaded {
    /// The identity.
    pub identity: Identity,
    /// Sentences for the log.
    pub warnings: Vec<String>,
}

impl IdentityFiles {
    /// The files that `certfile` and `keyfile` name: one key for each certificate, or no keys if the certificates'
    /// files contain them.
    ///
    /// # Errors
    /// The numbers of certificates and keys do not match.
    pub fn pairs(certificates: &[PathBuf], keys: &[PathBuf]) -> Result<Vec<IdentityFiles>, String> {
        if certificates.is_empty() && !keys.is_empty() {
            return Err("keyfile: there is a key but no certificate; name its file with certfile".to_owned());
        }
        if !keys.is_empty() && keys.len() != certificates.len() {
            return Err(format!(
                "keyfile: there are {} certificates and {} keys; name one key for each certificate in the same order, or none \
                 where each file of certfile contains its key",
                certificates.len(),
                keys.len()
            ));
        }
        let pair = |(at, certificate): (usize, &PathBuf)| IdentityFiles {
            certificate: certificate.clone(),
            key: keys.get(at).cloned(),
        };
        Ok(certificates.iter().enumerate().map(pair).collect())
    }

    /// The files, the certificate's first.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&*self.certificate).chain(self.key.as_deref())
    }

    /// Reads and checks the files.
    ///
    /// # Errors
    /// The message names the problem, the file and the setting.
    pub fn load(&self, now: SystemTime) -> Result<Loaded, String> {
        let name = self.certificate.display();
        let text = read(&self.certificate, "certfile")?;
        let chain = certificates(&text, &self.certificate, "certfile")?;
        let key = match &self.key {
            Some(path) => private_key(&read(path, "keyfile")?, path, "keyfile")?,
            None => private_key(&text, &self.certificate, "certfile").map_err(|reason| match has_key(&text) {
                true => reason,
                false => format!("certfile: {name} contains no private key; name the key's file with keyfile"),
            })?,
        };
        let mut warnings = Vec::new();
        let chain = in_order(chain, &key, &self.certificate, &mut warnings).ok_or_else(|| {
            let key_path = self.key.as_ref().unwrap_or(&self.certificate).display();
            format!(
                "keyfile: the key in {key_path} does not belong to the certificate in {name}; give the key for which the \
                 certificate was issued"
            )
        })?;
        warnings.extend(validity(&chain[0], now).map(|sentence| format!("certfile: {name}: {sentence}")));
        Ok(Loaded { identity: Identity { origin: name.to_string(), chain, key }, warnings })
    }
}

/// Reads the certificate, with its key, that proves a domain to an ACME authority (RFC 8737 §3).
///
/// # Errors
/// The file cannot be read, or has no certificate or no key.
pub fn challenge(path: &Path, domain: &str) -> Result<Identity, String> {
    let text = read(path, "acme")?;
    let (chain, key) = (certificates(&text, path, "acme")?, private_key(&text, path, "acme")?);
    Ok(Identity { origin: domain.to_owned(), chain, key })
}

/// Reads the authorities in a file of certificates.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub fn authorities(path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    certificates(&read(path, setting)?, path, setting)
}

/// Reads the chain and the key that are shown to another server. Without `key_path` the certificate's file contains both.
pub(crate) fn shown(
    path: &Path,
    key_path: Option<&Path>,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), String> {
    const SETTING: &str = "`tls.certificate`";
    let text = read(path, SETTING)?;
    let chain = certificates(&text, path, SETTING)?;
    let key = match key_path {
        Some(key_path) => private_key(&read(key_path, "`tls.key`")?, key_path, "`tls.key`")?,
        None => private_key(&text, path, SETTING).map_err(|reason| match has_key(&text) {
            true => reason,
            false => {
                format!("{SETTING}: {} contains no private key; name the key's file with `tls.key`", path.display())
            }
        })?,
    };
    let chain = in_order(chain, &key, path, &mut Vec::new()).ok_or_else(|| {
        let key_name = key_path.unwrap_or(path).display();
        format!("`tls.key`: the key in {key_name} does not belong to the certificate in {}", path.display())
    })?;
    Ok((chain, key))
}

/// The chain and key in rustls' form. `None` if the key is not the leaf's, or is of an unknown type.
pub(crate) fn certified(chain: &[CertificateDer<'static>], key: &PrivateKeyDer<'static>) -> Option<CertifiedKey> {
    CertifiedKey::from_der(chain.to_vec(), key.clone_key(), &aws_lc_rs::default_provider()).ok()
}

/// The same for a certificate that proves a domain. Its critical extension makes rustls refuse to parse it, so whether
/// the key matches is not checked.
pub(crate) fn certified_challenge(identity: &Identity) -> Option<CertifiedKey> {
    let key = aws_lc_rs::default_provider().key_provider.load_private_key(identity.key.clone_key()).ok()?;
    Some(CertifiedKey::new(identity.chain.clone(), key))
}

fn read(path: &Path, setting: &str) -> Result<Vec<u8>, String> {
    let failed = |reason: String| format!("{setting}: cannot read {}: {reason}", path.display());
    let facts = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if facts.is_dir() {
        return Err(failed("it is a folder, not a file".to_owned()));
    }
    if facts.len() > FILE_BYTES_MAX {
        return Err(failed(format!("it is larger than {FILE_BYTES_MAX} bytes")));
    }
    fs::read(path).map_err(|error| failed(error.to_string()))
}

fn certificates(text: &[u8], path: &Path, setting: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let name = path.display();
    let read: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = read.map_err(|error| format!("{setting}: {name} is damaged: {error}"))?;
    if chain.is_empty() {
        let der = parsed(text).is_some();
        let hint =
            if der { "; it is in DER: convert it with `openssl x509 -inform der -in FILE -out FILE.pem`" } else { "" };
        return Err(format!("{setting}: there is no certificate in {name} (-----BEGIN CERTIFICATE-----){hint}"));
    }
    for (at, certificate) in chain.iter().enumerate() {
        if parsed(certificate).is_none() {
            return Err(format!("{setting}: certificate {} in {name} cannot be understood", at + 1));
        }
    }
    Ok(chain)
}

fn has_key(text: &[u8]) -> bool {
    contains(text, b"PRIVATE KEY-----")
}

fn private_key(text: &[u8], path: &Path, setting: &str) -> Result<PrivateKeyDer<'static>, String> {
    let name = path.display();
    let is_encrypted =
        contains(text, b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || contains(text, b"Proc-Type: 4,ENCRYPTED");
    if is_encrypted {
        return Err(format!(
            "{setting}: the key in {name} is encrypted, and nobody is there to be asked for its passphrase; decrypt it with \
             `openssl pkey -in {name} -out decrypted.key` and let only the server read the new file"
        ));
    }
    match PrivateKeyDer::from_pem_slice(text) {
        Ok(key) => match aws_lc_rs::default_provider().key_provider.load_private_key(key.clone_key()) {
            Ok(_) => Ok(key),
            Err(error) => Err(format!(
                "{setting}: the key in {name} cannot be used: {error}; RSA of 2048 bits and more, ECDSA on P-256, P-384 and \
                 P-521, and Ed25519 are known"
            )),
        },
        Err(rustls::pki_types::pem::Error::NoItemsFound) => {
            Err(format!("{setting}: {name} contains no private key (-----BEGIN PRIVATE KEY-----)"))
        }
        Err(error) => Err(format!("{setting}: the key in {name} is damaged: {error}")),
    }
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

/// The chain with the key's own certificate first, and each issuer after the certificate that it issued. `None` if the
/// key belongs to no certificate.
fn in_order(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    path: &Path,
    warnings: &mut Vec<String>,
) -> Option<Vec<CertificateDer<'static>>> {
    let leaf = chain.iter().position(|certificate| certified(std::slice::from_ref(certificate), key).is_some())?;
    let mut rest = chain;
    let mut ordered = vec![rest.remove(leaf)];
    let mut moved = leaf != 0;
    while !rest.is_empty() {
        let next = ordered.last().and_then(|last| issuer_among(last, &rest));
        moved |= next.is_some_and(|next| next != 0);
        ordered.push(rest.remove(next.unwrap_or(0)));
    }
    if moved {
        warnings.push(format!(
            "certfile: the certificates in {} are not in order; they are sent with the server's own first and each issuer \
             behind it",
            path.display()
        ));
    }
    Some(ordered)
}

fn issuer_among(certificate: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<usize> {
    let issued = parsed(certificate)?;
    others
        .iter()
        .position(|other| parsed(other).is_some_and(|other| other.subject().as_raw() == issued.issuer().as_raw()))
}

/// A warning if the certificate has expired or is not valid yet.
fn validity(certificate: &CertificateDer<'_>, now: SystemTime) -> Option<String> {
    let parsed = parsed(certificate)?;
    let now = now.duration_since(UNIX_EPOCH).ok()?.as_secs() as i64;
    let (from, until) = (parsed.validity().not_before, parsed.validity().not_after);
    if now > until.timestamp() {
        Some(format!("the certificate expired on {until}; browsers refuse it"))
    } else if now < from.timestamp() {
        Some(format!("the certificate is not valid before {from}; browsers refuse it until then"))
    } else {
        None
    }
}

fn parsed(bytes: &[u8]) -> Option<X509Certificate<'_>> {
    x509_parser::parse_x509_certificate(bytes).ok().map(|(_, parsed)| parsed)
}
