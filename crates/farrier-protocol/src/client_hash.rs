//! Hashes clients for tables that workers share: nobody outside can tell which addresses have the same hash.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// Words of a cache line: the unit in which tables are laid out. The first line holds the key.
pub const LINE_WORDS: usize = 8;

/// Gives a table its key, before it is used.
///
/// # Arguments
///
/// `key` is random and unknown to clients.
pub fn seed(words: &[AtomicU64], key: [u64; 2]) {
    for (word, part) in words.iter().zip(key) {
        word.store(part, Ordering::Relaxed);
    }
}

/// The hash of one table.
pub struct ClientHash([u64; 2]);

impl ClientHash {
    /// The hash of the table in these words.
    pub fn of(words: &[AtomicU64]) -> Option<ClientHash> {
        match words {
            [first, second, ..] => Some(ClientHash([first.load(Ordering::Relaxed), second.load(Ordering::Relaxed)])),
            _ => None,
        }
    }

    /// The client's hash. In IPv4 it is that of the address, in IPv6 that of the /64 network: a client with one address
    /// there has all of them.
    pub fn number(&self, client: IpAddr) -> u64 {
        // SipHash of the key and then the address; the same in every worker.
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0[0]);
        hasher.write_u64(self.0[1]);
        match client.to_canonical() {
            IpAddr::V4(address) => hasher.write_u32(address.into()),
            IpAddr::V6(address) => hasher.write_u64((u128::from(address) >> 64) as u64),
        }
        hasher.finish()
    }
}
