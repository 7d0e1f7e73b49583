//! Brings new seats, on a thread of its own: to start one the interpreter is needed, and the leader must not wait for it.
//! For the same reason it finds out for the monitor whether the interpreter can be had at all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::seat::Seat;
use super::shared::Shared;
use crate::scheduler::state::{SPARES, SeatId};
use farrier_log::error::Level;

/// How long the start waits for the spares, in ns.
const SPARES_PATIENCE_NS: u64 = 1_000_000_000;

/// Seats that are asked for at the same time.
const COMING_MAX: usize = 4;

/// Runs until the engine stops.
pub(crate) fn run(shared: &Arc<Shared>) {
    loop {
        let (wanted, probe) = {
            let mut state = shared.scheduler();
            if state.stopping {
                return;
            }
            let (wanted, probe) = (state.wanted.pop(), std::mem::take(&mut state.probe_wanted));
            // The monitor looks how long this takes: whoever holds the interpreter for seconds has stopped the worker.
            state.spawner_waits_since_ns = (wanted.is_some() || probe).then(|| shared.clock.now_ns());
            (wanted, probe)
        };
        match wanted {
            Some(id) => bring(shared, id),
            None if probe => shared.host.probe(),
            None => {
                // `ask` sets the flag after it has put a seat on the state, so none is missed.
                while !shared.spawner_called.swap(false, Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::MAX);
                }
            }
        }
    }
}

/// Asks for one more seat, if there may be one. It looks at the queues first and parks then.
pub(crate) fn ask(shared: &Shared) {
    {
        let mut state = shared.scheduler();
        if state.seated() >= shared.seats_max() || state.stopping || state.coming >= COMING_MAX {
            return;
        }
        let id = state.add_seat();
        state.coming += 1;
        state.wanted.push(id);
    }
    call(shared);
}

/// Brings the spares before the engine serves: the first call may be the one that needs them.
pub(crate) fn bring_spares(shared: &Shared) {
    (0..SPARES).for_each(|_| ask(shared));
    let began_ns = shared.clock.now_ns();
    while shared.scheduler().idle.len() < SPARES && shared.clock.now_ns() - began_ns < SPARES_PATIENCE_NS {
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

/// Wakes the spawner.
pub(crate) fn call(shared: &Shared) {
    shared.spawner_called.store(true, Ordering::SeqCst);
    if let Some(spawner) = shared.spawner.get() {
        spawner.unpark();
    }
}

fn bring(shared: &Arc<Shared>, id: SeatId) {
    let theirs = Arc::clone(shared);
    let life = move || {
        // For those who look at the threads; it fails only on a name that is too long.
        let _ = rustix::thread::set_name(c"farrier-seat");
        {
            let mut state = theirs.scheduler();
            state.occupy(id);
            state.coming = state.coming.saturating_sub(1);
            state.agile += 1;
        }
        let mut seat = Seat::new(id, theirs);
        seat.work();
        seat.run();
    };
    if let Err(error) = shared.host.spawn_seat(&format!("farrier-seat-{id}"), Box::new(life)) {
        let mut state = shared.scheduler();
        state.coming = state.coming.saturating_sub(1);
        state.vacant.push(id);
        drop(state);
        shared.error_log.write(Level::Error, &format!("cannot start another thread: {error}"));
    }
}
