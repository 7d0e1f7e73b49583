//! Moves a session's bytes between socket and connection, through scratch memory of the thread's: sessions own none.

use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::RecvFlags;

use crate::transport::file_stretch::{FileStretch, Piece, Turn};
use crate::transport::link::{Received, Rest, send_pieces};
use farrier_tls::session::{Failed, OVERHEAD_BYTES, RECORD_BYTES_MAX, Session};

/// Bytes of the wire read at once, at least: a whole record.
const READ_BYTES_MIN: usize = RECORD_BYTES_MAX + OVERHEAD_BYTES;

/// Bytes of the wire read at once, at most.
const READ_BYTES_MAX: usize = 64 * 1024 + OVERHEAD_BYTES;

/// Records encrypted before they are sent together.
const RECORDS_A_SEND: usize = 4;

/// Bytes of a file that are dealt with before others get their turn.
const TURN_BYTES: usize = 1 << 20;

/// A byte that begins a TLS connection: the content type of a handshake record (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 0x16;

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

/// Reads what is there and decrypts it, until `into` is full or the socket is empty: `Bytes` that do not fill `into` say that
/// it is. Handshake messages are answered on the way.
pub(crate) fn receive(
    session: &mut Session,
    socket: &OwnedFd,
    rest: &mut Option<Box<Rest>>,
    into: &mut [u8],
) -> Received {
    let mut filled = session.take_held(into);
    let so_far = |filled: usize, otherwise: Received| match filled {
        0 => otherwise,
        filled => Received::Bytes(filled),
    };
    SCRATCH.with_borrow_mut(|Scratch { incoming, .. }| {
        while filled < into.len() {
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
                    // RFC 8446 §6.1: without a close_notify the end may be an attacker's.
                    Ok((_, 0)) => return so_far(filled, Received::Broken),
                    Ok((_, count)) => count,
                    Err(rustix::io::Errno::INTR) => continue,
                    Err(rustix::io::Errno::AGAIN) => return so_far(filled, Received::Nothing),
                    Err(_) => return so_far(filled, Received::Broken),
                },
                early_bytes => early_bytes,
            };
            if session.is_untouched() && incoming[0] != HANDSHAKE_RECORD {
                let plain = count.min(into.len());
                into[..plain].copy_from_slice(&incoming[..plain]);
                return Received::Plain(plain);
            }
            incoming[..begun].copy_from_slice(session.inbox());
            let mut out = Vec::new();
            let opened = session.open(&mut incoming[..begun + count], &mut into[filled..], &mut out);
            if !out.is_empty() && put(socket, rest, &out, false).is_err() {
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

/// Encrypts the pieces as one stream, in as few records as they fit into, and sends them or keeps what the socket does not
/// take.
///
/// # Errors
/// The client is gone, or the session cannot go on.
pub(crate) fn send(
    session: &mut Session,
    socket: &OwnedFd,
    rest: &mut Option<Box<Rest>>,
    pieces: &[&[u8]],
    more: bool,
) -> io::Result<()> {
    SCRATCH.with_borrow_mut(|Scratch { sealed, gathered, .. }| {
        sealed.resize(RECORDS_A_SEND * (RECORD_BYTES_MAX + OVERHEAD_BYTES), 0);
        let mut used = 0;
        let mut seal = |plain: &[u8], rest: &mut Option<Box<Rest>>| -> io::Result<usize> {
            if sealed.len() - used < plain.len() + OVERHEAD_BYTES {
                put(socket, rest, &sealed[..used], true)?;
                used = 0;
            }
            used += session.seal(plain, &mut sealed[used..]).map_err(|Failed| io::ErrorKind::InvalidData)?;
            Ok(used)
        };
        let mut used_now = 0;
        gathered.clear();
        for (index, piece) in pieces.iter().enumerate() {
            let is_last = index + 1 == pieces.len();
            let mut piece = *piece;
            while !piece.is_empty() {
                if gathered.is_empty() && (piece.len() >= RECORD_BYTES_MAX || is_last) {
                    let (record, after) = piece.split_at(piece.len().min(RECORD_BYTES_MAX));
                    used_now = seal(record, rest)?;
                    piece = after;
                    continue;
                }
                let (part, after) = piece.split_at(piece.len().min(RECORD_BYTES_MAX - gathered.len()));
                gathered.extend_from_slice(part);
                piece = after;
                if gathered.len() == RECORD_BYTES_MAX {
                    used_now = seal(gathered, rest)?;
                    gathered.clear();
                }
            }
        }
        if !gathered.is_empty() {
            used_now = seal(gathered, rest)?;
        }
        put(socket, rest, &sealed[..used_now], more)
    })
}

/// Sends bytes of the wire, or keeps what the socket does not take.
///
/// # Errors
/// The client is gone.
pub(crate) fn put(socket: &OwnedFd, rest: &mut Option<Box<Rest>>, bytes: &[u8], more: bool) -> io::Result<()> {
    let sent = match rest {
        Some(_) => 0,
        None => send_pieces(socket, &[bytes], more)?,
    };
    if sent < bytes.len() {
        rest.get_or_insert_default().keep(&bytes[sent..]);
    }
    Ok(())
}

/// Encrypts bytes behind others of the wire.
///
/// # Errors
/// The session cannot go on.
pub(crate) fn seal(session: &mut Session, plain: &[u8], onto: &mut Vec<u8>) -> io::Result<()> {
    for record in plain.chunks(RECORD_BYTES_MAX) {
        let at = onto.len();
        onto.resize(at + record.len() + OVERHEAD_BYTES, 0);
        let used = session.seal(record, &mut onto[at..]).map_err(|Failed| io::ErrorKind::InvalidData)?;
        onto.truncate(at + used);
    }
    Ok(())
}

/// Reads a stretch of a file, encrypts and sends it, until the socket is full or the turn is over. What the socket does not
/// take of the wire's bytes is put into `unsent`, which is empty before.
///
/// # Errors
/// The client is gone, the file is not what was promised, or the session cannot go on.
pub(crate) fn send_stretch(
    session: &mut Session,
    socket: &OwnedFd,
    unsent: &mut Vec<u8>,
    stretch: &mut FileStretch,
) -> io::Result<Turn> {
    SCRATCH.with_borrow_mut(|Scratch { sealed, gathered, .. }| {
        sealed.resize(RECORDS_A_SEND * (RECORD_BYTES_MAX + OVERHEAD_BYTES), 0);
        let mut turn_bytes = TURN_BYTES;
        while stretch.bytes() > 0 {
            if turn_bytes == 0 {
                return Ok(Turn::Over);
            }
            gathered.resize(RECORDS_A_SEND * RECORD_BYTES_MAX, 0);
            let Piece::Bytes(count) = stretch.read_next(gathered)? else { return Ok(Turn::Cold) };
            turn_bytes = turn_bytes.saturating_sub(count);
            let mut used = 0;
            for record in gathered[..count].chunks(RECORD_BYTES_MAX) {
                used += session.seal(record, &mut sealed[used..]).map_err(|Failed| io::ErrorKind::InvalidData)?;
            }
            let sent = send_pieces(socket, &[&sealed[..used]], stretch.bytes() > 0)?;
            if sent < used {
                unsent.extend_from_slice(&sealed[sent..used]);
                return Ok(Turn::Full);
            }
        }
        Ok(Turn::Done)
    })
}
