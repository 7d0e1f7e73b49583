//! The keyring: certificates with their keys, authorities and ticket keys, which the arbiter publishes for all workers.
//!
//! Workers may have dropped the privileges that reading the files takes, and every worker must be able to read all
//! tickets. So the arbiter reads the files and makes the ticket keys. Workers check a version number at a handshake.

use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer};

use super::certificates::Identity;

/// The keyring as workers read it. [`Keyring::version`] is called at most once a second, and [`Keyring::read`] when the
/// version has changed.
pub trait Keyring: Send + Sync {
    /// The number of the published version.
    fn version(&self) -> u64;

    /// The published version, with its number. `None` while it is being replaced.
    fn read(&self) -> Option<(u64, Vec<u8>)>;
}

/// A key of session tickets (RFC 5077 §4).
#[derive(Clone, PartialEq, Eq)]
pub struct TicketKey {
    /// The name by which a ticket refers to the key.
    pub name: [u8; 16],
    /// The key of AES-256-GCM.
    pub key: [u8; 32],
}

impl TicketKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system returns no random bytes.
    pub fn random() -> Result<TicketKey, String> {
        let mut key = TicketKey { name: [0; 16], key: [0; 32] };
        let filled = aws_lc_rs::rand::fill(&mut key.name).and_then(|()| aws_lc_rs::rand::fill(&mut key.key));
        filled.map(|()| key).map_err(|_| "the system returns no random bytes".to_owned())
    }
}

impl std::fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// One published version of the keyring.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Certificates by name, the default first.
    pub identities: Vec<Identity>,
    /// Certificates that answer validations by an ACME authority (RFC 8737). Their `origin` is the domain.
    pub challenges: Vec<Identity>,
    /// Authorities that client certificates are verified against.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Keys of session tickets: the present one first, then those that are still accepted.
    pub ticket_keys: Vec<TicketKey>,
}

impl Contents {
    /// The contents as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for identities in [&self.identities, &self.challenges] {
            put_count(&mut bytes, identities.len());
            for Identity { origin, chain, key } in identities {
                put(&mut bytes, origin.as_bytes());
                put_all(&mut bytes, chain);
                bytes.push(match key {
                    PrivateKeyDer::Pkcs1(_) => 1,
                    PrivateKeyDer::Sec1(_) => 2,
                    _ => 8,
                });
                put(&mut bytes, key.secret_der());
            }
        }
        put_all(&mut bytes, &self.authorities);
        put_count(&mut bytes, self.ticket_keys.len());
        for TicketKey { name, key } in &self.ticket_keys {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(key);
        }
        bytes
    }

    /// Decodes the output of [`Contents::encode`]. `None` if the bytes are anything else.
    pub fn decode(bytes: &[u8]) -> Option<Contents> {
        let mut reader = Reader(bytes);
        let contents = Contents {
            identities: reader.identities()?,
            challenges: reader.identities()?,
            authorities: reader.certificates()?,
            ticket_keys: reader.ticket_keys()?,
        };
        reader.0.is_empty().then_some(contents)
    }
}

fn put_count(bytes: &mut Vec<u8>, count: usize) {
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
}

fn put(bytes: &mut Vec<u8>, item: &[u8]) {
    put_count(bytes, item.len());
    bytes.extend_from_slice(item);
}

fn put_all(bytes: &mut Vec<u8>, certificates: &[CertificateDer<'_>]) {
    put_count(bytes, certificates.len());
    certificates.iter().for_each(|certificate| put(bytes, certificate));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn count(&mut self) -> Option<usize> {
        let (count, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        // Each counted item has at least one byte, so a larger count is wrong.
        Some(u32::from_le_bytes(*count) as usize).filter(|&count| count <= rest.len())
    }

    fn item(&mut self) -> Option<&'a [u8]> {
        let length = self.count()?;
        let (item, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(item)
    }

    fn identities(&mut self) -> Option<Vec<Identity>> {
        (0..self.count()?).map(|_| self.identity()).collect()
    }

    fn identity(&mut self) -> Option<Identity> {
        let origin = std::str::from_utf8(self.item()?).ok()?.to_owned();
        let chain = self.certificates()?;
        let (&kind, rest) = self.0.split_first()?;
        self.0 = rest;
        let key = self.item()?.to_vec();
        let key = match kind {
            1 => PrivatePkcs1KeyDer::from(key).into(),
            2 => PrivateSec1KeyDer::from(key).into(),
            8 => PrivatePkcs8KeyDer::from(key).into(),
            _ => return None,
        };
        Some(Identity { origin, chain, key })
    }

    fn certificates(&mut self) -> Option<Vec<CertificateDer<'static>>> {
        (0..self.count()?).map(|_| self.item().map(|item| item.to_vec().into())).collect()
    }

    fn ticket_keys(&mut self) -> Option<Vec<TicketKey>> {
        (0..self.count()?)
            .map(|_| {
                let (name, rest) = self.0.split_first_chunk()?;
                let (key, rest) = rest.split_first_chunk()?;
                self.0 = rest;
                Some(TicketKey { name: *name, key: *key })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let identity = |origin: &str, key: PrivateKeyDer<'static>| Identity {
            origin: origin.to_owned(),
            chain: vec![vec![1, 2].into(), vec![3].into()],
            key,
        };
        Contents {
            identities: vec![
                identity("a.pem", PrivatePkcs8KeyDer::from(vec![4]).into()),
                identity("b.pem", PrivatePkcs1KeyDer::from(vec![5, 6]).into()),
            ],
            challenges: vec![identity("example.org", PrivateSec1KeyDer::from(vec![7]).into())],
            authorities: vec![vec![8].into()],
            ticket_keys: vec![TicketKey { name: [1; 16], key: [2; 32] }],
        }
    }

    #[test]
    fn encoded_contents_are_decoded_unchanged() {
        assert_eq!(Contents::decode(&contents().encode()), Some(contents()));
        assert_eq!(Contents::decode(&Contents::default().encode()), Some(Contents::default()));
    }

    #[test]
    fn truncated_or_trailing_bytes_are_refused() {
        let mut bytes = contents().encode();
        for length in 0..bytes.len() {
            assert_eq!(Contents::decode(&bytes[..length]), None, "{length}");
        }
        bytes.push(0);
        assert_eq!(Contents::decode(&bytes), None);
    }
}
