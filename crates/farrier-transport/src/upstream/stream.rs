//! One connection to a server. Its owner reads and writes it; the poller tells through its signal what is worth trying.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use farrier_http::upstream::{ServerAddress, Target, UpstreamStream};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, Shutdown, SocketAddrUnix, SocketFlags, SocketType, ipproto, sockopt};

use super::registry::{Registry, Signal};
use super::secured::Secured;
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
    /// TLS, if it is used.
    secured: Option<Box<Secured>>,
    /// No exchange uses it: it can be ended in an orderly way.
    is_idle: bool,
    /// The poller tells of room to write.
    is_watched_for_room: bool,
    requests: u64,
    born_ms: u64,
    pub(super) idle_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connecting,
    /// The TLS handshake is being made.
    Securing,
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
        let secured = target.security.as_deref().map(Secured::new).transpose()?.map(Box::new);
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
            Ok(()) if secured.is_some() => Stage::Securing,
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
            secured,
            is_idle: false,
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
        self.is_idle = owner.is_none();
        self.requests += u64::from(owner.is_some());
    }

    /// Whether it can carry another request: an idle connection on which something happened cannot.
    pub(super) fn is_quiet(&mut self) -> bool {
        if let Some(secured) = &mut self.secured
            && !self.signal.is_quiet()
            && self.signal.may_be_tickets()
        {
            // The server may have sent tickets: they say nothing of the connection.
            let is_quiet = secured.absorb(&self.socket);
            self.signal.emptied();
            return is_quiet;
        }
        self.signal.is_quiet() && self.secured.as_ref().is_none_or(|secured| secured.is_at_rest())
    }

    /// Goes on with the handshake.
    fn shake(&mut self) -> io::Result<bool> {
        let Some(secured) = &mut self.secured else { return Ok(true) };
        let is_done = secured.shake(&self.socket)?;
        if !is_done {
            self.signal.emptied();
        }
        self.watch_for_unsent()?;
        Ok(is_done)
    }

    fn watch_for_unsent(&mut self) -> io::Result<()> {
        match &self.secured {
            Some(secured) if secured.has_unsent() => self.watch_for_room(),
            _ => Ok(()),
        }
    }

    /// The socket is full: an event follows when it has room.
    fn watch_for_room(&mut self) -> io::Result<()> {
        self.signal.filled();
        if !self.is_watched_for_room {
            self.is_watched_for_room = true;
            self.poller.watch_writable(self.socket.as_fd(), self.token)?;
        }
        Ok(())
    }
}

impl UpstreamStream for Stream {
    fn is_ready(&mut self) -> io::Result<bool> {
        if self.stage == Stage::Connecting {
            if !self.signal.is_writable() {
                return Ok(false);
            }
            sockopt::socket_error(&self.socket)??;
            self.stage = if self.secured.is_some() { Stage::Securing } else { Stage::Open };
        }
        if self.stage == Stage::Securing {
            if !self.shake()? {
                return Ok(false);
            }
            self.stage = Stage::Open;
        }
        Ok(true)
    }

    fn send(&mut self, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
        let total: usize = pieces.iter().map(|piece| piece.len()).sum();
        if let Some(secured) = &mut self.secured {
            let sent = secured.send(&self.socket, pieces, more)?;
            self.watch_for_unsent()?;
            return Ok(sent);
        }
        let sent = send_pieces(&self.socket, pieces, more)?;
        if sent < total {
            self.watch_for_room()?;
        }
        Ok(sent)
    }

    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if let Some(secured) = &mut self.secured {
            // What the socket did not take is sent when it has room, which an event tells.
            secured.flush(&self.socket)?;
            let received = match self.signal.is_readable() || secured.has_news() {
                true => secured.receive(&self.socket, into)?,
                false => None,
            };
            if received.is_none_or(|count| count > 0 && count < into.len()) {
                self.signal.emptied();
            }
            self.watch_for_unsent()?;
            return Ok(received);
        }
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
        if let Some(secured) = &mut self.secured {
            secured.end_sending(&self.socket);
            let _ = self.watch_for_unsent();
            return;
        }
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
        // A request that is cut off must not look complete: then there is no close_notify.
        if let Some(secured) = self.secured.as_mut().filter(|_| self.is_idle) {
            secured.end_sending(&self.socket);
        }
        self.registry.remove(self.token);
    }
}
