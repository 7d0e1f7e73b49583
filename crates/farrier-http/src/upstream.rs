//! Connections to other servers, as an exchange uses them. The engine owns the sockets' events and the pool; an exchange owns
//! the connection that it uses, and no method waits.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

/// Where connections go. All connections to one target can take each other's place.
#[derive(Clone)]
pub struct Target {
    /// Names it within the worker: idle connections are kept by this number.
    pub id: u64,
    /// Its address.
    pub address: ServerAddress,
    /// The local address to connect from.
    pub source: Option<SocketAddr>,
    /// The terms of TLS in the form that the transport knows; without TLS there are none.
    pub security: Option<Arc<dyn Any + Send + Sync>>,
    /// Idle connections that are kept; 0 is none.
    pub idle_max: usize,
}

/// A connection to a server. Dropped, it is closed.
///
/// An exchange that has one gets [`Event::Upstream`](crate::Event::Upstream) whenever something happens on it.
pub trait UpstreamStream: Send {
    /// Whether the connection is ready, the TLS handshake included; false while it is being made.
    ///
    /// # Errors
    /// It cannot be made: the error of connect(2), or [`io::ErrorKind::InvalidData`] for a failed TLS handshake.
    fn is_ready(&mut self) -> io::Result<bool>;

    /// Sends what is taken now and returns how many bytes that are; fewer than given mean that an event follows when there
    /// is room again. `more`: further bytes follow at once.
    ///
    /// # Errors
    /// The server has closed or reset the connection. It may have answered before: read on.
    fn send(&mut self, pieces: &[&[u8]], more: bool) -> io::Result<usize>;

    /// Reads what is there into `into`, which is not empty. `None`: nothing now, an event follows. `Some(0)`: the server sends
    /// no more.
    ///
    /// # Errors
    /// The connection is reset, or TLS on it is broken or ended without a close_notify.
    fn receive(&mut self, into: &mut [u8]) -> io::Result<Option<usize>>;

    /// Ends this side's direction.
    fn end_sending(&mut self);

    /// Whether it has carried a request before.
    fn is_reused(&self) -> bool;

    /// How long it was idle before this use, in ms.
    fn idle_ms(&self) -> u64;

    /// Requests that it has carried, the current one included.
    fn requests(&self) -> u64;

    /// When it was made, in ms of the engine's clock.
    fn born_ms(&self) -> u64;

    /// For the pool that made it.
    fn into_any(self: Box<Self>) -> Box<dyn Any + Send>;
}

/// The connections of a worker to other servers.
pub trait Upstreams {
    /// An idle connection to the target, the one that was used last.
    fn reuse(&mut self, target: &Target) -> Option<Box<dyn UpstreamStream>>;

    /// Begins a new connection.
    ///
    /// # Errors
    /// It was refused at once. [`io::ErrorKind::WouldBlock`]: a unix socket whose backlog is full, and no event follows.
    /// [`io::ErrorKind::QuotaExceeded`]: this server has no descriptor, port or memory left.
    fn connect(&mut self, target: &Target) -> io::Result<Box<dyn UpstreamStream>>;

    /// Keeps a connection that can carry another request, for at most `idle_ms`. With 0 it is closed, after a request that was
    /// sent whole.
    fn keep(&mut self, target: &Target, stream: Box<dyn UpstreamStream>, idle_ms: u64);
}

/// No connections: for tests, and where nothing is proxied.
pub struct NoUpstreams;

impl Upstreams for NoUpstreams {
    fn reuse(&mut self, _: &Target) -> Option<Box<dyn UpstreamStream>> {
        None
    }

    fn connect(&mut self, _: &Target) -> io::Result<Box<dyn UpstreamStream>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn keep(&mut self, _: &Target, _: Box<dyn UpstreamStream>, _: u64) {}
}
