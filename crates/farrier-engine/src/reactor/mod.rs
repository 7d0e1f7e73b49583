//! Events, deadlines and names of connections: what the engine asks of the kernel, and nothing of what is spoken.

pub mod clock;
pub(crate) mod poller;
pub(crate) mod slots;
pub(crate) mod timers;
pub(crate) mod token;
pub(crate) mod waker;
