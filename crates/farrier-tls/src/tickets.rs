//! Session tickets (RFC 8446 §4.6.1, RFC 5077) that every worker can read. A ticket is a key's name, a nonce, and the
//! session's state encrypted with AES-256-GCM.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use rustls::server::ProducesTickets;

use super::keyring::{Contents, Keyring, TicketKey};

/// The longest lifetime: seven days (RFC 8446 §4.6.1).
const LIFETIME_S_MAX: u64 = 604_800;

const NAME_LEN: usize = 16;

/// Makes tickets with the newest key, and reads tickets of all keys that are still accepted.
pub(crate) struct Tickets {
    keyring: Arc<dyn Keyring>,
    lifetime_s: u32,
    keys: Mutex<Keys>,
}

#[derive(Default)]
struct Keys {
    version: u64,
    /// The present one first.
    keys: Arc<[(TicketKey, RandomizedNonceKey)]>,
}

impl Tickets {
    /// Makes tickets that may be used for `lifetime`.
    pub(crate) fn new(keyring: Arc<dyn Keyring>, lifetime: Duration) -> Tickets {
        let lifetime_s = lifetime.as_secs().min(LIFETIME_S_MAX) as u32;
        Tickets { keyring, lifetime_s, keys: Mutex::default() }
    }

    /// Replaces the keys with those of a published version.
    pub(crate) fn renew(&self, version: u64, keys: &[TicketKey]) {
        let usable =
            keys.iter().filter_map(|key| Some((key.clone(), RandomizedNonceKey::new(&AES_256_GCM, &key.key).ok()?)));
        let keys = usable.collect();
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Keys { version, keys };
    }

    fn keys(&self) -> Arc<[(TicketKey, RandomizedNonceKey)]> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner).keys)
    }

    /// Reads newer keys from the keyring: another worker may use one that this worker has not read yet. False if there
    /// are none.
    fn look(&self) -> bool {
        let known = self.keys.lock().unwrap_or_else(PoisonError::into_inner).version;
        if self.keyring.version() == known {
            return false;
        }
        let Some((version, bytes)) = self.keyring.read() else { return false };
        let Some(contents) = Contents::decode(&bytes) else { return false };
        self.renew(version, &contents.ticket_keys);
        true
    }

    fn opened(&self, ticket: &[u8]) -> Result<Option<Vec<u8>>, UnknownKey> {
        let Some((name, rest)) = ticket.split_at_checked(NAME_LEN) else { return Ok(None) };
        let keys = self.keys();
        let Some((_, key)) = keys.iter().find(|(key, _)| key.name == name) else { return Err(UnknownKey) };
        let Some((nonce, sealed)) = rest.split_first_chunk::<NONCE_LEN>() else { return Ok(None) };
        let mut sealed = sealed.to_vec();
        let opened = key.open_in_place(Nonce::from(nonce), Aad::from(name), &mut sealed);
        Ok(opened.ok().map(|plain| plain.to_vec()))
    }
}

struct UnknownKey;

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime_s
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        let (TicketKey { name, .. }, key) = keys.first()?;
        let mut sealed = plain.to_vec();
        let nonce = key.seal_in_place_append_tag(Aad::from(&name[..]), &mut sealed).ok()?;
        Some([&name[..], nonce.as_ref(), &sealed].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        match self.opened(ticket) {
            Ok(plain) => plain,
            Err(UnknownKey) if self.look() => self.opened(ticket).ok().flatten(),
            Err(UnknownKey) => None,
        }
    }
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").field("lifetime_s", &self.lifetime_s).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Published(Contents);

    impl Keyring for Published {
        fn version(&self) -> u64 {
            1
        }

        fn read(&self) -> Option<(u64, Vec<u8>)> {
            Some((1, self.0.encode()))
        }
    }

    fn tickets(keys: &[u8]) -> Tickets {
        let ticket_keys = keys.iter().map(|&key| TicketKey { name: [key; 16], key: [key; 32] }).collect();
        let contents = Contents { ticket_keys, ..Contents::default() };
        Tickets::new(Arc::new(Published(contents)), Duration::from_secs(60))
    }

    fn filled(keys: &[u8]) -> Tickets {
        let tickets = tickets(keys);
        assert!(tickets.look());
        tickets
    }

    #[test]
    fn a_worker_reads_tickets_of_another_worker_and_of_the_previous_key() {
        let (old, new) = (filled(&[1]), filled(&[2, 1]));
        let ticket = old.encrypt(b"state").expect("has a key");
        assert_eq!(new.decrypt(&ticket).as_deref(), Some(&b"state"[..]));
        assert!(!ticket.windows(5).any(|window| window == b"state"));
        assert_eq!(filled(&[3, 2]).decrypt(&ticket), None);
    }

    #[test]
    fn an_unknown_key_is_looked_up_in_the_keyring() {
        let ticket = filled(&[1]).encrypt(b"state").expect("has a key");
        assert_eq!(tickets(&[1]).decrypt(&ticket).as_deref(), Some(&b"state"[..]));
    }

    #[test]
    fn a_ticket_with_any_changed_byte_is_refused() {
        let tickets = filled(&[1]);
        let ticket = tickets.encrypt(b"state").expect("has a key");
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(tickets.decrypt(&changed), None, "{at}");
            assert_eq!(tickets.decrypt(&ticket[..at]), None, "{at}");
        }
    }

    #[test]
    fn without_a_key_no_ticket_is_made() {
        assert_eq!(tickets(&[]).encrypt(b"state"), None);
    }
}
