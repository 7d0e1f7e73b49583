//! Actions to perform after an event: which threads to wake. Collected under the scheduler's lock, performed after its
//! release.

use super::seats::SeatId;

/// Wake-ups that an event has led to.
#[derive(Debug, Default)]
pub struct Actions {
    /// Parked seats that have an order.
    pub wake: Vec<SeatId>,
    /// The leader is in its wait, and there is something for it.
    pub wake_leader: bool,
    /// Seats are to be started ([`super::Scheduler::next_wanted`]).
    pub wake_spawner: bool,
}

impl Actions {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.wake.is_empty() && !self.wake_leader && !self.wake_spawner
    }
}
