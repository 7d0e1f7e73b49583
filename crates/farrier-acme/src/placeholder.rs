//! The temporary certificate that is served until the first one is issued. It is self-signed, so the site is up, but no
//! browser trusts it.

use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

use crate::settings::Names;

/// A chain and a key in one PEM text. Its signature shows the ordering process that it must be replaced.
///
/// # Errors Those of the library, such as missing randomness.
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
