//! The data plane: connections come in, requests go to a handler, answers go out.
//!
//! Nothing here knows Python or processes. [`run`] is the door. The folders are layers, each of which uses only those
//! below it: `seats` (threads that lead and serve), `protocol` (from bytes to requests and back), `scheduler` (who serves
//! what, pure), `transport` (a socket and what is unsent), `reactor` (events, deadlines, tokens).

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
