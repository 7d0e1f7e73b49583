//! A connection's socket and what is still to be written to it. The one room that sends bytes to clients.

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::engine::{Poller, Token};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has everything.
    All,
    /// So many bytes wait for the client.
    Unsent(u64),
    /// The client is gone, or a file was shorter than promised.
    Broken,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The client sends no more.
    End,
    /// The connection is broken.
    Broken,
}

/// The poller does not know the socket yet: many a connection is answered and closed before it has to wait for anything.
const UNWATCHED: u8 = 0;

/// The poller tells of input.
const WATCHED: u8 = 1;

/// The poller tells of input and of room to write.
const WATCHED_WRITABLE: u8 = 2;

/// Bytes of a file given to a socket in one go before others get their turn.
const FILE_TURN_BYTES: u64 = 1 << 20;

/// A connected socket, shared by the seat that produces a response and the leader that writes its rest.
///
/// (TLS will stand here, between the outbox and the socket.)
pub(crate) struct Link {
    socket: OwnedFd,
    /// The client is known to have left.
    gone: AtomicBool,
    /// The client has ended its direction.
    ended: AtomicBool,
    /// An event came while a seat owned the connection.
    pending: AtomicBool,
    /// What the poller tells of: [`UNWATCHED`], [`WATCHED`] or [`WATCHED_WRITABLE`]. Changed by whoever owns the connection.
    watched: AtomicU8,
    outbox: Mutex<Outbox>,
}

/// What is still to be written. It owns no memory while nothing is.
#[derive(Default)]
struct Outbox {
    rest: Option<Box<Rest>>,
    broken: bool,
    /// Something was sent since [`Link::begin_response`].
    begun: bool,
}

/// What became of a connection that was taken from its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TakenOver {
    /// The client has the answer that was given instead.
    Answered,
    /// The response had begun, so the connection was cut.
    Cut,
    /// The client had left before.
    Gone,
}

#[derive(Default)]
struct Rest {
    bytes: Vec<u8>,
    /// Bytes of the front that have been written.
    written: usize,
    /// A stretch of a file that follows the bytes.
    file: Option<FileRest>,
    /// The last flush stopped for the sake of others, not because the socket was full.
    turn_over: bool,
}

struct FileRest {
    file: Arc<File>,
    offset: u64,
    bytes: u64,
}

impl Link {
    pub(crate) fn new(socket: OwnedFd) -> Link {
        Link {
            socket,
            gone: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            pending: AtomicBool::new(false),
            watched: AtomicU8::new(UNWATCHED),
            outbox: Mutex::new(Outbox::default()),
        }
    }

    /// Reads what is there.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Received {
        loop {
            return match rustix::net::recv(&self.socket, &mut *into, RecvFlags::empty()) {
                Ok((_, 0)) => Received::End,
                Ok((_, count)) => Received::Bytes(count),
                Err(rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => Received::Nothing,
                Err(_) => Received::Broken,
            };
        }
    }

    /// Writes the pieces in one system call, or keeps what the socket does not take. `more`: something follows at once.
    pub(crate) fn send(&self, pieces: &[&[u8]], more: bool) -> Sent {
        let mut outbox = self.lock();
        if outbox.broken {
            return Sent::Broken;
        }
        outbox.begun = true;
        if let Some(rest) = outbox.rest.as_deref_mut().filter(|rest| rest.file.is_none()) {
            pieces.iter().for_each(|piece| rest.bytes.extend_from_slice(piece));
            return outbox.flush(&self.socket);
        }
        if outbox.rest.is_some() {
            // Nothing follows a file within a response, and the next response waits for an empty outbox.
            outbox.broken = true;
            return Sent::Broken;
        }
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        match send_pieces(&self.socket, pieces, more) {
            Ok(sent) if sent == total => Sent::All,
            Ok(mut sent) => {
                let mut rest = Box::new(Rest::default());
                rest.bytes.reserve(total - sent);
                for piece in pieces {
                    let skipped = sent.min(piece.len());
                    rest.bytes.extend_from_slice(&piece[skipped..]);
                    sent -= skipped;
                }
                let unsent = rest.bytes.len() as u64;
                outbox.rest = Some(rest);
                Sent::Unsent(unsent)
            }
            Err(_) => {
                outbox.broken = true;
                Sent::Broken
            }
        }
    }

    /// Writes an interim response: whatever [`Link::take_over`] finds, the response itself has not begun by it.
    pub(crate) fn send_interim(&self, bytes: &[u8]) -> Sent {
        let sent = self.send(&[bytes], false);
        // What the socket did not take would stand before another answer's head; no client is that slow so early.
        if sent == Sent::All {
            self.begin_response();
        }
        sent
    }

    /// Says that a response is about to be made, for [`Link::take_over`].
    pub(crate) fn begin_response(&self) {
        self.lock().begun = false;
    }

    /// Takes the connection from the seat that owns it: whatever that seat sends from now on goes nowhere. The client gets
    /// `answer` if the seat has sent nothing yet; otherwise the connection is cut, with a reset where the client could take
    /// the end of the connection for the end of the response.
    pub(crate) fn take_over(&self, answer: &[u8], ends_by_close: bool) -> TakenOver {
        let mut outbox = self.lock();
        if outbox.broken {
            return TakenOver::Gone;
        }
        outbox.broken = true;
        outbox.rest = None;
        let taken = if outbox.begun {
            TakenOver::Cut
        } else {
            // Nothing was sent before, so there is room for so short an answer.
            match send_pieces(&self.socket, &[answer], false) {
                Ok(_) => TakenOver::Answered,
                Err(_) => TakenOver::Gone,
            }
        };
        drop(outbox);
        self.set_gone();
        match taken {
            TakenOver::Answered => self.shutdown_write(),
            TakenOver::Gone => {}
            // RFC 9112 §8: only a reset tells such a client that the message is incomplete. A unix socket knows none.
            TakenOver::Cut if ends_by_close && rustix::net::connect_unspec(&self.socket).is_ok() => {}
            TakenOver::Cut => self.shutdown_both(),
        }
        taken
    }

    /// Writes a stretch of a plain file behind what is unsent.
    pub(crate) fn send_file(&self, file: Arc<File>, offset: u64, bytes: u64) -> Sent {
        let mut outbox = self.lock();
        if outbox.broken {
            return Sent::Broken;
        }
        outbox.begun = true;
        let rest = outbox.rest.get_or_insert_default();
        rest.file = Some(FileRest { file, offset, bytes });
        outbox.flush(&self.socket)
    }

    /// Writes more of what is unsent.
    pub(crate) fn flush(&self) -> Sent {
        self.lock().flush(&self.socket)
    }

    /// Whether a file's turn ended while the socket would have taken more: no event will tell.
    pub(crate) fn has_more_now(&self) -> bool {
        self.lock().rest.as_deref().is_some_and(|rest| rest.turn_over)
    }

    /// Lets the poller tell of input, from now on. What came before is told at once.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub(crate) fn watch(&self, poller: &Poller, token: Token) -> io::Result<()> {
        if self.watched.load(Ordering::Relaxed) == UNWATCHED {
            poller.watch_connection(self.as_fd(), token)?;
            self.watched.store(WATCHED, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets the poller tell of room to write as well, from now on.
    pub(crate) fn watch_writable(&self, poller: &Poller, token: Token) {
        // If it fails, the write time-out ends the connection.
        if self.watched.load(Ordering::Relaxed) != WATCHED_WRITABLE && self.watch(poller, token).is_ok() {
            let _ = poller.watch_writable(self.as_fd(), token);
            self.watched.store(WATCHED_WRITABLE, Ordering::Relaxed);
        }
    }

    /// Says that the client has left.
    pub(crate) fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Says that the client has ended its direction while a seat owned the connection.
    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the client has ended its direction.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the client is known to have left.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Says that an event came for a connection that a seat owns. Ordered by the desk's lock.
    pub(crate) fn set_pending(&self) {
        self.pending.store(true, Ordering::Relaxed);
    }

    /// Whether an event came, once.
    pub(crate) fn take_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) && self.pending.swap(false, Ordering::Relaxed)
    }

    /// Ends both directions, before the last owner of the socket lets go of it.
    pub(crate) fn shutdown_both(&self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
    }

    /// Ends the writing direction: the client sees the end of the answer and may still send.
    pub(crate) fn shutdown_write(&self) {
        // It fails only when the connection is gone already.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // A panic while sending leaves bytes, not broken invariants; the connection is closed by its owner.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Outbox {
    fn flush(&mut self, socket: &OwnedFd) -> Sent {
        if self.broken {
            return Sent::Broken;
        }
        let Some(rest) = self.rest.as_deref_mut() else { return Sent::All };
        match rest.flush(socket) {
            Ok(0) => {
                self.rest = None;
                Sent::All
            }
            Ok(unsent) => Sent::Unsent(unsent),
            Err(_) => {
                self.rest = None;
                self.broken = true;
                Sent::Broken
            }
        }
    }
}

impl Rest {
    /// Writes what the socket takes; gives the number of bytes left.
    fn flush(&mut self, socket: &OwnedFd) -> io::Result<u64> {
        while self.written < self.bytes.len() {
            let sent = send_pieces(socket, &[&self.bytes[self.written..]], self.file.is_some())?;
            if sent == 0 {
                break;
            }
            self.written += sent;
        }
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        } else if self.written > 64 * 1024 {
            self.bytes.drain(..self.written);
            self.written = 0;
        }
        let mut unsent = (self.bytes.len() - self.written) as u64;
        if let Some(stretch) = &mut self.file {
            if unsent == 0 {
                self.turn_over = stretch.flush(socket)?;
            }
            unsent += stretch.bytes;
        }
        Ok(unsent)
    }
}

impl FileRest {
    /// True when the turn ended before the socket was full.
    fn flush(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        let mut turn = FILE_TURN_BYTES;
        while self.bytes > 0 && turn > 0 {
            let count = self.bytes.min(turn) as usize;
            match rustix::fs::sendfile(socket, &self.file, Some(&mut self.offset), count) {
                // The file shrank: the message must not look complete.
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(sent) => {
                    self.bytes -= sent as u64;
                    turn = turn.saturating_sub(sent as u64);
                }
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.bytes > 0)
    }
}

/// Sends as much as the socket takes now; 0 when it takes nothing.
fn send_pieces(socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
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
