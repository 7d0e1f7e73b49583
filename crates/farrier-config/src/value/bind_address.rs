//! An address to listen on.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use super::{Protocol, Rejected, Value};

/// Where a listener is bound. Names are not looked up here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum BindAddress {
    /// A TCP address.
    Tcp {
        /// A name or an address without brackets; empty means all addresses of the machine.
        host: String,
        /// The port; 0 takes any free one.
        port: u16,
    },
    /// A unix socket at this path.
    Unix(PathBuf),
    /// A unix socket of this name in Linux's abstract namespace, without its leading NUL.
    Abstract(Vec<u8>),
    /// A listening socket that is already open under this number.
    Fd(i32),
    /// The listening sockets that the service manager passes under this name.
    NamedFd(String),
    /// One of the others, with the protocol of its connections.
    Speaking(Protocol, Box<BindAddress>),
    /// One of the others, with HTTP over TLS.
    Secured(Box<BindAddress>),
}

impl BindAddress {
    /// The address without its protocol.
    pub fn place(&self) -> &BindAddress {
        match self {
            BindAddress::Speaking(_, place) | BindAddress::Secured(place) => place,
            place => place,
        }
    }

    /// The protocol that the address itself names.
    pub fn protocol(&self) -> Option<Protocol> {
        match self {
            BindAddress::Speaking(protocol, _) => Some(*protocol),
            BindAddress::Secured(_) => Some(Protocol::Http),
            _ => None,
        }
    }

    /// Whether it uses TLS; `None` if that depends on whether there is a certificate.
    pub fn is_secured(&self) -> Option<bool> {
        match self {
            BindAddress::Secured(_) => Some(true),
            BindAddress::Speaking(..) => Some(false),
            _ => None,
        }
    }
}

const DEFAULT_PORT: u16 = 8000;

/// `sun_path` has 108 bytes, one of which ends the path or begins the abstract name (unix(7)).
const UNIX_NAME_BYTES_MAX: usize = 107;

impl fmt::Display for BindAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindAddress::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            BindAddress::Tcp { host, port } => write!(f, "{host}:{port}"),
            BindAddress::Unix(path) => write!(f, "unix:{}", path.display()),
            BindAddress::Abstract(name) => write!(f, "unix:@{}", String::from_utf8_lossy(name)),
            BindAddress::Fd(number) => write!(f, "fd://{number}"),
            BindAddress::NamedFd(name) => write!(f, "fd://{name}"),
            BindAddress::Speaking(protocol, place) => speaks(f, &protocol.text(), place),
            BindAddress::Secured(place) => speaks(f, "https", place),
        }
    }
}

fn speaks(f: &mut fmt::Formatter<'_>, protocol: &str, place: &BindAddress) -> fmt::Result {
    match place {
        BindAddress::Tcp { .. } => write!(f, "{protocol}://{place}"),
        _ => write!(f, "{protocol}+{place}"),
    }
}

impl Value for BindAddress {
    const EXPECTED: &'static str = "`HOST:PORT`, `[IPV6]:PORT`, `:PORT`, `unix:PATH`, `unix:@NAME`, `fd://N` or `fd://NAME`, \
         with `http://`, `https://`, `uwsgi://`, `fastcgi://` (or `https+unix:` and the like) in front for what is spoken \
         there";
    const METAVAR: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        match speaking(word) {
            Some((spoken, rest)) => {
                let place = Box::new(place(rest, text)?);
                Ok(match spoken {
                    Spoken::Protocol(protocol) => BindAddress::Speaking(protocol, place),
                    Spoken::Https => BindAddress::Secured(place),
                })
            }
            None => place(word, text),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }
}

/// The prefix of an address.
enum Spoken {
    Protocol(Protocol),
    Https,
}

/// The prefix of an address, and the address: `uwsgi://HOST:PORT`, `uwsgi+unix:PATH`, `uwsgi+fd://N`.
fn speaking(word: &str) -> Option<(Spoken, &str)> {
    let at = word.find(['+', ':'])?;
    let spoken = match &word[..at] {
        "http" => Spoken::Protocol(Protocol::Http),
        "https" => Spoken::Https,
        "uwsgi" => Spoken::Protocol(Protocol::Uwsgi),
        "fastcgi" | "fcgi" => Spoken::Protocol(Protocol::FastCgi),
        "auto" => Spoken::Protocol(Protocol::Auto),
        _ => return None,
    };
    let rest = word[at..].strip_prefix('+').or_else(|| word[at..].strip_prefix("://"))?;
    Some((spoken, rest))
}

/// An address without a protocol.
fn place(word: &str, text: &str) -> Result<BindAddress, Rejected> {
    if let Some(name) = word.strip_prefix("unix:") {
        return unix(name.strip_prefix("//").unwrap_or(name), text);
    }
    if let Some(number) = word.strip_prefix("fd://") {
        return descriptor(number).ok_or_else(|| Rejected::unexpected(text));
    }
    let address = word.strip_prefix("tcp://").unwrap_or(word);
    let address = address.strip_suffix('/').filter(|_| address.len() < text.len()).unwrap_or(address);
    match address.split_once("://") {
        Some((scheme, _)) => Err(Rejected::because(format!(
            "`{scheme}://` is not served; `http://`, `https://`, `uwsgi://`, `fastcgi://`, `tcp://` and `fd://` are"
        ))),
        None => tcp(address, text),
    }
}

fn descriptor(text: &str) -> Option<BindAddress> {
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(BindAddress::Fd);
    }
    // FileDescriptorName= of systemd.socket(5); the colon separates names, and a number is a number.
    let is_name = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b':' | b'/' | b','));
    is_name.then(|| BindAddress::NamedFd(text.to_string()))
}

fn unix(name: &str, text: &str) -> Result<BindAddress, Rejected> {
    // An argument cannot contain a NUL, so it may be written as `\0`; `@` always stands for it.
    let in_abstract = name.strip_prefix('@').or_else(|| name.strip_prefix('\0')).or_else(|| name.strip_prefix("\\0"));
    let bytes = in_abstract.unwrap_or(name).as_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Rejected::unexpected(text));
    }
    if bytes.len() > UNIX_NAME_BYTES_MAX {
        let message = format!("`{text}` is too long, a unix socket's name has at most {UNIX_NAME_BYTES_MAX} bytes");
        return Err(Rejected::because(message));
    }
    Ok(match in_abstract {
        Some(name) => BindAddress::Abstract(name.as_bytes().to_vec()),
        None => BindAddress::Unix(PathBuf::from(name)),
    })
}

fn tcp(address: &str, text: &str) -> Result<BindAddress, Rejected> {
    let unexpected = || Rejected::unexpected(text);
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(unexpected)?;
        // The zone (`%eth0`) is left to the resolver.
        host.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().map_err(|_| unexpected())?;
        let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(unexpected)?) };
        (host, port)
    } else {
        let (host, port) = address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)));
        if port.is_some_and(|port| port.contains(':')) {
            return Err(Rejected::because(format!("`{text}` looks like IPv6, which stands in brackets: `[::1]:8000`")));
        }
        (host, port)
    };
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => port.parse().map_err(|_| unexpected())?,
        Some(_) => return Err(unexpected()),
    };
    if address == host && !host.is_empty() && host.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Rejected::because(format!("`{text}` is a number; a port alone is written `:{text}`")));
    }
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    let host = if host == "*" { "" } else { host };
    if address.is_empty() || !host.chars().all(is_host) {
        return Err(unexpected());
    }
    Ok(BindAddress::Tcp { host: host.to_string(), port })
}
