//! The Host field that a server behind the reverse proxy sees, and the address that connections to it come from.

use std::net::IpAddr;

use super::{BindAddress, Rejected, ServerUrl, Value};

/// The Host field that a server behind the reverse proxy sees.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProxyHost {
    /// The client's.
    Client,
    /// The server's own.
    Upstream,
    /// This one.
    Fixed(String),
}

impl Value for ProxyHost {
    const EXPECTED: &'static str = "`client`, `upstream`, or a host such as `example.org`";
    const METAVAR: &'static str = "HOST";

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text {
            "client" => Ok(ProxyHost::Client),
            "upstream" => Ok(ProxyHost::Upstream),
            // What may stand in a URL may stand in the field.
            _ => match ServerUrl::parse(&format!("http://{text}")) {
                Ok(ServerUrl { place: BindAddress::Tcp { .. }, .. }) if text.is_ascii() => {
                    Ok(ProxyHost::Fixed(text.to_owned()))
                }
                _ => Err(Rejected::unexpected(text)),
            },
        }
    }

    fn text(&self) -> String {
        match self {
            ProxyHost::Client => "client".to_owned(),
            ProxyHost::Upstream => "upstream".to_owned(),
            ProxyHost::Fixed(host) => host.clone(),
        }
    }
}

/// A local address that connections to servers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SourceAddress(pub IpAddr);

impl Value for SourceAddress {
    const EXPECTED: &'static str = "an address of this machine such as `10.0.0.5`";
    const METAVAR: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        text.parse().map(SourceAddress).map_err(|_| Rejected::unexpected(text))
    }

    fn text(&self) -> String {
        self.0.to_string()
    }
}
