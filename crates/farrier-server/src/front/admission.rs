//! What may be spoken on a listener, and by whom. Decided once per connection, when it is accepted.

use farrier_http::wire::proxy::Versions;
use farrier_http::{Error, Kind, Peer, Via};

use crate::rules::{Peers, Protocol};

/// The settings of all listeners.
pub(crate) struct Admission {
    /// One per listener; HTTP for those beyond.
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) uwsgi_peers: Peers,
    pub(crate) fastcgi_peers: Peers,
    /// The PROXY headers that are read.
    pub(crate) proxy_header: Option<Versions>,
    pub(crate) proxy_peers: Peers,
}

/// What one connection may speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opening {
    /// The protocol; `Auto` until the first bytes have told.
    pub(crate) protocol: Protocol,
    /// The PROXY header that must come first.
    pub(crate) proxy_header: Option<Versions>,
    may_speak_uwsgi: bool,
    may_speak_fastcgi: bool,
}

impl Admission {
    /// What a peer may speak on a listener.
    pub(crate) fn opening(&self, listener: usize, peer: Peer) -> Opening {
        let protocol = self.protocols.get(listener).copied().unwrap_or(Protocol::Http);
        let http_alone = protocol == Protocol::Http;
        Opening {
            protocol,
            proxy_header: self.proxy_header.filter(|_| self.proxy_peers.includes(peer)),
            may_speak_uwsgi: !http_alone && self.uwsgi_peers.includes(peer),
            may_speak_fastcgi: !http_alone && self.fastcgi_peers.includes(peer),
        }
    }
}

impl Opening {
    /// Judges a request by the protocol that it came by.
    ///
    /// # Errors
    /// The peer may not speak it.
    pub(crate) fn judge(&self, via: Via) -> Result<(), Error> {
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
