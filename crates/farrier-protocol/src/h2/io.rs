//! A connection's socket as the `h2` crate sees it. It reads what is there, gathers writes into few system calls, and
//! counts the frames that pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::h2::frames::{Allowance, PROTOCOL_ERROR, Scanner};
use farrier_transport::link::{Link, Received, Sent};

/// Written bytes that are gathered before they are sent in any case.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// Bytes read in one turn, before other connections get their turn.
const READ_TURN_BYTES: usize = 256 * 1024;

/// Most bytes of one read: its buffer has to be cleared first.
const READ_BYTES_MAX: usize = 16 * 1024;

/// Size of the write buffer that an idle connection keeps.
const ROOM_KEPT_BYTES: usize = 4096;

/// The first bytes of a client on an HTTP/2 connection (RFC 9113 §3.4).
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What the session and the `h2` crate share of a connection. Only the leader touches either.
pub struct Io {
    /// What came before the session began, and how much of it has been read.
    pub inbox: Vec<u8>,
    pub(crate) inbox_read: usize,
    /// There may be bytes to read that no event will announce again.
    pub readable: bool,
    /// The client has ended its direction.
    pub ended: bool,
    /// Bytes that may still be read in this turn.
    turn_bytes: usize,
    /// Bytes read since the session began.
    pub received_bytes: u64,
    /// Gathered bytes.
    out: Vec<u8>,
    /// The socket is full.
    pub is_full: bool,
    incoming: Scanner,
    outgoing: Scanner,
    pub(crate) allowance: Allowance,
    /// The client has sent more than it may.
    pub is_flooded: bool,
    /// Streams that the `h2` crate has reset because their requests are malformed.
    pub malformed: u32,
}

/// The `h2` crate's end of it.
pub struct LinkIo {
    link: Arc<Link>,
    io: Arc<Mutex<Io>>,
}

impl Io {
    /// Bytes that arrived before the session, and its allowance of frames.
    pub fn new(inbox: Vec<u8>, allowance: Allowance) -> Io {
        Io {
            inbox,
            inbox_read: 0,
            readable: true,
            ended: false,
            turn_bytes: READ_TURN_BYTES,
            received_bytes: 0,
            out: Vec::new(),
            is_full: false,
            incoming: Scanner::after(PREFACE.len()),
            outgoing: Scanner::default(),
            allowance,
            is_flooded: false,
            malformed: 0,
        }
    }

    /// A turn begins.
    pub fn begin_turn(&mut self, now_ms: u64) {
        self.turn_bytes = READ_TURN_BYTES;
        self.allowance.pass(now_ms);
    }

    /// A turn ends: what was gathered is sent. False: the client is gone.
    pub fn end_turn(&mut self, link: &Link) -> bool {
        !matches!(self.send(link), Poll::Ready(Err(_)))
    }

    /// The turn has ended and there is more to read.
    pub fn has_more(&self) -> bool {
        self.turn_bytes == 0 && self.readable && !self.is_flooded
    }

    /// An idle connection keeps no large buffer.
    pub fn let_go_of_room(&mut self) {
        if self.out.capacity() > ROOM_KEPT_BYTES && self.out.is_empty() {
            self.out = Vec::new();
        }
        if self.inbox_read >= self.inbox.len() {
            self.inbox = Vec::new();
            self.inbox_read = 0;
        }
    }

    fn count(&mut self, piece: &[u8]) {
        let Io { incoming, allowance, is_flooded, .. } = self;
        incoming.scan(piece, |frame| *is_flooded |= !allowance.received(frame.kind, frame.flags, frame.length));
    }

    /// Sends the gathered bytes.
    fn send(&mut self, link: &Link) -> Poll<io::Result<()>> {
        if !self.is_full && !self.out.is_empty() {
            let sent = link.send(&[&self.out], false);
            self.out.clear();
            match sent {
                Sent::All => {}
                Sent::Unsent(_) => self.is_full = true,
                Sent::Broken => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        if self.is_full { Poll::Pending } else { Poll::Ready(Ok(())) }
    }
}

impl LinkIo {
    /// The session's side of the socket.
    pub fn new(link: Arc<Link>, io: Arc<Mutex<Io>>) -> LinkIo {
        LinkIo { link, io }
    }
}

/// The state that session and `h2` share.
pub fn lock(io: &Mutex<Io>) -> MutexGuard<'_, Io> {
    io.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for LinkIo {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut io = lock(&self.io);
        if io.is_flooded {
            return Poll::Pending;
        }
        if io.inbox_read < io.inbox.len() {
            let inbox = std::mem::take(&mut io.inbox);
            let piece = &inbox[io.inbox_read..];
            let piece = &piece[..piece.len().min(into.remaining())];
            into.put_slice(piece);
            io.count(piece);
            io.inbox_read += piece.len();
            io.received_bytes += piece.len() as u64;
            if io.inbox_read < inbox.len() {
                io.inbox = inbox;
            }
            return Poll::Ready(Ok(()));
        }
        if !io.readable || io.turn_bytes == 0 {
            return Poll::Pending;
        }
        let room_bytes = into.remaining().min(READ_BYTES_MAX);
        let room = into.initialize_unfilled_to(room_bytes);
        match self.link.receive(room) {
            Received::Bytes(count) => {
                // A read that does not fill the room has emptied the socket.
                io.readable = count == room_bytes || io.ended;
                io.turn_bytes = io.turn_bytes.saturating_sub(count);
                io.received_bytes += count as u64;
                io.count(&room[..count]);
                into.advance(count);
                Poll::Ready(Ok(()))
            }
            Received::Nothing => {
                io.readable = false;
                Poll::Pending
            }
            Received::End => Poll::Ready(Ok(())),
            Received::Plain(_) | Received::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for LinkIo {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut io = lock(&self.io);
        if io.out.len() >= GATHERED_BYTES_MAX || io.is_full {
            match io.send(&self.link) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let Io { outgoing, allowance, out, malformed, .. } = &mut *io;
        outgoing.scan(bytes, |frame| {
            allowance.sent(frame.kind);
            *malformed += u32::from(frame.code == Some(PROTOCOL_ERROR));
        });
        out.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut io = lock(&self.io);
        // The crate flushes after each large frame; several leave together, the last when the turn ends.
        if io.out.len() < GATHERED_BYTES_MAX && !io.is_full {
            return Poll::Ready(Ok(()));
        }
        io.send(&self.link)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Both directions stay open until the session's end is written: the leader closes the connection.
        self.poll_flush(context)
    }
}
