//! Connections to other servers: sockets that the leader's poller watches beside those of clients.
//!
//! - `registry`: names them for the poller, and holds what happened on each.
//! - `stream`: one connection, owned by the exchange that uses it or by the pool.
//! - `secured`: TLS on it.
//! - `pool`: idle connections, by target.

mod pool;
mod registry;
mod secured;
mod stream;

pub use self::pool::{Door, UpstreamPool};
pub use self::registry::{Happened, Signal};
