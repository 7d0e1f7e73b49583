//! What must hold: some laws at once after every step, others within a time in which a seat has to act.

use super::world::{Program, World};
use crate::queues::JobKind;
use crate::seats::Role;

/// How long a notified seat may take to act, in ns: a few steps of some microseconds each, and the interpreter's switch
/// interval.
const REACTION_NS: u64 = 30_000_000;

/// A law, named by its violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Law {
    /// More calls run than there are threads, or the counters are wrong.
    Miscounted,
    /// With one thread a call runs on another than the main thread, or two run at once.
    CallsOverlap,
    /// The lead is in two places, or in none.
    NotOneLead,
    /// The floor is held by a seat that is in no call and does not look for one.
    FloorAbandoned,
    /// A seat is woken that is not parked, or twice.
    WokenTwice,
    /// A request was served or refused twice.
    ServedTwice,
    /// A request waits although a parked seat may serve it.
    JobWaitsBesideFreeSeat,
    /// The same, until it had waited too long.
    JobExpiresBesideFreeSeat,
    /// The queue has room, and no connection is accepted.
    RoomButNotAccepting,
    /// The leader's call proved slow, a seat is parked, and it does not lead.
    LeadStranded,
    /// The last seat runs a call of a route that has stuck calls.
    LastSeatRisked,
    /// Requests are left when everything has come to rest.
    NotServed,
}

/// Since when each state has lasted that a seat has to end.
#[derive(Debug, Default)]
pub(super) struct Lasting {
    waits_beside_free: Option<u64>,
    not_accepting: Option<u64>,
    stranded: Option<u64>,
}

/// Checks every law that one state can break, and how long each temporary state has lasted.
pub(super) fn check(world: &mut World) -> Result<(), Law> {
    counters(world)?;
    if world.risked {
        return Err(Law::LastSeatRisked);
    }
    lead(world)?;
    let now_ns = world.now_ns;
    let free = could_serve(world);
    let lasting = |since: &mut Option<u64>, is: bool| match (is, *since) {
        (false, _) => {
            *since = None;
            false
        }
        (true, None) => {
            *since = Some(now_ns);
            false
        }
        (true, Some(since_ns)) => now_ns - since_ns > REACTION_NS,
    };
    let room = world.scheduler.queues.len() < world.plan.queue_max && !world.accepting;
    let stranded = is_stranded(world);
    if lasting(&mut world.lasting.waits_beside_free, free) {
        return Err(Law::JobWaitsBesideFreeSeat);
    }
    if lasting(&mut world.lasting.not_accepting, room) {
        return Err(Law::RoomButNotAccepting);
    }
    if lasting(&mut world.lasting.stranded, stranded) {
        return Err(Law::LeadStranded);
    }
    Ok(())
}

/// Whether a job waits that a free seat may serve. Judged by what the seats do, not by the scheduler's own counters.
pub(super) fn could_serve(world: &World) -> bool {
    let queues = &world.scheduler.queues;
    let threads = world.plan.threads;
    let calls = || world.scheduler.calls().map(|(_, call)| call);
    if queues.is_empty() || calls().count() >= threads || world.now_ns < world.scheduler.spawn_again_ns {
        return false;
    }
    if threads == 1 {
        return world.seats[0].program == Program::Parked;
    }
    let parked = world.seats.iter().any(|seat| seat.program == Program::Parked);
    let could_start = world.seats.iter().filter(|seat| seat.program != Program::Gone).count() < threads + 2;
    let free = parked || could_start;
    let slow_room = calls().filter(|call| call.is_slow()).count() + 1 < threads;
    let computes = calls().any(|call| call.kind == JobKind::Computing);
    let leader_waits = world.seats[world.scheduler.leader].program == Program::Polling;
    let short = !queues.short.is_empty() && leader_waits && world.scheduler.floor.is_none();
    let slow = !queues.slow.is_empty() || (!queues.computing.is_empty() && !computes);
    // Doubtful jobs may wait for followers in short calls, and for the leader's batch to end.
    let agile = calls().any(|call| !call.stuck);
    let doubtful = !queues.doubtful.is_empty() && !agile && leader_waits;
    short || (free && slow_room && (slow || doubtful))
}

/// Whether a waiting call holds the lead while a seat is parked. With one thread the main thread is no successor.
fn is_stranded(world: &World) -> bool {
    let scheduler = &world.scheduler;
    let first = usize::from(world.plan.threads == 1);
    let parked = world.seats.iter().skip(first).any(|seat| seat.program == Program::Parked);
    let waits = scheduler.lead.is_some() && world.seats[scheduler.leader].is_sleeping();
    parked && waits
}

fn counters(world: &World) -> Result<(), Law> {
    let scheduler = &world.scheduler;
    let calls: Vec<_> = scheduler.calls().collect();
    let slow = calls.iter().filter(|(_, call)| call.is_slow()).count();
    let computing = calls.iter().filter(|(_, call)| call.kind == JobKind::Computing).count();
    let waits = calls.iter().filter(|(_, call)| call.awaits_client.is_some()).count();
    let counted = (scheduler.calling, scheduler.slow_calling, scheduler.computing, scheduler.client_waits);
    if counted != (calls.len(), slow, computing, waits) || calls.len() > world.plan.threads || computing > 1 {
        return Err(Law::Miscounted);
    }
    if world.plan.threads == 1 && calls.iter().any(|&(seat, _)| seat != 0) {
        return Err(Law::CallsOverlap);
    }
    match scheduler.floor {
        Some(seat) if matches!(scheduler.seats.role(seat), Role::Calling | Role::Awake) => Ok(()),
        Some(_) => Err(Law::FloorAbandoned),
        None => Ok(()),
    }
}

fn lead(world: &World) -> Result<(), Law> {
    let on_the_table = usize::from(world.scheduler.lead.is_some());
    let held = world.seats.iter().filter(|seat| seat.has_lead).count();
    let ordered = world.scheduler.seats.seats.iter().filter(|seat| seat.has_lead_order()).count();
    if on_the_table + held + ordered == 1 { Ok(()) } else { Err(Law::NotOneLead) }
}
