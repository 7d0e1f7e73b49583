//! The layer between a connection's outbox and its socket: none, or TLS.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use farrier_tls::server::ServerSession;
use rustls::ServerConfig;

use crate::{send_pieces, tls_flow};

/// The layer between the outbox and the socket.
#[derive(Default)]
pub enum Security {
    /// None.
    #[default]
    None,
    /// None yet: a PROXY header comes first, unencrypted, and then TLS on these terms.
    Later(Arc<ServerConfig>),
    /// TLS, on these terms; the client has not sent anything yet.
    Wanted(Arc<ServerConfig>),
    /// TLS.
    Session(Box<ServerSession>),
}

/// Sends bytes as far as the socket takes them now. With TLS they count as sent once they are encrypted. Encrypted
/// bytes that the socket does not take are put into `sealed`, which is empty before.
///
/// # Errors
/// The client is gone, or TLS cannot go on.
pub fn transmit(
    security: &mut Security,
    socket: &OwnedFd,
    sealed: &mut Vec<u8>,
    pieces: &[&[u8]],
    more: bool,
) -> io::Result<usize> {
    match security {
        Security::None | Security::Later(_) => send_pieces(socket, pieces, more),
        // Before the handshake nothing can be sent.
        Security::Wanted(_) => Err(io::ErrorKind::NotConnected.into()),
        Security::Session(session) => tls_flow::send(session, socket, sealed, pieces, more),
    }
}
