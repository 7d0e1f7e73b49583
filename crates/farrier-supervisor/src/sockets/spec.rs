//! Where and how to listen, as in the configuration.

use std::fmt;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::time::Duration;

/// Where to listen, as in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenSpec {
    /// A host name or address literal, and a port; 0 lets the kernel choose one.
    ///
    /// A name is bound at every address it resolves to. An empty host means `0.0.0.0`. `::` takes IPv4 too
    /// (dual-stack), unless the same port is also asked for at an IPv4 address.
    Tcp {
        /// Without brackets, even if it is an IPv6 literal.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket in the file system. A stale socket is replaced; a live one, and any other file, is not.
    Unix {
        /// Where.
        path: PathBuf,
        /// Permission bits; `None` leaves them to the umask.
        mode: Option<u32>,
        /// User of the file.
        uid: Option<u32>,
        /// Group of the file.
        gid: Option<u32>,
    },
    /// A socket of Linux's abstract namespace, by its name without the leading NUL.
    Abstract(Vec<u8>),
    /// A descriptor that this process was started with: a listening stream socket.
    Fd(RawFd),
}

/// How to bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindOptions {
    /// How many connections may wait to be accepted.
    pub backlog: u32,
    /// Whether other processes may listen at the same TCP address (`SO_REUSEPORT`).
    pub reuse_port: bool,
    /// Whether the listeners speak TLS; only their display depends on it.
    pub tls: bool,
    /// How many times an address in use is tried; at least once.
    pub tries: u32,
    /// How long to wait between two tries.
    pub pause: Duration,
}

impl Default for BindOptions {
    fn default() -> BindOptions {
        BindOptions { backlog: 2048, reuse_port: false, tls: false, tries: 5, pause: Duration::from_secs(1) }
    }
}

impl fmt::Display for ListenSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenSpec::Tcp { host, port } => write!(f, "('{host}', {port})"),
            ListenSpec::Unix { path, .. } => write!(f, "{}", path.display()),
            ListenSpec::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            ListenSpec::Fd(fd) => write!(f, "fd://{fd}"),
        }
    }
}
