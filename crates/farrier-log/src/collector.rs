//! The socket to a collector of logs or metrics (syslog, statsd). It connects at first use and reconnects after a failure.
//! On a thread of the log it waits for the collector, but not long. Without such a thread it never waits.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};

use super::outbox::Sink;

/// How long to wait before a lost collector is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The same where nothing may wait, for a host whose name cannot be resolved: each try may take seconds.
const RESOLVE_RETRY: Duration = Duration::from_secs(60);

/// Time-out of a stream, for connecting and for writing a message.
const PATIENCE: Duration = Duration::from_millis(500);

/// The longest datagram. A longer message is cut off.
const DATAGRAM_BYTES_MAX: usize = 32 * 1024;

/// Where the collector listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `udp://HOST:PORT`
    Udp(String, u16),
    /// `tcp://HOST:PORT`
    Tcp(String, u16),
    /// `unix://PATH#dgram`
    UnixDatagram(PathBuf),
    /// `unix://PATH#stream`
    UnixStream(PathBuf),
    /// `unix://PATH`: a datagram socket if PATH is one, else a stream.
    Unix(PathBuf),
}

/// How a stream separates messages. Datagrams need no separator.
type Frame = fn(&[u8], &mut Vec<u8>);

/// An outbox's sink that sends to a collector.
pub struct Collector {
    address: Address,
    frame: Frame,
    socket: Option<Socket>,
    /// The address of the host, once its name has been resolved where nothing may wait.
    resolved: Option<SocketAddr>,
    retry_at: Option<Instant>,
    scratch: Vec<u8>,
}

enum Socket {
    Udp(UdpSocket),
    UnixDatagram(UnixDatagram),
    Tcp(TcpStream),
    UnixStream(UnixStream),
}

impl Collector {
    /// A collector at this address. No socket is opened yet. `frame` appends a message to a stream's bytes.
    pub fn new(address: Address, frame: Frame) -> Collector {
        Collector { address, frame, socket: None, resolved: None, retry_at: None, scratch: Vec::new() }
    }

    /// Sends a message. Returns false if it can be sent later; only a stream that does not wait does so.
    fn send(&mut self, message: &[u8], waits: bool) -> bool {
        if self.socket.is_none() && !self.connect(waits) {
            return true;
        }
        let Some(socket) = &mut self.socket else { return true };
        let datagram = &message[..message.len().min(DATAGRAM_BYTES_MAX)];
        let sent = match socket {
            Socket::Udp(socket) => socket.send(datagram).map(drop),
            Socket::UnixDatagram(socket) => socket.send(datagram).map(drop),
            Socket::Tcp(stream) => write_framed(stream, self.frame, message, &mut self.scratch),
            Socket::UnixStream(stream) => write_framed(stream, self.frame, message, &mut self.scratch),
        };
        let is_stream = matches!(socket, Socket::Tcp(_) | Socket::UnixStream(_));
        match sent {
            Ok(()) => {}
            // The socket's buffer is full, or nothing listens on the port now: only this message is lost.
            Err(error) if !is_stream && error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if matches!(socket, Socket::Udp(_)) && error.kind() == ErrorKind::ConnectionRefused => {}
            // Nothing of it was taken: the buffer is full, or the connection is not there yet.
            Err(error) if !waits && error.kind() == ErrorKind::WouldBlock => return false,
            // The connection is lost. A stream that has taken half a message cannot continue either.
            Err(_) => {
                self.socket = None;
                self.retry_at = Some(Instant::now() + RETRY);
            }
        }
        true
    }

    /// Whether there is a socket now.
    fn connect(&mut self, waits: bool) -> bool {
        if self.retry_at.is_some_and(|at| Instant::now() < at) {
            return false;
        }
        if waits {
            self.resolved = None;
        }
        match connect(&self.address, waits, &mut self.resolved) {
            Ok(socket) => self.socket = Some(socket),
            Err(_) => {
                let is_unresolved =
                    matches!(self.address, Address::Udp(..) | Address::Tcp(..)) && self.resolved.is_none();
                let pause = if is_unresolved && !waits { RESOLVE_RETRY } else { RETRY };
                self.retry_at = Some(Instant::now() + pause);
            }
        }
        self.socket.is_some()
    }
}

impl Sink for Collector {
    fn take(&mut self, bytes: &[u8], ends: &[usize]) {
        let mut start = 0;
        for &end in ends {
            self.send(&bytes[start..end], true);
            start = end;
        }
    }

    fn offer(&mut self, bytes: &[u8], ends: &[usize]) -> usize {
        let mut start = 0;
        for &end in ends {
            if !self.send(&bytes[start..end], false) {
                break;
            }
            start = end;
        }
        start
    }
}

/// Writes a message. `WouldBlock` means that nothing of it was written.
fn write_framed(stream: &mut impl Write, frame: Frame, message: &[u8], scratch: &mut Vec<u8>) -> io::Result<()> {
    scratch.clear();
    frame(message, scratch);
    let count = stream.write(scratch)?;
    stream.write_all(&scratch[count..]).map_err(|_| ErrorKind::WriteZero.into())
}

fn connect(address: &Address, waits: bool, resolved: &mut Option<SocketAddr>) -> io::Result<Socket> {
    match address {
        Address::Udp(host, port) => {
            let to = resolve(host, *port, resolved)?;
            let from: SocketAddr = match to {
                SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(from)?;
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Ok(Socket::Udp(socket))
        }
        Address::Tcp(host, port) => {
            let to = resolve(host, *port, resolved)?;
            if !waits {
                return Ok(Socket::Tcp(begin_tcp(to)?));
            }
            let stream = TcpStream::connect_timeout(&to, PATIENCE)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::Tcp(stream))
        }
        Address::UnixDatagram(path) => {
            let socket = UnixDatagram::unbound()?;
            socket.connect_addr(&unix_addr(path)?)?;
            socket.set_nonblocking(true)?;
            Ok(Socket::UnixDatagram(socket))
        }
        Address::UnixStream(path) => {
            if !waits {
                return Ok(Socket::UnixStream(begin_unix(path)?));
            }
            let stream = UnixStream::connect_addr(&unix_addr(path)?)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::UnixStream(stream))
        }
        Address::Unix(path) => connect(&Address::UnixDatagram(path.clone()), waits, resolved)
            .or_else(|_| connect(&Address::UnixStream(path.clone()), waits, resolved)),
    }
}

/// Begins to connect; what is written before the connection is there would block.
fn begin_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket.into()),
        Err(error) => Err(error.into()),
    }
}

/// The same for a unix socket. Such a connection is there at once, or its listener's queue is full.
fn begin_unix(path: &Path) -> io::Result<UnixStream> {
    let to = match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => SocketAddrUnix::new_abstract_name(name.as_bytes())?,
        None => SocketAddrUnix::new(path)?,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket.into())
}

/// A path, or `@NAME` for Linux's abstract namespace.
fn unix_addr(path: &Path) -> io::Result<UnixAddr> {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => UnixAddr::from_pathname(path),
    }
}

fn resolve(host: &str, port: u16, resolved: &mut Option<SocketAddr>) -> io::Result<SocketAddr> {
    if resolved.is_none() {
        *resolved = (host, port).to_socket_addrs()?.next();
    }
    resolved.ok_or_else(|| io::Error::from(ErrorKind::NotFound))
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::outbox::Outbox;

    fn frame(message: &[u8], stream: &mut Vec<u8>) {
        stream.extend_from_slice(message);
        stream.push(b'\n');
    }

    #[test]
    fn a_stream_gets_its_messages_from_a_process_that_does_not_wait() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let address = Address::Tcp("127.0.0.1".to_owned(), port);
        let outbox = Outbox::direct(Box::new(Collector::new(address, frame)), 1 << 20);
        outbox.put(b"one");
        outbox.put(b"two");
        outbox.flush(Duration::from_secs(10));
        drop(outbox);
        let mut text = String::new();
        listener.accept().expect("accepted").0.read_to_string(&mut text).expect("read");
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_collector_that_reads_nothing_delays_nobody() {
        let name = format!("@farrier-collector-{}", std::process::id());
        let address = unix_addr(Path::new(&name)).expect("an address");
        let _listener = UnixListener::bind_addr(&address).expect("bound");
        let outbox = Outbox::direct(Box::new(Collector::new(Address::UnixStream(name.into()), frame)), 1 << 20);
        (0..3000).for_each(|_| outbox.put(&[b'x'; 1000]));
        assert!(outbox.is_waiting());
    }
}
