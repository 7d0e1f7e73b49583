//! Names of hosts: one name, and patterns of names.

use std::fmt;

use super::{Rejected, Value};

/// A host's name or address as a request names it, in lower case, without port and without a dot at its end. An IPv6
/// address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostName(String);

impl HostName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Value for HostName {
    const EXPECTED: &'static str = "a host's name such as `example.org`";
    const METAVAR: &'static str = "HOST";

    fn parse(text: &str) -> Result<Self, Rejected> {
        if let Some(inner) = text.strip_prefix('[') {
            let address = inner.strip_suffix(']').and_then(|address| address.parse::<std::net::Ipv6Addr>().ok());
            return address.map(|address| HostName(format!("[{address}]"))).ok_or_else(|| Rejected::unexpected(text));
        }
        if let Ok(address) = text.parse::<std::net::Ipv6Addr>() {
            return Ok(HostName(format!("[{address}]")));
        }
        if !text.is_ascii() {
            return Err(Rejected::because(format!("`{text}` must be written in ASCII, as in `xn--…` (punycode)")));
        }
        if text.contains("://") {
            return Err(Rejected::because(format!("`{text}` is a URL: write the host's name alone")));
        }
        if text.contains(':') {
            return Err(Rejected::because(format!("`{text}` has a port: a site serves its names on every port")));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        };
        match name.len() <= 255 && name.split('.').all(is_label) {
            true => Ok(HostName(name.to_ascii_lowercase())),
            false => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Which names a site serves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This name: `example.org`.
    Exact(HostName),
    /// Every name below this one, with any number of labels: `*.example.org`.
    Below(HostName),
    /// This name and every one below it: `.example.org`.
    Within(HostName),
}

impl HostPattern {
    /// Whether it serves a name.
    pub fn serves(&self, host: &HostName) -> bool {
        let is_below =
            |name: &HostName| host.0.strip_suffix(&name.0).is_some_and(|front| front.len() > 1 && front.ends_with('.'));
        match self {
            HostPattern::Exact(name) => name == host,
            HostPattern::Below(name) => is_below(name),
            HostPattern::Within(name) => name == host || is_below(name),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostPattern::Exact(name) => write!(f, "{name}"),
            HostPattern::Below(name) => write!(f, "*.{name}"),
            HostPattern::Within(name) => write!(f, ".{name}"),
        }
    }
}

impl Value for HostPattern {
    const EXPECTED: &'static str = "a host's name such as `example.org` or `*.example.org`";
    const METAVAR: &'static str = "HOST";

    fn parse(text: &str) -> Result<Self, Rejected> {
        // An address has no names below it.
        let parent = |name: &str| match HostName::parse(name) {
            Ok(name) if !name.0.starts_with('[') => Ok(name),
            _ => Err(Rejected::unexpected(text)),
        };
        if text == "*" {
            return Err(Rejected::because("`*` is no name: `default = true` makes a site serve all names"));
        }
        if let Some(name) = text.strip_prefix("*.") {
            return parent(name).map(HostPattern::Below);
        }
        if let Some(name) = text.strip_prefix('.') {
            return parent(name).map(HostPattern::Within);
        }
        HostName::parse(text).map(HostPattern::Exact)
    }

    fn text(&self) -> String {
        self.to_string()
    }
}
