//! Simulates ten thousand servers: workers boot, fail, crash, hang and ignore signals, and operators send random
//! signals. After each step the invariants of supervision are checked. A history is a function of its seed; the seed of
//! one that fails is printed, and `FARRIER_SEED=<seed>` repeats it alone with every step written out.

mod dice;
mod invariants;
mod templates;
mod world;

use std::panic::catch_unwind;

use world::{Fortune, World};

const HISTORIES: u64 = 10_000;

fn main_seeds() -> Vec<u64> {
    match std::env::var("FARRIER_SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => vec![seed],
        None => (0..HISTORIES).collect(),
    }
}

#[test]
fn every_history_keeps_the_invariants() {
    let seeds = main_seeds();
    let told = seeds.len() == 1;
    // Several threads only to save time; histories are independent.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let shares: Vec<Vec<u64>> =
        (0..threads).map(|nth| seeds.iter().copied().skip(nth).step_by(threads).collect()).collect();
    let tallies = std::thread::scope(|scope| {
        let running: Vec<_> = shares.iter().map(|share| scope.spawn(move || live_all(share, told))).collect();
        running.into_iter().map(|thread| thread.join().expect("a history failed")).collect::<Vec<_>>()
    });
    let total = tallies.into_iter().fold(Tally::default(), Tally::plus);
    println!("{total:?}");
    if !told {
        total.is_worth_something();
    }
}

fn live_all(seeds: &[u64], told: bool) -> Tally {
    seeds.iter().fold(Tally::default(), |tally, &seed| match catch_unwind(|| live(seed, told)) {
        Ok(history) => tally.plus(history),
        Err(_) => panic!("history {seed} broke an invariant; repeat it with FARRIER_SEED={seed}"),
    })
}

/// One history: failures, then calm in which all workers must recover, then the end.
fn live(seed: u64, told: bool) -> Tally {
    let mut world = World::new(seed, Fortune::of_seed(seed), told);
    world.begin();
    world.live_through_trouble();
    if !world.has_ended() && !world.is_stopping() {
        world.become_calm();
        world.stop();
    }
    world.run_to_the_end();
    world.tally
}

/// The number of events in all histories: a simulation in which nothing happens proves nothing.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) steps: u64,
    pub(crate) spawns: u64,
    pub(crate) crashes: u64,
    pub(crate) boot_failures: u64,
    pub(crate) kills: u64,
    pub(crate) timeouts: u64,
    pub(crate) reloads: u64,
    pub(crate) reloads_abandoned: u64,
    pub(crate) retirements: u64,
    pub(crate) aged: u64,
    pub(crate) templates: u64,
    pub(crate) templates_lost: u64,
    pub(crate) ended_well: u64,
    pub(crate) ended_at_boot: u64,
    pub(crate) became_calm: u64,
}

impl Tally {
    fn plus(self, other: Tally) -> Tally {
        Tally {
            steps: self.steps + other.steps,
            spawns: self.spawns + other.spawns,
            crashes: self.crashes + other.crashes,
            boot_failures: self.boot_failures + other.boot_failures,
            kills: self.kills + other.kills,
            timeouts: self.timeouts + other.timeouts,
            reloads: self.reloads + other.reloads,
            reloads_abandoned: self.reloads_abandoned + other.reloads_abandoned,
            retirements: self.retirements + other.retirements,
            aged: self.aged + other.aged,
            templates: self.templates + other.templates,
            templates_lost: self.templates_lost + other.templates_lost,
            ended_well: self.ended_well + other.ended_well,
            ended_at_boot: self.ended_at_boot + other.ended_at_boot,
            became_calm: self.became_calm + other.became_calm,
        }
    }

    fn is_worth_something(self) {
        let least = HISTORIES / 10;
        for (what, count) in [
            ("crashes", self.crashes),
            ("boot failures", self.boot_failures),
            ("kills", self.kills),
            ("timeouts", self.timeouts),
            ("reloads", self.reloads),
            ("reloads abandoned", self.reloads_abandoned),
            ("retirements", self.retirements),
            ("aged", self.aged),
            ("templates", self.templates),
            ("templates lost", self.templates_lost),
            ("ended well", self.ended_well),
            ("ended at boot", self.ended_at_boot),
            ("became calm", self.became_calm),
        ] {
            assert!(count >= least, "only {count} {what}");
        }
        assert_eq!(self.ended_well + self.ended_at_boot, HISTORIES);
        assert!(self.steps > HISTORIES * 100, "only {} steps", self.steps);
    }
}
