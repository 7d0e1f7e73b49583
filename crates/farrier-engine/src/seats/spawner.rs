//! Starts seats, on a thread of its own: that needs the interpreter, and the leader must not wait for it. For the same
//! reason it tests for the monitor whether the interpreter is available.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farrier_log::error::Level;

use super::seat::Seat;
use super::shared::Shared;
use farrier_scheduler::SeatId;

/// How long the start waits for the spare seats, in ns.
const SPARES_PATIENCE_NS: u64 = 1_000_000_000;

/// Runs until the engine stops.
pub(crate) fn run(shared: &Arc<Shared>) {
    loop {
        let wanted = {
            let mut scheduler = shared.scheduler();
            if scheduler.is_stopping() {
                return;
            }
            scheduler.next_wanted()
        };
        // The monitor measures how long this takes: a thread that holds the interpreter for seconds has stopped the
        // worker.
        let probe = wanted.is_none() && shared.probe.take_wish();
        if wanted.is_some() || probe {
            shared.probe.begin(shared.clock.now_ns());
        }
        match wanted {
            Some(seat) => start(shared, seat),
            None if probe => shared.host.probe(),
            None => {
                // Set after a seat is wanted, so none is missed.
                while !shared.spawner_called.swap(false, Ordering::SeqCst) {
                    std::thread::park_timeout(Duration::MAX);
                }
                continue;
            }
        }
        shared.probe.end();
    }
}

/// Requests the spare seats before the engine serves, and waits a moment for them: the first call may already need
/// them.
pub(crate) fn bring_spares(shared: &Shared) {
    let began_ns = shared.clock.now_ns();
    shared.schedule(|scheduler, out| scheduler.start(began_ns, out));
    while shared.scheduler().lacks_spares() && shared.clock.now_ns() - began_ns < SPARES_PATIENCE_NS {
        std::thread::park_timeout(Duration::from_micros(200));
    }
}

fn start(shared: &Arc<Shared>, id: SeatId) {
    let theirs = Arc::clone(shared);
    let life = move || {
        // Names the thread for tools that list threads; this fails only if the name is too long.
        let _ = rustix::thread::set_name(c"farrier-seat");
        theirs.threads.occupy(id, &*theirs.host);
        theirs.scheduler().began(id);
        Seat::new(id, theirs).run_from_work();
    };
    if let Err(error) = shared.host.spawn_seat(&format!("farrier-seat-{id}"), Box::new(life)) {
        let now_ns = shared.clock.now_ns();
        shared.schedule(|scheduler, out| scheduler.spawn_failed(id, now_ns, out));
        shared.error_log.write(Level::Error, &format!("cannot start another thread: {error}"));
    }
}
