//! One TLS session, without I/O: it decrypts bytes of the wire and encrypts bytes of the connection.
//!
//! It uses rustls' unbuffered connection because that owns no buffer. An idle session holds only its keys, and received
//! bytes are decrypted in place.

use std::sync::Arc;

use farrier_http::Secure;
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

use super::client_certificate;
use super::resolver;

/// The most plaintext that one record carries (RFC 8446 §5.1).
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Room that a record needs beyond its plaintext, with some more for a TLS message in front of it.
pub const OVERHEAD_BYTES: usize = 512;

/// The most bytes of incomplete records or of an incomplete handshake message that the server keeps for a client.
const INBOX_BYTES_MAX: usize = 80 * 1024;

/// The most bytes that a client may send before the handshake is done. In practice a handshake is far smaller.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// The client broke the protocol, or the session cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// What the handshake negotiated.
#[derive(Debug, Clone)]
pub struct Negotiated {
    /// Whether the protocol is HTTP/2 (ALPN `h2`, RFC 9113 §3.2).
    pub http2: bool,
    /// Whether the connection is only a validation by an ACME authority (ALPN `acme-tls/1`, RFC 8737).
    pub is_validation: bool,
    /// The facts that the application can see.
    pub secure: Arc<Secure>,
}

/// A TLS session on the server's side.
pub struct Session {
    connection: UnbufferedServerConnection,
    /// Received bytes that are not a whole record yet.
    inbox: Vec<u8>,
    /// Received bytes that came before the session was made.
    early: Vec<u8>,
    /// Plaintext for which there was no room, and how many of its bytes were taken since.
    held: Vec<u8>,
    taken: usize,
    /// The server name that the client asked for.
    server_name: Option<String>,
    /// Bytes received before the handshake was done.
    handshake_bytes: usize,
    /// Whether the client has ended its direction with a close_notify.
    ended: bool,
    /// Whether the server's close_notify was made.
    is_closed: bool,
    /// Whether the session failed. rustls is not called again then.
    failed: bool,
    /// Why the handshake failed, until [`Session::take_fault`] is called.
    fault: Option<String>,
}

impl Session {
    /// A new session. `early` are bytes that the client has sent already.
    ///
    /// # Errors
    /// rustls refuses the settings.
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

    /// Whether no byte was received yet.
    pub fn is_untouched(&self) -> bool {
        self.handshake_bytes == 0 && self.inbox.is_empty()
    }

    /// Why the handshake failed. Only the first call returns it.
    pub fn take_fault(&mut self) -> Option<String> {
        self.fault.take()
    }

    /// Whether the client has ended its direction with a close_notify.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The received bytes that belong in front of those that are read next.
    pub fn inbox(&self) -> &[u8] {
        &self.inbox
    }

    /// The received bytes that came before the session was made. Only the first call returns them.
    pub fn take_early(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.early)
    }

    /// Copies plaintext for which there was no room before. Returns the number of bytes.
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

    /// Decrypts `incoming`, which begins with the inbox. Returns the number of plaintext bytes put into `into`. Appends
    /// to `out` the bytes to be sent; after a failure these are an alert.
    ///
    /// # Errors
    /// The client broke the protocol or a limit, or nothing could be negotiated.
    pub fn open(&mut self, incoming: &mut [u8], into: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Failed> {
        if self.failed {
            return Err(Failed);
        }
        // Reset at the end, if nothing failed.
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

    /// Encrypts the plaintext of one record into `room`, which is [`OVERHEAD_BYTES`] larger. Returns the bytes used.
    ///
    /// # Errors
    /// The handshake is not done, or the keys have reached their limit of use.
    pub fn seal(&mut self, plain: &[u8], room: &mut [u8]) -> Result<usize, Failed> {
        self.write(room, |traffic, room| traffic.encrypt(plain, room))
    }

    /// The record that ends this direction (RFC 8446 §6.1). Empty if it was made already or the handshake is not done.
    pub fn close_notify(&mut self) -> Vec<u8> {
        if std::mem::replace(&mut self.is_closed, true) || self.connection.is_handshaking() {
            return Vec::new();
        }
        let mut room = vec![0; OVERHEAD_BYTES];
        let used = self.write(&mut room, |traffic, room| traffic.queue_close_notify(room)).unwrap_or(0);
        room.truncate(used);
        room
    }

    /// Calls `write` with the room behind pending TLS messages.
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
            // rustls must find an incomplete handshake message in the inbox.
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

    /// What was negotiated, once the handshake is done.
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
                // rustls puts the version into the names of the suites of 1.3.
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

/// Appends a TLS message.
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
