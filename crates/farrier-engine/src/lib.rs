//! The data plane: connections come in, requests go to a handler, answers go out.
//!
//! Nothing here knows Python or processes. [`run`] is the entry point. The folders are layers, each of which uses only
//! those below it: `seats` (threads that lead and serve) and `protocol` (from bytes to requests and back). The crates
//! below are `farrier-scheduler` (decides which seat serves what) and `farrier-transport` (sockets and unsent data).

#![forbid(unsafe_code)]

pub mod client_hash;
pub mod connection_limit;
pub mod control;
mod dropped_fields;
pub mod host;
pub mod metrics;
mod protocol;
pub mod rescue;
mod rules;
mod seats;

pub use control::{Command, Control};
pub use host::{Host, NoHost};
pub use rules::{Security, SiteRules};
pub use seats::start::{Parts, run};
