//! Why a listener could not be bound, with a hint what to do.

use std::fmt;
use std::io;

use super::{Holder, ListenSpec};

/// A listener that could not be bound: which, why, and what to do.
#[derive(Debug)]
pub struct BindError {
    /// The address as in the configuration.
    pub address: String,
    /// The cause.
    pub cause: BindCause,
}

/// Why a listener could not be bound.
#[derive(Debug)]
pub enum BindCause {
    /// Another process listens there: this one, if it can be seen.
    InUse(Option<Holder>),
    /// Another process listens there, and the server was stopped while it waited.
    Stopped,
    /// Another error of the kernel.
    Io(io::Error),
    /// The address is not usable; the text says why.
    Unfit(&'static str),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = &self.address;
        match &self.cause {
            BindCause::InUse(None) => {
                write!(f, "Connection in use: {address}; stop the server that listens there or choose another address")
            }
            BindCause::InUse(Some(holder)) => {
                write!(f, "Connection in use: {address}; {holder} listens there: stop it or choose another address")
            }
            BindCause::Stopped => write!(f, "Stopped while waiting for {address}"),
            BindCause::Unfit(why) => write!(f, "Can't listen at {address}: {why}"),
            BindCause::Io(error) => {
                write!(f, "Can't listen at {address}: {error}")?;
                match error.kind() {
                    io::ErrorKind::PermissionDenied => {
                        f.write_str("; ports below 1024 and foreign directories need more rights")
                    }
                    io::ErrorKind::AddrNotAvailable => f.write_str("; this machine has no such address"),
                    io::ErrorKind::NotFound => f.write_str("; the directory must exist"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for BindError {}

/// What the kernel said of this address.
pub(super) fn failed(spec: &ListenSpec, error: io::Error) -> BindError {
    let cause = match error.kind() {
        io::ErrorKind::AddrInUse => return in_use(spec),
        _ => BindCause::Io(error),
    };
    BindError { address: spec.to_string(), cause }
}

/// Another process listens there.
pub(super) fn in_use(spec: &ListenSpec) -> BindError {
    BindError { address: spec.to_string(), cause: BindCause::InUse(Holder::of(spec)) }
}

/// What we say of it.
pub(super) fn unfit(spec: &ListenSpec, why: &'static str) -> BindError {
    BindError { address: spec.to_string(), cause: BindCause::Unfit(why) }
}
