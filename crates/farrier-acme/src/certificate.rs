//! Reads a certificate: names, validity, and its identifier for renewal information.

use std::time::{Duration, SystemTime};

use instant_acme::CertificateIdentifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::settings::Names;

/// The first certificate of a chain.
#[derive(Debug)]
pub(crate) struct Leaf {
    der: CertificateDer<'static>,
    names: Vec<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    /// No authority has signed it: it is a [`crate::placeholder`].
    pub(crate) is_self_signed: bool,
    /// Its public key (SubjectPublicKeyInfo).
    pub(crate) public_key: Vec<u8>,
}

impl Leaf {
    /// Reads the first certificate of a PEM text.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub(crate) fn of(pem: &str) -> Result<Leaf, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| format!("there is no certificate in it: {error}"))?;
        let (_, parsed) =
            X509Certificate::from_der(&der).map_err(|error| format!("the certificate cannot be read: {error}"))?;
        let alternative = parsed.subject_alternative_name().ok().flatten();
        let names = alternative.iter().flat_map(|extension| &extension.value.general_names);
        let names = names.filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        });
        let validity = parsed.validity();
        Ok(Leaf {
            names: names.collect(),
            not_before: moment(validity.not_before.timestamp()),
            not_after: moment(validity.not_after.timestamp()),
            is_self_signed: parsed.issuer() == parsed.subject(),
            public_key: parsed.public_key().raw.to_vec(),
            der: der.clone().into_owned(),
        })
    }

    /// Whether it is for all of these names.
    pub(crate) fn covers(&self, names: &Names) -> bool {
        names.all().iter().all(|name| self.names.contains(name))
    }

    /// How long it is valid altogether.
    pub(crate) fn life(&self) -> Duration {
        self.not_after.duration_since(self.not_before).unwrap_or_default()
    }

    /// Its identifier in renewal information; `None` if the certificate lacks the parts of it (RFC 9773 §4.1).
    pub(crate) fn identifier(&self) -> Option<CertificateIdentifier<'static>> {
        CertificateIdentifier::try_from(&self.der).ok().map(CertificateIdentifier::into_owned)
    }
}

fn moment(unix_s: i64) -> SystemTime {
    let since = Duration::from_secs(unix_s.unsigned_abs());
    let at =
        if unix_s < 0 { SystemTime::UNIX_EPOCH.checked_sub(since) } else { SystemTime::UNIX_EPOCH.checked_add(since) };
    at.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placeholder;

    #[test]
    fn a_placeholder_is_for_its_names_and_recognized() {
        let names = |all: &[&str]| Names::new(all.iter().map(|&name| name.to_owned()).collect()).expect("names");
        let both = names(&["example.org", "www.example.org"]);
        let leaf = Leaf::of(&placeholder(&both).expect("made")).expect("read");
        assert!(leaf.is_self_signed && leaf.covers(&both) && leaf.covers(&names(&["www.example.org"])));
        assert!(!leaf.covers(&names(&["example.org", "example.net"])));
        assert!(leaf.not_before < SystemTime::now() && leaf.not_after > SystemTime::now());
    }

    #[test]
    fn a_file_without_a_certificate_is_an_error() {
        assert!(Leaf::of("").expect_err("refused").contains("no certificate"));
        let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(Leaf::of(bad).expect_err("refused").contains("cannot be read"));
    }
}
