//! A connection's socket and what is still to be written to it. The one room that sends bytes to clients.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustls::ServerConfig;

use crate::connection_limit::Counted;
use crate::reactor::poller::Poller;
use crate::reactor::token::Token;
use crate::transport::file_stretch::{ColdStretch, FileStretch, Turn};
use crate::transport::tls_flow;
use farrier_tls::session::{Negotiated, Session};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

/// What a write came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has everything.
    All,
    /// Something waits for the client: so many bytes in memory, and perhaps files.
    Unsent(u64),
    /// The client is gone, or a file is not what was promised.
    Broken,
}

/// What a read came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// So many bytes in the clear, where TLS should have begun. The connection goes on in the clear.
    Plain(usize),
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

/// A connected socket, shared by the seat that produces a response and the leader that writes its rest. With TLS its session
/// stands between the outbox and the socket, under the outbox's lock: a seat may write while the leader flushes.
pub(crate) struct Link {
    socket: OwnedFd,
    /// There is TLS on it.
    is_secured: AtomicBool,
    /// What TLS agreed on, once the handshake is done.
    negotiated: OnceLock<Negotiated>,
    /// The handshake was done lately, and nobody has asked.
    just_secured: AtomicBool,
    /// The response is not what its handler meant: the connection must not end as if it were whole.
    is_incomplete: AtomicBool,
    /// The client is known to have left.
    gone: AtomicBool,
    /// The client has ended its direction.
    ended: AtomicBool,
    /// An event came while a seat owned the connection.
    pending: AtomicBool,
    /// What the poller tells of: [`UNWATCHED`], [`WATCHED`] or [`WATCHED_WRITABLE`]. Changed by whoever owns the connection.
    watched: AtomicU8,
    outbox: Mutex<Outbox>,
    /// Its share of what its client may have, as long as it is open.
    _counted: Option<Counted>,
}

/// What is still to be written. It owns no memory while nothing is.
#[derive(Default)]
struct Outbox {
    rest: Option<Box<Rest>>,
    security: Security,
    broken: bool,
    /// Something was sent since [`Link::begin_response`].
    begun: bool,
}

/// What stands between the outbox and the socket.
#[derive(Default)]
enum Security {
    /// Nothing.
    #[default]
    None,
    /// Nothing yet: a PROXY header comes first, in the clear, and then TLS on these terms.
    Later(Arc<ServerConfig>),
    /// TLS, on these terms; the client has not sent anything yet.
    Wanted(Arc<ServerConfig>),
    /// TLS.
    Session(Box<Session>),
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
pub(crate) struct Rest {
    bytes: Vec<u8>,
    /// Bytes of the front that have been written.
    written: usize,
    /// Stretches of files that follow, each with the bytes behind it.
    files: VecDeque<(FileStretch, Vec<u8>)>,
    pause: Pause,
}

/// Why the last flush stopped, where the socket is not the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Pause {
    /// The socket is: an event will tell of room.
    #[default]
    None,
    /// For the sake of others.
    TurnOver,
    /// What comes next is not in memory.
    Cold,
    /// Somebody brings it into memory.
    Fetching,
}

impl Link {
    /// A connection in the clear, or with TLS on these terms.
    pub(crate) fn new(socket: OwnedFd, terms: Option<Arc<ServerConfig>>, counted: Option<Counted>) -> Link {
        Link {
            socket,
            is_secured: AtomicBool::new(terms.is_some()),
            negotiated: OnceLock::new(),
            just_secured: AtomicBool::new(false),
            is_incomplete: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            pending: AtomicBool::new(false),
            watched: AtomicU8::new(UNWATCHED),
            outbox: Mutex::new(Outbox {
                security: terms.map_or(Security::None, Security::Wanted),
                ..Outbox::default()
            }),
            _counted: counted,
        }
    }

    /// Reads what is there: `Bytes` that do not fill `into` say that the socket is empty. With TLS the handshake goes on
    /// here, and there is `Nothing` until it is done.
    pub(crate) fn receive(&self, into: &mut [u8]) -> Received {
        if self.is_secured.load(Ordering::Relaxed) {
            return self.receive_secured(into);
        }
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

    fn receive_secured(&self, into: &mut [u8]) -> Received {
        let mut outbox = self.lock();
        let Outbox { rest, security, .. } = &mut *outbox;
        if let Security::Wanted(terms) = security {
            let Ok(session) = Session::new(Arc::clone(terms), Vec::new()) else { return Received::Broken };
            *security = Security::Session(Box::new(session));
        }
        let Security::Session(session) = security else { return Received::Broken };
        let received = tls_flow::receive(session, &self.socket, rest, into);
        if let Received::Plain(_) = received {
            *security = Security::None;
            self.is_secured.store(false, Ordering::Relaxed);
        } else if self.negotiated.get().is_none()
            && let Some(negotiated) = session.negotiated()
        {
            let is_validation = negotiated.is_validation;
            // Set once: the lock is held.
            let _ = self.negotiated.set(negotiated);
            self.just_secured.store(true, Ordering::Relaxed);
            if is_validation {
                // RFC 8737 §3: the handshake was all there is to say.
                return Received::End;
            }
        }
        received
    }

    /// Lets something come in the clear before TLS: [`Link::begin_tls`] follows.
    pub(crate) fn put_tls_off(&self) {
        let mut outbox = self.lock();
        if let Security::Wanted(terms) = std::mem::take(&mut outbox.security) {
            outbox.security = Security::Later(terms);
            self.is_secured.store(false, Ordering::Relaxed);
        }
    }

    /// Begins TLS where it was put off, with the bytes of it that have come already. False: nothing was put off.
    pub(crate) fn begin_tls(&self, early: &[u8]) -> bool {
        let mut outbox = self.lock();
        let Security::Later(terms) = &outbox.security else { return false };
        match Session::new(Arc::clone(terms), early.to_vec()) {
            Ok(session) => outbox.security = Security::Session(Box::new(session)),
            Err(_) => outbox.broken = true,
        }
        self.is_secured.store(true, Ordering::Relaxed);
        true
    }

    /// What TLS agreed on, once the handshake is done; `None` for a connection in the clear.
    pub(crate) fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.get()
    }

    /// Whether the handshake was done since this was last asked.
    pub(crate) fn take_just_secured(&self) -> bool {
        self.just_secured.load(Ordering::Relaxed) && self.just_secured.swap(false, Ordering::Relaxed)
    }

    /// Why the handshake of TLS failed, if it did and nobody has asked.
    pub(crate) fn take_handshake_fault(&self) -> Option<String> {
        if !self.is_secured.load(Ordering::Relaxed) || self.negotiated.get().is_some() {
            return None;
        }
        match &mut self.lock().security {
            Security::Session(session) => session.take_fault(),
            Security::None | Security::Later(_) | Security::Wanted(_) => None,
        }
    }

    /// Says that the response was broken off: without a close_notify at the connection's end the client can tell.
    pub(crate) fn set_incomplete(&self) {
        self.is_incomplete.store(true, Ordering::Relaxed);
    }

    /// Writes the pieces in one system call, or keeps what the socket does not take. `more`: something follows at once.
    pub(crate) fn send(&self, pieces: &[&[u8]], more: bool) -> Sent {
        let mut outbox = self.lock();
        if outbox.broken {
            return Sent::Broken;
        }
        outbox.begun = true;
        if !matches!(outbox.security, Security::None | Security::Later(_)) {
            return outbox.send_secured(&self.socket, pieces, more);
        }
        if let Some(rest) = outbox.rest.as_deref_mut() {
            rest.keep_last(pieces);
            return outbox.flush(&self.socket);
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
            match outbox.send_last(&self.socket, answer) {
                Ok(()) => TakenOver::Answered,
                Err(_) => TakenOver::Gone,
            }
        };
        drop(outbox);
        self.set_gone();
        match taken {
            TakenOver::Answered => self.shutdown_write(),
            TakenOver::Gone => {}
            // RFC 8446 §6.1: without a close_notify the message is incomplete.
            TakenOver::Cut if self.is_secured.load(Ordering::Relaxed) => self.shutdown_sockets(Shutdown::Both),
            // RFC 9112 §8: only a reset tells such a client that the message is incomplete. A unix socket knows none.
            TakenOver::Cut if ends_by_close && rustix::net::connect_unspec(&self.socket).is_ok() => {}
            TakenOver::Cut => self.shutdown_both(),
        }
        taken
    }

    /// Writes a stretch of a plain file behind what is unsent. `is_version`: the head names a version of the file.
    pub(crate) fn send_file(&self, file: Arc<File>, offset: u64, bytes: u64, is_version: bool) -> Sent {
        let mut outbox = self.lock();
        if outbox.broken {
            return Sent::Broken;
        }
        outbox.begun = true;
        match FileStretch::new(file, offset, bytes, is_version) {
            Ok(stretch) => {
                outbox.rest.get_or_insert_default().files.push_back((stretch, Vec::new()));
                outbox.flush(&self.socket)
            }
            Err(_) => outbox.give_up(),
        }
    }

    /// Writes more of what is unsent.
    pub(crate) fn flush(&self) -> Sent {
        self.lock().flush(&self.socket)
    }

    /// Whether a file's turn ended while the socket would have taken more: no event will tell.
    pub(crate) fn has_more_now(&self) -> bool {
        self.lock().rest.as_deref().is_some_and(|rest| rest.pause == Pause::TurnOver)
    }

    /// What must be read from the disk before more can be sent, where nobody does so yet. [`Link::fetched`] follows.
    pub(crate) fn take_cold(&self) -> Option<ColdStretch> {
        let mut outbox = self.lock();
        let rest = outbox.rest.as_deref_mut().filter(|rest| rest.pause == Pause::Cold)?;
        rest.pause = Pause::Fetching;
        rest.files.front_mut().map(|(stretch, _)| stretch.take_cold())
    }

    /// Says that what [`Link::take_cold`] gave is in memory.
    pub(crate) fn fetched(&self) {
        if let Some(rest) = self.lock().rest.as_deref_mut().filter(|rest| rest.pause == Pause::Fetching) {
            rest.pause = Pause::None;
        }
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

    /// Says that an event came for a connection that a seat owns. Ordered by the state's lock.
    pub(crate) fn set_pending(&self) {
        self.pending.store(true, Ordering::Relaxed);
    }

    /// Whether an event came, once.
    pub(crate) fn take_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) && self.pending.swap(false, Ordering::Relaxed)
    }

    /// Ends both directions, before the last owner of the socket lets go of it.
    pub(crate) fn shutdown_both(&self) {
        self.send_close_notify();
        self.shutdown_sockets(Shutdown::Both);
    }

    /// Ends the writing direction: the client sees the end of the answer and may still send.
    pub(crate) fn shutdown_write(&self) {
        self.send_close_notify();
        self.shutdown_sockets(Shutdown::Write);
    }

    fn shutdown_sockets(&self, directions: Shutdown) {
        // It fails only when the connection is gone already.
        let _ = rustix::net::shutdown(&self.socket, directions);
    }

    /// Ends TLS in an orderly way, where there is any and where what was sent is whole.
    fn send_close_notify(&self) {
        if self.is_secured.load(Ordering::Relaxed) && !self.is_incomplete.load(Ordering::Relaxed) {
            self.lock().send_close_notify(&self.socket);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // A panic while sending leaves bytes, not broken invariants; the connection is closed by its owner.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.send_close_notify();
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Outbox {
    #[inline(never)]
    fn send_secured(&mut self, socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> Sent {
        let Outbox { rest, security, .. } = self;
        let Security::Session(session) = security else {
            // Before the handshake nothing can be said.
            self.broken = true;
            return Sent::Broken;
        };
        let waited = rest.is_some();
        if let Some(rest) = rest.as_deref_mut().filter(|rest| !rest.files.is_empty()) {
            rest.keep_last(pieces);
            return self.flush(socket);
        }
        if tls_flow::send(session, socket, rest, pieces, more).is_err() {
            return self.give_up();
        }
        match rest {
            Some(_) if waited => self.flush(socket),
            Some(rest) => Sent::Unsent(rest.memory_bytes()),
            None => Sent::All,
        }
    }

    /// Sends what ends the connection.
    fn send_last(&mut self, socket: &OwnedFd, answer: &[u8]) -> io::Result<()> {
        match &mut self.security {
            Security::None | Security::Later(_) => send_pieces(socket, &[answer], false).map(drop),
            Security::Wanted(_) => Err(io::ErrorKind::NotConnected.into()),
            Security::Session(session) => {
                tls_flow::send(session, socket, &mut self.rest, &[answer], true)?;
                tls_flow::put(socket, &mut self.rest, &session.close_notify(), false)?;
                self.rest = None;
                Ok(())
            }
        }
    }

    fn send_close_notify(&mut self, socket: &OwnedFd) {
        if !self.broken
            && self.rest.is_none()
            && let Security::Session(session) = &mut self.security
        {
            let close_notify = session.close_notify();
            if !close_notify.is_empty() {
                // Whoever has left need not know.
                let _ = send_pieces(socket, &[&close_notify], false);
            }
        }
    }

    fn flush(&mut self, socket: &OwnedFd) -> Sent {
        if self.broken {
            return Sent::Broken;
        }
        let Some(rest) = self.rest.as_deref_mut() else { return Sent::All };
        match rest.flush(socket, &mut self.security) {
            Ok(true) => {
                self.rest = None;
                Sent::All
            }
            Ok(false) => Sent::Unsent(rest.memory_bytes()),
            Err(_) => self.give_up(),
        }
    }

    fn give_up(&mut self) -> Sent {
        self.rest = None;
        self.broken = true;
        Sent::Broken
    }
}

impl Rest {
    /// Keeps bytes of the wire behind what is unsent of them.
    pub(crate) fn keep(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Keeps bytes behind everything that is unsent, as they are given.
    fn keep_last(&mut self, pieces: &[&[u8]]) {
        let last = self.files.back_mut().map_or(&mut self.bytes, |(_, behind)| behind);
        pieces.iter().for_each(|piece| last.extend_from_slice(piece));
    }

    /// Writes what the socket takes. True when nothing is left.
    fn flush(&mut self, socket: &OwnedFd, security: &mut Security) -> io::Result<bool> {
        if self.pause != Pause::Fetching {
            self.pause = Pause::None;
        }
        loop {
            if !self.flush_bytes(socket)? {
                return Ok(false);
            }
            let Some((stretch, behind)) = self.files.front_mut() else { return Ok(true) };
            if self.pause == Pause::Fetching {
                return Ok(false);
            }
            let turn = match security {
                Security::Session(session) => tls_flow::send_stretch(session, socket, &mut self.bytes, stretch)?,
                _ => stretch.send_to(socket)?,
            };
            self.pause = match turn {
                Turn::Done => {
                    match security {
                        // What stands behind a file is encrypted when the file is: records have an order.
                        Security::Session(session) => tls_flow::seal(session, behind, &mut self.bytes)?,
                        _ => self.bytes = std::mem::take(behind),
                    }
                    self.files.pop_front();
                    continue;
                }
                Turn::Over => Pause::TurnOver,
                Turn::Full => Pause::None,
                Turn::Cold => Pause::Cold,
            };
            return Ok(false);
        }
    }

    /// Writes what the socket takes of the bytes in front of the first file. True when none is left.
    fn flush_bytes(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        while self.written < self.bytes.len() {
            let sent = send_pieces(socket, &[&self.bytes[self.written..]], !self.files.is_empty())?;
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
        Ok(self.bytes.is_empty())
    }

    /// Bytes that wait in memory.
    fn memory_bytes(&self) -> u64 {
        let behind: usize = self.files.iter().map(|(_, behind)| behind.len()).sum();
        (self.bytes.len() - self.written + behind) as u64
    }
}

/// Sends as much as the socket takes now; 0 when it takes nothing.
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
