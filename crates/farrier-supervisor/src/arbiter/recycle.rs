//! Recycling: replaces workers that reached their limit of requests, age or memory. The successor is ready before the
//! worker leaves. One worker is replaced at a time, so that workers which started together do not leave together.

use std::time::Duration;

use super::Arbiter;
use super::crew::Vacancy;
use super::event::{Action, Cause, Level, WorkerId, log};
use super::phase::Reload;
use super::settings::respawn_delay;
use super::worker::{Retirement, Worker};

impl Arbiter {
    pub(super) fn retiring(&mut self, id: WorkerId, cause: Cause, now: Duration, out: &mut Vec<Action>) {
        let (healthy_after, limit) = (self.settings.healthy_after, self.settings.max_worker_rss_bytes);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if !worker.is_ready() || worker.retirement != Retirement::None {
            return;
        }
        worker.retirement = Retirement::Wanted;
        let lived = now.saturating_sub(worker.ready_since.unwrap_or(now));
        let pid = worker.pid_text();
        match cause {
            Cause::Requests | Cause::Asked | Cause::Stuck => {}
            Cause::Lifetime => {
                let line = format!("Worker (pid:{pid}) has lived for {} s and is replaced", lived.as_secs());
                log(out, Level::Info, line);
            }
            Cause::Memory { rss_bytes } => {
                // A worker that is too large from the start would be replaced again and again.
                worker.outgrown_early = lived < healthy_after;
                let (holds, may) = (mebibytes(rss_bytes), mebibytes(limit.unwrap_or(0)));
                let line = format!("Worker (pid:{pid}) holds {holds} MiB, more than {may} MiB, and is replaced");
                log(out, if worker.outgrown_early { Level::Warning } else { Level::Info }, line);
            }
        }
    }

    /// Marks workers that have reached their maximum age.
    pub(super) fn retire_aged(&mut self, now: Duration, out: &mut Vec<Action>) {
        let aged: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| self.retires_at(worker).is_some_and(|at| at <= now))
            .map(Worker::id)
            .collect();
        for id in aged {
            self.retiring(id, Cause::Lifetime, now, out);
        }
    }

    /// When a worker reaches its maximum age; `None` if it has none, or is already being replaced.
    pub(super) fn retires_at(&self, worker: &Worker) -> Option<Duration> {
        let lifetime = self.settings.max_worker_lifetime?;
        if !worker.is_ready() || worker.retirement != Retirement::None {
            return None;
        }
        let WorkerId(id) = worker.id();
        let jitter_ms = u64::try_from(self.settings.max_worker_lifetime_jitter.as_millis()).unwrap_or(u64::MAX);
        let extra_ms = scatter(self.settings.jitter_seed ^ id) % jitter_ms.saturating_add(1);
        Some(worker.ready_since? + lifetime + Duration::from_millis(extra_ms))
    }

    /// Retires workers that want to, one at a time and only after a successor serves.
    pub(super) fn retire_next(&mut self, now: Duration, out: &mut Vec<Action>) {
        if !matches!(self.reload, Reload::None | Reload::Reading) {
            return;
        }
        let granted =
            self.workers.values().find(|worker| worker.is_ready() && worker.retirement == Retirement::Granted);
        if let Some(id) = granted.map(Worker::id) {
            if self.current.ready_count(&self.workers) >= self.current.target {
                self.drain(id, now, out);
            }
            return;
        }
        let settled = self.current.ready_count(&self.workers) >= self.current.target;
        let next =
            self.workers.values_mut().find(|worker| worker.is_ready() && worker.retirement == Retirement::Wanted);
        if let (true, Some(worker)) = (settled, next) {
            worker.retirement = Retirement::Granted;
            let (number, restarts) = (worker.spawn.number, worker.spawn.restarts + 1);
            let early_deaths = if worker.outgrown_early { worker.early_deaths.saturating_add(1) } else { 0 };
            let not_before = now + respawn_delay(early_deaths, self.settings.respawn_delay_max);
            self.current.vacancies.push(Vacancy { number, not_before, restarts, early_deaths });
        }
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes >> 20
}

/// A pseudo-random number that depends only on the seed (SplitMix64's final mix), because the arbiter is pure.
fn scatter(seed: u64) -> u64 {
    let mixed = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
