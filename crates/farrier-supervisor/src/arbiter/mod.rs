//! The arbiter: a pure state machine from events and the time to actions. It does no I/O: it forks nothing, reads no
//! clock and logs nothing.
//!
//! Every event changes some state. Then `reconcile` compares the actual state with the wanted one and acts on the
//! difference. So no order of events needs its own code.

mod crew;
mod event;
mod life;
mod phase;
mod preload;
mod recycle;
mod reload;
mod settings;
mod stop;
mod template;
mod upkeep;
mod worker;

use std::time::Duration;

pub use event::{
    Action, Cause, EXIT_APPLICATION_NOT_FOUND, EXIT_BOOT_FAILED, Event, Level, Notice, Spawn, TemplateId,
    TemplateSpawn, WorkerId,
};
pub use settings::{ABORT_TIMEOUT, ArbiterSettings, KILL_TIMEOUT, QUICK_TIMEOUT};

use crate::signals::Signal;
use crew::{Crew, Workers, workers_max};
use event::log;
use phase::{Phase, Reload};
use std::collections::BTreeMap;
use template::{Nursery, Template};
use worker::{Side, Worker};

/// Decides which workers live, from the first fork to the last exit.
#[derive(Debug)]
pub struct Arbiter {
    settings: ArbiterSettings,
    slots: u32,
    phase: Phase,
    workers: Workers,
    templates: BTreeMap<TemplateId, Template>,
    current: Crew,
    reload: Reload,
    /// A `HUP` came during a reload: another reload follows.
    reload_queued: bool,
    /// When the requested stop begins.
    leave_at: Option<Duration>,
    /// A worker was ready at least once, so the application can be loaded.
    ever_ready: bool,
    last_generation: u64,
    last_worker: u64,
    last_template: u64,
}

impl Arbiter {
    /// An arbiter that has not started; its first event must be [`Event::Started`].
    ///
    /// # Arguments
    ///
    /// `slots` is how many workers can live at the same time: the slots of the heartbeat page.
    pub fn new(settings: ArbiterSettings, slots: u32) -> Arbiter {
        let wanted = settings.workers.clamp(1, workers_max(slots));
        let nursery = Nursery::new(settings.preload);
        Arbiter {
            settings,
            slots,
            phase: Phase::New,
            workers: Workers::new(),
            templates: BTreeMap::new(),
            current: Crew::new(Side::Current, 1, wanted, nursery),
            reload: Reload::None,
            reload_queued: false,
            leave_at: None,
            ever_ready: false,
            last_generation: 1,
            last_worker: 0,
            last_template: 0,
        }
    }

    /// Handles one event and returns the actions to perform, in order.
    ///
    /// # Arguments
    ///
    /// `now` is monotonic time; it never decreases from one call to the next.
    pub fn on(&mut self, event: Event, now: Duration) -> Vec<Action> {
        let mut out = Vec::new();
        match event {
            Event::Started => self.started(&mut out),
            Event::Signal(signal) => self.signalled(signal, now, &mut out),
            Event::Spawned { worker, pid } => self.spawned(worker, pid, &mut out),
            Event::ForkFailed { worker, reason } => self.fork_failed(worker, &reason, now, &mut out),
            Event::TemplateStarted { template, pid } => self.template_started(template, pid),
            Event::TemplateNotForked { template, reason } => self.template_not_forked(template, &reason, now, &mut out),
            Event::TemplateReady(template) => self.template_ready(template, now, &mut out),
            Event::TemplateFailed { template, code } => self.template_failed(template, code, now, &mut out),
            Event::TemplateExited { template, status } => self.template_exited(template, status, now, &mut out),
            Event::Ready(worker) => self.ready(worker, now, &mut out),
            Event::BootFailed { worker, code } => self.boot_failed(worker, code, now, &mut out),
            Event::Retiring { worker, cause } => self.retiring(worker, cause, now, &mut out),
            Event::CodeChanged(_) => self.ask_for_reload("Code changed", &mut out),
            Event::Exited { worker, status } => self.exited(worker, status, now, &mut out),
            Event::HeartbeatStale(worker) => self.heartbeat_stale(worker, "", now, &mut out),
            Event::Unanswered(worker) => {
                self.heartbeat_stale(worker, " although it runs no call: it does not poll", now, &mut out);
            }
            Event::Reloaded(settings) => self.reload_read(settings, &mut out),
            Event::ReloadFailed(reason) => self.reload_failed(&reason, &mut out),
            Event::Tick => {}
        }
        self.reconcile(now, &mut out);
        out
    }

    /// When the arbiter needs an [`Event::Tick`]; `None` means that it can sleep until something happens.
    pub fn wake_at(&self) -> Option<Duration> {
        let templates = self.templates.values().filter_map(Template::deadline);
        let deadlines = self.workers.values().filter_map(Worker::deadline).chain(templates);
        match &self.phase {
            Phase::New | Phase::Ended => None,
            Phase::Stopping(stop) => deadlines.chain([stop.deadline]).min(),
            Phase::Running => {
                // A vacancy without a free slot waits for an exit, not for the clock.
                let room = self.has_room();
                let able = self.crews().filter(|crew| room && self.nursery_of(crew).is_some());
                let vacancies = able.flat_map(|crew| &crew.vacancies);
                let templates = self.crews().filter_map(Self::template_due);
                let aged = self.workers.values().filter_map(|worker| self.retires_at(worker));
                let due = vacancies.map(|vacancy| vacancy.not_before).chain(templates);
                deadlines.chain(due).chain(aged).chain(self.leave_at).min()
            }
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &ArbiterSettings {
        &self.settings
    }

    /// The generation that serves.
    pub fn generation(&self) -> u64 {
        self.current.generation
    }

    fn started(&mut self, out: &mut Vec<Action>) {
        if matches!(self.phase, Phase::New) {
            self.phase = Phase::Running;
            out.push(Action::Notify(Notice::WorkersChanged { old: None, new: self.current.wanted }));
            out.push(Action::Notify(Notice::Listening));
        }
    }

    fn signalled(&mut self, signal: Signal, now: Duration, out: &mut Vec<Action>) {
        if signal == Signal::Chld {
            return;
        }
        log(out, Level::Info, format!("Handling signal: {}", signal.name()));
        match signal {
            Signal::Term => self.stop_gracefully(now, out),
            Signal::Int | Signal::Quit => self.stop_quickly(now, out),
            Signal::Hup => self.ask_for_reload("Hang up", out),
            Signal::Ttin => self.change_wanted(|wanted| wanted.saturating_add(1), out),
            Signal::Ttou => self.change_wanted(|wanted| wanted.min(wanted.saturating_sub(1).max(1)), out),
            Signal::Usr1 => {
                out.push(Action::Notify(Notice::ReopenLogs));
                self.workers.values().for_each(|worker| worker.signal(Signal::Usr1, out));
            }
            Signal::Usr2 if matches!(self.phase, Phase::Running) => out.push(Action::Notify(Notice::Upgrade)),
            Signal::Usr2 => log(out, Level::Warning, "USR2 signal ignored. The server is stopping.".to_owned()),
            // Until HUP or TTIN brings workers back.
            Signal::Winch if self.settings.daemon => self.change_wanted(|_| 0, out),
            Signal::Winch => log(out, Level::Debug, "SIGWINCH ignored. Not daemonized".to_owned()),
            Signal::Chld | Signal::Abrt | Signal::Kill => {}
        }
    }

    fn change_wanted(&mut self, change: impl Fn(u32) -> u32, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let max = workers_max(self.slots);
        let old = self.newest_wanted();
        // While a reload replaces the current crew, its target only decreases; it must not be raised again.
        let replacing = matches!(self.reload, Reload::Surging(_));
        let changed = change(self.current.wanted).min(max);
        if replacing {
            self.current.wanted = changed;
        } else {
            self.current.want(changed);
        }
        if let Reload::Surging(surge) = &mut self.reload {
            surge.next.want(change(surge.next.wanted).min(max));
        }
        let new = self.newest_wanted();
        if new != old {
            out.push(Action::Notify(Notice::WorkersChanged { old: Some(old), new }));
        }
    }

    fn newest_wanted(&self) -> u32 {
        self.crews().last().map_or(1, |crew| crew.wanted)
    }

    fn crews(&self) -> impl Iterator<Item = &Crew> {
        let next = match &self.reload {
            Reload::Surging(surge) => Some(&surge.next),
            _ => None,
        };
        [&self.current].into_iter().chain(next)
    }

    fn crew_mut(&mut self, side: Side) -> Option<&mut Crew> {
        match (side, &mut self.reload) {
            (Side::Current, _) => Some(&mut self.current),
            (Side::Next, Reload::Surging(surge)) => Some(&mut surge.next),
            (Side::Next, _) => None,
        }
    }
}
