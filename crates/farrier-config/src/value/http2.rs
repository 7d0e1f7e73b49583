//! Which versions of HTTP are served, and whether HTTP/2 may be used without TLS.

use super::{Completes, Rejected, Value};
use crate::answer::Raw;

/// A version of HTTP that clients may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HttpVersion {
    /// HTTP/1.1 and 1.0.
    H1,
    /// HTTP/2.
    H2,
}

impl Value for HttpVersion {
    const EXPECTED: &'static str = "`h1` or `h2`";
    const METAVAR: &'static str = "VERSIONS";
    const COMPLETES: Completes = Completes::Words(&["h1", "h2"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim().to_ascii_lowercase().as_str() {
            "h1" | "http/1.1" => Ok(HttpVersion::H1),
            "h2" => Ok(HttpVersion::H2),
            "h3" => Err(Rejected::because("`h3` is not served: HTTP/3 needs QUIC")),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        match self {
            HttpVersion::H1 => "h1",
            HttpVersion::H2 => "h2",
        }
        .to_string()
    }
}

/// Whether HTTP/2 is served without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Http2Cleartext {
    /// Not at all.
    Off,
    /// To peers that begin with HTTP/2 at once, because they know that the server supports it.
    PriorKnowledge,
}

impl Value for Http2Cleartext {
    const EXPECTED: &'static str = "`off` or `prior-knowledge`";
    const METAVAR: &'static str = "WORD";
    const COMPLETES: Completes = Completes::Words(&["off", "prior-knowledge"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim().to_ascii_lowercase().as_str() {
            "prior-knowledge" => Ok(Http2Cleartext::PriorKnowledge),
            "off" | "false" | "none" | "no" | "" => Ok(Http2Cleartext::Off),
            "upgrade" | "both" => {
                Err(Rejected::because("`Upgrade: h2c` is not served, RFC 9113 has removed it: use `prior-knowledge`"))
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        match self {
            Http2Cleartext::Off => "off",
            Http2Cleartext::PriorKnowledge => "prior-knowledge",
        }
        .to_string()
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Switch(false) | Raw::Absent => Ok(Http2Cleartext::Off),
            Raw::Text(text) => Self::parse(text),
            other => Err(Rejected::unexpected_raw(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_gunicorns() {
        assert_eq!(HttpVersion::parse("http/1.1"), Ok(HttpVersion::H1));
        assert_eq!(Http2Cleartext::read(&Raw::Switch(false)), Ok(Http2Cleartext::Off));
        assert_eq!(Http2Cleartext::parse("Prior-Knowledge"), Ok(Http2Cleartext::PriorKnowledge));
        assert!(Http2Cleartext::parse("both").is_err());
        assert!(HttpVersion::parse("h3").is_err());
    }
}
