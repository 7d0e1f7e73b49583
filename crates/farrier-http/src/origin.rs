//! Where a request came from: data for logs and environ, never a reason for a handler to act differently.

use std::net::SocketAddr;

/// The client's end of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP peer.
    Tcp(SocketAddr),
    /// A peer on a unix socket, which has no useful address.
    Unix,
}

/// `http` or `https`, as the client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS, here or at a trusted proxy.
    Https,
}

impl Scheme {
    /// The scheme as in a URI (RFC 3986 §3.1).
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// Index of the listener that accepted the connection, in the order of `bind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListenerId(pub u16);

/// Where a request came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// The client.
    pub peer: Peer,
    /// The listener it came through.
    pub listener: ListenerId,
    /// The scheme it used.
    pub scheme: Scheme,
}
