//! TLS on a connection to a server: the handshake, and what the socket did not take of the sealed bytes. An idle connection
//! owns no buffer.

use std::any::Any;
use std::io;
use std::os::fd::OwnedFd;

use farrier_tls::client::{ClientSession, Peer, Refusal};
use farrier_tls::session::Failed;
use rustix::net::Shutdown;

use crate::moved::Received;
use crate::{send_pieces, tls_flow};

/// A session, its server, and what is unsent of it.
pub(super) struct Secured {
    session: ClientSession,
    peer: Peer,
    has_begun: bool,
    /// Sealed bytes that the socket did not take.
    unsent: Vec<u8>,
    /// This direction ends behind what is unsent.
    is_ending: bool,
}

impl Secured {
    /// TLS on the terms of a target.
    pub(super) fn new(terms: &(dyn Any + Send + Sync)) -> io::Result<Secured> {
        let Some(peer) = terms.downcast_ref::<Peer>() else { return Err(io::ErrorKind::Unsupported.into()) };
        let session = ClientSession::new(peer).map_err(|Failed| handshake("the terms cannot be used"))?;
        Ok(Secured { session, peer: peer.clone(), has_begun: false, unsent: Vec::new(), is_ending: false })
    }

    /// Goes on with the handshake; whether it is done.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`]: the server's certificate is refused. [`io::ErrorKind::InvalidData`]: the handshake
    /// failed.
    pub(super) fn shake(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        if !std::mem::replace(&mut self.has_begun, true) {
            let mut out = Vec::new();
            self.session.open(&mut [], &mut [], &mut out).map_err(|Failed| self.refusal())?;
            put(socket, &mut self.unsent, &out)?;
        }
        self.flush(socket)?;
        let unsent = &mut self.unsent;
        match tls_flow::receive(&mut self.session, socket, &mut [], |out| put(socket, unsent, out)) {
            Received::Broken | Received::End => Err(self.refusal()),
            Received::Plain(_) => Err(handshake("the server answers without TLS: its address is not `https://`")),
            Received::Bytes(_) | Received::Nothing => Ok(!self.session.is_handshaking()),
        }
    }

    /// Whether something can be had without the socket.
    pub(super) fn has_news(&self) -> bool {
        self.session.has_news()
    }

    /// Whether sealed bytes wait for the socket.
    pub(super) fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// Whether another request can begin.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.session.has_news() && !self.has_unsent() && !self.is_ending
    }

    /// Seals and sends.
    ///
    /// # Errors
    /// The server is gone, or the session cannot go on.
    pub(super) fn send(&mut self, socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
        self.flush(socket)?;
        if self.has_unsent() {
            return Ok(0);
        }
        tls_flow::send(&mut self.session, socket, &mut self.unsent, pieces, more)
    }

    /// Reads and opens, as a stream does.
    ///
    /// # Errors
    /// The session is broken, or the connection ended without a close_notify.
    pub(super) fn receive(&mut self, socket: &OwnedFd, into: &mut [u8]) -> io::Result<Option<usize>> {
        let unsent = &mut self.unsent;
        match tls_flow::receive(&mut self.session, socket, into, |out| put(socket, unsent, out)) {
            Received::Bytes(count) => Ok(Some(count)),
            Received::Nothing => Ok(None),
            Received::End => Ok(Some(0)),
            Received::Broken | Received::Plain(_) => Err(match self.session.take_fault() {
                Some(error) => told(&Refusal::of(&error, &self.peer)),
                // RFC 8446 §6.1: without a close_notify an attacker may have ended the connection.
                None => io::ErrorKind::UnexpectedEof.into(),
            }),
        }
    }

    /// Reads what an idle connection has got. False: it was no mere message of TLS.
    pub(super) fn absorb(&mut self, socket: &OwnedFd) -> bool {
        let mut byte = [0];
        matches!(self.receive(socket, &mut byte), Ok(None)) && self.flush(socket).is_ok() && self.is_at_rest()
    }

    /// Sends what is unsent, as far as the socket takes it.
    ///
    /// # Errors
    /// The server is gone.
    pub(super) fn flush(&mut self, socket: &OwnedFd) -> io::Result<()> {
        if !self.unsent.is_empty() {
            let sent = send_pieces(socket, &[&self.unsent], false)?;
            match sent == self.unsent.len() {
                true => self.unsent = Vec::new(),
                false => drop(self.unsent.drain(..sent)),
            }
            if self.unsent.is_empty() && self.is_ending {
                rustix::net::shutdown(socket, Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Ends this direction behind what is unsent.
    pub(super) fn end_sending(&mut self, socket: &OwnedFd) {
        if std::mem::replace(&mut self.is_ending, true) {
            return;
        }
        let notify = self.session.close_notify();
        // An error can only mean that the connection is gone.
        let _ = put(socket, &mut self.unsent, &notify);
        if self.unsent.is_empty() {
            let _ = rustix::net::shutdown(socket, Shutdown::Write);
        }
    }

    /// Why the handshake failed.
    fn refusal(&mut self) -> io::Error {
        match self.session.take_fault() {
            Some(error) => told(&Refusal::of(&error, &self.peer)),
            None => handshake("the server closed the connection during the TLS handshake"),
        }
    }
}

fn told(refusal: &Refusal) -> io::Error {
    let kind = if refusal.is_certificate { io::ErrorKind::PermissionDenied } else { io::ErrorKind::InvalidData };
    io::Error::new(kind, refusal.to_string())
}

fn handshake(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

/// Sends sealed bytes, or keeps what the socket does not take.
fn put(socket: &OwnedFd, unsent: &mut Vec<u8>, bytes: &[u8]) -> io::Result<()> {
    let sent = if unsent.is_empty() { send_pieces(socket, &[bytes], false)? } else { 0 };
    unsent.extend_from_slice(&bytes[sent..]);
    Ok(())
}
