//! One connection to a server. Its owner reads and writes it; the poller tells through its signal what is worth trying.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use farrier_http::upstream::{ServerAddress, Target, UpstreamStream};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt};

use super::registry::{Registry, Signal};
use crate::reactor::poller::Poller;
use crate::reactor::token::Token;
use crate::send_pieces;

/// A connection to a server.
pub(super) struct Stream {
    socket: OwnedFd,
    token: Token,
    signal: Arc<Signal>,
    registry: Arc<Registry>,
    poller: Arc<Poller>,
    stage: Stage,
    /// The poller tells of room to write.
    is_watched_for_room: bool,
    requests: u64,
    born_ms: u64,
    pub(super) idle_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    Open,
}

impl Stream {
    /// Begins a connection.
    pub(super) fn connect(
        target: &Target,
        poller: &Arc<Poller>,
        registry: &Arc<Registry>,
        now_ms: u64,
    ) -> io::Result<Stream> {
        let family = match &target.address {
            ServerAddress::Tcp(address) if address.is_ipv4() => AddressFamily::INET,
            ServerAddress::Tcp(_) => AddressFamily::INET6,
            ServerAddress::Unix(_) => AddressFamily::UNIX,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = (family != AddressFamily::UNIX).then_some(ipproto::TCP);
        let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, protocol)?;
        let connected = match &target.address {
            ServerAddress::Tcp(address) => {
                sockopt::set_tcp_nodelay(&socket, true)?;
                if let Some(source) = target.source {
                    rustix::net::bind(&socket, &source)?;
                }
                rustix::net::connect(&socket, address)
            }
            ServerAddress::Unix(path) => rustix::net::connect(&socket, &SocketAddrUnix::new(path)?),
        };
        let stage = match connected {
            Ok(()) => Stage::Open,
            Err(Errno::INPROGRESS) => Stage::Connecting,
            Err(error) => return Err(error.into()),
        };
        let signal = Arc::new(Signal::new());
        let token = registry.add(Arc::clone(&signal));
        let stream = Stream {
            socket,
            token,
            signal,
            registry: Arc::clone(registry),
            poller: Arc::clone(poller),
            stage,
            is_watched_for_room: stage == Stage::Connecting,
            requests: 0,
            born_ms: now_ms,
            idle_ms: 0,
        };
        poller.watch_upstream(stream.socket.as_fd(), token, stream.is_watched_for_room)?;
        Ok(stream)
    }

    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.signal
    }

    /// Gives it to an exchange, or to nobody.
    pub(super) fn own(&mut self, owner: Option<Token>) {
        self.signal.own(owner);
        self.requests += u64::from(owner.is_some());
    }

    /// Whether it can carry another request: an idle connection on which something happened cannot.
    pub(super) fn is_quiet(&self) -> bool {
        self.signal.is_quiet()
    }
}

impl UpstreamStream for Stream {
    fn is_ready(&mut self) -> io::Result<bool> {
        if self.stage == Stage::Connecting {
            if !self.signal.is_writable() {
                return Ok(false);
            }
            sockopt::socket_error(&self.socket)??;
            self.stage = Stage::Open;
        }
        Ok(true)
    }

    fn send(&mut self, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        let sent = send_pieces(&self.socket, pieces, more)?;
        if sent < total {
            self.signal.filled();
            if !self.is_watched_for_room {
                self.is_watched_for_room = true;
                self.poller.watch_writable(self.socket.as_fd(), self.token)?;
            }
        }
        Ok(sent)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if !self.signal.is_readable() {
            return Ok(None);
        }
        loop {
            return match rustix::net::recv(&self.socket, &mut *into, RecvFlags::empty()) {
                Ok((_, count)) => {
                    if count > 0 && count < into.len() {
                        self.signal.emptied();
                    }
                    Ok(Some(count))
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => {
                    self.signal.emptied();
                    Ok(None)
                }
                Err(error) => Err(error.into()),
            };
        }
    }

    fn end_sending(&mut self) {
        // An error can only mean that the connection is gone.
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
    }

    fn is_reused(&self) -> bool {
        self.requests > 1
    }

    fn idle_ms(&self) -> u64 {
        self.idle_ms
    }

    fn requests(&self) -> u64 {
        self.requests
    }

    fn born_ms(&self) -> u64 {
        self.born_ms
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any + Send> {
        self
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.registry.remove(self.token);
    }
}
