//! Random histories of servers that fail and come back, with two workers that share what is known of them: the laws of balance
//! and health hold in all of them.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farrier_http::Request;
use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::group::{Chosen, Group, GroupPolicy, Lease};
use farrier_proxy::health::checks::{CheckPolicy, take};
use farrier_proxy::health::words::{CHECKED, FAILED, SERVER_WORDS, State};
use farrier_proxy::health::{Cause, HealthPolicy, Standing, Words};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::{Balance, Failure, HashOn};

mod forwarding;

const HISTORIES: u64 = 10_000;
const EVENTS: usize = 60;

/// SplitMix64.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (number ^ number >> 31) % bound
    }

    fn is(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

struct InFlight {
    worker: usize,
    began_ms: u64,
    lease: Lease,
}

struct World {
    chance: Chance,
    now_ms: u64,
    workers: Vec<Arc<Group>>,
    /// Servers that answer nothing, by place.
    broken: Vec<bool>,
    in_flight: Vec<InFlight>,
    requests: [Request; 2],
}

impl World {
    fn new(seed: u64) -> World {
        let mut chance = Chance(seed);
        let count = 1 + chance.below(6) as usize;
        let words: Vec<&'static [AtomicU64; SERVER_WORDS]> = (0..count).map(|_| &*Box::leak(Box::default())).collect();
        let shapes: Vec<(u32, bool, bool, u32)> = (0..count)
            .map(|_| (1 + chance.below(5) as u32, chance.is(20), chance.is(5), chance.below(4) as u32))
            .collect();
        let balance = match chance.below(6) {
            0 => Balance::RoundRobin,
            1 => Balance::LeastTime,
            2 => Balance::Hash(HashOn::Uri),
            3 => Balance::Random,
            4 => Balance::First,
            _ => Balance::Least,
        };
        let health = HealthPolicy {
            fail_max: chance.below(4) as u32,
            slow_start_ms: chance.below(2) * 30_000,
            is_checked: chance.is(50),
            ..HealthPolicy::default()
        };
        let workers = (0..2).map(|worker| {
            let servers = shapes.iter().enumerate().map(|(place, &(weight, is_backup, is_down, most))| {
                let address = ServerAddress::Unix(format!("/{place}").into());
                let target = Target { id: place as u64, address, source: None, security: None, idle_max: 1 };
                let mut server = Server::new(target, place.to_string(), b"a"[..].into(), Protocol::Http1, 1);
                (server.weight, server.is_backup, server.is_down, server.max_requests) =
                    (weight, is_backup, is_down, most);
                server.words = Words::Shared(words[place]);
                Arc::new(server)
            });
            let policy = GroupPolicy { balance: balance.clone(), health: health.clone(), ..GroupPolicy::default() };
            let group = Group::new("app".to_owned(), servers.collect(), policy);
            group.begin_at(worker);
            Arc::new(group)
        });
        World {
            now_ms: 1_000,
            workers: workers.collect(),
            broken: vec![false; count],
            in_flight: Vec::new(),
            requests: ["GET", "POST"]
                .map(|method| forwarding::request(&format!("{method} /a HTTP/1.1\r\nHost: a\r\n\r\n"))),
            chance,
        }
    }

    fn standings(&self) -> Vec<Standing> {
        let group = &self.workers[0];
        group.servers().iter().map(|server| server.standing(&group.policy.health, self.now_ms)).collect()
    }

    fn step(&mut self) {
        match self.chance.below(10) {
            0..=3 => self.begin(),
            4..=6 => self.end(),
            7 => {
                let place = self.chance.below(self.broken.len() as u64) as usize;
                self.broken[place] = self.chance.is(60);
            }
            8 => self.check(),
            _ => self.now_ms += [10, 1_000, 12_000, 70_000][self.chance.below(4) as usize],
        }
        self.bounds();
    }

    fn begin(&mut self) {
        let worker = self.chance.below(2) as usize;
        let is_post = self.chance.is(30);
        let tried: Vec<u64> = (0..self.broken.len() as u64).filter(|_| self.chance.is(10)).collect();
        let group = Arc::clone(&self.workers[worker]);
        let (servers, before) = (group.servers(), self.standings());
        let due: Vec<u64> = servers.iter().map(|server| State::of(&server.words[FAILED]).at_ms).collect();
        let has_room = |place: usize| {
            let server = &servers[place];
            server.max_requests == 0 || server.in_flight() < server.max_requests
        };
        let is_free = |place: usize| before[place] == Standing::Well && has_room(place);
        match group.choose(&self.requests[usize::from(is_post)], &tried, self.now_ms) {
            Ok(Chosen::Server(lease)) => {
                let place = lease.server().id() as usize;
                let standing = before[place];
                assert!(
                    !matches!(standing, Standing::Out | Standing::Draining | Standing::Unreachable),
                    "{standing:?}"
                );
                assert!(lease.server().max_requests == 0 || lease.server().in_flight() <= lease.server().max_requests);
                assert!(
                    !lease.is_trial()
                        || (standing == Standing::Trial && (!is_post || due[place] + 10_000 <= self.now_ms))
                );
                // One that takes longer than a minute is given up.
                let is_other_trial = |other: &InFlight| {
                    let is_alive = other.began_ms + 60_000 > self.now_ms;
                    is_alive && other.lease.is_trial() && other.lease.server().id() == place as u64
                };
                assert!(!lease.is_trial() || !self.in_flight.iter().any(is_other_trial), "one trial at a time");
                if !lease.is_trial() && standing != Standing::Well {
                    self.is_panic(&before, &servers);
                }
                if tried.contains(&(place as u64)) {
                    let others = (0..servers.len()).filter(|&other| is_free(other) && !tried.contains(&(other as u64)));
                    assert_eq!(others.count(), 0, "another one was not tried");
                }
                if servers[place].is_backup && !lease.is_trial() {
                    let is_primary = |&other: &usize| !servers[other].is_backup;
                    let weight = |places: &mut dyn Iterator<Item = usize>| -> u32 {
                        places.map(|place| servers[place].weight).sum()
                    };
                    let all = weight(
                        &mut (0..servers.len())
                            .filter(is_primary)
                            .filter(|&other| !matches!(before[other], Standing::Out | Standing::Draining)),
                    );
                    let well = weight(
                        &mut (0..servers.len()).filter(is_primary).filter(|&other| before[other] == Standing::Well),
                    );
                    let is_spared = |other: usize| is_free(other) && !tried.contains(&(other as u64));
                    let free = (0..servers.len()).filter(is_primary).filter(|&other| is_spared(other)).count();
                    assert!(free == 0 || well * 100 < all * 30, "backups take part only when others may not");
                }
                self.in_flight.push(InFlight { worker, began_ms: self.now_ms, lease });
            }
            Ok(Chosen::Busy) => {
                let free = (0..servers.len()).filter(|&place| is_free(place) && !servers[place].is_backup).count();
                assert_eq!(free, 0, "a server that is well has room");
            }
            Err(failure) => {
                assert_eq!(failure, Failure::NoServer);
                assert!(before.iter().all(|standing| !matches!(standing, Standing::Well | Standing::Ill)));
            }
        }
    }

    /// Verdicts are ignored only if too few are left.
    fn is_panic(&self, before: &[Standing], servers: &[Arc<Server>]) {
        let weight = |is: &dyn Fn(usize) -> bool| -> u32 {
            (0..servers.len()).filter(|&place| is(place)).map(|place| servers[place].weight).sum()
        };
        let backups = weight(&|place| servers[place].is_backup && before[place] == Standing::Well);
        let well = weight(&|place| !servers[place].is_backup && before[place] == Standing::Well);
        let all =
            weight(&|place| !servers[place].is_backup && !matches!(before[place], Standing::Out | Standing::Draining));
        assert!(backups == 0 && (well == 0 || well * 100 < all * 30), "{before:?}");
    }

    fn end(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at = self.chance.below(self.in_flight.len() as u64) as usize;
        let InFlight { worker, lease, .. } = self.in_flight.swap_remove(at);
        if self.chance.is(10) {
            return; // the client has left
        }
        match self.broken[lease.server().id() as usize] {
            true => self.workers[worker].failed(lease.server(), lease.is_trial(), Cause::Timeout, self.now_ms),
            false => lease.answered(200, 1_000 * (1 + self.chance.below(50)), self.now_ms),
        }
    }

    fn check(&mut self) {
        let group = &self.workers[0];
        if !group.policy.health.is_checked {
            return;
        }
        for server in &*group.servers() {
            let cause = if self.chance.is(50) { Cause::Refused } else { Cause::Status };
            let outcome = if self.broken[server.id() as usize] { Err(cause) } else { Ok(()) };
            take(&server.words[CHECKED], outcome, &CheckPolicy::default(), self.now_ms);
        }
    }

    fn bounds(&self) {
        let group = &self.workers[0];
        let servers = group.servers();
        // A phase other than 0 means that it is out.
        let out = servers.iter().filter(|server| State::of(&server.words[FAILED]).phase != 0);
        let out = out.count();
        assert!(out * 2 <= servers.len(), "at most half is ejected: {out} of {}", servers.len());
        for (place, server) in servers.iter().enumerate() {
            for (worker, group) in self.workers.iter().enumerate() {
                let its = |each: &&InFlight| each.worker == worker && each.lease.server().id() == place as u64;
                assert_eq!(self.in_flight.iter().filter(its).count(), group.servers()[place].in_flight() as usize);
            }
            assert!(server.weight > 0);
        }
    }
}

#[test]
fn the_laws_hold_in_all_histories() {
    for seed in 0..HISTORIES {
        let mut world = World::new(seed);
        for _ in 0..EVENTS {
            world.step();
        }
        world.in_flight.clear();
        world.bounds();
    }
}

#[test]
fn a_server_that_is_well_again_is_asked_again_in_all_histories() {
    for seed in 0..HISTORIES / 10 {
        let mut world = World::new(seed);
        for _ in 0..EVENTS {
            world.step();
        }
        world.in_flight.clear();
        world.broken.fill(false);
        let group = Arc::clone(&world.workers[0]);
        for _ in 0..4 {
            // Longer than the longest ejection. Each trial passes.
            world.now_ms += 301_000;
            let checks = CheckPolicy::default();
            group.servers().iter().for_each(|server| {
                take(&server.words[CHECKED], Ok(()), &checks, world.now_ms);
            });
            while let Ok(Chosen::Server(lease)) = group.choose(&world.requests[0], &[], world.now_ms) {
                let is_trial = lease.is_trial();
                lease.answered(200, 1_000, world.now_ms);
                if !is_trial {
                    break;
                }
            }
        }
        let standings = world.standings();
        assert!(standings.iter().all(|each| matches!(each, Standing::Well | Standing::Out)), "{seed}: {standings:?}");
    }
}
