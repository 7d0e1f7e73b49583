//! Rendezvous hashing: each key orders all servers anew, so that a server that leaves moves its own keys only.

use std::net::IpAddr;

use farrier_http::{Peer, Request};

use super::Candidates;
use crate::hash::{cookie, mixed, scramble};

/// The part of a request that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashOn {
    /// Path and query as received.
    Uri,
    /// The path as received.
    Path,
    /// The client's address; of IPv6 the network.
    Client,
    /// The value of a field.
    Header(String),
    /// The value of a cookie.
    Cookie(String),
    /// The value of a part of the query.
    Query(String),
}

impl HashOn {
    /// The hash of the part. `None`: the request has none.
    pub fn key(&self, request: &Request) -> Option<u64> {
        match self {
            HashOn::Uri => Some(mixed(mixed(1, request.path()), request.query())),
            HashOn::Path => Some(mixed(1, request.path())),
            HashOn::Client => match request.origin.peer {
                Peer::Tcp(address) => match address.ip().to_canonical() {
                    IpAddr::V4(ip) => Some(mixed(1, &ip.octets())),
                    // A client with one address of a /64 has all of them.
                    IpAddr::V6(ip) => Some(mixed(1, &ip.octets()[..8])),
                },
                _ => None,
            },
            HashOn::Header(name) => request.values(name).next().map(|value| mixed(1, value)),
            HashOn::Cookie(name) => cookie(request, name.as_bytes()).map(|value| mixed(1, value)),
            HashOn::Query(name) => query(request.query(), name.as_bytes()).map(|value| mixed(1, value)),
        }
    }
}

/// The server with the highest score for the key, among those that have not more than their part to do.
pub(super) fn choose(from: Candidates<'_>, key: u64) -> Option<usize> {
    let (mut weights, mut in_flight) = (0, 0);
    for (_, server) in from.iter() {
        weights += from.weight(server);
        in_flight += u64::from(server.in_flight());
    }
    let mut best: Option<(usize, f64)> = None;
    for (place, server) in from.iter() {
        let weight = from.weight(server);
        // A quarter more than its part of all, this request included.
        let most = ((in_flight + 1) * weight * 5).div_ceil(weights.max(1) * 4);
        if u64::from(server.in_flight()) >= most {
            continue;
        }
        let score = score(key, server.key, weight);
        if best.is_none_or(|(_, best)| score > best) {
            best = Some((place, score));
        }
    }
    best.map(|(place, _)| place)
}

/// A server's score for a key: −weight / ln(u), where u is their hash between 0 and 1.
fn score(key: u64, server: u64, weight: u64) -> f64 {
    let hash = scramble(key ^ scramble(server));
    let between = ((hash >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -(weight as f64) / between.ln()
}

fn query<'a>(query: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    query.split(|&byte| byte == b'&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix(b"="))
}
