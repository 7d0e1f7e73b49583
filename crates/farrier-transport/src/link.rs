//! A connection's socket and its unsent data. The only module that sends bytes to clients.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use farrier_tls::server::{Negotiated, ServerSession};
use rustix::net::{RecvFlags, Shutdown};
use rustls::ServerConfig;

use crate::descriptors;
use crate::file_stretch::ColdStretch;
pub use crate::moved::{Received, Sent};
use crate::outbox::{Keep, Outbox, Outgoing, put};
use crate::pace::{PaceRules, TooSlow};
use crate::reactor::poller::Poller;
use crate::reactor::token::Token;
use crate::response_budget::ResponseBudget;
use crate::rest::FileSegment;
use crate::security::Security;
use crate::tls_flow;

/// The poller does not know the socket yet: many connections are answered and closed before they have to wait.
const UNWATCHED: u8 = 0;

/// The poller reports input.
const WATCHED: u8 = 1;

/// The poller reports input and room to write.
const WATCHED_WRITABLE: u8 = 2;

/// What an open connection holds: its part of its client's limit.
pub type Permit = Box<dyn std::any::Any + Send + Sync>;

/// A connected socket, shared by the seat that produces a response and the leader that writes the unsent part. With TLS
/// its session is between the outbox and the socket, under the outbox's lock: a seat may write while the leader
/// flushes.
pub struct Link {
    socket: OwnedFd,
    /// There is TLS on it.
    is_secured: AtomicBool,
    /// What TLS agreed on, once the handshake is done.
    negotiated: OnceLock<Negotiated>,
    /// The handshake is done, and nobody has asked since.
    just_secured: AtomicBool,
    /// The response is not what its handler meant: the connection must not end as if the response were complete.
    is_incomplete: AtomicBool,
    /// The client takes the end of the connection as the end of the response.
    ends_by_close: AtomicBool,
    /// The client is known to have left.
    gone: AtomicBool,
    /// The client has ended its direction.
    ended: AtomicBool,
    /// An event came while a seat owned the connection.
    pending: AtomicBool,
    /// What the poller reports: [`UNWATCHED`], [`WATCHED`] or [`WATCHED_WRITABLE`]. Changed by the owner of the
    /// connection.
    watched: AtomicU8,
    outbox: Mutex<Outbox>,
    /// Its part of its client's limit, as long as it is open.
    _counted: Option<Permit>,
}

/// The result of taking a connection from its seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenOver {
    /// The client has the answer that was given instead of the seat's.
    Answered,
    /// The response had begun, so the connection was cut.
    Cut,
    /// The client had left already.
    Gone,
}

impl Link {
    /// A connection without TLS, or with TLS on these terms.
    pub fn new(
        socket: OwnedFd,
        terms: Option<Arc<ServerConfig>>,
        counted: Option<Permit>,
        budget: Arc<ResponseBudget>,
    ) -> Link {
        descriptors::hold(&socket);
        Link {
            socket,
            is_secured: AtomicBool::new(terms.is_some()),
            negotiated: OnceLock::new(),
            just_secured: AtomicBool::new(false),
            is_incomplete: AtomicBool::new(false),
            ends_by_close: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            pending: AtomicBool::new(false),
            watched: AtomicU8::new(UNWATCHED),
            outbox: Mutex::new(Outbox::new(terms.map_or(Security::None, Security::Wanted), budget)),
            _counted: counted,
        }
    }

    /// Reads what is there: `Bytes` that do not fill `into` mean that the socket is empty. With TLS this also continues
    /// the handshake, and returns `Nothing` until the handshake is done.
    pub fn receive(&self, into: &mut [u8]) -> Received {
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
            let Ok(session) = ServerSession::new(Arc::clone(terms), Vec::new()) else { return Received::Broken };
            *security = Security::Session(Box::new(session));
        }
        let Security::Session(session) = security else { return Received::Broken };
        let received = tls_flow::receive(session, &self.socket, into, |bytes| put(&self.socket, rest, bytes));
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
                // RFC 8737 §3: the connection serves only for the handshake.
                return Received::End;
            }
        }
        received
    }

    /// Allows unencrypted bytes before TLS: [`Link::begin_tls`] follows.
    pub fn put_tls_off(&self) {
        let mut outbox = self.lock();
        if let Security::Wanted(terms) = std::mem::take(&mut outbox.security) {
            outbox.security = Security::Later(terms);
            self.is_secured.store(false, Ordering::Relaxed);
        }
    }

    /// Begins TLS that was postponed, with the bytes of it that have come already. False: it was not postponed.
    pub fn begin_tls(&self, early: &[u8]) -> bool {
        let mut outbox = self.lock();
        let Security::Later(terms) = &outbox.security else { return false };
        match ServerSession::new(Arc::clone(terms), early.to_vec()) {
            Ok(session) => outbox.security = Security::Session(Box::new(session)),
            Err(_) => outbox.broken = true,
        }
        self.is_secured.store(true, Ordering::Relaxed);
        true
    }

    /// What TLS agreed on, once the handshake is done; `None` for a connection without TLS.
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.get()
    }

    /// Whether the handshake was done since the last call.
    pub fn take_just_secured(&self) -> bool {
        self.just_secured.load(Ordering::Relaxed) && self.just_secured.swap(false, Ordering::Relaxed)
    }

    /// Why the TLS handshake failed, if it did; returned once.
    pub fn take_handshake_fault(&self) -> Option<String> {
        if !self.is_secured.load(Ordering::Relaxed) || self.negotiated.get().is_some() {
            return None;
        }
        match &mut self.lock().security {
            Security::Session(session) => session.take_fault().map(|error| error.to_string()),
            Security::None | Security::Later(_) | Security::Wanted(_) => None,
        }
    }

    /// Marks the response as broken off. The client can tell, because the connection ends without a close_notify.
    pub fn set_incomplete(&self) {
        self.is_incomplete.store(true, Ordering::Relaxed);
    }

    /// Marks that the end of the connection will end the current response. If the response breaks off, the connection
    /// ends with a reset, whichever thread closes it.
    pub fn set_ends_by_close(&self) {
        self.ends_by_close.store(true, Ordering::Relaxed);
    }

    /// Writes the pieces in one system call, or keeps what the socket does not take. `more`: further bytes follow at
    /// once.
    pub fn send(&self, pieces: &[&[u8]], more: bool) -> Sent {
        self.lock().send(&self.socket, pieces, more)
    }

    /// Writes content and the bytes around it in one system call, or keeps what the socket does not take. Returns how
    /// many bytes of the content were taken. If some were not, the bytes behind the content were not taken either.
    pub fn give(&self, outgoing: Outgoing<'_>, keep: Keep<'_>) -> (Sent, usize) {
        self.lock().give(&self.socket, outgoing, keep)
    }

    /// Writes an interim response. [`Link::take_over`] does not count it as the beginning of the response.
    pub fn send_interim(&self, bytes: &[u8]) -> Sent {
        let sent = self.send(&[bytes], false);
        // Unsent bytes would come before another answer's head; no client is that slow so early.
        if sent == Sent::All {
            self.begin_response();
        }
        sent
    }

    /// Writes an interim response unless the response itself has begun. True: it was written.
    pub fn send_unless_begun(&self, bytes: &[u8]) -> bool {
        let mut outbox = self.lock();
        if outbox.begun {
            return false;
        }
        let sent = outbox.send(&self.socket, &[bytes], false);
        outbox.begun = sent != Sent::All;
        sent == Sent::All
    }

    /// Marks that a response is about to be made, for [`Link::take_over`].
    pub fn begin_response(&self) {
        self.lock().begun = false;
    }

    /// Takes the connection from the seat that owns it: bytes that the seat sends from now on are dropped. If the seat
    /// has sent nothing yet, the client gets `answer`; otherwise the connection is cut. It is cut with a reset if the
    /// client could take the end of the connection as the end of the response.
    pub fn take_over(&self, answer: &[u8]) -> TakenOver {
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
        outbox.is_answered = taken == TakenOver::Answered;
        drop(outbox);
        self.set_gone();
        match taken {
            TakenOver::Answered => self.shutdown_write(),
            TakenOver::Gone => {}
            TakenOver::Cut => self.shutdown_both(),
        }
        taken
    }

    /// Appends a stretch of a plain file to the unsent data, and `end` behind it.
    pub fn send_file(&self, segment: FileSegment, end: &[u8]) -> Sent {
        self.lock().send_file(&self.socket, segment, end)
    }

    /// Gives the connection up: nothing more can be written.
    pub fn break_off(&self) {
        self.lock().give_up();
    }

    /// Writes more of the unsent data.
    pub fn flush(&self) -> Sent {
        self.lock().flush(&self.socket)
    }

    /// Whether the last flush ended so that other connections get their turn, although the socket had room: no event
    /// will tell.
    pub fn has_more_now(&self) -> bool {
        self.lock().rest.as_deref().is_some_and(|rest| rest.is_turn_over())
    }

    /// Takes what must be read from the disk before more can be sent, unless it is being read already.
    /// [`Link::fetched`] follows.
    pub fn take_cold(&self) -> Option<ColdStretch> {
        self.lock().rest.as_deref_mut()?.take_cold()
    }

    /// Says that the stretch from [`Link::take_cold`] is in memory.
    pub fn fetched(&self) {
        if let Some(rest) = self.lock().rest.as_deref_mut() {
            rest.fetched();
        }
    }

    /// Judges the pace of a client that data waits for: `Ok` is when to judge again, in ms from now. `None` if nothing
    /// waits, or while it waits for the disk.
    pub fn judge(&self, rules: PaceRules) -> Option<Result<u64, TooSlow>> {
        self.lock().rest.as_deref_mut()?.judge(rules)
    }

    /// Bytes that are kept for the client, in memory and in files.
    pub fn kept_bytes(&self) -> u64 {
        self.lock().rest.as_deref().map_or(0, |rest| rest.kept_bytes())
    }

    /// Makes the poller report input from now on. Input that came before is reported at once.
    ///
    /// # Errors
    /// Out of memory, or the user's limit of watches is reached.
    pub fn watch(&self, poller: &Poller, token: Token) -> io::Result<()> {
        if self.watched.load(Ordering::Relaxed) == UNWATCHED {
            poller.watch_connection(self.as_fd(), token)?;
            self.watched.store(WATCHED, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Makes the poller report room to write as well, from now on.
    pub fn watch_writable(&self, poller: &Poller, token: Token) {
        // If it fails, the write time-out ends the connection.
        if self.watched.load(Ordering::Relaxed) != WATCHED_WRITABLE && self.watch(poller, token).is_ok() {
            let _ = poller.watch_writable(self.as_fd(), token);
            self.watched.store(WATCHED_WRITABLE, Ordering::Relaxed);
        }
    }

    /// Records that the client has left.
    pub fn set_gone(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    /// Records that the client has ended its direction while a seat owned the connection.
    pub fn set_ended(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the client has ended its direction.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Whether the client is known to have left.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Records an event for a connection that a seat owns. Ordered by the state's lock.
    pub fn set_pending(&self) {
        self.pending.store(true, Ordering::Relaxed);
    }

    /// Whether an event came since the last call.
    pub fn take_pending(&self) -> bool {
        self.pending.load(Ordering::Relaxed) && self.pending.swap(false, Ordering::Relaxed)
    }

    /// Ends both directions, before the last owner drops the socket.
    pub fn shutdown_both(&self) {
        self.shutdown(Shutdown::Both);
    }

    /// Ends the writing direction: the client sees the end of the answer and may still send.
    pub fn shutdown_write(&self) {
        self.shutdown(Shutdown::Write);
    }

    fn shutdown(&self, directions: Shutdown) {
        if self.must_reset() {
            return self.reset();
        }
        self.send_close_notify();
        // It fails only when the connection is gone already.
        let _ = rustix::net::shutdown(&self.socket, directions);
    }

    /// Whether the client would take an orderly end of the connection as the end of a response that has broken off.
    pub fn must_reset(&self) -> bool {
        // RFC 8446 §6.1: with TLS, the missing close_notify tells the client.
        if !self.ends_by_close.load(Ordering::Relaxed) || self.is_secured.load(Ordering::Relaxed) {
            return false;
        }
        let outbox = self.lock();
        !outbox.is_answered && (outbox.broken || outbox.rest.is_some() || self.is_incomplete.load(Ordering::Relaxed))
    }

    /// Ends the connection with a reset. RFC 9112 §8: if a message ends with its connection, only a reset tells the
    /// client that it is incomplete. A unix socket has no reset: its end is like any other. A web server that must tell
    /// the difference needs a length.
    fn reset(&self) {
        self.lock().give_up();
        if rustix::net::connect_unspec(&self.socket).is_err() {
            let _ = rustix::net::sockopt::set_socket_linger(&self.socket, Some(Duration::ZERO));
        }
    }

    /// Ends TLS in an orderly way, if it is used and everything that was sent is complete.
    fn send_close_notify(&self) {
        if self.is_secured.load(Ordering::Relaxed) && !self.is_incomplete.load(Ordering::Relaxed) {
            self.lock().send_close_notify(&self.socket);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Outbox> {
        // A panic while sending leaves unsent bytes, but no broken invariants; the owner closes the connection.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.must_reset() {
            self.reset();
        } else {
            self.send_close_notify();
        }
        descriptors::release(&self.socket);
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
