//! Gets certificates from an ACME server (RFC 8555) and keeps them fresh (RFC 9773), in a process of its own.
//!
//! [`run`] is that process's life. It is the only place with a runtime; it never forks, and no request passes through it.
//! What it has to say to the rest of the server it writes into a [`State`] directory: certificates, which whoever serves
//! them watches, and the answers to challenges, which workers read. A failure leaves what is served as it was.

#![forbid(unsafe_code)]

mod account;
mod certificate;
mod challenge;
mod connection;
mod failure;
mod keeper;
mod life;
mod moment;
mod order;
mod placeholder;
mod record;
mod schedule;
mod settings;
mod state;

pub use life::run;
pub use placeholder::placeholder;
pub use settings::{Challenge, ExternalAccount, Names, Settings};
pub use state::{State, StateError};

/// How grave a line for the log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// It goes as it should.
    Info,
    /// It may need somebody's attention.
    Warning,
    /// Something did not succeed.
    Error,
}

/// Says whether a certificate (in DER) that proves a name is known to those who speak TLS.
pub type IsPublished<'p> = dyn Fn(&str, &[u8]) -> bool + 'p;

/// Takes lines for the log.
pub type Say<'s> = dyn Fn(Level, &str) + 's;
