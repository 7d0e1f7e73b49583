//! Answers to challenges, which prove control of a name: written before the authority is asked to validate, removed
//! after it has.

use std::fs;
use std::path::PathBuf;

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};

use crate::failure::Failure;
use crate::settings::Challenge;
use crate::state::State;

/// Answers in the state directory; dropping them removes them.
#[derive(Debug, Default)]
pub(crate) struct Answers(Vec<PathBuf>);

impl Answers {
    /// Writes an answer. Returns the certificate, in DER, if it is one.
    ///
    /// # Errors It cannot be written, or the token is invalid.
    pub(crate) fn put(
        &mut self,
        state: &State,
        kind: Challenge,
        name: &str,
        token: &str,
        key: &KeyAuthorization,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let (place, certificate) = match kind {
            // It becomes the name of a file, and the authority may not be trustworthy (RFC 8555 §8.3: base64url).
            Challenge::Http01 if !is_token(token) => {
                return Err(Failure::of_ours("the authority's token for http-01 is not in base64url"));
            }
            Challenge::Http01 => (state.answer(kind, token, key.as_str())?, None),
            Challenge::TlsAlpn01 => {
                let (pem, der) = certificate(name, key)?;
                (state.answer(kind, &format!("{name}.pem"), &pem)?, Some(der))
            }
        };
        self.0.push(place);
        Ok(certificate)
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        for place in &self.0 {
            // An answer that cannot be removed does no harm: nobody requests it any more.
            let _ = fs::remove_file(place);
        }
    }
}

/// Removes answers that a predecessor has left.
pub(crate) fn sweep(state: &State, kind: Challenge, is_ours: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(state.challenges(kind)).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(&is_ours) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The library's name for it.
pub(crate) fn kind_of(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::Http01 => ChallengeType::Http01,
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
    }
}

/// A certificate that shows the digest of the key authorization (RFC 8737 §3): with its key in PEM, and in DER.
fn certificate(name: &str, authorization: &KeyAuthorization) -> Result<(String, Vec<u8>), Failure> {
    let made = || -> Result<(String, Vec<u8>), rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        let digest = authorization.digest();
        params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest.as_ref())];
        let certificate = params.self_signed(&key)?;
        Ok((certificate.pem() + &key.serialize_pem(), certificate.der().to_vec()))
    };
    made().map_err(|error| Failure::of_ours(format!("cannot make the certificate of a challenge: {error}")))
}

fn is_token(token: &str) -> bool {
    (1..=128).contains(&token.len()) && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_a_file_s_name_and_nothing_else() {
        assert!(is_token("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr_oA"));
        let long = "a".repeat(129);
        for bad in ["", ".", "..", "a/b", "a b", "a\0", &long] {
            assert!(!is_token(bad), "{bad:?}");
        }
    }
}
