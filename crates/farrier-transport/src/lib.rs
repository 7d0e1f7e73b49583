//! Sockets and files: events from the kernel, data still to be sent, and received content that waits.
//!
//! `reactor` has events, deadlines and tokens. `link` is a connection's socket. `outbox`, `rest` and `spill` hold the
//! data that its client has not taken. `upstream` has connections to other servers. `spool` stores the content of requests.

#![forbid(unsafe_code)]

pub mod reactor;

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use rustix::net::{SendAncillaryBuffer, SendFlags};

pub mod account;
pub mod descriptors;
pub mod file_stretch;
pub mod link;
pub mod moved;
pub mod nameless_file;
pub mod outbox;
pub mod pace;
pub mod response_budget;
pub mod rest;
pub mod security;
pub mod spill;
pub mod spool;
pub mod spool_file;
pub mod tls_flow;
pub mod upload_budget;
pub mod upstream;

/// Sends as much as the socket takes now; 0 when it takes nothing. `more`: further bytes follow at once.
///
/// # Errors
/// The client is gone.
pub fn send_pieces(socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
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
