//! Which of several servers gets a request.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::Request;

use crate::group::Group;
use crate::server::Server;

/// How a server is chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// The one with the fewest requests in flight for its weight.
    Least,
}

/// With so few servers all are compared; of more, two that are drawn.
const COMPARED_MAX: usize = 4;

impl Balance {
    /// A server among those that may be asked and have room.
    pub(crate) fn choose<'a>(&self, group: &Group, free: &[&'a Arc<Server>], _: &Request) -> Option<&'a Arc<Server>> {
        match free {
            [] => None,
            [only] => Some(*only),
            _ => match self {
                Balance::Least => least(group, free),
            },
        }
    }
}

fn least<'a>(group: &Group, free: &[&'a Arc<Server>]) -> Option<&'a Arc<Server>> {
    let draw = group.turn.fetch_add(1, Ordering::Relaxed);
    let load = |server: &&Arc<Server>| {
        let busy = (u64::from(server.in_flight()) + 1) * 1000 / u64::from(server.weight.max(1));
        (busy, server.head_us.load(Ordering::Relaxed))
    };
    let start = draw as usize % free.len();
    if free.len() <= COMPARED_MAX {
        // They are compared from another one each time, so that equals take turns.
        return (0..free.len()).map(|at| free[(start + at) % free.len()]).min_by_key(|server| load(server).0);
    }
    let other = (start + 1 + scramble(draw) as usize % (free.len() - 1)) % free.len();
    [free[start], free[other]].into_iter().min_by_key(load)
}

/// Spreads consecutive numbers (the finalizer of SplitMix64).
fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}
