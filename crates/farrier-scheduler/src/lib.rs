//! Decides which request is served when, and by which seat: a state machine without threads, sockets or clocks.
//!
//! Each event is a method. It changes the state, returns an answer to its caller, and collects in [`Actions`] which
//! threads to wake. The seats, the monitor and the seat spawner call the methods and perform the actions. One lock
//! guards the state. It is held for a few instructions and never across a system call. The laws that hold after every
//! event are in `simulation`, which runs the machine through random histories.
//!
//! The types of the lead (`L`) and of a job's work (`T`) are parameters: the scheduler stores them and never looks
//! inside.

#![forbid(unsafe_code)]

mod accepting;
mod actions;
mod calls;
mod held_route;
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
pub use self::held_route::HeldRoute;
pub use self::leading::{Arrived, Enqueued, HandedOn};
pub use self::queues::{Job, JobKind};
pub use self::seats::{Client, Order, SeatId};
pub use self::state::{Bounds, Scheduler};
pub use self::waiting::{Idle, Looked};
