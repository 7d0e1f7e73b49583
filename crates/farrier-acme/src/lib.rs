//! Gets certificates from an ACME server (RFC 8555) and renews them (RFC 9773), in a separate process.
//!
//! [`run`] is that process's main loop. It is the only process with an async runtime. It never forks and handles no
//! requests of clients. It writes its results to a [`State`] directory: certificates, which the arbiter watches, and
//! answers to challenges, which workers read. After a failure the current certificate stays in use.

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

/// The level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Normal operation.
    Info,
    /// It may need attention.
    Warning,
    /// Something failed.
    Error,
}

/// Returns whether the workers already have a certificate (in DER) that proves a name.
pub type IsPublished<'p> = dyn Fn(&str, &[u8]) -> bool + 'p;

/// Writes lines to the log.
pub type Say<'s> = dyn Fn(Level, &str) + 's;
