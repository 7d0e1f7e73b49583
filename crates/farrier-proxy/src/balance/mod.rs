//! Which of several servers gets a request.
//!
//! The laws, which the tests check:
//!
//! - Only a server among those given is chosen, and one is chosen if any is given. Nothing is allocated.
//! - `least`: of the servers compared none has fewer requests in flight for its weight. Up to four servers are all compared;
//!   of more, two that are drawn. Among equals one that answers clearly sooner is preferred (in less than half of the
//!   time, and 10 ms sooner), else they take turns.
//! - `round_robin`: of as many requests as the weights add up to, each server gets as many as its weight.
//! - `least_time`: the time to the first byte counts as well. An average without an answer in the last 10 seconds says
//!   nothing, so no server is left out for ever.
//! - `hash`: the same key gets the same server. A server that leaves moves its own keys only. No server has more than 1.25
//!   times its part of the requests in flight (rounded up); then the next one in the key's order gets the request.
//! - `random`: by chance, each as often as its weight says. `first`: the first in the order of the configuration.

mod hashing;
mod members;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_http::Request;

pub use self::hashing::HashOn;
pub(crate) use self::members::Members;
use crate::hash::scramble;
use crate::health::HealthPolicy;
use crate::server::Server;

/// How a server is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests in flight for its weight.
    Least,
    /// One after the other, by weight.
    RoundRobin,
    /// The one that answers soonest for what it has to do.
    LeastTime,
    /// By a part of the request.
    Hash(HashOn),
    /// By chance, by weight.
    Random,
    /// The first that may be asked.
    First,
}

/// With so few servers all are compared; of more, two that are drawn.
const COMPARED_MAX: usize = 4;

/// A difference of times that is below this is none.
const CLEARLY_US: u64 = 10_000;

/// Times are measured in ms, so below this one says nothing.
const TICK_US: u64 = 1_000;

/// The servers that a choice is made of, at a time.
#[derive(Clone, Copy)]
pub(crate) struct Candidates<'a> {
    pub(crate) servers: &'a [Arc<Server>],
    /// The places of those that may be asked and have room.
    pub(crate) free: Members,
    /// What changes their weights.
    pub(crate) health: &'a HealthPolicy,
    /// In ms of the clock that the processes share.
    pub(crate) now_ms: u64,
}

impl<'a> Candidates<'a> {
    fn iter(self) -> impl Iterator<Item = (usize, &'a Server)> {
        self.free.iter().filter_map(move |place| self.servers.get(place).map(|server| (place, &**server)))
    }

    fn weight(&self, server: &Server) -> u64 {
        server.effective_weight(self.health, self.now_ms)
    }

    /// Requests in flight, and one more, for the weight.
    fn busy(&self, server: &Server) -> u64 {
        (u64::from(server.in_flight()) + 1) * 1_000_000_000 / self.weight(server)
    }
}

impl Balance {
    /// The place of a server among those that may be asked and have room.
    ///
    /// `turn` is what the choices of a group remember from one to the next.
    pub(crate) fn choose(&self, turn: &AtomicU64, from: Candidates<'_>, request: &Request) -> Option<usize> {
        match (from.free.len(), self) {
            (0, _) => None,
            (1, _) | (_, Balance::First) => from.free.nth(0),
            (_, Balance::Least) => drawn(turn, from, |a, b| is_less_busy(from, a, b)),
            (_, Balance::LeastTime) => drawn(turn, from, |a, b| is_sooner(from, a, b)),
            (_, Balance::RoundRobin) => round_robin(from),
            (_, Balance::Hash(on)) => match on.key(request) {
                Some(key) => hashing::choose(from, key),
                None => drawn(turn, from, |a, b| is_less_busy(from, a, b)),
            },
            (_, Balance::Random) => random(turn, from),
        }
    }
}

/// The best of those that are compared. They are compared from another one each time, so that equals take turns.
fn drawn(turn: &AtomicU64, from: Candidates<'_>, is_better: impl Fn(&Server, &Server) -> bool) -> Option<usize> {
    let draw = turn.fetch_add(1, Ordering::Relaxed);
    let count = from.free.len();
    let start = draw as usize % count;
    let best = |a: Option<usize>, b: usize| match a {
        Some(a) if !is_better(&from.servers[b], &from.servers[a]) => Some(a),
        _ => Some(b),
    };
    if count <= COMPARED_MAX {
        return from.free.iter().skip(start).chain(from.free.iter().take(start)).fold(None, best);
    }
    let chance = scramble(draw);
    let first = chance as usize % count;
    let second = (first + 1 + (chance >> 32) as usize % (count - 1)) % count;
    [first, second].into_iter().filter_map(|number| from.free.nth(number)).fold(None, best)
}

fn is_less_busy(from: Candidates<'_>, a: &Server, b: &Server) -> bool {
    let (busy_a, busy_b) = (from.busy(a), from.busy(b));
    if busy_a != busy_b {
        return busy_a < busy_b;
    }
    match (a.head_us(from.now_ms), b.head_us(from.now_ms)) {
        // Only what is clearly sooner counts, or the quickest of equals would get all requests of a quiet time.
        (Some(a), Some(b)) => a < b / 2 && b - a >= CLEARLY_US,
        _ => false,
    }
}

fn is_sooner(from: Candidates<'_>, a: &Server, b: &Server) -> bool {
    match (a.head_us(from.now_ms), b.head_us(from.now_ms)) {
        (Some(us_a), Some(us_b)) => {
            let cost = |us: u64, server: &Server| u128::from(us.max(TICK_US)) * u128::from(from.busy(server));
            cost(us_a, a) < cost(us_b, b)
        }
        // A server that nothing is known of is no quicker than others: it would get all requests at once.
        _ => from.busy(a) < from.busy(b),
    }
}

/// Each turn adds its weight to what each server has; the one that has most is chosen and gives the sum back.
fn round_robin(from: Candidates<'_>) -> Option<usize> {
    let mut total = 0;
    let mut most: Option<(usize, i64)> = None;
    for (place, server) in from.iter() {
        let weight = from.weight(server) as i64;
        total += weight;
        // Only the leader chooses, so nobody else changes it in between.
        let has = server.turn.load(Ordering::Relaxed).saturating_add(weight);
        server.turn.store(has, Ordering::Relaxed);
        if most.is_none_or(|(_, most)| has > most) {
            most = Some((place, has));
        }
    }
    let (place, has) = most?;
    from.servers[place].turn.store(has - total, Ordering::Relaxed);
    Some(place)
}

fn random(turn: &AtomicU64, from: Candidates<'_>) -> Option<usize> {
    let total: u64 = from.iter().map(|(_, server)| from.weight(server)).sum();
    let mut left = scramble(turn.fetch_add(1, Ordering::Relaxed)) % total.max(1);
    for (place, server) in from.iter() {
        let weight = from.weight(server);
        if left < weight {
            return Some(place);
        }
        left -= weight;
    }
    from.free.nth(0)
}
