//! Listeners: bound once by the arbiter, or inherited, and shared by all workers across reloads.
//!
//! All are non-blocking and close-on-exec. An address in use is tried again a few times, because a predecessor may be
//! about to stop. Every error names the address and what to do.

mod activation;
mod error;
mod holder;
mod inheritance;
mod spec;
mod tcp;
mod unix;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::Duration;

use socket2::{SockAddr, Socket, Type};

use crate::arbiter::Level;
use crate::process::inherited;
use error::{failed, unfit};

pub use activation::Activation;
pub use error::{BindCause, BindError};
pub use holder::Holder;
pub use inheritance::inherit;
pub use spec::{BindOptions, ListenSpec};
pub use unix::SocketFile;

/// A bound socket that listens. Dropping it closes this process's copy; a file is only removed by
/// [`Listener::unlink`], so that a worker cannot take it from the others.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    local: LocalAddress,
    display: String,
    spec: ListenSpec,
    file: Option<SocketFile>,
}

impl Listener {
    /// The descriptor as a number, for polling.
    pub fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// The address that it is bound to; the port is the real one.
    pub fn local(&self) -> &LocalAddress {
        &self.local
    }

    /// Its form in the log: `http://127.0.0.1:8000`, `unix:/run/x.sock`.
    pub fn display(&self) -> &str {
        &self.display
    }

    /// Adds the protocol to the display, if it is not HTTP: `uwsgi://127.0.0.1:3031`, `uwsgi+unix:/run/x.sock`.
    pub fn name_protocol(&mut self, protocol: Option<&str>) {
        self.display = match (protocol, &self.local) {
            (None, local) => local.display(false),
            (Some(protocol), LocalAddress::Inet(address)) => format!("{protocol}://{address}"),
            (Some(protocol), local) => format!("{protocol}+{}", local.display(false)),
        };
    }

    /// The specification that it was bound for.
    pub fn spec(&self) -> &ListenSpec {
        &self.spec
    }

    /// A second descriptor of the same socket, for a new generation that listens at the same address.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn share(&self) -> io::Result<Listener> {
        Ok(Listener {
            fd: self.fd.try_clone()?,
            local: self.local.clone(),
            display: self.display.clone(),
            spec: self.spec.clone(),
            file: self.file.clone(),
        })
    }

    /// The socket alone, for a worker: it closes it when it stops accepting, and leaves the file to the arbiter.
    pub fn into_socket(self) -> OwnedFd {
        self.fd
    }

    /// Closes the socket and keeps its file, which is removed later.
    pub fn close(self) -> Option<SocketFile> {
        self.file
    }

    /// Removes the file of a Unix socket, if this process made it and it is still the same one.
    pub fn unlink(&self) {
        if let Some(file) = &self.file {
            file.unlink();
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The address that a listener is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LocalAddress {
    /// TCP.
    Inet(SocketAddr),
    /// A path in the file system.
    Unix(PathBuf),
    /// A name in the abstract namespace.
    Abstract(Vec<u8>),
}

/// Binds all of `specs`, or none.
///
/// # Errors
///
/// The first listener that could not be bound; those before it are closed and their files removed.
pub fn bind_all(
    specs: &[ListenSpec],
    options: &BindOptions,
    log: &mut dyn FnMut(Level, &str),
) -> Result<Vec<Listener>, BindError> {
    rebind_all(&[], specs, options, log)
}

/// Waits this long for an address in use, and returns whether to try again.
pub type Patience<'p> = &'p mut dyn FnMut(Duration) -> bool;

/// Like [`bind_all`], but reuses the sockets of `old`, so that a reload never closes an address that it keeps.
///
/// # Errors
///
/// As [`bind_all`]; `old` is untouched.
pub fn rebind_all(
    old: &[Listener],
    specs: &[ListenSpec],
    options: &BindOptions,
    log: &mut dyn FnMut(Level, &str),
) -> Result<Vec<Listener>, BindError> {
    rebind_all_patiently(old, specs, options, log, &mut |pause| {
        std::thread::sleep(pause);
        true
    })
}

/// Like [`rebind_all`], but the caller waits between two tries, so that a signal can end it.
///
/// # Errors
///
/// As [`rebind_all`], and [`BindCause::Stopped`] when `patience` has ended.
pub fn rebind_all_patiently(
    old: &[Listener],
    specs: &[ListenSpec],
    options: &BindOptions,
    log: &mut dyn FnMut(Level, &str),
    patience: Patience<'_>,
) -> Result<Vec<Listener>, BindError> {
    let mut bound: Vec<Listener> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let outcome = match shared(old, specs, index) {
            Ok(kept) if kept.is_empty() => bind_patiently(spec, specs, options, log, patience),
            outcome => outcome,
        };
        match outcome {
            Ok(listeners) => bound.extend(listeners),
            Err(error) => {
                unlink_dropped(&bound, old);
                return Err(error);
            }
        }
    }
    Ok(bound)
}

/// The listeners of `old` for one of the specifications. A name may have several addresses, and port 0 may be given
/// several times: each time its own listeners are reused, in their order.
fn shared(old: &[Listener], specs: &[ListenSpec], index: usize) -> Result<Vec<Listener>, BindError> {
    let spec = &specs[index];
    let is_same = |other: &&ListenSpec| *other == spec;
    let (before, times) = (specs[..index].iter().filter(is_same).count(), specs.iter().filter(is_same).count());
    let kept: Vec<&Listener> = old.iter().filter(|listener| listener.spec == *spec).collect();
    let each = kept.len().div_ceil(times);
    let kept = kept.into_iter().skip(before * each).take(each).map(Listener::share);
    kept.collect::<io::Result<_>>().map_err(|error| failed(spec, error))
}

/// Removes the files of the listeners in `old` that are not in `new`.
pub fn unlink_dropped(old: &[Listener], new: &[Listener]) {
    let is_kept = |dropped: &Listener| new.iter().any(|kept| kept.file.is_some() && kept.file == dropped.file);
    old.iter().filter(|listener| !is_kept(listener)).for_each(Listener::unlink);
}

fn bind_patiently(
    spec: &ListenSpec,
    all: &[ListenSpec],
    options: &BindOptions,
    log: &mut dyn FnMut(Level, &str),
    patience: Patience<'_>,
) -> Result<Vec<Listener>, BindError> {
    let tries = options.tries.max(1);
    let mut tried = 1;
    loop {
        match bind(spec, all, options) {
            Err(BindError { cause: BindCause::InUse(holder), address }) if tried < tries => {
                if tried == 1 {
                    let holder = holder.map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
                    let (pause, more) = (options.pause.as_secs_f32(), tries - 1);
                    let line = format!(
                        "Connection in use: {address}; {holder} listens there. Retrying in {pause} second, {more} times at most."
                    );
                    log(Level::Error, &line);
                }
                if !patience(options.pause) {
                    return Err(BindError { cause: BindCause::Stopped, address });
                }
                tried += 1;
            }
            outcome => return outcome,
        }
    }
}

fn bind(spec: &ListenSpec, all: &[ListenSpec], options: &BindOptions) -> Result<Vec<Listener>, BindError> {
    match spec {
        ListenSpec::Tcp { host, port } => tcp::bind(spec, host, *port, tcp::port_has_ipv4(all, *port), options),
        ListenSpec::Unix { path, mode, uid, gid } => {
            unix::bind(spec, path, *mode, (*uid, *gid), options).map(|listener| vec![listener])
        }
        ListenSpec::Abstract(name) => unix::bind_abstract(spec, name, options).map(|listener| vec![listener]),
        ListenSpec::Fd(fd) => adopt(spec, *fd, options).map(|listener| vec![listener]),
    }
}

/// Takes over a socket that another process has bound.
fn adopt(spec: &ListenSpec, fd: RawFd, options: &BindOptions) -> Result<Listener, BindError> {
    let socket = Socket::from(inherited(fd).map_err(|error| failed(spec, error))?);
    let is_stream = socket.r#type().map_err(|error| failed(spec, error))? == Type::STREAM;
    if !is_stream || !socket.is_listener().map_err(|error| failed(spec, error))? {
        return Err(unfit(spec, "it is not a listening stream socket"));
    }
    let address = socket.local_addr().map_err(|error| failed(spec, error))?;
    finish(spec, socket, &address, None, options)
}

/// The last steps for all kinds of sockets.
fn finish(
    spec: &ListenSpec,
    socket: Socket,
    address: &SockAddr,
    file: Option<SocketFile>,
    options: &BindOptions,
) -> Result<Listener, BindError> {
    socket.set_nonblocking(true).map_err(|error| failed(spec, error))?;
    let local = LocalAddress::of(address).ok_or_else(|| unfit(spec, "it is neither a TCP nor a Unix socket"))?;
    let display = local.display(options.tls);
    Ok(Listener { fd: socket.into(), local, display, spec: spec.clone(), file })
}

impl LocalAddress {
    fn of(address: &SockAddr) -> Option<LocalAddress> {
        let inet = || address.as_socket().map(LocalAddress::Inet);
        let unix = || address.as_pathname().map(|path| LocalAddress::Unix(path.to_owned()));
        let name = || address.as_abstract_namespace().map(|name| LocalAddress::Abstract(name.to_owned()));
        inet().or_else(unix).or_else(name)
    }

    fn display(&self, tls: bool) -> String {
        match self {
            LocalAddress::Inet(address) => format!("{}://{address}", if tls { "https" } else { "http" }),
            LocalAddress::Unix(path) => format!("unix:{}", path.display()),
            LocalAddress::Abstract(name) => format!("unix:@{}", String::from_utf8_lossy(name)),
        }
    }
}
