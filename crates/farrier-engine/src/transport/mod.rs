//! A connection's socket and what is still to be written to it.

pub(crate) mod account;
pub mod file_stretch;
pub(crate) mod link;
pub(crate) mod nameless_file;
pub(crate) mod response_budget;
pub(crate) mod spill;
pub(crate) mod tls_flow;
