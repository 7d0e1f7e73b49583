//! Logs and metrics: formatted by the seat that has something to say and written by a thread of the log's own.

#![forbid(unsafe_code)]

pub mod access;
pub mod collector;
pub mod error;
mod level;
pub mod moment;
pub mod occasional;
pub mod outbox;
pub mod recorder;
pub mod statsd;
pub mod syslog;
pub mod writer;
