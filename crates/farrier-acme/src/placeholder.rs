//! The certificate that is served until the first one was issued: self-signed, so that the site is up and nobody is deceived.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::settings::Names;

/// A chain and a key in one PEM text. Whoever orders sees by its signature that it is to be replaced.
///
/// # Errors
/// The library's; there is no randomness, say.
pub fn placeholder(names: &Names) -> Result<String, String> {
    let made = || -> Result<String, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.all().to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "temporary certificate of Farrier");
        let certificate = params.self_signed(&key)?;
        Ok(certificate.pem() + &key.serialize_pem())
    };
    made().map_err(|error| format!("cannot make a temporary certificate: {error}"))
}
