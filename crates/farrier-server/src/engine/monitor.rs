//! Guards the predictions: looks at running calls once a tick, and takes the lead from a seat whose call outlives one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::desk::{Desk, JobKind, Order};
use super::shared::Shared;

/// Ticks without a running call after which the monitor sleeps.
const QUIET_TICKS_MAX: u32 = 8;

/// Runs until the engine stops, on a plain thread that never touches the interpreter.
pub(crate) fn run(shared: &Arc<Shared>) {
    let tick_ns = shared.seating.tick.as_nanos() as u64;
    let mut quiet_ticks = 0;
    loop {
        std::thread::park_timeout(shared.seating.tick);
        let mut desk = shared.desk();
        if desk.stopping {
            return;
        }
        if desk.calling == 0 {
            quiet_ticks += 1;
            if quiet_ticks > QUIET_TICKS_MAX {
                drop(desk);
                shared.metrics.set_active(false);
                sleep(shared);
                quiet_ticks = 0;
                shared.metrics.set_active(true);
            }
            continue;
        }
        quiet_ticks = 0;
        let now_ns = shared.clock.now_ns();
        let wants_leader = look(&mut desk, shared, now_ns, tick_ns);
        let progressing = desk.lead.is_none() || wants_leader;
        drop(desk);
        shared.metrics.beat(progressing);
        if wants_leader {
            shared.wake_leader();
        }
    }
}

/// Sleeps until a seat begins a call.
fn sleep(shared: &Arc<Shared>) {
    shared.monitor_asleep.store(true, Ordering::SeqCst);
    // A call may have begun between the last look and the store.
    if shared.desk().calling > 0 {
        shared.monitor_asleep.store(false, Ordering::SeqCst);
        return;
    }
    while shared.monitor_asleep.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::MAX);
    }
}

/// One look. True when the leader should look at the desk.
fn look(desk: &mut Desk, shared: &Shared, now_ns: u64, tick_ns: u64) -> bool {
    let mut newly_stuck = 0;
    for seat in 0..desk.seats.len() {
        let Some(call) = &mut desk.seats[seat].call else { continue };
        if call.stuck || now_ns.saturating_sub(call.started_ns) < tick_ns {
            continue;
        }
        if seat == desk.leader {
            depose(desk);
            continue;
        }
        call.stuck = true;
        call.learned = true;
        let route = call.route;
        if call.kind == JobKind::Short {
            desk.slow_calling += 1;
        }
        desk.routes.stick(route);
        desk.agile = desk.agile.saturating_sub(1);
        newly_stuck += 1;
    }
    if newly_stuck == 0 || desk.queues.len() == 0 || desk.agile > 0 {
        return false;
    }
    desk.slow_calling < shared.slow_calls_max() && desk.wake_idle(Order::Work).is_err()
}

/// Takes the lead from a seat inside a call and gives it to a parked one. The deposed seat finds out when it comes back.
pub(crate) fn depose(desk: &mut Desk) {
    let Some(successor) = desk.idle.pop() else { return };
    let Some(lead) = desk.lead.take() else {
        desk.idle.push(successor);
        return;
    };
    let deposed = desk.leader;
    desk.leader = successor;
    if let Some(call) = &mut desk.seats[deposed].call {
        call.stuck = true;
        if call.attaching {
            desk.attaching += 1;
        } else {
            call.learned = true;
            let route = call.route;
            desk.slow_calling += 1;
            desk.routes.stick(route);
        }
    }
    desk.order(successor, Order::Lead(lead));
}
