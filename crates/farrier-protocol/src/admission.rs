//! Which protocols a peer may use on a listener. Decided once per connection, when it is accepted.

use farrier_http::wire::proxy::Versions;
use farrier_http::{Error, Kind, Peer, Via};

use crate::rules::{Peers, Protocol};

/// The settings of all listeners.
pub struct Admission {
    /// One per listener; HTTP for those beyond.
    pub protocols: Vec<Protocol>,
    pub(crate) uwsgi_peers: Peers,
    pub(crate) fastcgi_peers: Peers,
    /// The PROXY headers that are accepted.
    pub proxy_header: Option<Versions>,
    pub(crate) proxy_peers: Peers,
    /// Peers that may begin with HTTP/2 without TLS.
    pub cleartext_http2_peers: Option<Peers>,
}

/// The protocol of a connection, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoken {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 or HTTP/2, as the first bytes decide.
    HttpOrHttp2,
    /// HTTP/1.1 or HTTP/2, as ALPN in the TLS handshake decided.
    AsNegotiated,
    /// The uwsgi protocol.
    Uwsgi,
    /// FastCGI.
    FastCgi,
    /// Any of the last three, as the first bytes decide; and HTTP/2 if the switch is on.
    Auto {
        /// HTTP/2 with prior knowledge is accepted.
        http2: bool,
    },
}

/// What one connection may speak.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// The protocol.
    pub protocol: Spoken,
    /// The PROXY header that must come first.
    pub proxy_header: Option<Versions>,
    may_speak_uwsgi: bool,
    may_speak_fastcgi: bool,
}

impl Admission {
    /// Whether the peer connects on behalf of clients behind it, by a gateway protocol or with a PROXY header.
    pub fn is_for_others(&self, listener: usize, peer: Peer) -> bool {
        matches!(self.protocols.get(listener), Some(Protocol::Uwsgi | Protocol::FastCgi))
            || (self.proxy_header.is_some() && self.proxy_peers.includes(peer))
    }

    /// Whether every peer of a listener speaks HTTP, and nothing comes before it.
    pub fn speaks_http(&self, listener: usize) -> bool {
        self.proxy_header.is_none() && self.protocols.get(listener).is_none_or(|protocol| *protocol == Protocol::Http)
    }

    /// Which protocols a peer may use on a listener, with TLS or without.
    pub fn opening(&self, listener: usize, peer: Peer, is_secured: bool) -> Opening {
        let protocol = self.protocols.get(listener).copied().unwrap_or(Protocol::Http);
        let http_alone = protocol == Protocol::Http;
        let http2 = self.cleartext_http2_peers.as_ref().is_some_and(|peers| peers.includes(peer));
        let spoken = match protocol {
            Protocol::Http if is_secured => Spoken::AsNegotiated,
            Protocol::Http if http2 => Spoken::HttpOrHttp2,
            Protocol::Http => Spoken::Http,
            Protocol::Uwsgi => Spoken::Uwsgi,
            Protocol::FastCgi => Spoken::FastCgi,
            Protocol::Auto => Spoken::Auto { http2 },
        };
        Opening {
            protocol: spoken,
            proxy_header: self.proxy_header.filter(|_| self.proxy_peers.includes(peer)),
            may_speak_uwsgi: !http_alone && self.uwsgi_peers.includes(peer),
            may_speak_fastcgi: !http_alone && self.fastcgi_peers.includes(peer),
        }
    }
}

impl Opening {
    /// The protocol of a stream of an HTTP/2 connection.
    pub fn http2() -> Opening {
        Opening { protocol: Spoken::HttpOrHttp2, proxy_header: None, may_speak_uwsgi: false, may_speak_fastcgi: false }
    }

    /// Checks a request by the protocol that it came on.
    ///
    /// # Errors
    /// The peer may not use it.
    pub fn judge(&self, via: Via) -> Result<(), Error> {
        match via {
            Via::Uwsgi if !self.may_speak_uwsgi => {
                Err(Error::client(Kind::Forbidden, "the peer may not speak the uwsgi protocol (see uwsgi_allow_ips)"))
            }
            Via::FastCgi(_) if !self.may_speak_fastcgi => {
                Err(Error::client(Kind::Forbidden, "the peer may not speak FastCGI (see fastcgi_allow_ips)"))
            }
            _ => Ok(()),
        }
    }
}
