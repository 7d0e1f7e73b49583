//! The data plane: connections come in, requests go to a handler, answers go out.
//!
//! Nothing here knows Python or processes. [`run`] is the entry point. `seats` holds the threads that lead and serve. The
//! crates below are `farrier-protocol` (from bytes to requests and back), `farrier-scheduler` (decides which seat serves
//! what) and `farrier-transport` (sockets and unsent data).

#![forbid(unsafe_code)]

pub mod control;
pub mod metrics;
mod seats;

pub use control::{Command, Control};
pub use farrier_transport::descriptors;
pub use seats::start::{Parts, run};
