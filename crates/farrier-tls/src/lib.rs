//! TLS (RFC 8446, RFC 5246) with rustls, without I/O: with clients, and with other servers.
//!
//! It has sessions of both sides, the choice of a certificate by name, session tickets that every worker can read, and the keyring
//! that the arbiter publishes.

#![forbid(unsafe_code)]

pub mod certificates;
mod ciphers;
pub mod client;
mod client_certificate;
mod client_sessions;
mod client_terms;
pub mod keyring;
mod resolver;
pub mod server;
pub mod session;
mod settings;
mod terms;
mod tickets;

pub use self::client_terms::{client_terms, system_roots};
pub use self::settings::TlsSettings;
pub use self::settings::provider;
pub use self::terms::Terms;
