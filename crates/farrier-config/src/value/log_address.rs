//! Where logs and metrics are sent: syslog and StatsD.

use std::path::PathBuf;

use super::{Rejected, Value};

/// Where syslog listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SyslogAddress {
    /// Datagrams.
    Udp {
        /// A name or an address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A stream.
    Tcp {
        /// A name or an address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of this machine.
    Unix {
        /// Its path.
        path: PathBuf,
        /// Its kind; `None` if none was given, so that both are tried.
        kind: Option<UnixKind>,
    },
}

/// The kind of a unix socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnixKind {
    /// Datagrams.
    Dgram,
    /// A stream.
    Stream,
}

const SYSLOG_PORT: u16 = 514;

impl Value for SyslogAddress {
    const EXPECTED: &'static str =
        "`udp://HOST:PORT`, `tcp://HOST:PORT` or `unix://PATH` with or without `#dgram` or `#stream`";
    const METAVAR: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let unexpected = || Rejected::unexpected(text);
        let (scheme, rest) = text.trim().split_once("://").ok_or_else(unexpected)?;
        match scheme {
            "udp" => host_and_port(rest, SYSLOG_PORT)
                .map(|(host, port)| SyslogAddress::Udp { host, port })
                .ok_or_else(unexpected),
            "tcp" => host_and_port(rest, SYSLOG_PORT)
                .map(|(host, port)| SyslogAddress::Tcp { host, port })
                .ok_or_else(unexpected),
            "unix" => {
                let (path, kind) = match rest.rsplit_once('#') {
                    None => (rest, None),
                    Some((path, "dgram")) => (path, Some(UnixKind::Dgram)),
                    Some((path, "stream")) => (path, Some(UnixKind::Stream)),
                    Some(_) => return Err(unexpected()),
                };
                if path.is_empty() { Err(unexpected()) } else { Ok(SyslogAddress::Unix { path: path.into(), kind }) }
            }
            _ => Err(unexpected()),
        }
    }

    fn text(&self) -> String {
        match self {
            SyslogAddress::Udp { host, port } => format!("udp://{}", joined(host, *port)),
            SyslogAddress::Tcp { host, port } => format!("tcp://{}", joined(host, *port)),
            SyslogAddress::Unix { path, kind } => {
                let kind = match kind {
                    None => "",
                    Some(UnixKind::Dgram) => "#dgram",
                    Some(UnixKind::Stream) => "#stream",
                };
                format!("unix://{}{kind}", path.display())
            }
        }
    }
}

/// Where a StatsD server listens for datagrams.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatsdAddress {
    /// UDP.
    Udp {
        /// A name or an address without brackets.
        host: String,
        /// The port.
        port: u16,
    },
    /// A datagram socket of this machine.
    Unix(PathBuf),
}

const STATSD_PORT: u16 = 8125;

impl Value for StatsdAddress {
    const EXPECTED: &'static str = "`HOST:PORT` or `unix://PATH`";
    const METAVAR: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        if let Some(path) = word.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(Rejected::unexpected(text))
            } else {
                Ok(StatsdAddress::Unix(path.into()))
            };
        }
        let word = word.strip_prefix("udp://").unwrap_or(word);
        let address = host_and_port(word, STATSD_PORT).map(|(host, port)| StatsdAddress::Udp { host, port });
        address.ok_or_else(|| Rejected::unexpected(text))
    }

    fn text(&self) -> String {
        match self {
            StatsdAddress::Udp { host, port } => joined(host, *port),
            StatsdAddress::Unix(path) => format!("unix://{}", path.display()),
        }
    }
}

/// `HOST`, `HOST:PORT` or `[IPV6]:PORT`.
fn host_and_port(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = match port {
        None => default_port,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().ok()?,
        Some(_) => return None,
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    (!host.is_empty() && host.chars().all(is_host)).then(|| (host.to_string(), port))
}

fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
