//! Events, deadlines and tokens of connections: what the engine needs from the kernel, independent of any protocol.

pub mod clock;
pub mod poller;
pub mod ready;
pub mod slots;
pub mod timers;
pub mod token;
pub mod waker;
