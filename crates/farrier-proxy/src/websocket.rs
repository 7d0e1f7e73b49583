//! The handshake of WebSocket over HTTP/1.1 (RFC 6455 §4), over HTTP/2 (RFC 8441), and from one to the other.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use farrier_http::{Request, ResponseHead, Status};

/// The name in Upgrade and in `:protocol`.
pub const PROTOCOL: &[u8] = b"websocket";

/// The only version (RFC 6455 §4.1).
pub const VERSION: &[u8] = b"13";

/// Appended to the key (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of a request whose handshake is valid: one Sec-WebSocket-Key of 16 bytes in base64, and version 13.
pub fn key_of(request: &Request) -> Option<&[u8]> {
    let key = only(request.values("sec-websocket-key"))?;
    (is_key(key) && has_version(request)).then_some(key)
}

/// Whether a request of RFC 8441 can be forwarded. There is no key: HTTP/2 itself tells which stream an answer belongs to (§5).
pub fn is_extended_connect(request: &Request, protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(PROTOCOL)
        && has_version(request)
        && request.values("sec-websocket-key").next().is_none()
}

/// A fresh key for a request, if it is one of RFC 8441.
pub(crate) fn fresh_key(request: &Request) -> Option<[u8; 24]> {
    request.protocol()?;
    let mut nonce = [0; 16];
    // Without random bytes the key is a constant: it tells requests from answers, and keeps nothing secret.
    let _ = aws_lc_rs::rand::fill(&mut nonce);
    Some(key_from(nonce))
}

/// A key for a handshake over HTTP/1.1 that an HTTP/2 client has none for. `nonce` is random.
pub fn key_from(nonce: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    encode_base64(&nonce, &mut key);
    key
}

/// The value of Sec-WebSocket-Accept that answers a key (RFC 6455 §4.2.2).
pub fn accept_of(key: &[u8]) -> [u8; 28] {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    let mut accept = [0; 28];
    encode_base64(hash.as_ref(), &mut accept);
    accept
}

/// The answer for an HTTP/2 client: the 200 in place of a 101 (RFC 8441 §5). `head` is filled from an upstream's 101 that was
/// checked.
pub fn accepted_for_http2(head: &ResponseHead) -> ResponseHead {
    let mut accepted = ResponseHead::new(Status::OK);
    let never = [&b"sec-websocket-accept"[..], b"content-length"];
    let is_kept = |name: &[u8]| !never.iter().any(|its| name.eq_ignore_ascii_case(its));
    for (name, value) in head.fields().filter(|(name, _)| is_kept(name)) {
        // It was added before, so it is valid.
        let _ = accepted.add(name, value);
    }
    accepted
}

/// The answer for an HTTP/1.1 client in place of an HTTP/2 upstream's 2xx: the head of a 101, for
/// [`crate::upgrade::encode_switched`].
pub fn accepted_for_http1(head: &ResponseHead, key: &[u8]) -> ResponseHead {
    let mut accepted = ResponseHead::new(SWITCHING);
    for (name, value) in head.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(b"sec-websocket-accept")) {
        let _ = accepted.add(name, value);
    }
    let _ = accepted.add(b"Sec-WebSocket-Accept", &accept_of(key));
    accepted
}

/// Switching Protocols.
const SWITCHING: Status = Status(101);

fn has_version(request: &Request) -> bool {
    only(request.values("sec-websocket-version")) == Some(VERSION)
}

/// 16 bytes in base64: 22 characters and two of padding. The last character has four bits of zero.
fn is_key(key: &[u8]) -> bool {
    let Some(digits) = key.strip_suffix(b"==") else { return false };
    digits.len() == 22
        && digits.iter().all(|digit| BASE64.contains(digit))
        && digits.last().is_some_and(|last| b"AQgw".contains(last))
}

fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<&'a [u8]> {
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Writes the base64 of the bytes (RFC 4648 §4); `out` has the right length.
fn encode_base64(bytes: &[u8], out: &mut [u8]) {
    for (group, out) in bytes.chunks(3).zip(out.chunks_mut(4)) {
        let word = group.iter().enumerate().fold(0_u32, |word, (at, byte)| word | u32::from(*byte) << (16 - 8 * at));
        for (at, digit) in out.iter_mut().enumerate() {
            *digit = if at <= group.len() { BASE64[(word >> (18 - 6 * at)) as usize & 63] } else { b'=' };
        }
    }
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_value_is_that_of_rfc_6455() {
        assert_eq!(&accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(&key_from(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            let mut out = vec![0; text.len()];
            encode_base64(bytes.as_bytes(), &mut out);
            assert_eq!(out, text.as_bytes());
        }
    }

    #[test]
    fn a_key_is_16_bytes_in_base64() {
        for (key, valid) in [
            ("dGhlIHNhbXBsZSBub25jZQ==", true),
            ("dGhlIHNhbXBsZSBub25jZR==", false),
            ("dGhlIHNhbXBsZSBub25jZQ=", false),
            ("dGhlIHNhbXBsZSBub25jZ===", false),
            ("dGhlIHNhbXBsZSBub25-ZQ==", false),
            ("", false),
            ("==", false),
        ] {
            assert_eq!(is_key(key.as_bytes()), valid, "{key}");
        }
    }

    #[test]
    fn every_key_made_here_is_a_key() {
        for byte in 0..=255 {
            assert!(is_key(&key_from([byte; 16])));
        }
    }
}
