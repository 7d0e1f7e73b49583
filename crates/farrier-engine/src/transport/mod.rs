//! A connection's socket and what is still to be written to it.

// Used by the write sides of both protocols, which are being moved to it.
#[allow(dead_code)]
pub(crate) mod account;
pub mod file_stretch;
pub(crate) mod link;
#[allow(dead_code)]
pub(crate) mod response_budget;
pub(crate) mod tls_flow;
