//! Watches running calls: checks them once a tick, and reports to the scheduler those that outlive one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::held_route::HeldRouteWatch;
use super::interpreter_stall::InterpreterStall;
use super::shared::Shared;
use super::thread_meter::Reading;
use farrier_scheduler::{Doing, SeatId};

/// Nobody holds the interpreter this long without letting others have their turn, in ns.
const HELD_NS: u64 = 1_000_000_000;

/// Ticks without a running call after which the monitor sleeps.
const QUIET_TICKS_MAX: u32 = 8;

/// Runs until the engine stops, on a plain thread that never touches the interpreter.
pub(crate) fn run(shared: &Arc<Shared>) {
    let mut quiet_ticks = 0;
    let (mut stall, mut held_route) = (InterpreterStall::default(), HeldRouteWatch::default());
    let mut suspects = Suspects::default();
    // First report that the worker is alive, so that an old report is not taken for silence.
    shared.metrics.beat();
    shared.metrics.set_active(true);
    loop {
        std::thread::park_timeout(shared.seating.tick);
        let calling = {
            let scheduler = shared.scheduler();
            if scheduler.is_stopping() {
                return;
            }
            scheduler.calling()
        };
        if calling == 0 {
            if quiet_ticks == 0 {
                shared.metrics.running(0);
            }
            quiet_ticks += 1;
            if quiet_ticks > QUIET_TICKS_MAX {
                shared.metrics.set_active(false);
                sleep(shared);
                quiet_ticks = 0;
                shared.metrics.beat();
                shared.metrics.set_active(true);
            }
            continue;
        }
        quiet_ticks = 0;
        shared.metrics.running(calling);
        let now_ns = shared.clock.now_ns();
        suspects.look(shared, now_ns);
        let alive = is_alive(shared, now_ns);
        if alive {
            shared.metrics.beat();
        }
        stall.look(alive, shared, now_ns);
        held_route.look(shared, now_ns);
    }
}

/// Sleeps until a seat begins a call.
fn sleep(shared: &Arc<Shared>) {
    shared.monitor_asleep.store(true, Ordering::SeqCst);
    // A call may have begun between the last check and the store.
    if shared.scheduler().calling() > 0 {
        shared.monitor_asleep.store(false, Ordering::SeqCst);
        return;
    }
    while shared.monitor_asleep.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::MAX);
    }
}

/// What the monitor saw of a call when it first looked at it.
struct FirstLook {
    seat: SeatId,
    started_ns: u64,
    at_ns: u64,
    ran_ns: u64,
}

/// The calls that outlived a tick when it looked last.
#[derive(Default)]
struct Suspects(Vec<FirstLook>);

impl Suspects {
    /// Checks the calls that have outlived a tick. Most checks find none.
    fn look(&mut self, shared: &Shared, now_ns: u64) {
        let suspects = shared.scheduler().suspects(now_ns);
        self.0.retain(|first| suspects.contains(&(first.seat, first.started_ns)));
        for (seat, started_ns) in suspects {
            let thread_id = shared.threads.id(seat);
            let mut doing = shared.interpreter_lock().doing(thread_id);
            if doing == Doing::Running && self.is_starved(seat, started_ns, thread_id, now_ns) {
                doing = Doing::Starved;
            }
            shared.schedule(|scheduler, out| scheduler.observed(seat, started_ns, doing, now_ns, out));
        }
    }

    /// Whether a call that is ready to run has had a processor for less than half of the time since the first look.
    fn is_starved(&mut self, seat: SeatId, started_ns: u64, thread_id: i32, now_ns: u64) -> bool {
        let Some(Reading { ran_ns, .. }) = Reading::of(thread_id) else { return false };
        let is_it = |first: &&FirstLook| first.seat == seat && first.started_ns == started_ns;
        match self.0.iter().find(is_it) {
            Some(first) => ran_ns.saturating_sub(first.ran_ns) < now_ns.saturating_sub(first.at_ns) / 2,
            None => {
                self.0.push(FirstLook { seat, started_ns, at_ns: now_ns, ran_ns });
                false
            }
        }
    }
}

/// Whether the interpreter is available. If a call runs long, the spawner tests this: the monitor's thread must not
/// touch the interpreter itself.
fn is_alive(shared: &Shared, now_ns: u64) -> bool {
    let since = |started_ns: u64| now_ns.saturating_sub(started_ns);
    let (mut attaches_long, mut runs_long) = (false, false);
    for (_, call) in shared.scheduler().calls() {
        let age_ns = since(call.started_ns);
        attaches_long |= call.attaching && age_ns > HELD_NS;
        // Once a second for each call that runs that long.
        runs_long |= age_ns > HELD_NS && age_ns % HELD_NS < HELD_NS / 8;
    }
    if attaches_long || shared.probe.waits_since_ns().is_some_and(|since_ns| since(since_ns) > HELD_NS) {
        return false;
    }
    if runs_long && shared.probe.wish() {
        shared.wake_spawner();
    }
    true
}
