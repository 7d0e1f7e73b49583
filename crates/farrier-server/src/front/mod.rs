//! Fronts turn a connection's bytes into requests and answers into bytes. HTTP/1.1 is the first; others stand beside it.

pub(crate) mod bench;
pub(crate) mod h1;
pub(crate) mod h1_error;
pub(crate) mod h1_respond;
