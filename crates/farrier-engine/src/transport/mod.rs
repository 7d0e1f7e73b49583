//! A connection's socket and what is still to be written to it.

pub mod file_stretch;
pub(crate) mod link;
pub(crate) mod tls_flow;
