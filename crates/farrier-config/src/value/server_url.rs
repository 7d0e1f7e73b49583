//! The address of a server that requests are forwarded to.

use std::fmt;

use super::{BindAddress, Rejected, Value};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerProtocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// HTTP/2 over TLS.
    H2,
    /// HTTP/2 without TLS.
    H2c,
    /// uwsgi.
    Uwsgi,
    /// uwsgi over TLS.
    Suwsgi,
    /// FastCGI.
    FastCgi,
}

/// The protocols, their names in a URL, and their ports.
const PROTOCOLS: &[(&str, ServerProtocol, Option<u16>)] = &[
    ("http", ServerProtocol::Http, Some(80)),
    ("https", ServerProtocol::Https, Some(443)),
    ("h2", ServerProtocol::H2, Some(443)),
    ("h2c", ServerProtocol::H2c, Some(80)),
    ("uwsgi", ServerProtocol::Uwsgi, None),
    ("suwsgi", ServerProtocol::Suwsgi, None),
    ("fastcgi", ServerProtocol::FastCgi, None),
];

impl ServerProtocol {
    /// Its name in a URL.
    pub fn scheme(self) -> &'static str {
        PROTOCOLS.iter().find(|(_, protocol, _)| *protocol == self).map_or("http", |(name, ..)| name)
    }

    /// The port of a URL that names none.
    pub fn port(self) -> Option<u16> {
        PROTOCOLS.iter().find(|(_, protocol, _)| *protocol == self).and_then(|(.., port)| *port)
    }

    /// Whether it is spoken over TLS.
    pub fn is_secured(self) -> bool {
        matches!(self, ServerProtocol::Https | ServerProtocol::H2 | ServerProtocol::Suwsgi)
    }
}

/// The address of a server, and the protocol that is spoken there.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    /// The protocol.
    pub protocol: ServerProtocol,
    /// A TCP address with its port, or a unix socket.
    pub place: BindAddress,
}

impl ServerUrl {
    /// `host[:port]` as a Host field has it: without the port that is usual. A unix socket is `localhost`.
    pub fn authority(&self) -> String {
        match &self.place {
            BindAddress::Tcp { host, port } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                if self.protocol.port() == Some(*port) { host } else { format!("{host}:{port}") }
            }
            _ => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.protocol.scheme())?;
        match &self.place {
            BindAddress::Tcp { .. } => f.write_str(&self.authority()),
            place => place.fmt(f),
        }
    }
}

impl Value for ServerUrl {
    const EXPECTED: &'static str = "an address such as `http://127.0.0.1:9000`, `HOST:PORT` or `http://unix:PATH`";
    const METAVAR: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        let (protocol, rest) = match word.split_once("://") {
            Some((scheme, rest)) => {
                let known = PROTOCOLS.iter().find(|(name, ..)| scheme.eq_ignore_ascii_case(name));
                let Some((_, protocol, _)) = known else {
                    let names: Vec<String> = PROTOCOLS.iter().map(|(name, ..)| format!("`{name}://`")).collect();
                    return Err(Rejected::because(format!("`{scheme}://` is not one of {}", names.join(", "))));
                };
                (*protocol, rest)
            }
            None => (ServerProtocol::Http, word),
        };
        if rest.is_empty() {
            return Err(Rejected::unexpected(text));
        }
        let place = if rest.starts_with("unix:") { BindAddress::parse(rest)? } else { tcp(rest, protocol, text)? };
        Ok(ServerUrl { protocol, place })
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

fn tcp(rest: &str, protocol: ServerProtocol, text: &str) -> Result<BindAddress, Rejected> {
    if let Some(at) = rest.find(['/', '?', '#']) {
        return Err(Rejected::because(format!(
            "`{text}` has the path `{}`: write the address without it, and change paths with `strip_prefix` or \
             `rewrite_prefix`",
            &rest[at..]
        )));
    }
    if !rest.is_ascii() {
        return Err(Rejected::because(format!("`{text}` must be written in ASCII, as in `xn--…` (punycode)")));
    }
    if rest.contains('@') {
        return Err(Rejected::because(
            "an address has no user and password: set the field `Authorization` with `set_headers`",
        ));
    }
    let has_port = rest.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']') && !port.is_empty());
    let with_port = match (has_port, protocol.port()) {
        (true, _) => rest.to_owned(),
        (false, Some(port)) => format!("{rest}:{port}"),
        (false, None) => return Err(Rejected::because(format!("`{text}` has no port"))),
    };
    match BindAddress::parse(&with_port) {
        Ok(BindAddress::Tcp { host, port }) if !host.is_empty() && port > 0 => Ok(BindAddress::Tcp { host, port }),
        Err(rejected) if rest.matches(':').count() > 1 && !rest.starts_with('[') => Err(rejected),
        _ => Err(Rejected::unexpected(text)),
    }
}
