//! TCP listeners: every address that a name has, IPv4 and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::{io, iter};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::error::{failed, unfit};
use super::{BindError, BindOptions, ListenSpec, Listener, finish};

/// Binds at every address of `host`. An address that this machine lacks is skipped if another can be bound: many
/// machines have no IPv6, but have `localhost` at `::1` in their hosts file.
pub(super) fn bind(
    spec: &ListenSpec,
    host: &str,
    port: u16,
    port_has_ipv4: bool,
    options: &BindOptions,
) -> Result<Vec<Listener>, BindError> {
    let mut addresses = addresses(host, port).map_err(|error| failed(spec, error))?;
    if port == 0 {
        // The kernel would choose a different port for each.
        addresses.truncate(1);
    }
    let mut bound = Vec::new();
    let mut lacking = None;
    for address in addresses {
        match listen(address, port_has_ipv4, options) {
            Ok(socket) => {
                let local = socket.local_addr().map_err(|error| failed(spec, error))?;
                bound.push(finish(spec, socket, &local, None, options)?);
            }
            Err(error) if is_lacking(&error) => lacking = Some(error),
            Err(error) => return Err(failed(spec, error)),
        }
    }
    match (bound.is_empty(), lacking) {
        (false, _) => Ok(bound),
        (true, Some(error)) => Err(failed(spec, error)),
        (true, None) => Err(unfit(spec, "the name has no address")),
    }
}

/// Whether an IPv4 address is configured with this port too; then `::` must be IPv6 only.
pub(super) fn port_has_ipv4(all: &[ListenSpec], port: u16) -> bool {
    all.iter().any(|spec| match spec {
        ListenSpec::Tcp { host, port: other } => {
            *other == port && addresses(host, port).is_ok_and(|found| found.iter().any(SocketAddr::is_ipv4))
        }
        _ => false,
    })
}

pub(super) fn addresses(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut found: Vec<SocketAddr> = match host {
        "" => iter::once((IpAddr::V4(Ipv4Addr::UNSPECIFIED), port).into()).collect(),
        host => (host, port).to_socket_addrs()?.collect(),
    };
    // A resolver may return an address once for each kind of socket.
    let mut seen = Vec::new();
    found.retain(|address| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    // IPv4 first: the first listener is the one that SERVER_NAME and the first line of the log come from.
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

fn listen(address: SocketAddr, port_has_ipv4: bool, options: &BindOptions) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Makes the port of a predecessor usable at once, although its last connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    if let IpAddr::V6(host) = address.ip() {
        socket.set_only_v6(host != Ipv6Addr::UNSPECIFIED || port_has_ipv4)?;
    }
    socket.bind(&SockAddr::from(address))?;
    socket.listen(i32::try_from(options.backlog).unwrap_or(i32::MAX))?;
    Ok(socket)
}

fn is_lacking(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}
