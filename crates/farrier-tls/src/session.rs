//! One TLS session, without I/O: bytes of the wire become bytes of the connection and the other way round.
//!
//! rustls' unbuffered connection is used because it owns no buffer: a session that waits holds its keys and nothing else,
//! and what comes is decrypted where it was read.

use std::sync::Arc;

use farrier_http::Secure;
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use super::client_certificate;
use super::resolver;

/// Plaintext that one record carries at most (RFC 8446 §5.1).
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Room that a record needs beyond its plaintext, and then some for a message of the protocol's own in front of it.
pub const OVERHEAD_BYTES: usize = 512;

/// Bytes of records that are not complete, or of a handshake message that is not, which a client may make the server keep.
const INBOX_BYTES_MAX: usize = 80 * 1024;

/// Bytes that a client may send until the handshake is done: hello and certificates, both far smaller in practice.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// The protocol was broken, or the session cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// What the two ends agreed on.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// HTTP/2 is spoken (ALPN `h2`, RFC 9113 §3.2).
    pub http2: bool,
    /// The connection is a validation by an authority (ALPN `acme-tls/1`, RFC 8737), and nothing else comes on it.
    pub is_validation: bool,
    /// What the application may see.
    pub secure: Arc<Secure>,
}

/// A session of the server's side.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// Bytes of the wire that make no whole record yet.
    inbox: Vec<u8>,
    /// Bytes of the wire that came before the session was made.
    early: Vec<u8>,
    /// Plaintext for which there was no room, and how much of its front has been taken.
    held: Vec<u8>,
    taken: usize,
    /// The server name that the client asked for.
    server_name: Option<String>,
    /// Bytes that came before the handshake was done.
    handshake_bytes: usize,
    /// The client has ended its direction with a close_notify.
    ended: bool,
    /// The close_notify was made.
    is_closed: bool,
    /// Something went wrong: rustls is asked nothing more.
    failed: bool,
    /// Why the handshake failed, until somebody asks.
    fault: Option<String>,
}

impl Session {
    /// A session whose client has not been heard yet, but for bytes that came `early`.
    ///
    /// # Errors
    /// The settings make no session.
    pub fn new(config: Arc<ServerConfig>, early: Vec<u8>) -> Result<Session, Failed> {
        Ok(Session {
            connection: UnbufferedServerConnection::new(config).map_err(|_| Failed)?,
            inbox: Vec::new(),
            early,
            held: Vec::new(),
            taken: 0,
            server_name: None,
            handshake_bytes: 0,
            ended: false,
            is_closed: false,
            failed: false,
            fault: None,
        })
    }

    /// Whether no byte has come yet.
    pub fn is_untouched(&self) -> bool {
        self.handshake_bytes == 0 && self.inbox.is_empty()
    }

    /// Why the handshake failed, once.
    pub fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Whether the client said that it sends no more.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// What belongs in front of the bytes that come next.
    pub fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// Bytes of the wire that came before the session was made, once.
    pub fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    /// Plaintext that was held back for want of room.
    pub fn take_held(&mut self, into: &mut [u8]) -> usize {
        if self.held.is_empty() {
            return 0;
        }
        let count = into.len().min(self.held.len() - self.taken);
        into[..count].copy_from_slice(&self.held[self.taken..self.taken + count]);
        self.taken += count;
        if self.taken == self.held.len() {
            (self.held, self.taken) = (Vec::new(), 0);
        }
        count
    }

    /// Decrypts `incoming`, which begins with the inbox. Gives the number of bytes of plaintext put into `into`; appends to
    /// `out` what is to be sent, also after a failure (an alert).
    ///
    /// # Errors
    /// The client broke the protocol or a bound, or does not get what it wants.
    pub fn open(&mut self, incoming: &mut [u8], into: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Failed> {
        if self.failed {
            return Err(Failed);
        }
        // Until all went well.
        self.failed = true;
        let was_handshaking = self.connection.is_handshaking();
        if was_handshaking {
            self.handshake_bytes += incoming.len() - self.inbox.len();
            if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                return Err(Failed);
            }
            resolver::forget_asked();
        }
        let (mut start, mut filled) = (0, 0);
        let outcome = loop {
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(&mut incoming[start..]);
            match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        let Ok(record) = record else { return Err(Failed) };
                        let count = record.payload.len().min(into.len() - filled);
                        into[filled..filled + count].copy_from_slice(&record.payload[..count]);
                        filled += count;
                        self.held.extend_from_slice(&record.payload[count..]);
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => encode(&mut |room| data.encode(room), out)?,
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                Ok(ConnectionState::Closed) => {
                    self.ended = true;
                    break Ok(());
                }
                Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => {
                    start += discard;
                    break Ok(());
                }
                // Early data is never accepted.
                Ok(_) => break Err(Failed),
                Err(error) => {
                    self.fault = was_handshaking.then(|| error.to_string());
                    self.alert(&mut incoming[start + discard..], out);
                    break Err(Failed);
                }
            }
            start += discard;
        };
        if was_handshaking && let Some(name) = resolver::take_asked() {
            self.server_name = Some(name);
        }
        outcome?;
        let rest = if self.ended { &[] } else { &incoming[start..] };
        if rest.len() > INBOX_BYTES_MAX {
            return Err(Failed);
        }
        if !rest.is_empty() || !self.inbox.is_empty() {
            self.inbox = rest.to_vec();
        }
        self.failed = false;
        Ok(filled)
    }

    /// Encrypts one record's worth of plaintext into `room`, which has [`OVERHEAD_BYTES`] more than that. Gives the bytes used.
    ///
    /// # Errors
    /// The handshake is not done, or the keys are used up.
    pub fn seal(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, Failed> {
        self.write(room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// The record that ends this direction (RFC 8446 §6.1); empty once it was made, and before the handshake is done.
    pub fn close_notify(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.is_closed, true) || self.connection.is_handshaking() {
            return Vec::new();
        }
        let mut room = vec![0; OVERHEAD_BYTES];
        let used = self.write(&mut room, |traffic, room| traffic.queue_close_notify(room)).unwrap_or(0);
        room.truncate(used);
        room
    }

    /// Lets `write` write, behind what the protocol itself has to say.
    fn write(
        &mut self,
        room: &mut [u8],
        write: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<usize, Failed> {
        if self.failed {
            return Err(Failed);
        }
        let mut used = 0;
        loop {
            // A handshake message of which the end is missing lies in the inbox, and rustls must find it there.
            let UnbufferedStatus { discard, state, .. } = self.connection.process_tls_records(&mut self.inbox);
            match state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    let written = write(&mut traffic, &mut room[used..]).map_err(|_| Failed)?;
                    self.inbox.drain(..discard);
                    return Ok(used + written);
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    used += data.encode(&mut room[used..]).map_err(|_| Failed)?;
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::PeerClosed) => self.ended = true,
                _ => {
                    self.failed = true;
                    return Err(Failed);
                }
            }
            self.inbox.drain(..discard);
        }
    }

    /// What the two ends agreed on, once the handshake is done.
    pub fn negotiated(&self) -> Option<Negotiated> {
        let connection = &*self.connection;
        if connection.is_handshaking() {
            return None;
        }
        let protocol = match connection.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "TLSv1.3",
        };
        let suite = connection.negotiated_cipher_suite();
        let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let client = connection.peer_certificates().and_then(|chain| client_certificate::described(chain.first()?));
        let alpn = connection.alpn_protocol();
        Some(Negotiated {
            http2: alpn == Some(b"h2"),
            is_validation: alpn == Some(b"acme-tls/1"),
            secure: Arc::new(Secure {
                protocol,
                // rustls names the suites of 1.3 after the version that they belong to.
                cipher: cipher.replacen("TLS13_", "TLS_", 1),
                server_name: self.server_name.clone(),
                client,
            }),
        })
    }

    fn alert(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        while self.connection.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.connection.process_tls_records(incoming).state
            else {
                return;
            };
            if encode(&mut |room| data.encode(room), out).is_err() {
                return;
            }
        }
    }
}

/// Appends a message of the protocol's own.
fn encode(encode: &mut dyn FnMut(&mut [u8]) -> Result<usize, EncodeError>, out: &mut Vec<u8>) -> Result<(), Failed> {
    let at = out.len();
    match encode(&mut []) {
        Err(EncodeError::InsufficientSize(size)) => {
            out.resize(at + size.required_size, 0);
            encode(&mut out[at..]).map(drop).map_err(|_| Failed)
        }
        Ok(_) => Ok(()),
        Err(EncodeError::AlreadyEncoded) => Err(Failed),
    }
}
