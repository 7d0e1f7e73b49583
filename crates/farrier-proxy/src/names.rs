//! The servers that the names of an upstream stand for. What a look-up answers goes in, the servers come out.

use std::sync::Arc;

use farrier_http::upstream::ServerAddress;

use crate::server::Server;

/// A name that can no longer be looked up keeps its servers for this long.
pub const KEPT_MS: u64 = 600_000;

/// A name whose look-up failed is looked up again after this time.
const RETRY_MS: u64 = 5_000;

/// The servers of an upstream, by the places that the configuration gives.
pub struct Names {
    places: Vec<Place>,
    servers_max: usize,
}

/// Makes the server of an address.
pub type MakeServer = Box<dyn Fn(ServerAddress) -> Server + Send>;

/// A place of the configuration: an address, or a name that stands for some.
struct Place {
    make: MakeServer,
    servers: Vec<Arc<Server>>,
    /// When a look-up last succeeded, in ms.
    succeeded_ms: Option<u64>,
    is_failing: bool,
}

/// What an answer has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Same,
    /// There are other servers.
    Servers,
    /// The look-up fails from now on, and the servers stay.
    Fails,
    /// The look-up has failed for too long, or has never succeeded: there is no server.
    Lost,
}

impl Names {
    /// No server yet.
    pub fn new(makers: Vec<MakeServer>, servers_max: usize) -> Names {
        let place = |make| Place { make, servers: Vec::new(), succeeded_ms: None, is_failing: false };
        Names { places: makers.into_iter().map(place).collect(), servers_max }
    }

    /// Takes the answer for a place. It is a set: the order of addresses means nothing, and a server whose address stays is the
    /// same server, with its counters and connections. `None`: the look-up has failed. No address is a failure, too.
    pub fn take(&mut self, place: usize, answer: Option<Vec<ServerAddress>>, now_ms: u64) -> Change {
        let Some(place) = self.places.get_mut(place) else { return Change::Same };
        match answer.filter(|addresses| !addresses.is_empty()) {
            Some(addresses) => {
                place.succeeded_ms = Some(now_ms);
                place.is_failing = false;
                if place.set(addresses) { Change::Servers } else { Change::Same }
            }
            None => place.failed(now_ms),
        }
    }

    /// All servers, in the order of the configuration, up to the bound.
    pub fn servers(&self) -> Vec<Arc<Server>> {
        self.places.iter().flat_map(|place| &place.servers).take(self.servers_max).cloned().collect()
    }

    /// How many there would be without the bound.
    pub fn found(&self) -> usize {
        self.places.iter().map(|place| place.servers.len()).sum()
    }

    /// Whether the last look-up of a place failed.
    pub fn is_failing(&self, place: usize) -> bool {
        self.places.get(place).is_some_and(|place| place.is_failing)
    }
}

/// How long to wait until a name is looked up again, in ms: the period, or less after a failure, with a tenth more or less
/// by chance, so that the workers of a server do not ask all at once. `chance` is any number.
pub fn pause_ms(period_ms: u64, is_failing: bool, chance: u64) -> u64 {
    let pause_ms = if is_failing { period_ms.min(RETRY_MS) } else { period_ms };
    pause_ms - pause_ms / 10 + chance % (pause_ms / 5 + 1)
}

impl Place {
    /// True: there are other servers than before.
    fn set(&mut self, addresses: Vec<ServerAddress>) -> bool {
        let before = self.servers.len();
        self.servers.retain(|server| addresses.contains(&server.target.address));
        let mut is_changed = self.servers.len() != before;
        for address in addresses {
            if self.servers.iter().all(|server| server.target.address != address) {
                self.servers.push(Arc::new((self.make)(address)));
                is_changed = true;
            }
        }
        is_changed
    }

    fn failed(&mut self, now_ms: u64) -> Change {
        let was_failing = std::mem::replace(&mut self.is_failing, true);
        let is_kept = self.succeeded_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) < KEPT_MS);
        if !is_kept && (!self.servers.is_empty() || !was_failing) {
            self.servers.clear();
            return Change::Lost;
        }
        if was_failing { Change::Same } else { Change::Fails }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Protocol;
    use farrier_http::upstream::Target;
    use std::sync::atomic::{AtomicU64, Ordering};

    fn names(places: usize, servers_max: usize) -> Names {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let make = |_| -> MakeServer {
            Box::new(|address| {
                let id = NEXT.fetch_add(1, Ordering::Relaxed);
                let target = Target { id, address, source: None, security: None, idle_max: 1 };
                Server::new(target, "a".to_owned(), b"a"[..].into(), Protocol::Http1, 1)
            })
        };
        Names::new((0..places).map(make).collect(), servers_max)
    }

    fn addresses(last: &[u8]) -> Option<Vec<ServerAddress>> {
        Some(last.iter().map(|&byte| ServerAddress::Tcp(([10, 0, 0, byte], 80).into())).collect())
    }

    fn ids(names: &Names) -> Vec<u64> {
        names.servers().iter().map(|server| server.id()).collect()
    }

    #[test]
    fn an_answer_is_a_set_and_an_address_that_stays_is_the_same_server() {
        let mut names = names(1, 256);
        assert_eq!(names.take(0, addresses(&[1, 2, 2]), 0), Change::Servers);
        let before = ids(&names);
        assert_eq!(before.len(), 2);
        assert_eq!(names.take(0, addresses(&[2, 1]), 1), Change::Same);
        assert_eq!(ids(&names), before);
        assert_eq!(names.take(0, addresses(&[2, 3]), 2), Change::Servers);
        let after = ids(&names);
        assert_eq!((after.len(), after[0]), (2, before[1]));
        assert!(!before.contains(&after[1]));
    }

    #[test]
    fn a_look_up_that_fails_keeps_the_last_answer_for_ten_minutes() {
        let mut names = names(1, 256);
        names.take(0, addresses(&[1]), 1000);
        let before = ids(&names);
        assert_eq!(names.take(0, None, 2000), Change::Fails);
        assert_eq!(names.take(0, Some(Vec::new()), 3000), Change::Same);
        assert_eq!(names.take(0, None, 1000 + KEPT_MS - 1), Change::Same);
        assert_eq!((ids(&names), names.is_failing(0)), (before, true));
        assert_eq!(names.take(0, None, 1000 + KEPT_MS), Change::Lost);
        assert_eq!(names.take(0, None, 1001 + KEPT_MS), Change::Same);
        assert!(ids(&names).is_empty());
        assert_eq!(names.take(0, addresses(&[1]), 2000 + KEPT_MS), Change::Servers);
        assert!(!names.is_failing(0));
    }

    #[test]
    fn a_name_that_never_was_found_has_no_server_and_does_not_touch_others() {
        let mut names = names(2, 256);
        assert_eq!(names.take(1, addresses(&[1]), 0), Change::Servers);
        assert_eq!(names.take(0, None, 0), Change::Lost);
        assert_eq!(names.take(0, None, 1), Change::Same);
        assert_eq!(ids(&names).len(), 1);
        assert_eq!(names.take(2, addresses(&[1]), 0), Change::Same);
    }

    #[test]
    fn the_pause_is_the_period_give_or_take_a_tenth_and_shorter_after_a_failure() {
        for chance in [0, 1, 999, 12_345, u64::MAX] {
            assert!((9_000..=11_000).contains(&pause_ms(10_000, false, chance)));
            assert!((4_500..=5_500).contains(&pause_ms(10_000, true, chance)));
            assert!((900..=1_100).contains(&pause_ms(1_000, true, chance)));
        }
        assert_eq!((pause_ms(10_000, false, 0), pause_ms(10_000, false, 2000)), (9_000, 11_000));
        assert_eq!(pause_ms(1, false, 7), 1);
    }

    #[test]
    fn an_upstream_has_at_most_so_many_servers() {
        let mut names = names(2, 3);
        names.take(0, addresses(&[1, 2]), 0);
        names.take(1, addresses(&[3, 4]), 0);
        assert_eq!((names.servers().len(), names.found()), (3, 4));
    }
}
