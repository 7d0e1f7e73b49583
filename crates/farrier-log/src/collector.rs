//! The socket to a collector of logs or metrics (syslog, statsd). It connects at first use, reconnects after a failure,
//! and never blocks for long.

use std::io::{self, ErrorKind, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::outbox::Sink;

/// How long to wait before a lost collector is tried again.
const RETRY: Duration = Duration::from_secs(1);

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
    lost_at: Option<Instant>,
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
        Collector { address, frame, socket: None, lost_at: None, scratch: Vec::new() }
    }

    fn send(&mut self, message: &[u8]) {
        if self.socket.is_none() {
            if self.lost_at.is_some_and(|at| at.elapsed() < RETRY) {
                return;
            }
            match connect(&self.address) {
                Ok(socket) => self.socket = Some(socket),
                Err(_) => {
                    self.lost_at = Some(Instant::now());
                    return;
                }
            }
        }
        let Some(socket) = &mut self.socket else { return };
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
            // The connection is lost. A stream that has taken half a message cannot continue either.
            Err(_) => {
                self.socket = None;
                self.lost_at = Some(Instant::now());
            }
        }
    }
}

impl Sink for Collector {
    fn take(&mut self, bytes: &[u8], ends: &[usize]) {
        let mut start = 0;
        for &end in ends {
            self.send(&bytes[start..end]);
            start = end;
        }
    }
}

fn write_framed(stream: &mut impl Write, frame: Frame, message: &[u8], scratch: &mut Vec<u8>) -> io::Result<()> {
    scratch.clear();
    frame(message, scratch);
    stream.write_all(scratch)
}

fn connect(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Udp(host, port) => {
            let to = resolve(host, *port)?;
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
            let stream = TcpStream::connect_timeout(&resolve(host, *port)?, PATIENCE)?;
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
            let stream = UnixStream::connect_addr(&unix_addr(path)?)?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Socket::UnixStream(stream))
        }
        Address::Unix(path) => {
            connect(&Address::UnixDatagram(path.clone())).or_else(|_| connect(&Address::UnixStream(path.clone())))
        }
    }
}

/// A path, or `@NAME` for Linux's abstract namespace.
fn unix_addr(path: &Path) -> io::Result<UnixAddr> {
    match path.to_str().and_then(|path| path.strip_prefix('@')) {
        Some(name) => UnixAddr::from_abstract_name(name),
        None => UnixAddr::from_pathname(path),
    }
}

fn resolve(host: &str, port: u16) -> io::Result<SocketAddr> {
    (host, port).to_socket_addrs()?.next().ok_or_else(|| io::Error::from(ErrorKind::NotFound))
}
