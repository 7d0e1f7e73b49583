//! Runs the scheduler through random histories and checks its laws.
//!
//! `world` plays the scheduler's surroundings: seats that look, lead, call and park; an interpreter that one seat holds
//! at a time; the monitor, the spawner and clients. Each step takes a random time, so that the steps of different
//! threads come in any order. A seed determines a history. `laws` says what must hold after every step and how long
//! anything may wait.

mod laws;
mod world;

use self::laws::Law;
use self::world::{Plan, World};
use super::state::Faults;

/// Histories for each class of laws.
const HISTORIES: u64 = 10_000;

/// Returns the first broken law of this many histories, with its seed.
fn broken(histories: u64, plan: impl Fn(u64) -> Plan) -> Option<(u64, Law)> {
    (0..histories).find_map(|seed| World::new(seed, plan(seed)).run().err().map(|law| (seed, law)))
}

#[test]
fn the_laws_hold_in_mixed_histories() {
    assert_eq!(broken(HISTORIES, Plan::of), None);
}

#[test]
fn the_laws_hold_in_bursts_of_slow_calls() {
    assert_eq!(broken(HISTORIES / 10, Plan::burst), None);
}

#[test]
fn the_laws_hold_with_one_thread() {
    assert_eq!(broken(HISTORIES, Plan::strict), None);
}

#[test]
fn the_laws_hold_when_the_queue_is_full() {
    assert_eq!(broken(HISTORIES, Plan::full), None);
}

#[test]
fn the_laws_hold_when_seats_cannot_be_started() {
    assert_eq!(broken(HISTORIES, |seed| Plan { spawn_fails: 3, ..Plan::of(seed) }), None);
}

#[test]
fn the_laws_hold_when_clients_do_not_read() {
    assert_eq!(broken(HISTORIES, |seed| Plan { slow_clients: 3, ..Plan::of(seed) }), None);
}

#[test]
fn a_burst_starves_if_requests_for_seats_are_forgotten() {
    let faults = Faults { forgets_seats: true, ..Faults::default() };
    let found = broken(200, |seed| Plan { faults, ..Plan::burst(seed) });
    assert!(matches!(found, Some((_, Law::JobWaitsBesideFreeSeat | Law::JobExpiresBesideFreeSeat))), "{found:?}");
}

#[test]
fn one_thread_loses_a_wake_up_if_the_main_thread_parks_before_short_jobs() {
    let faults = Faults { loses_wake_up: true, ..Faults::default() };
    let found = broken(HISTORIES, |seed| Plan { faults, ..Plan::strict(seed) });
    assert!(matches!(found, Some((_, Law::JobWaitsBesideFreeSeat | Law::JobExpiresBesideFreeSeat))), "{found:?}");
}

#[test]
fn accepting_stays_off_if_room_in_the_queue_is_not_reported() {
    let faults = Faults { forgets_room: true, ..Faults::default() };
    let found = broken(HISTORIES, |seed| Plan { faults, ..Plan::full(seed) });
    assert!(matches!(found, Some((_, Law::RoomButNotAccepting))), "{found:?}");
}

#[test]
fn the_lead_is_stranded_if_a_new_seat_takes_a_job_first() {
    let faults = Faults { prefers_jobs_to_lead: true, ..Faults::default() };
    let found = broken(400, |seed| Plan { faults, ..Plan::burst(seed) });
    assert!(matches!(found, Some((_, Law::LeadStranded))), "{found:?}");
}

#[test]
fn the_lead_is_stranded_if_a_successor_is_not_requested_again() {
    let faults = Faults { strands_lead: true, ..Faults::default() };
    let found = broken(400, |seed| Plan { faults, ..Plan::burst(seed) });
    assert!(matches!(found, Some((_, Law::LeadStranded))), "{found:?}");
}

#[test]
fn the_last_seat_is_lost_where_any_route_may_take_it() {
    let faults = Faults { risks_last_seat: true, ..Faults::default() };
    let found = broken(HISTORIES, |seed| Plan { faults, ..Plan::of(seed) });
    assert!(matches!(found, Some((_, Law::LastSeatRisked))), "{found:?}");
}
