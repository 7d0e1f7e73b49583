//! Reload: a whole new generation starts beside the old one, and each new worker that is ready replaces an old one. A
//! generation that cannot be loaded is abandoned, and the old one keeps serving.

use std::time::Duration;

use super::Arbiter;
use super::crew::{Crew, count, workers_max};
use super::event::{Action, Level, Notice, log};
use super::phase::{Phase, Reload, Surge};
use super::settings::ArbiterSettings;
use super::template::Nursery;
use super::worker::{Retirement, Side, State};

impl Arbiter {
    /// A reload is wanted; `why` is for the log.
    pub(super) fn ask_for_reload(&mut self, why: &str, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        if self.leave_at.is_some() {
            log(out, Level::Info, format!("{why} ignored: the server is about to stop"));
            return;
        }
        log(out, Level::Info, format!("{why}: Master"));
        match self.reload {
            Reload::None => self.read_config(out),
            Reload::Reading | Reload::Surging(_) => self.reload_queued = true,
        }
    }

    fn read_config(&mut self, out: &mut Vec<Action>) {
        self.reload = Reload::Reading;
        self.reload_queued = false;
        out.push(Action::Notify(Notice::Reloading));
        out.push(Action::ReadConfig { generation: self.last_generation + 1 });
    }

    pub(super) fn reload_read(&mut self, settings: ArbiterSettings, out: &mut Vec<Action>) {
        if !matches!((&self.phase, &self.reload), (Phase::Running, Reload::Reading)) {
            return;
        }
        self.last_generation += 1;
        let max = workers_max(self.slots);
        if settings.workers > max {
            let line =
                format!("{} workers are more than the {max} there is room for until a restart", settings.workers);
            log(out, Level::Warning, line);
        }
        let (old, new) = (self.current.wanted, settings.workers.clamp(1, max));
        if old != new {
            out.push(Action::Notify(Notice::WorkersChanged { old: Some(old), new }));
        }
        out.push(Action::Notify(Notice::Renewed { generation: self.last_generation }));
        // All workers are about to be replaced. None needs its own successor, unless this reload is abandoned.
        for worker in self.workers.values_mut().filter(|worker| worker.retirement == Retirement::Granted) {
            worker.retirement = Retirement::Wanted;
        }
        let nursery = Nursery::new(settings.preload);
        let next = Crew::new(Side::Next, self.last_generation, new, nursery);
        self.reload = Reload::Surging(Box::new(Surge { next, settings, proven: false }));
    }

    pub(super) fn reload_failed(&mut self, reason: &str, out: &mut Vec<Action>) {
        if !matches!((&self.phase, &self.reload), (Phase::Running, Reload::Reading)) {
            return;
        }
        self.reload = Reload::None;
        self.report_abandoned(reason, out);
    }

    /// Stops the new generation and restores the old one to its full number.
    pub(super) fn abandon_reload(&mut self, reason: &str, now: Duration, out: &mut Vec<Action>) {
        let Reload::Surging(surge) = std::mem::replace(&mut self.reload, Reload::None) else { return };
        let going: Vec<_> = surge.next.members(&self.workers).map(|worker| worker.id()).collect();
        for id in going {
            self.drain(id, now, out);
        }
        // From here on they are leaving processes, and their generation does not matter.
        self.workers.values_mut().for_each(|worker| worker.side = Side::Current);
        self.current.want(self.current.wanted);
        if surge.next.wanted != self.current.wanted {
            let (old, new) = (Some(surge.next.wanted), self.current.wanted);
            out.push(Action::Notify(Notice::WorkersChanged { old, new }));
        }
        self.report_abandoned(reason, out);
    }

    fn report_abandoned(&mut self, reason: &str, out: &mut Vec<Action>) {
        let generation = self.current.generation;
        log(out, Level::Error, format!("Reload abandoned: {reason}; generation {generation} goes on serving"));
        out.push(Action::Notify(Notice::ReloadAbandoned { generation }));
        if std::mem::take(&mut self.reload_queued) {
            self.read_config(out);
        }
    }

    /// Each new worker that is ready replaces an old one; when all are ready, no old one is left.
    pub(super) fn replace_by_ready(&mut self) {
        let Reload::Surging(surge) = &self.reload else { return };
        let ready = surge.next.ready_count(&self.workers);
        let left = if ready >= surge.next.wanted { 0 } else { self.current.wanted.saturating_sub(ready) };
        // Old workers that have left do not come back when a new worker crashes.
        self.current.target = self.current.target.min(left);
    }

    /// Ends the reload when the last process of the old generation has left.
    pub(super) fn finish_reload(&mut self, out: &mut Vec<Action>) {
        if !matches!(self.reload, Reload::Surging(_)) {
            return;
        }
        // A process that was killed and is still there hangs in the kernel; nothing more can be done about it.
        let is_left = |state: &State| !matches!(state, State::Leaving { kill_at: None });
        let old = self.workers.values().filter(|worker| worker.side == Side::Current && is_left(&worker.state));
        if self.current.target > 0 || count(old) > 0 {
            return;
        }
        self.promote(out);
        if std::mem::take(&mut self.reload_queued) {
            self.read_config(out);
        }
    }

    /// A queued reload must not wait for one that cannot be completed. The workers of both generations become the
    /// current crew, and the next reload replaces them all.
    pub(super) fn accept_mixture(&mut self, out: &mut Vec<Action>) {
        log(out, Level::Warning, "Reload incomplete: the next one replaces both generations".to_owned());
        self.promote(out);
        self.read_config(out);
    }

    /// The next crew becomes the current one, together with the workers that are left of the old one.
    fn promote(&mut self, out: &mut Vec<Action>) {
        let Reload::Surging(surge) = std::mem::replace(&mut self.reload, Reload::None) else { return };
        let Surge { next, settings, .. } = *surge;
        self.settings = settings;
        self.current = Crew { side: Side::Current, ..next };
        self.workers.values_mut().for_each(|worker| worker.side = Side::Current);
        let generation = self.current.generation;
        log(out, Level::Info, format!("Reloaded: generation {generation} serves"));
        out.push(Action::Notify(Notice::Reloaded { generation }));
    }
}
