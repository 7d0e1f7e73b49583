//! One TLS session, without I/O: it decrypts bytes of the wire and encrypts bytes of the connection. Both sides of TLS use
//! it: `server` for clients, and `client` for other servers.
//!
//! It uses rustls' unbuffered connection because that owns no buffer. An idle session holds only its keys, and received
//! bytes are decrypted in place.

use rustls::CommonState;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};

/// The most plaintext that one record carries (RFC 8446 §5.1).
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

/// Room that a record needs beyond its plaintext, with some more for a TLS message in front of it.
pub const OVERHEAD_BYTES: usize = 512;

/// The most bytes of incomplete records or of an incomplete handshake message that are kept for a peer.
const INBOX_BYTES_MAX: usize = 80 * 1024;

/// The most bytes that a peer may send before the handshake is done. In practice a handshake is far smaller.
const HANDSHAKE_BYTES_MAX: usize = 128 * 1024;

/// The peer broke the protocol, or the session cannot continue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed;

/// This end of the connection, in rustls' form.
pub trait Side {
    /// What rustls knows of this end.
    type Data;

    /// The first bytes of the records that the peer may begin with (RFC 8446 §5.1).
    const FIRST_BYTES: &'static [u8];

    /// Processes records, as rustls does.
    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// What both sides have.
    fn common(&self) -> &CommonState;

    /// A step of the handshake begins.
    fn step_begins(&mut self) {}

    /// A step of the handshake has ended.
    fn step_ended(&mut self) {}
}

/// A TLS session.
pub struct Session<S> {
    pub(crate) side: S,
    /// Received bytes that are not a whole record yet.
    inbox: Vec<u8>,
    /// Received bytes that came before the session was made.
    early: Vec<u8>,
    /// Plaintext for which there was no room, and how many of its bytes were taken since.
    held: Vec<u8>,
    taken: usize,
    /// Bytes received before the handshake was done.
    handshake_bytes: usize,
    /// Whether the peer has ended its direction with a close_notify.
    ended: bool,
    /// Whether this end's close_notify was made.
    is_closed: bool,
    /// Whether the session failed. rustls is not called again then.
    failed: bool,
    /// Why it failed, until [`Session::take_fault`] is called.
    fault: Option<rustls::Error>,
}

impl<S: Side> Session<S> {
    /// A new session. `early` are bytes that the peer has sent already.
    pub(crate) fn of(side: S, early: Vec<u8>) -> Session<S> {
        Session {
            side,
            inbox: Vec::new(),
            early,
            held: Vec::new(),
            taken: 0,
            handshake_bytes: 0,
            ended: false,
            is_closed: false,
            failed: false,
            fault: None,
        }
    }

    /// Whether the handshake is not done.
    pub fn is_handshaking(&self) -> bool {
        self.side.common().is_handshaking()
    }

    /// Whether no byte was received yet.
    pub fn is_untouched(&self) -> bool {
        self.handshake_bytes == 0 && self.inbox.is_empty()
    }

    /// Whether [`Session::open`] would return something without further bytes of the wire: plaintext, the end or a failure.
    pub fn has_news(&self) -> bool {
        !self.held.is_empty() || self.ended || self.failed
    }

    /// Whether a byte may begin what the peer sends.
    pub fn may_begin_with(&self, byte: u8) -> bool {
        S::FIRST_BYTES.contains(&byte)
    }

    /// Why it failed. Only the first call returns it.
    pub fn take_fault(&mut self) -> Option<rustls::Error> {
        self.fault.take()
    }

    /// Whether the peer has ended its direction with a close_notify.
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
    /// The peer broke the protocol or a limit, or nothing could be negotiated.
    pub fn open(&mut self, incoming: &mut [u8], into: &mut [u8], out: &mut Vec<u8>) -> Result<usize, Failed> {
        if self.failed {
            return Err(Failed);
        }
        // Reset at the end, if nothing failed.
        self.failed = true;
        let was_handshaking = self.is_handshaking();
        if was_handshaking {
            self.handshake_bytes += incoming.len() - self.inbox.len();
            if self.handshake_bytes > HANDSHAKE_BYTES_MAX {
                return Err(Failed);
            }
            self.side.step_begins();
        }
        let (mut start, mut filled) = (0, 0);
        let outcome = loop {
            let UnbufferedStatus { discard, state, .. } = self.side.process(&mut incoming[start..]);
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
                    self.fault = Some(error);
                    self.alert(&mut incoming[start + discard..], out);
                    break Err(Failed);
                }
            }
            start += discard;
        };
        if was_handshaking {
            self.side.step_ended();
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
        if std::mem::replace(&mut self.is_closed, true) || self.is_handshaking() {
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
        write: impl FnOnce(&mut WriteTraffic<'_, S::Data>, &mut [u8]) -> Result<usize, EncryptError>,
    ) -> Result<usize, Failed> {
        if self.failed {
            return Err(Failed);
        }
        let mut used = 0;
        loop {
            // rustls must find an incomplete handshake message in the inbox.
            let UnbufferedStatus { discard, state, .. } = self.side.process(&mut self.inbox);
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

    fn alert(&mut self, incoming: &mut [u8], out: &mut Vec<u8>) {
        while self.side.common().wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) = self.side.process(incoming).state else {
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
