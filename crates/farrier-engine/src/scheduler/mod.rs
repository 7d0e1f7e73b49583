//! Which request is served when, and by whom: a state machine without threads, sockets or clocks.
//!
//! Each event is a method. It changes the state, answers whoever asked, and collects in [`Actions`] whom to wake. The
//! seats, the monitor and the seat spawner are what performs it, under one lock that is held for a few instructions and
//! never across a system call. The laws that hold after every event stand in `simulation`, which drives the machine through
//! random histories.
//!
//! The types of the lead (`L`) and of a job's work (`T`) are parameters: the scheduler hands them on and never looks inside.

mod accepting;
mod actions;
mod calls;
mod leading;
mod queues;
pub(crate) mod routes;
mod seats;
#[cfg(test)]
mod simulation;
mod state;
mod waiting;

pub(crate) use self::accepting::AcceptGate;
pub(crate) use self::actions::Actions;
pub(crate) use self::calls::{Doing, Ended};
pub(crate) use self::leading::{Arrived, Enqueued, HandedOn};
pub(crate) use self::queues::{Job, JobKind};
pub(crate) use self::seats::{Client, Order, SeatId};
pub(crate) use self::state::{Bounds, Scheduler};
pub(crate) use self::waiting::{Idle, Looked};
