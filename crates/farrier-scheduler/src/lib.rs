//! Which request is served when, and by whom: a state machine without threads, sockets or clocks.
//!
//! Each event is a method. It changes the state, answers whoever asked, and collects in [`Actions`] whom to wake. The
//! seats, the monitor and the seat spawner are what performs it, under one lock that is held for a few instructions and
//! never across a system call. The laws that hold after every event stand in `simulation`, which drives the machine through
//! random histories.
//!
//! The types of the lead (`L`) and of a job's work (`T`) are parameters: the scheduler hands them on and never looks inside.

#![forbid(unsafe_code)]

mod accepting;
mod actions;
mod calls;
mod leading;
mod queues;
pub mod routes;
mod seats;
#[cfg(test)]
mod simulation;
mod state;
mod waiting;

pub use self::accepting::AcceptGate;
pub use self::actions::Actions;
pub use self::calls::{Doing, Ended};
pub use self::leading::{Arrived, Enqueued, HandedOn};
pub use self::queues::{Job, JobKind};
pub use self::seats::{Client, Order, SeatId};
pub use self::state::{Bounds, Scheduler};
pub use self::waiting::{Idle, Looked};
