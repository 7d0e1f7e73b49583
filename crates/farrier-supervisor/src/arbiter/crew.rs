//! A crew: the workers of one generation side, as a target number and the vacancies to fill.

use std::collections::BTreeMap;
use std::time::Duration;

use super::event::WorkerId;
use super::settings::{FIRST_DELAY, respawn_delay};
use super::template::Nursery;
use super::worker::{Side, Worker};

/// All living workers; an older one has a smaller id.
pub(super) type Workers = BTreeMap<WorkerId, Worker>;

/// The target of one side.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) side: Side,
    pub(super) generation: u64,
    /// How many workers the operator wants.
    pub(super) wanted: u32,
    /// How many of them this side must still provide: fewer than wanted while a reload replaces them.
    pub(super) target: u32,
    pub(super) vacancies: Vec<Vacancy>,
    /// Where its workers are forked.
    pub(super) nursery: Nursery,
}

/// Kills count as at most this many early deaths in a row.
const SLAIN_DEATHS_MAX: u32 = 2;

/// A worker that is missing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vacancy {
    pub(super) number: u32,
    pub(super) not_before: Duration,
    pub(super) restarts: u32,
    pub(super) early_deaths: u32,
}

impl Crew {
    pub(super) fn new(side: Side, generation: u64, wanted: u32, nursery: Nursery) -> Crew {
        Crew { side, generation, wanted, target: wanted, vacancies: Vec::new(), nursery }
    }

    pub(super) fn want(&mut self, wanted: u32) {
        self.wanted = wanted;
        self.target = wanted;
    }

    pub(super) fn members<'w>(&self, workers: &'w Workers) -> impl Iterator<Item = &'w Worker> + use<'w> {
        let side = self.side;
        workers.values().filter(move |worker| worker.is_member(side))
    }

    pub(super) fn ready_count(&self, workers: &Workers) -> u32 {
        count(self.members(workers).filter(|worker| worker.is_ready()))
    }

    /// Makes vacancies until members and vacancies reach the target, or returns the surplus members.
    ///
    /// Serving workers are given up last: first vacancies, then workers that still boot, then the oldest that serves.
    pub(super) fn balance(&mut self, workers: &Workers, now: Duration) -> Vec<WorkerId> {
        let members = count(self.members(workers));
        let vacancies_wanted = self.target.saturating_sub(members) as usize;
        while self.vacancies.len() < vacancies_wanted {
            let number = self.free_number(workers);
            self.vacancies.push(Vacancy { number, not_before: now, restarts: 0, early_deaths: 0 });
        }
        // The latest vacancies are removed first.
        self.vacancies.sort_by_key(|vacancy| vacancy.not_before);
        self.vacancies.truncate(vacancies_wanted);

        let surplus = members.saturating_sub(self.target) as usize;
        let youngest_booting = self.members(workers).filter(|worker| worker.is_booting()).map(Worker::id);
        let mut youngest_booting: Vec<_> = youngest_booting.collect();
        youngest_booting.reverse();
        let oldest_ready = self.members(workers).filter(|worker| worker.is_ready()).map(Worker::id);
        youngest_booting.into_iter().chain(oldest_ready).take(surplus).collect()
    }

    /// Records the loss of a worker. Its successor gets its number, and a delay after early deaths.
    pub(super) fn lose(&mut self, lost: &Worker, healthy_after: Duration, longest: Duration, now: Duration) {
        let healthy = lost.ready_since.is_some_and(|since| now.saturating_sub(since) >= healthy_after);
        let early_deaths = match lost.early_deaths {
            _ if healthy => 0,
            // The first delay is enough: killing workers one after the other must not stop the service.
            deaths if lost.slain => deaths.max(SLAIN_DEATHS_MAX.min(deaths + 1)),
            deaths => deaths.saturating_add(1),
        };
        let counted = if lost.slain { early_deaths.min(SLAIN_DEATHS_MAX) } else { early_deaths };
        self.vacancies.push(Vacancy {
            number: lost.spawn.number,
            not_before: now + respawn_delay(counted, longest),
            restarts: lost.spawn.restarts.saturating_add(1),
            early_deaths,
        });
    }

    /// Records a failed fork. There is always a delay before the next one, or the arbiter would spin.
    pub(super) fn lose_unforked(&mut self, lost: &Worker, longest: Duration, now: Duration) {
        let early_deaths = lost.early_deaths.saturating_add(1);
        self.vacancies.push(Vacancy {
            number: lost.spawn.number,
            not_before: now + respawn_delay(early_deaths, longest).max(FIRST_DELAY),
            restarts: lost.spawn.restarts,
            early_deaths,
        });
    }

    /// The first vacancy whose time has come.
    pub(super) fn take_due(&mut self, workers: &Workers, now: Duration) -> Option<Vacancy> {
        let due = self.vacancies.iter().position(|vacancy| vacancy.not_before <= now)?;
        let mut vacancy = self.vacancies.remove(due);
        // In a crew of two generations some numbers were used twice.
        if self.members(workers).any(|worker| worker.spawn.number == vacancy.number) {
            vacancy.number = self.free_number(workers);
        }
        Some(vacancy)
    }

    /// The lowest number that no member and no vacancy has.
    fn free_number(&self, workers: &Workers) -> u32 {
        let taken: Vec<u32> = self
            .members(workers)
            .map(|worker| worker.spawn.number)
            .chain(self.vacancies.iter().map(|vacancy| vacancy.number))
            .collect();
        (1..=u32::MAX).find(|number| !taken.contains(number)).unwrap_or(u32::MAX)
    }
}

/// Counts workers as u32: there are fewer workers than slots, whose number is a u32.
pub(super) fn count<'w>(workers: impl Iterator<Item = &'w Worker>) -> u32 {
    u32::try_from(workers.count()).unwrap_or(u32::MAX)
}

/// The largest target with this many slots, since a reload doubles the workers.
pub(super) fn workers_max(slots: u32) -> u32 {
    (slots.saturating_sub(2) / 2).max(1)
}
