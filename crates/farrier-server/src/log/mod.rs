//! Logs: lines are formatted by the seat that has something to say and written by a thread of the log's own.

pub mod access;
pub mod error;
pub mod moment;
pub mod writer;
