//! The data of a request that came through a gateway protocol (uwsgi, FastCGI): the variables of RFC 3875 that are no
//! field, and their meaning. A request that came by HTTP has none.

use std::net::SocketAddr;

use crate::field::Span;
use crate::origin::{Peer, Scheme};
use crate::request::Request;

/// The protocol that a request came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Via {
    /// HTTP.
    #[default]
    Http,
    /// The uwsgi protocol.
    Uwsgi,
    /// FastCGI, as the request of this id.
    FastCgi(u16),
}

/// A variable that only goes to the environ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// The name, which is not empty.
    pub name: Span,
    /// The value, perhaps empty.
    pub value: Span,
}

/// The data from a web server besides method, target, version, fields and length.
#[derive(Debug, Default)]
pub struct Gateway {
    /// The protocol; with [`Via::Http`] nothing else here is set.
    pub via: Via,
    /// The path is PATH_INFO as the web server gave it: decoded already, and without SCRIPT_NAME.
    pub path_is_decoded: bool,
    /// SERVER_NAME is among the variables and not empty.
    pub has_server_name: bool,
    /// Variables named UWSGI_* were given; they are ignored.
    pub had_uwsgi_variables: bool,
    /// The scheme from HTTPS or REQUEST_SCHEME.
    pub scheme: Option<Scheme>,
    /// REMOTE_ADDR and REMOTE_PORT, if they are an address. An address without a port has port 0.
    pub client: Option<SocketAddr>,
    /// SCRIPT_NAME without slashes at its end, decoded; empty for an application at the root.
    pub script_name: Span,
    /// All others, in the order received; of two with the same name the last counts.
    pub variables: Vec<Variable>,
}

impl Gateway {
    /// Clears everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        if self.via == Via::Http {
            return;
        }
        let mut variables = std::mem::take(&mut self.variables);
        variables.clear();
        *self = Gateway { variables, ..Gateway::default() };
    }
}

impl Request {
    /// Whether a web server translated the request from HTTP.
    pub fn came_through_gateway(&self) -> bool {
        self.head.gateway.via != Via::Http
    }

    /// Replaces the connection's origin with that of the web server's client. Every peer that may use a gateway
    /// protocol is trusted in this.
    pub fn take_origin_from_gateway(&mut self) {
        if let Some(client) = self.head.gateway.client {
            self.origin.peer = Peer::Tcp(client);
        }
        if let Some(scheme) = self.head.gateway.scheme {
            self.origin.scheme = scheme;
        }
    }

    /// Variables that have no place elsewhere in the request, in the order received.
    pub fn variables(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.head.gateway.variables.iter().map(|variable| {
            let Variable { name, value } = *variable;
            (self.arena.slice(name), self.arena.slice(value))
        })
    }
}
