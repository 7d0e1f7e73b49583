//! Whether connections begin with a PROXY header, and in which version.

use super::{Completes, Rejected, Value};
use crate::answer::Raw;

/// The versions of the PROXY protocol that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyProtocol {
    /// None: clients connect directly.
    Off,
    /// The text form.
    V1,
    /// The binary form.
    V2,
    /// Either form.
    Auto,
}

impl Value for ProxyProtocol {
    const EXPECTED: &'static str = "`off`, `v1`, `v2` or `auto`";
    const METAVAR: &'static str = "VERSION";
    const COMPLETES: Completes = Completes::Words(&["off", "v1", "v2", "auto"]);

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.trim().to_ascii_lowercase().as_str() {
            "v1" | "1" => Ok(ProxyProtocol::V1),
            "v2" | "2" => Ok(ProxyProtocol::V2),
            // In older Gunicorn it was a switch.
            "auto" | "true" | "on" | "yes" => Ok(ProxyProtocol::Auto),
            "off" | "false" | "none" | "no" | "" => Ok(ProxyProtocol::Off),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        match self {
            ProxyProtocol::Off => "off",
            ProxyProtocol::V1 => "v1",
            ProxyProtocol::V2 => "v2",
            ProxyProtocol::Auto => "auto",
        }
        .to_string()
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Switch(on) => Ok(if *on { ProxyProtocol::Auto } else { ProxyProtocol::Off }),
            Raw::Text(text) => Self::parse(text),
            other => Err(Rejected::unexpected_raw(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gunicorns_switch_is_understood() {
        assert_eq!(ProxyProtocol::read(&Raw::Switch(true)), Ok(ProxyProtocol::Auto));
        assert_eq!(ProxyProtocol::read(&Raw::Switch(false)), Ok(ProxyProtocol::Off));
        assert_eq!(ProxyProtocol::parse("V2"), Ok(ProxyProtocol::V2));
        assert!(ProxyProtocol::parse("v3").is_err());
    }
}
