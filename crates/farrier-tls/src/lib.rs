//! TLS on the server's side (RFC 8446, RFC 5246) with rustls, without I/O.
//!
//! It has sessions, the choice of a certificate by name, session tickets that every worker can read, and the keyring
//! that the arbiter publishes.

#![forbid(unsafe_code)]

pub mod certificates;
mod ciphers;
mod client_certificate;
pub mod keyring;
mod resolver;
pub mod session;
mod settings;
mod terms;
mod tickets;

pub use self::settings::TlsSettings;
pub use self::settings::provider;
pub use self::terms::Terms;
