//! Hashes that are the same in all processes, and the part of a request that is hashed most: a cookie.

use farrier_http::Request;

/// The value of a cookie, the first of that name.
pub(crate) fn cookie<'a>(request: &'a Request, name: &[u8]) -> Option<&'a [u8]> {
    let pairs = request.values("cookie").flat_map(|line| line.split(|&byte| byte == b';'));
    pairs.filter_map(|pair| pair.trim_ascii_start().strip_prefix(name)?.strip_prefix(b"=")).next()
}

/// Mixes bytes into a hash. It is the same in all processes and on all machines, so that a key has the same server everywhere.
pub(crate) fn mixed(hash: u64, bytes: &[u8]) -> u64 {
    let mut hash = scramble(hash ^ bytes.len() as u64);
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        hash = scramble(hash ^ u64::from_le_bytes(word));
    }
    hash
}

/// Spreads numbers (the finalizer of SplitMix64).
pub(crate) fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
