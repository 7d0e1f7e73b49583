//! The threads of the seats: how a parked one is woken, and the number by which the kernel knows it.

use std::sync::{PoisonError, RwLock};
use std::thread::Thread;

use farrier_scheduler::SeatId;

use farrier_protocol::host::Host;

/// A seat's thread.
#[derive(Clone)]
struct Entry {
    thread: Thread,
    /// Its number in the kernel.
    thread_id: i32,
    /// The runtime's number of it.
    ident: u64,
}

/// The threads of all seats.
#[derive(Default)]
pub(crate) struct Threads(RwLock<Vec<Option<Entry>>>);

impl Threads {
    /// Assigns the calling thread to the seat.
    pub(crate) fn occupy(&self, seat: SeatId, host: &dyn Host) {
        let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        let entry = Entry { thread: std::thread::current(), thread_id, ident: host.thread_ident() };
        let mut threads = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if threads.len() <= seat {
            threads.resize(seat + 1, None);
        }
        threads[seat] = Some(entry);
    }

    /// Ends the seat's wait for an order.
    pub(crate) fn wake(&self, seat: SeatId) {
        let threads = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(entry)) = threads.get(seat) {
            entry.thread.unpark();
        }
    }

    /// The number of the seat's thread in the kernel; 0 for a seat without one.
    pub(crate) fn id(&self, seat: SeatId) -> i32 {
        let threads = self.0.read().unwrap_or_else(PoisonError::into_inner);
        threads.get(seat).and_then(Option::as_ref).map_or(0, |entry| entry.thread_id)
    }

    /// The number of the seat's thread in the runtime; 0 for a seat without one.
    pub(crate) fn ident(&self, seat: SeatId) -> u64 {
        let threads = self.0.read().unwrap_or_else(PoisonError::into_inner);
        threads.get(seat).and_then(Option::as_ref).map_or(0, |entry| entry.ident)
    }
}
