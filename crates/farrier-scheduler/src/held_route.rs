//! Finds a route whose calls have held half of the threads for long: most likely they never return.

use crate::routes::Route;
use crate::seats::{Call, SeatId};
use crate::state::Scheduler;

/// A route that holds threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRoute {
    /// Which.
    pub route: Route,
    /// The seats of its old calls, in order.
    pub seats: Vec<SeatId>,
}

impl<T, L> Scheduler<T, L> {
    /// The route with the most calls that are at least this old, if they hold at least half of the threads. Calls that
    /// wait for their clients do not count: other limits end them.
    pub fn held_route(&self, age_ns: u64, now_ns: u64) -> Option<HeldRoute> {
        held_route(self.calls(), self.bounds.threads, age_ns, now_ns)
    }
}

fn held_route<'c>(
    calls: impl Iterator<Item = (SeatId, &'c Call)>,
    threads: usize,
    age_ns: u64,
    now_ns: u64,
) -> Option<HeldRoute> {
    let mut found: Vec<HeldRoute> = Vec::new();
    for (seat, call) in calls {
        if call.awaits_client.is_some() || now_ns.saturating_sub(call.started_ns) < age_ns {
            continue;
        }
        match found.iter_mut().find(|held| held.route == call.route) {
            Some(held) => held.seats.push(seat),
            None => found.push(HeldRoute { route: call.route, seats: vec![seat] }),
        }
    }
    found.into_iter().max_by_key(|held| held.seats.len()).filter(|held| held.seats.len() >= threads.div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::JobKind;

    const NOW_NS: u64 = 100;

    /// Calls by their route and age.
    fn held(calls: &[(u64, u64)], threads: usize) -> Option<Vec<SeatId>> {
        let call = |&(route, age_ns): &(u64, u64)| Call::new(NOW_NS - age_ns, JobKind::Slow, Route::numbered(route));
        let calls: Vec<Call> = calls.iter().map(call).collect();
        held_route(calls.iter().enumerate(), threads, 60, NOW_NS).map(|held| held.seats)
    }

    #[test]
    fn half_of_the_threads_is_enough_and_fewer_are_not() {
        assert_eq!(held(&[(1, 60), (1, 99)], 4), Some(vec![0, 1]));
        assert_eq!(held(&[(1, 60), (1, 99)], 5), None);
        assert_eq!(held(&[(1, 60)], 1), Some(vec![0]));
    }

    #[test]
    fn only_old_calls_of_one_route_count() {
        assert_eq!(held(&[(1, 60), (1, 59), (2, 60)], 4), None);
        assert_eq!(held(&[(2, 60), (1, 60), (1, 61), (1, 62)], 4), Some(vec![1, 2, 3]));
        assert_eq!(held(&[], 1), None);
    }
}
