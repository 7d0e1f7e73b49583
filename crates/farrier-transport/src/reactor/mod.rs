//! Events, deadlines and names of connections: what the engine asks of the kernel, and nothing of what is spoken.

pub mod clock;
pub mod poller;
pub mod slots;
pub mod timers;
pub mod token;
pub mod waker;
