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

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;

    use farrier_tls::server::ServerSession;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ClientConfig, RootCertStore, ServerConfig};

    use super::*;

    /// A connection whose other end is a server that the test plays.
    struct World {
        socket: OwnedFd,
        secured: Secured,
        peer: UnixStream,
        server: ServerSession,
    }

    fn world() -> World {
        let key = KeyPair::generate().expect("a key");
        let certificate =
            CertificateParams::new(["app.test".to_owned()]).expect("a name").self_signed(&key).expect("signed");
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).expect("an authority");
        let provider = farrier_tls::provider(None).expect("suites");
        let terms = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("an identity");
        let (ours, peer) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("can be set");
        peer.set_nonblocking(true).expect("can be set");
        let peer_terms: Arc<dyn Any + Send + Sync> = Arc::new(Peer::new("app.test", Arc::new(terms)).expect("a name"));
        World {
            socket: ours.into(),
            secured: Secured::new(&*peer_terms).expect("made"),
            peer,
            server: ServerSession::new(Arc::new(server), Vec::new()).expect("made"),
        }
    }

    impl World {
        /// The server reads what is there: the plaintext, and what it would send.
        fn server_reads(&mut self) -> (Vec<u8>, Vec<u8>) {
            let mut incoming = self.server.inbox().to_vec();
            // The socket is empty after that.
            let _ = self.peer.read_to_end(&mut incoming);
            let (mut into, mut out) = (vec![0; 1 << 20], Vec::new());
            let count = self.server.open(&mut incoming, &mut into, &mut out).expect("accepted");
            into.truncate(count);
            (into, out)
        }

        /// Makes the handshake. What the server sends behind it, its tickets, is kept back.
        fn shake(&mut self) -> Vec<u8> {
            assert!(!self.secured.shake(&self.socket).expect("goes on"));
            let (_, flight) = self.server_reads();
            self.peer.write_all(&flight).expect("sent");
            assert!(self.secured.shake(&self.socket).expect("accepted"));
            self.server_reads().1
        }
    }

    #[test]
    fn an_idle_connection_takes_late_tickets_and_can_be_used_again() {
        let mut world = world();
        let tickets = world.shake();
        assert!(!tickets.is_empty());
        // In two pieces: the first is not a whole record.
        for piece in [&tickets[..9], &tickets[9..]] {
            world.peer.write_all(piece).expect("sent");
            assert!(world.secured.absorb(&world.socket));
        }
        assert_eq!(world.secured.send(&world.socket, &[b"ask", b"ed"], false).expect("sent"), 5);
        assert_eq!(world.server_reads().0, b"asked");
    }

    #[test]
    fn an_idle_connection_on_which_content_or_the_end_comes_cannot_be_used_again() {
        for is_end in [true, false] {
            let mut world = world();
            world.shake();
            let mut record = world.server.close_notify();
            if !is_end {
                let mut other = self::world();
                other.shake();
                let mut room = vec![0; 600];
                let used = other.server.seal(b"unasked", &mut room).expect("sealed");
                record = room[..used].to_vec();
                world = other;
            }
            world.peer.write_all(&record).expect("sent");
            assert!(!world.secured.absorb(&world.socket));
        }
    }

    #[test]
    fn what_the_socket_does_not_take_is_sent_before_what_follows() {
        let mut world = world();
        world.shake();
        let content = vec![b'x'; 1 << 20];
        let (mut sent, mut taken) = (0, Vec::new());
        while sent < content.len() {
            sent += world.secured.send(&world.socket, &[&content[sent..]], false).expect("sent");
            taken.extend(world.server_reads().0);
        }
        while world.secured.has_unsent() {
            world.secured.flush(&world.socket).expect("sent");
            taken.extend(world.server_reads().0);
        }
        // The direction ends behind it.
        world.secured.end_sending(&world.socket);
        taken.extend(world.server_reads().0);
        assert!(taken == content);
        assert!(world.server.has_ended());
    }

    #[test]
    fn an_answer_without_tls_is_named() {
        let mut world = world();
        assert!(!world.secured.shake(&world.socket).expect("goes on"));
        world.peer.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("sent");
        let error = world.secured.shake(&world.socket).expect_err("no TLS");
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("without TLS"), "{error}");
    }
}
