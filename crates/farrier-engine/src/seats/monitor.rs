//! Guards the predictions: looks at running calls once a tick, and takes the lead from a seat whose call outlives one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::interpreter_stall::InterpreterStall;
use super::shared::Shared;
use super::spawner;
use super::thread_state::Doing;
use crate::scheduler::state::{Call, JobKind, Order, SchedulerState, SeatId};

/// Ticks after which a call that has been runnable all the time loses the lead all the same.
const RUNNABLE_TICKS_MAX: u64 = 6;

/// Nobody holds the interpreter this long without letting others have their turn, in ns.
const HELD_NS: u64 = 1_000_000_000;

/// Ticks without a running call after which the monitor sleeps.
const QUIET_TICKS_MAX: u32 = 8;

/// Runs until the engine stops, on a plain thread that never touches the interpreter.
pub(crate) fn run(shared: &Arc<Shared>) {
    let tick_ns = shared.seating.tick.as_nanos() as u64;
    let mut quiet_ticks = 0;
    let mut stall = InterpreterStall::default();
    // First the sign of life, so that an old one is not taken for a silence.
    shared.metrics.beat();
    shared.metrics.set_active(true);
    loop {
        std::thread::park_timeout(shared.seating.tick);
        let state = shared.scheduler();
        if state.stopping {
            return;
        }
        if state.calling == 0 {
            if quiet_ticks == 0 {
                shared.metrics.running(0);
            }
            quiet_ticks += 1;
            if quiet_ticks > QUIET_TICKS_MAX {
                drop(state);
                shared.metrics.set_active(false);
                sleep(shared);
                quiet_ticks = 0;
                shared.metrics.beat();
                shared.metrics.set_active(true);
            }
            continue;
        }
        quiet_ticks = 0;
        let calling = state.calling;
        drop(state);
        shared.metrics.running(calling);
        let now_ns = shared.clock.now_ns();
        let wants_seat = look(shared, now_ns, tick_ns);
        let alive = is_alive(&mut shared.scheduler(), shared, now_ns);
        if alive {
            shared.metrics.beat();
        }
        stall.look(alive, shared, now_ns);
        if wants_seat {
            // Only the leader can make one. It may be busy: then it finds the wake-up when it waits next.
            shared.poller.wake();
        }
    }
}

/// Sleeps until a seat begins a call.
fn sleep(shared: &Arc<Shared>) {
    shared.monitor_asleep.store(true, Ordering::SeqCst);
    // A call may have begun between the last look and the store.
    if shared.scheduler().calling > 0 {
        shared.monitor_asleep.store(false, Ordering::SeqCst);
        return;
    }
    while shared.monitor_asleep.load(Ordering::SeqCst) {
        std::thread::park_timeout(Duration::MAX);
    }
}

/// One look. True when the leader should see to another seat.
fn look(shared: &Shared, now_ns: u64, tick_ns: u64) -> bool {
    let age_ns = |call: &Call| now_ns.saturating_sub(call.started_ns);
    // Most looks end here.
    let suspects: Vec<(SeatId, i32, Call)> = {
        let state = shared.scheduler();
        let outlived = |call: &Call| !call.stuck && age_ns(call) >= tick_ns;
        let seats = state.seats.iter().enumerate();
        seats.filter_map(|(id, seat)| seat.call.filter(outlived).map(|call| (id, seat.thread_id, call))).collect()
    };
    let mut wants_seat = false;
    for (seat, thread_id, call) in suspects {
        let doing = shared.interpreter_lock().doing(thread_id);
        // A call that runs, or whose processor others have taken, would be helped by nobody: it gets some ticks more.
        let ran_ns = age_ns(&call).saturating_sub(u64::from(call.held_up_ticks) * tick_ns);
        if doing == Doing::Running && ran_ns < RUNNABLE_TICKS_MAX * tick_ns {
            continue;
        }
        let mut state = shared.scheduler();
        let Some(now) = &mut state.seats[seat].call else { continue };
        if now.started_ns != call.started_ns || now.stuck {
            continue;
        }
        now.held_up = now.attaching || doing == Doing::AwaitingInterpreter;
        now.held_up_ticks += u32::from(now.held_up);
        wants_seat |= stick(&mut state, shared, seat);
    }
    wants_seat
}

/// A call has outlived its tick. True when the leader should see to another seat.
fn stick(state: &mut SchedulerState, shared: &Shared, seat: SeatId) -> bool {
    if seat == state.leader && state.lead.is_some() {
        depose(state);
        return false;
    }
    let Some(call) = &mut state.seats[seat].call else { return false };
    if call.held_up {
        // Nobody else could run it any sooner, and it says nothing about the route.
        return false;
    }
    let left_floor = state.floor == Some(seat);
    if left_floor {
        state.floor = None;
    }
    call.stuck = true;
    call.learned = true;
    let route = call.route;
    if call.kind == JobKind::Short {
        state.slow_calling += 1;
    }
    state.routes.stick(route);
    state.agile = state.agile.saturating_sub(1);
    let wants_seat = state.queues.len() > 0
        && state.agile == 0
        && state.slow_calling < shared.slow_calls_max()
        && state.wake_idle(Order::Work).is_err();
    wants_seat || left_floor
}

/// Whether the interpreter can be had. With a call that runs long the spawner is sent to find out: this thread must not touch
/// the interpreter itself.
fn is_alive(state: &mut SchedulerState, shared: &Shared, now_ns: u64) -> bool {
    let since = |started_ns: u64| now_ns.saturating_sub(started_ns);
    let calls = || state.seats.iter().filter_map(|seat| seat.call);
    if state.spawner_waits_since_ns.is_some_and(|waits_since_ns| since(waits_since_ns) > HELD_NS)
        || calls().any(|call| call.attaching && since(call.started_ns) > HELD_NS)
    {
        return false;
    }
    // Once a second for each call that runs so long.
    let doubtful =
        calls().any(|call| since(call.started_ns) > HELD_NS && since(call.started_ns) % HELD_NS < HELD_NS / 8);
    if doubtful && !state.probe_wanted && state.spawner_waits_since_ns.is_none() {
        state.probe_wanted = true;
        spawner::call(shared);
    }
    true
}

/// Takes the lead from a seat inside a call and gives it to a parked one. The deposed seat finds out when it comes back. If it
/// waits for the interpreter it keeps the floor: its successor would only have to wait as well.
pub(crate) fn depose(state: &mut SchedulerState) {
    let Some(successor) = state.idle.pop() else { return };
    let Some(lead) = state.lead.take() else {
        state.idle.push(successor);
        return;
    };
    let deposed = state.leader;
    state.leader = successor;
    if let Some(call) = &mut state.seats[deposed].call {
        if call.held_up {
            state.agile += 1;
        } else {
            call.stuck = true;
            call.learned = true;
            let route = call.route;
            state.slow_calling += 1;
            state.routes.stick(route);
            state.floor = None;
        }
    }
    state.order(successor, Order::Lead(lead));
}
