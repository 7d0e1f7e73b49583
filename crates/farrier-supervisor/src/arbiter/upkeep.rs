//! What is, compared with what is wanted: after each event the difference becomes actions.

use std::time::Duration;

use super::Arbiter;
use super::crew::{Vacancy, count};
use super::event::{Action, Spawn, TemplateId, WorkerId};
use super::phase::{Phase, Reload};
use super::worker::{Retirement, Side, State, Worker};
use crate::signals::Signal;

impl Arbiter {
    /// Acts on the difference between what is and what is wanted.
    pub(super) fn reconcile(&mut self, now: Duration, out: &mut Vec<Action>) {
        match self.phase {
            Phase::New | Phase::Ended => {}
            Phase::Stopping(_) => {
                self.enforce_deadlines(now, out);
                self.enforce_template_deadlines(now, out);
                self.stop_strange_templates(now, out);
                self.advance_stop(now, out);
            }
            Phase::Running => {
                self.leave_when_due(now, out);
                if !matches!(self.phase, Phase::Running) {
                    return self.reconcile(now, out);
                }
                self.enforce_deadlines(now, out);
                self.enforce_template_deadlines(now, out);
                // A boot that took too long may have been the end.
                if !matches!(self.phase, Phase::Running) {
                    self.stop_strange_templates(now, out);
                    return;
                }
                self.replace_by_ready();
                self.balance(now, out);
                self.finish_reload(out);
                self.retire_aged(now, out);
                self.retire_next(now, out);
                self.stop_strange_templates(now, out);
                self.start_templates(now, out);
                self.fill_vacancies(now, out);
            }
        }
    }

    fn enforce_deadlines(&mut self, now: Duration, out: &mut Vec<Action>) {
        let due: Vec<WorkerId> = self
            .workers
            .values()
            .filter(|worker| worker.deadline().is_some_and(|deadline| deadline <= now))
            .map(Worker::id)
            .collect();
        for id in due {
            match self.workers.get_mut(&id) {
                Some(worker) if worker.is_booting() => self.boot_overdue(id, now, out),
                Some(worker) => {
                    worker.signal(Signal::Kill, out);
                    worker.killed = true;
                    worker.state = State::Leaving { kill_at: None };
                }
                None => {}
            }
        }
    }

    fn balance(&mut self, now: Duration, out: &mut Vec<Action>) {
        let mut surplus = self.current.balance(&self.workers, now);
        if let Reload::Surging(surge) = &mut self.reload {
            surplus.extend(surge.next.balance(&self.workers, now));
        }
        for id in surplus {
            self.drain(id, now, out);
        }
    }

    /// Asks a worker to finish and leave.
    pub(super) fn drain(&mut self, id: WorkerId, now: Duration, out: &mut Vec<Action>) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.signal(Signal::Term, out);
            worker.state = State::Leaving { kill_at: Some(now + self.settings.graceful_timeout) };
        }
    }

    fn fill_vacancies(&mut self, now: Duration, out: &mut Vec<Action>) {
        while self.has_room() {
            // The crew that serves comes first.
            let Some((side, template, vacancy)) =
                [Side::Current, Side::Next].into_iter().find_map(|side| self.take_due(side, now))
            else {
                return;
            };
            self.spawn(side, template, vacancy, now, out);
        }
    }

    /// The first vacancy of a side that can be filled now, and the template that will do it.
    fn take_due(&mut self, side: Side, now: Duration) -> Option<(Side, Option<TemplateId>, Vacancy)> {
        let crew = self.crews().find(|crew| crew.side == side)?;
        let template = self.nursery_of(crew)?;
        let crew = match (side, &mut self.reload) {
            (Side::Next, Reload::Surging(surge)) => &mut surge.next,
            _ => &mut self.current,
        };
        Some((side, template, crew.take_due(&self.workers, now)?))
    }

    fn spawn(
        &mut self,
        side: Side,
        template: Option<TemplateId>,
        vacancy: Vacancy,
        now: Duration,
        out: &mut Vec<Action>,
    ) {
        let taken: Vec<u32> = self.workers.values().map(|worker| worker.spawn.slot).collect();
        let slot = (0..self.slots).find(|slot| !taken.contains(slot)).unwrap_or(0);
        let (generation, boot_timeout) = match (&self.reload, side) {
            (Reload::Surging(surge), Side::Next) => (surge.next.generation, surge.settings.boot_timeout),
            _ => (self.current.generation, self.settings.boot_timeout),
        };
        self.last_worker += 1;
        let worker = WorkerId(self.last_worker);
        let Vacancy { number, restarts, early_deaths, .. } = vacancy;
        let spawn = Spawn { worker, number, slot, generation, restarts, template };
        let until = boot_timeout.map(|timeout| now + timeout);
        self.workers.insert(
            worker,
            Worker {
                spawn,
                pid: None,
                side,
                state: State::Booting { until },
                spawned_at: now,
                ready_since: None,
                early_deaths,
                retirement: Retirement::None,
                outgrown_early: false,
                killed: false,
                slain: false,
            },
        );
        out.push(Action::Spawn(spawn));
    }

    /// Whether one more process may live: twice the workers for a reload and two for those that will not leave, but
    /// always one if nobody serves or is about to.
    pub(super) fn has_room(&self) -> bool {
        let living = count(self.workers.values());
        if living >= self.slots {
            return false;
        }
        let wanted = self.crews().map(|crew| crew.wanted).max().unwrap_or(1);
        living < wanted.saturating_mul(2).saturating_add(2)
            || !self.workers.values().any(|worker| worker.is_ready() || worker.is_booting())
    }
}
