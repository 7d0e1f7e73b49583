//! A connection's socket and what is still to be written to it.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags};

pub(crate) mod account;
pub mod file_stretch;
pub(crate) mod link;
pub(crate) mod moved;
pub(crate) mod nameless_file;
pub(crate) mod outbox;
pub(crate) mod pace;
pub(crate) mod response_budget;
pub(crate) mod rest;
pub(crate) mod security;
pub(crate) mod spill;
pub(crate) mod tls_flow;

/// Sends as much as the socket takes now; 0 when it takes nothing. `more`: something follows at once.
///
/// # Errors
/// The client is gone.
pub(crate) fn send_pieces(socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
    let flags = if more { SendFlags::NOSIGNAL | SendFlags::MORE } else { SendFlags::NOSIGNAL };
    loop {
        let result = match pieces {
            [] => return Ok(0),
            [piece] => rustix::net::send(socket, piece, flags),
            [head, body] => send_vector(socket, &[IoSlice::new(head), IoSlice::new(body)], flags),
            [head, body, end] => {
                send_vector(socket, &[IoSlice::new(head), IoSlice::new(body), IoSlice::new(end)], flags)
            }
            _ => send_vector(socket, &pieces.iter().map(|piece| IoSlice::new(piece)).collect::<Vec<_>>(), flags),
        };
        return match result {
            Ok(sent) => Ok(sent),
            Err(rustix::io::Errno::AGAIN) => Ok(0),
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn send_vector(socket: &OwnedFd, pieces: &[IoSlice<'_>], flags: SendFlags) -> rustix::io::Result<usize> {
    rustix::net::sendmsg(socket, pieces, &mut SendAncillaryBuffer::default(), flags)
}
