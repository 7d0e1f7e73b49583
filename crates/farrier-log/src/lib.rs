//! Logs and metrics. The thread that logs formats the message; a thread of the log writes it, or nobody waits for it.

#![forbid(unsafe_code)]

pub mod access;
pub mod collector;
mod direct;
pub mod error;
mod level;
pub mod moment;
mod nonblocking;
pub mod occasional;
pub mod outbox;
pub mod recorder;
pub mod statsd;
pub mod summed;
pub mod syslog;
pub mod writer;
