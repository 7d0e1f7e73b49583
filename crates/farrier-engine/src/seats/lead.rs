//! What belongs to the leader: the connections, their deadlines, the listeners, and the events not handled yet.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use farrier_http::{ListenerId, Origin, Peer, Scheme};
use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};

use super::reserve::Reserve;
use super::returns::Waiting;
use crate::control::Control;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::connection_limit::{self, TooMany};
use farrier_protocol::h2::arrival::Arrival;
use farrier_protocol::rules::Rules;
use farrier_scheduler::AcceptGate;
use farrier_transport::link::{Link, Permit};
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::ready::ReadyQueue;
use farrier_transport::reactor::slots::Slots;
use farrier_transport::reactor::timers::{NEVER_MS, Timers};
use farrier_transport::reactor::token::Token;
use farrier_transport::upstream::UpstreamPool;

/// Connections taken from one listener before other connections get their turn.
const ACCEPTS_A_TURN: usize = 64;

/// Turns that take one connection, after a turn in which no second connection waited.
const SINGLE_ACCEPTS: u32 = 8;

/// How long accepting pauses when the process is out of descriptors, in ms.
const OUT_OF_DESCRIPTORS_PAUSE_MS: u64 = 100;

/// The lead: one owner at a time, handed from seat to seat.
pub(crate) struct Lead {
    pub(crate) slots: Slots<Connection>,
    pub(crate) timers: Timers,
    pub(crate) ready: ReadyQueue,
    /// Requests whose disk reads are done: they can be answered now.
    pub(crate) fetched: Vec<Waiting>,
    pub(crate) listeners: Vec<OwnedFd>,
    /// Whether connections may be accepted.
    pub(crate) gate: AcceptGate,
    /// The poller watches the listeners.
    pub(crate) is_watching: bool,
    pub(crate) control: Option<Box<dyn Control>>,
    pub(crate) now_ms: u64,
    pub(crate) draining_since_ms: Option<u64>,
    /// The engine ends at once.
    pub(crate) quits: bool,
    /// Turns that will take one connection only.
    pub(crate) single_accepts: u32,
    /// Requests of HTTP/2 connections that are to be served.
    pub(crate) arrivals: VecDeque<Arrival>,
    /// Buffer for the connections whose wakers were called.
    pub(crate) woken: Vec<Token>,
    /// Connections to other servers.
    pub(crate) upstreams: UpstreamPool,
    /// For clients that connect when all other descriptors are in use.
    pub(crate) reserve: Reserve,
}

/// The result of accepting at a listener.
pub(crate) enum Accepted {
    /// A connection within the cap.
    Connection(Box<Connection>),
    /// A connection above the cap: it is answered with 503.
    OverCap(Box<Connection>),
    /// Its client has reached its limit; the connection is closed already.
    Dismissed,
    /// No connection waits.
    Nobody,
    /// The process or the system is out of descriptors or memory.
    OutOfDescriptors(io::Error),
    /// The application has closed the listener.
    NoListener(io::Error),
}

impl Lead {
    /// Takes one connection from a listener. Its slot is busy, and the poller does not know it yet.
    pub(crate) fn accept(&mut self, index: usize, rules: &Rules) -> Accepted {
        let over_cap = self.slots.open() >= rules.connections_max;
        self.gate.set_connections(self.slots.open(), rules.connections_max);
        if self.gate.is_over_cap() {
            return Accepted::Nobody;
        }
        let Some(listener) = self.listeners.get(index) else { return Accepted::Nobody };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (socket, address) = loop {
            match acceptfrom_with(listener, flags) {
                Ok(accepted) => break accepted,
                Err(rustix::io::Errno::AGAIN) => return Accepted::Nobody,
                // The client left while its connection waited.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED | rustix::io::Errno::PROTO) => continue,
                Err(
                    error @ (rustix::io::Errno::MFILE
                    | rustix::io::Errno::NFILE
                    | rustix::io::Errno::NOBUFS
                    | rustix::io::Errno::NOMEM),
                ) => return Accepted::OutOfDescriptors(error.into()),
                Err(error) if is_no_listener(error) => return Accepted::NoListener(error.into()),
                Err(_) => return Accepted::Nobody,
            }
        };
        let peer = address.and_then(peer_of).unwrap_or(Peer::Unix);
        let terms = rules.terms_of(index, self.now_ms);
        let (scheme, patience_ms) = match terms {
            None => (Scheme::Http, rules.keepalive_ms.max(rules.header_timeout_ms)),
            Some(_) => (Scheme::Https, rules.handshake_timeout_ms),
        };
        let permit = match rules.count_connection(index, peer) {
            Ok(counted) => counted.map(|counted| Box::new(counted) as Permit),
            Err(TooMany) => {
                if terms.is_none() {
                    rules.tell_too_many(&socket);
                }
                return Accepted::Dismissed;
            }
        };
        let link = Arc::new(Link::new(socket, terms, permit, Arc::clone(&rules.responses)));
        let opening = rules.admission.opening(index, peer, scheme == Scheme::Https);
        if opening.proxy_header.is_some() {
            link.put_tls_off();
        }
        let token = self.slots.reserve(Arc::clone(&link));
        let origin = Origin { peer, listener: ListenerId(index as u16), scheme };
        let connection = Box::new(Connection {
            token,
            link,
            origin,
            opening,
            phase: Phase::Idle,
            deadline_ms: self.now_ms + patience_ms,
            requests: 0,
            // Most clients send first and at once.
            readable: true,
            ended: false,
            hung_up: false,
            stream: None,
            upload: None,
        });
        if over_cap { Accepted::OverCap(connection) } else { Accepted::Connection(connection) }
    }

    /// Connections that one turn may take: if they lately came one at a time, a second try would find none.
    pub(crate) fn accepts_a_turn(&self) -> usize {
        if self.single_accepts > 0 { 1 } else { ACCEPTS_A_TURN }
    }

    /// Remembers how many connections came in a turn that tried for more than one.
    pub(crate) fn accepted(&mut self, count: usize) {
        self.single_accepts = match self.single_accepts {
            0 if count <= 1 => SINGLE_ACCEPTS,
            turns => turns.saturating_sub(1),
        };
    }

    /// Watches the listeners, or stops watching them, as the gate decides.
    pub(crate) fn apply_gate(&mut self, poller: &Poller) {
        let is_open = self.gate.is_open();
        if is_open == self.is_watching {
            return;
        }
        self.is_watching = is_open;
        for (index, listener) in self.listeners.iter().enumerate() {
            // An error can only mean that this is the state already.
            let _ = match is_open {
                true => poller.watch_listener(listener.as_fd(), Token::listener(index)),
                false => poller.forget(listener.as_fd()),
            };
        }
    }

    /// Stops accepting for a moment: the process is out of file descriptors. Clients that wait for too long already are
    /// refused. Returns their number if the log is to be told.
    pub(crate) fn pause_accepting(&mut self, index: usize, rules: &Rules) -> Option<u64> {
        if let Some(listener) = self.listeners.get(index) {
            let is_plain = rules.terms_of(index, self.now_ms).is_none() && rules.admission.speaks_http(index);
            self.reserve.used_up(listener, |socket| {
                if is_plain {
                    connection_limit::tell_without_waiting(socket, &rules.out_of_descriptors());
                }
            });
        }
        self.gate.pause(self.now_ms + OUT_OF_DESCRIPTORS_PAUSE_MS);
        self.reserve.line(self.now_ms)
    }

    /// Lets the connection wait, and makes sure that it is checked no later than its deadline.
    ///
    /// # Errors
    /// The poller cannot watch it; it is closed.
    pub(crate) fn park(&mut self, connection: Box<Connection>, poller: &Poller) -> io::Result<()> {
        if let Err(error) = connection.link.watch(poller, connection.token) {
            self.release(connection.token);
            return Err(error);
        }
        if let Some(looked_at_ms) = self.slots.looked_at_ms(connection.token) {
            self.timers.look_at(connection.token, connection.deadline_ms, looked_at_ms);
        }
        self.slots.park(connection);
        Ok(())
    }

    /// Removes a connection and its deadline.
    pub(crate) fn release(&mut self, token: Token) {
        if let Some(looked_at_ms) = self.slots.looked_at_ms(token) {
            self.timers.forget(token, looked_at_ms);
        }
        self.slots.release(token);
    }

    /// The next connection whose deadline may have come.
    pub(crate) fn pop_due(&mut self) -> Option<Token> {
        let token = self.timers.pop_due(self.now_ms)?;
        if let Some(looked_at_ms) = self.slots.looked_at_ms(token) {
            *looked_at_ms = NEVER_MS;
        }
        Some(token)
    }
}

fn peer_of(address: SocketAddrAny) -> Option<Peer> {
    std::net::SocketAddr::try_from(address).ok().map(Peer::Tcp)
}

/// Whether an error of accept(2) means that its descriptor no longer is a listener: it is closed, or its number names
/// another file.
fn is_no_listener(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::BADF | Errno::NOTSOCK | Errno::INVAL | Errno::OPNOTSUPP)
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn an_error_that_says_that_there_is_no_listener_is_not_one_of_a_client() {
        let file = std::fs::File::open("/dev/null").expect("opened");
        let error = acceptfrom_with(file.as_fd(), SocketFlags::CLOEXEC).expect_err("no socket");
        assert!(is_no_listener(error));
        assert!(is_no_listener(Errno::BADF));
        for error in [Errno::AGAIN, Errno::CONNABORTED, Errno::MFILE, Errno::PERM] {
            assert!(!is_no_listener(error), "{error}");
        }
    }
}
