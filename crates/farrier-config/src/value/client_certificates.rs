//! Whether clients are asked for a certificate.

use super::{Completes, Plain, Rejected, Value};

/// Whether clients are asked for a certificate. One that is given must be valid in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ClientCertificates {
    /// Clients are not asked.
    None,
    /// Clients are asked, and may connect without one.
    Optional,
    /// Clients are asked, and cannot connect without one.
    Required,
}

impl Value for ClientCertificates {
    const EXPECTED: &'static str = "`none`, `optional` or `required` (or 0, 1 or 2)";
    const METAVAR: &'static str = "WORD";
    const COMPLETES: Completes = Completes::Words(&["none", "optional", "required"]);
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        // The numbers and words are those of Python's `ssl`.
        match text.trim().to_ascii_lowercase().as_str() {
            "none" | "0" | "cert_none" => Ok(ClientCertificates::None),
            "optional" | "1" | "cert_optional" => Ok(ClientCertificates::Optional),
            "required" | "2" | "cert_required" => Ok(ClientCertificates::Required),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        let word = match self {
            ClientCertificates::None => "none",
            ClientCertificates::Optional => "optional",
            ClientCertificates::Required => "required",
        };
        word.to_owned()
    }

    /// Hooks get Gunicorn's value, which is a number.
    fn plain(&self) -> Plain {
        Plain::Whole(*self as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_mean_the_same() {
        for (text, meant) in [
            ("none", ClientCertificates::None),
            ("0", ClientCertificates::None),
            ("1", ClientCertificates::Optional),
            ("CERT_REQUIRED", ClientCertificates::Required),
            ("2", ClientCertificates::Required),
        ] {
            assert_eq!(ClientCertificates::parse(text), Ok(meant));
        }
        assert!(ClientCertificates::parse("3").is_err());
    }
}
