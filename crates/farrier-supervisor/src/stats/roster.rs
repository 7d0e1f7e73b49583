//! The workers of each slot of the page, for the statistics.

use std::collections::BTreeMap;

use crate::heartbeat::{Counter, HeartbeatPage};
use crate::process::Pid;

/// The slots that ever had a worker.
#[derive(Debug, Default)]
pub(super) struct Roster {
    pub(super) places: BTreeMap<u32, Place>,
}

/// A slot and its workers.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// The living worker.
    pub(super) pid: Option<Pid>,
    /// How many there were.
    pub(super) spawns: u64,
    /// The time of day at which the last one started.
    pub(super) last_spawn_seconds: u64,
    /// Requests of those before it.
    pub(super) requests_before: u64,
    /// At the last reading: requests, and the time that they took.
    seen: (u64, u64),
    average_us: u64,
}

impl Roster {
    pub(super) fn forked(&mut self, slot: u32, pid: Pid, unix_seconds: u64, page: &HeartbeatPage) {
        let place = self.places.entry(slot).or_default();
        place.pid = Some(pid);
        place.spawns += 1;
        place.last_spawn_seconds = unix_seconds;
        place.requests_before = page.slot(slot).map_or(0, |slot| slot.counted(Counter::Requests));
    }

    pub(super) fn ended(&mut self, slot: u32) {
        if let Some(place) = self.places.get_mut(&slot) {
            place.pid = None;
        }
    }
}

impl Place {
    /// The mean time of the calls since the last reading; if there were none, the previous mean.
    ///
    /// # Arguments
    ///
    /// `calls` and `calls_ns` are the slot's sums.
    pub(super) fn average_us(&mut self, calls: u64, calls_ns: u64) -> u64 {
        let (calls_before, ns_before) = self.seen;
        if let Some(average) = calls_ns.saturating_sub(ns_before).checked_div(calls.saturating_sub(calls_before)) {
            self.average_us = average / 1000;
            self.seen = (calls, calls_ns);
        }
        self.average_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_is_that_of_the_last_calls() {
        let mut place = Place::default();
        for (calls, calls_ns, average_us) in
            [(0, 0, 0), (2, 4_000_000, 2000), (2, 4_000_000, 2000), (3, 10_000_000, 6000), (4, 10_000_000, 0)]
        {
            assert_eq!(place.average_us(calls, calls_ns), average_us, "{calls}");
        }
    }

    #[test]
    fn a_slot_remembers_its_workers() {
        let page = HeartbeatPage::new(2).expect("mapped");
        let mut roster = Roster::default();
        roster.forked(1, 10, 100, &page);
        page.slot(1).expect("there").count(Counter::Requests, 7);
        roster.ended(1);
        roster.forked(1, 11, 200, &page);
        let place = &roster.places[&1];
        assert_eq!((place.pid, place.spawns, place.last_spawn_seconds, place.requests_before), (Some(11), 2, 200, 7));
    }
}
