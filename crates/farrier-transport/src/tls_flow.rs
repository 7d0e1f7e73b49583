//! Moves a session's bytes between socket and connection. It uses scratch memory of the thread: sessions own no
//! buffers.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::RecvFlags;

use crate::moved::Received;
use crate::send_pieces;
use farrier_tls::session::{Failed, OVERHEAD_BYTES, RECORD_BYTES_MAX, Session, Side};

/// Bytes read from the socket at once, at least: a whole record.
const READ_BYTES_MIN: usize = RECORD_BYTES_MAX + OVERHEAD_BYTES;

/// Bytes read from the socket at once, at most.
const READ_BYTES_MAX: usize = 64 * 1024 + OVERHEAD_BYTES;

/// Records encrypted before they are sent together.
const RECORDS_A_SEND: usize = 4;

/// Memory that a thread reuses for all sessions.
struct Scratch {
    incoming: Vec<u8>,
    sealed: Vec<u8>,
    gathered: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> =
        const { RefCell::new(Scratch { incoming: Vec::new(), sealed: Vec::new(), gathered: Vec::new() }) };
}

/// Reads what is there and decrypts it, until `into` is full or the socket is empty. `Bytes` that do not fill `into`
/// mean that it is empty. Handshake messages are answered through `answer`. An `into` without room ends with the handshake:
/// what comes behind it is held.
pub fn receive<S: Side>(
    session: &mut Session<S>,
    socket: &OwnedFd,
    into: &mut [u8],
    mut answer: impl FnMut(&[u8]) -> io::Result<()>,
) -> Received {
    let mut filled = session.take_held(into);
    let so_far = |filled: usize, otherwise: Received| match filled {
        0 => otherwise,
        filled => Received::Bytes(filled),
    };
    SCRATCH.with_borrow_mut(|Scratch { incoming, .. }| {
        while filled < into.len() || session.is_handshaking() {
            if session.has_ended() {
                return so_far(filled, Received::End);
            }
            let begun = session.inbox().len();
            let wanted = (into.len() - filled + OVERHEAD_BYTES).clamp(READ_BYTES_MIN, READ_BYTES_MAX);
            let early = session.take_early();
            let wanted = wanted.max(early.len());
            if incoming.len() < begun + wanted {
                incoming.resize(begun + wanted, 0);
            }
            incoming[begun..begun + early.len()].copy_from_slice(&early);
            let count = match early.len() {
                0 => match rustix::net::recv(socket, &mut incoming[begun..begun + wanted], RecvFlags::empty()) {
                    // RFC 8446 §6.1: without a close_notify an attacker may have ended the connection.
                    Ok((_, 0)) => return so_far(filled, Received::Broken),
                    Ok((_, count)) => count,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(rustix::io::Errno::AGAIN) => return so_far(filled, Received::Nothing),
                    Err(_) => return so_far(filled, Received::Broken),
                },
                early_bytes => early_bytes,
            };
            if session.is_untouched() && !session.may_begin_with(incoming[0]) {
                let plain = count.min(into.len());
                into[..plain].copy_from_slice(&incoming[..plain]);
                return Received::Plain(plain);
            }
            incoming[..begun].copy_from_slice(session.inbox());
            let mut out = Vec::new();
            let opened = session.open(&mut incoming[..begun + count], &mut into[filled..], &mut out);
            if !out.is_empty() && answer(&out).is_err() {
                return Received::Broken;
            }
            match opened {
                Ok(count) => filled += count,
                Err(Failed) => return Received::Broken,
            }
            if early.is_empty() && count < wanted && filled < into.len() {
                let nothing = if session.has_ended() { Received::End } else { Received::Nothing };
                return so_far(filled, nothing);
            }
        }
        Received::Bytes(filled)
    })
}

/// Encrypts the pieces as one stream, in as few records as possible, and sends them until the socket is full. Encrypted
/// bytes that it does not take are put into `unsent`, which is empty before. Returns how many bytes were encrypted.
///
/// # Errors
/// The client is gone, or the session cannot go on.
pub fn send<S: Side>(
    session: &mut Session<S>,
    socket: &OwnedFd,
    unsent: &mut Vec<u8>,
    pieces: &[&[u8]],
    more: bool,
) -> io::Result<usize> {
    SCRATCH.with_borrow_mut(|Scratch { sealed, gathered, .. }| {
        sealed.resize(RECORDS_A_SEND * (RECORD_BYTES_MAX + OVERHEAD_BYTES), 0);
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let mut plain = Plain { pieces, at: 0 };
        let mut done = 0;
        while done < total {
            let mut used = 0;
            for _ in 0..RECORDS_A_SEND {
                let record = plain.next_record(gathered);
                if record.is_empty() {
                    break;
                }
                used += session.seal(record, &mut sealed[used..]).map_err(|Failed| io::ErrorKind::InvalidData)?;
                done += record.len();
            }
            let sent = send_pieces(socket, &[&sealed[..used]], more || done < total)?;
            if sent < used {
                unsent.extend_from_slice(&sealed[sent..used]);
                break;
            }
        }
        Ok(done)
    })
}

/// Pieces as one stream.
struct Plain<'a> {
    pieces: &'a [&'a [u8]],
    /// Bytes of the first piece that were taken.
    at: usize,
}

impl<'a> Plain<'a> {
    /// The content of the next record; copied only if it spans two pieces. Empty at the end.
    fn next_record<'b>(&mut self, gathered: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        gathered.clear();
        while let Some((first, others)) = self.pieces.split_first() {
            let rest = &first[self.at..];
            let is_last = others.iter().all(|piece| piece.is_empty());
            let wanted = rest.len().min(RECORD_BYTES_MAX - gathered.len());
            self.at += wanted;
            if self.at == first.len() {
                (self.pieces, self.at) = (others, 0);
            }
            if gathered.is_empty() && (wanted == RECORD_BYTES_MAX || (is_last && wanted > 0)) {
                return &rest[..wanted];
            }
            gathered.extend_from_slice(&rest[..wanted]);
            if gathered.len() == RECORD_BYTES_MAX {
                break;
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_filled_from_as_many_pieces_as_it_takes() {
        let large = vec![b'x'; 2 * RECORD_BYTES_MAX + 10];
        let mut plain = Plain { pieces: &[b"head", b"", &large, b"end", b""], at: 0 };
        let mut gathered = Vec::new();
        let mut lengths = Vec::new();
        let mut whole = Vec::new();
        loop {
            let record = plain.next_record(&mut gathered);
            if record.is_empty() {
                break;
            }
            lengths.push(record.len());
            whole.extend_from_slice(record);
        }
        assert_eq!(lengths, [RECORD_BYTES_MAX, RECORD_BYTES_MAX, 17]);
        assert!(whole == [b"head", &large[..], b"end"].concat());
    }
}
