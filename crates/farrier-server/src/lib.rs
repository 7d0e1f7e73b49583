//! The data plane: connections come in, requests go to a handler, answers go out.
//!
//! Nothing here knows Python or processes. [`engine::run`] is the door.

#![forbid(unsafe_code)]

pub mod acme_challenge;
pub mod client_hash;
pub mod clock;
pub mod compression;
mod connection;
pub mod connection_limit;
pub mod control;
mod dropped_fields;
pub mod engine;
mod file_stretch;
mod front;
pub mod health;
pub mod hsts;
pub mod https_redirect;
pub mod internal_files;
pub mod log;
pub mod metrics;
pub mod rate_limit;
pub mod request_id;
pub mod rescue;
mod rules;
pub mod sites;
mod spool;
pub mod static_files;
pub mod tls;
mod transport;

pub use control::{Command, Control};
pub use engine::{Host, NoHost, Parts};
pub use rules::Security;
