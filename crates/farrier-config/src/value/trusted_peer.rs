//! Trusted peers: addresses, networks, or all.

use std::fmt;
use std::net::IpAddr;

use super::{Rejected, Value};

/// A network: the addresses that share their first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix_bits: u8,
}

impl Cidr {
    /// Whether `address` belongs to the network. An IPv4 address is the same when it comes mapped into IPv6, as it does on
    /// a listener for both.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let shared = u32::from(network) ^ u32::from(address);
                shared.leading_zeros() >= u32::from(self.prefix_bits)
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let shared = u128::from(network) ^ u128::from(address);
                shared.leading_zeros() >= u32::from(self.prefix_bits)
            }
            _ => false,
        }
    }

    fn address_bits(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix_bits == Cidr::address_bits(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{}/{}", self.address, self.prefix_bits)
        }
    }
}

/// One item of a list of trusted peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrustedPeer {
    /// `*`: every peer.
    Any,
    /// An address or a network.
    Network(Cidr),
}

impl TrustedPeer {
    /// Whether it includes a peer at `address`.
    pub fn includes(&self, address: IpAddr) -> bool {
        match self {
            TrustedPeer::Any => true,
            TrustedPeer::Network(network) => network.contains(address),
        }
    }
}

impl Value for TrustedPeer {
    const EXPECTED: &'static str = "an address, a network such as `10.0.0.0/8`, or `*`";
    const METAVAR: &'static str = "PEERS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        if text == "*" {
            return Ok(TrustedPeer::Any);
        }
        let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| Rejected::unexpected(text))?;
        let all = Cidr::address_bits(address);
        let prefix_bits = match bits {
            None => all,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= all).ok_or_else(|| Rejected::unexpected(text))?,
        };
        let network = Cidr { address, prefix_bits };
        // Bits after the prefix mean that either the address or the prefix is wrong. Trust must not depend on a guess.
        if bits.is_some() && !is_first_of_its_network(network) {
            let message = format!("`{text}` is an address within a network; write the network's first address");
            return Err(Rejected::because(message));
        }
        Ok(TrustedPeer::Network(network))
    }

    fn text(&self) -> String {
        match self {
            TrustedPeer::Any => "*".to_string(),
            TrustedPeer::Network(network) => network.to_string(),
        }
    }
}

fn is_first_of_its_network(network: Cidr) -> bool {
    let (value, width) = match network.address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let host_bits = width - u32::from(network.prefix_bits);
    value.trailing_zeros() >= host_bits
}
