//! Clients that stay with a server: by a signed cookie of this server's own, or by a cookie that an application sets.
//!
//! The laws:
//!
//! - A cookie that is unknown, forged or too old binds to nothing: a server is chosen, and a new cookie names it.
//! - The cookie names a server by a hash of its name. No address is in it.
//! - A server does not see the cookie.
//! - A server that drains keeps the clients that are bound to it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lc_rs::hmac;
use farrier_http::wire::client::ReceivedHead;
use farrier_http::{Request, Scheme};

use crate::hash::{cookie, mixed};

/// Bindings that a worker learns at most: two halves, of which the older is forgotten when the younger is full.
const LEARNED_MAX: usize = 65_536;

const KEY_BYTES: usize = 8;
const TIME_BYTES: usize = 4;
const MAC_BYTES: usize = 16;
const VALUE_BYTES: usize = KEY_BYTES + TIME_BYTES + MAC_BYTES;

/// How clients stay with a server.
pub enum Sticky {
    /// By a cookie of this server's own.
    Cookie(Box<CookieRule>),
    /// By a cookie of the application's.
    Learn(Learned),
}

/// When the cookie has the attribute Secure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secure {
    /// Where the client uses HTTPS.
    Auto,
    /// Always, or never.
    Fixed(bool),
}

/// The cookie of this server's own.
pub struct CookieRule {
    /// Its name.
    pub name: String,
    /// How long it binds, in seconds; 0 until the browser ends.
    pub ttl_s: u64,
    /// Its attribute Secure.
    pub secure: Secure,
    /// What stands behind the value, such as `; Path=/; HttpOnly`.
    pub attributes: String,
    /// A client whose server is out gets 503.
    pub is_strict: bool,
    /// Signs it.
    pub key: hmac::Key,
    /// The time in seconds since 1970.
    pub now_s: fn() -> u64,
}

/// Bindings learned from an application's cookie.
pub struct Learned {
    /// The cookie's name.
    pub name: String,
    /// A client whose server is out gets 503.
    pub is_strict: bool,
    halves: Mutex<[HashMap<u64, u64>; 2]>,
}

impl Sticky {
    /// The key of the server that the client is bound to.
    pub(crate) fn bound(&self, request: &Request) -> Option<u64> {
        match self {
            Sticky::Cookie(rule) => rule.read(cookie(request, rule.name.as_bytes())?).map(|(key, _)| key),
            Sticky::Learn(learned) => learned.find(mixed(0, cookie(request, learned.name.as_bytes())?)),
        }
    }

    pub(crate) fn is_strict(&self) -> bool {
        match self {
            Sticky::Cookie(rule) => rule.is_strict,
            Sticky::Learn(learned) => learned.is_strict,
        }
    }

    /// The cookie that servers do not see; empty if there is none.
    pub(crate) fn hidden(&self) -> &[u8] {
        match self {
            Sticky::Cookie(rule) => rule.name.as_bytes(),
            Sticky::Learn(_) => b"",
        }
    }

    /// Notes which server has answered. The value of a Set-Cookie for the client, if it is to have one.
    pub(crate) fn answered(&self, request: &Request, head: &ReceivedHead, server: u64, binds: bool) -> Option<Vec<u8>> {
        match self {
            Sticky::Cookie(rule) => rule.answered(request, server, binds),
            Sticky::Learn(learned) => {
                let set = head.fields().values("set-cookie").filter_map(|line| {
                    let pair = line.split(|&byte| byte == b';').next()?;
                    pair.trim_ascii().strip_prefix(learned.name.as_bytes())?.strip_prefix(b"=")
                });
                let known = cookie(request, learned.name.as_bytes());
                if binds && let Some(value) = set.last().or(known) {
                    learned.bind(value, server);
                }
                None
            }
        }
    }
}

impl CookieRule {
    fn mac(&self, bound: &[u8]) -> hmac::Tag {
        hmac::sign(&self.key, bound)
    }

    /// The value of the cookie.
    fn value(&self, server: u64, now_s: u64) -> String {
        let mut bytes = [0; VALUE_BYTES];
        bytes[..KEY_BYTES].copy_from_slice(&server.to_be_bytes());
        bytes[KEY_BYTES..KEY_BYTES + TIME_BYTES].copy_from_slice(&(now_s as u32).to_be_bytes());
        let mac = self.mac(&bytes[..KEY_BYTES + TIME_BYTES]);
        bytes[KEY_BYTES + TIME_BYTES..].copy_from_slice(&mac.as_ref()[..MAC_BYTES]);
        base64(&bytes)
    }

    /// The server in a value, and its age in seconds.
    fn read(&self, value: &[u8]) -> Option<(u64, u64)> {
        let bytes = from_base64(value)?;
        let (bound, mac) = bytes.split_at(KEY_BYTES + TIME_BYTES);
        // The comparison's time depends on nothing secret.
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.mac(bound).as_ref()[..MAC_BYTES], mac).ok()?;
        let (key, issued) = bound.split_at(KEY_BYTES);
        let key = u64::from_be_bytes(key.try_into().ok()?);
        let age_s = (self.now_s)().saturating_sub(u64::from(u32::from_be_bytes(issued.try_into().ok()?)));
        (self.ttl_s == 0 || age_s < self.ttl_s).then_some((key, age_s))
    }

    fn answered(&self, request: &Request, server: u64, binds: bool) -> Option<Vec<u8>> {
        let has = cookie(request, self.name.as_bytes()).and_then(|value| self.read(value));
        // A client that comes back keeps its server: the cookie is made anew when half of its time is over.
        let is_fresh = has.is_some_and(|(key, age_s)| key == server && (self.ttl_s == 0 || age_s * 2 < self.ttl_s));
        if is_fresh || !binds {
            return None;
        }
        let mut line = format!("{}={}{}", self.name, self.value(server, (self.now_s)()), self.attributes);
        if self.ttl_s > 0 {
            line.push_str(&format!("; Max-Age={}", self.ttl_s));
        }
        let is_secure = match self.secure {
            Secure::Auto => request.origin.scheme == Scheme::Https,
            Secure::Fixed(is_secure) => is_secure,
        };
        if is_secure {
            line.push_str("; Secure");
        }
        Some(line.into_bytes())
    }
}

impl Learned {
    /// Nothing was learned yet.
    pub fn new(name: String, is_strict: bool) -> Learned {
        Learned { name, is_strict, halves: Mutex::default() }
    }

    /// Binds the clients with this value to the server with this key.
    pub fn bind(&self, value: &[u8], server: u64) {
        self.note(mixed(0, value), server);
    }

    fn find(&self, value: u64) -> Option<u64> {
        let mut halves = self.halves.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(server) = halves[0].get(&value) {
            return Some(*server);
        }
        let server = halves[1].remove(&value)?;
        put(&mut halves, value, server);
        Some(server)
    }

    fn note(&self, value: u64, server: u64) {
        put(&mut self.halves.lock().unwrap_or_else(PoisonError::into_inner), value, server);
    }
}

fn put(halves: &mut [HashMap<u64, u64>; 2], value: u64, server: u64) {
    if halves[0].len() >= LEARNED_MAX / 2 && !halves[0].contains_key(&value) {
        halves.swap(0, 1);
        halves[0].clear();
    }
    halves[0].insert(value, server);
}

/// Appends a Cookie field without a cookie. False: nothing is left.
pub(crate) fn append_without(out: &mut Vec<u8>, value: &[u8], name: &[u8]) -> bool {
    let is_it = |pair: &[u8]| pair.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='));
    for pair in value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !is_it(pair)) {
        if !out.is_empty() {
            out.extend_from_slice(b"; ");
        }
        out.extend_from_slice(pair);
    }
    !out.is_empty()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// RFC 4648 §5, without padding.
fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 4];
        group[1..=chunk.len()].copy_from_slice(chunk);
        let group = u32::from_be_bytes(group);
        (0..=chunk.len()).for_each(|at| text.push(char::from(ALPHABET[(group >> (18 - 6 * at) & 63) as usize])));
    }
    text
}

/// The bytes of a value of the one length that is valid.
fn from_base64(text: &[u8]) -> Option<[u8; VALUE_BYTES]> {
    if text.len() != (VALUE_BYTES * 4).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; VALUE_BYTES];
    let (mut held, mut bits, mut at) = (0_u32, 0, 0);
    for byte in text {
        held = held << 6 | ALPHABET.iter().position(|letter| letter == byte)? as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            *bytes.get_mut(at)? = (held >> bits) as u8;
            at += 1;
        }
    }
    (at == VALUE_BYTES).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(secret: &[u8], ttl_s: u64) -> CookieRule {
        CookieRule {
            name: "srv".to_owned(),
            ttl_s,
            secure: Secure::Auto,
            attributes: "; Path=/".to_owned(),
            is_strict: false,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            now_s: || 1_000_000,
        }
    }

    #[test]
    fn a_signed_value_is_read_and_any_other_is_not() {
        let rule = rule(b"secret", 0);
        for server in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let value = rule.value(server, 999_990);
            assert_eq!(rule.read(value.as_bytes()), Some((server, 10)));
            for at in 0..value.len() {
                let mut forged = value.clone().into_bytes();
                // The last letter has two bits that stand for nothing.
                forged[at] = if forged[at] == b'A' { b'Q' } else { b'A' };
                assert!(rule.read(&forged).is_none_or(|(key, _)| key == server && at == value.len() - 1));
            }
            assert_eq!(rule.read(&value.as_bytes()[1..]), None);
            assert_eq!(self::rule(b"other", 0).read(value.as_bytes()), None);
        }
        assert_eq!((rule.read(b""), rule.read(&[b'*'; 38])), (None, None));
    }

    proptest::proptest! {
        #[test]
        fn no_value_that_was_not_signed_binds(value in proptest::collection::vec(proptest::num::u8::ANY, 0..80), text in "[A-Za-z0-9_-]{38}") {
            let rule = rule(b"secret", 0);
            assert_eq!((rule.read(&value), rule.read(text.as_bytes())), (None, None));
        }
    }

    #[test]
    fn a_value_ends_with_its_time() {
        let rule = rule(b"secret", 60);
        assert_eq!(rule.read(rule.value(7, 999_941).as_bytes()), Some((7, 59)));
        assert_eq!(rule.read(rule.value(7, 999_940).as_bytes()), None);
    }

    #[test]
    fn the_cookie_is_taken_out_and_others_stay() {
        for (value, expected) in [
            ("srv=x", ""),
            ("a=1; srv=x; b=2", "a=1; b=2"),
            ("srv=x;a=1", "a=1"),
            ("srvx=1; xsrv=2", "srvx=1; xsrv=2"),
            ("a=\"srv=1\"", "a=\"srv=1\""),
        ] {
            let mut out = Vec::new();
            assert_eq!(append_without(&mut out, value.as_bytes(), b"srv"), !expected.is_empty());
            assert_eq!(String::from_utf8_lossy(&out), expected);
        }
    }

    #[test]
    fn so_many_bindings_are_remembered_and_those_that_are_used_stay() {
        let learned = Learned::new("sessionid".to_owned(), false);
        for value in 0..3 * LEARNED_MAX as u64 {
            learned.note(value, value % 7);
            assert_eq!(learned.find(0), Some(0), "{value}");
        }
        let halves = learned.halves.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(halves.iter().map(HashMap::len).sum::<usize>() <= LEARNED_MAX);
        assert!(!halves.iter().any(|half| half.contains_key(&1)));
    }
}
