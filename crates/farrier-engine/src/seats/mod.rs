//! Threads that lead and serve, and the threads that watch them.
//!
//! Exactly one seat leads: it waits for events, reads and decodes. The leader itself serves a complete request of a
//! short route, so that no other thread is woken. A request of a route that may be slow goes to a follower. Once a
//! tick, a monitor checks whether the leader's call has outlived it; if so, it gives the lead to a parked seat. One
//! seat is always reserved for short routes.

mod accepting;
pub(crate) mod answered_by;
mod answering;
pub(crate) mod call_record;
mod client_waits;
mod disk;
mod exchanges;
mod fault_log;
mod held_route;
mod interpreter_stall;
pub(crate) mod lead;
mod leading;
mod leaving;
mod lost_descriptors;
mod monitor;
mod native_hint;
mod overdue;
mod preparing;
mod probe;
mod reserve;
mod returns;
mod seat;
mod shared;
mod spawner;
pub(crate) mod start;
mod stream_exchanges;
mod streams;
mod tending;
mod thread_meter;
mod thread_state;
mod threads;
mod turn;
mod uploads;
