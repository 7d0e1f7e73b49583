//! The invariants after every step, from the world's own bookkeeping and never from the arbiter's.

use std::collections::BTreeMap;
use std::time::Duration;

use farrier_supervisor::arbiter::{KILL_TIMEOUT, QUICK_TIMEOUT};
use farrier_supervisor::{Action, ArbiterSettings, Event, Notice, Signal};

use crate::world::{GRACEFUL_TIMEOUT, Process, SLOTS, World};

/// What the arbiter must do, as far as the world knows.
pub(crate) struct Expectation {
    /// The number of workers that operator and configuration have asked for; and that of the next generation.
    wanted: u32,
    wanted_next: Option<u32>,
    /// The number that the arbiter has announced.
    announced: Option<u32>,
    pub(crate) ever_ready: bool,
    /// A worker could not boot before any could.
    never_booted: bool,
    /// By then the server must have ended.
    pub(crate) stop_until: Option<Duration>,
    pub(crate) exit: Option<i32>,
    listeners_closed: bool,
    /// A HUP has not been followed by a reading of the configuration.
    reload_owed: bool,
    /// The generation that serves, and whether a worker of a younger one was ready.
    generation: u64,
    next_proven: bool,
    /// An unproven generation has failed, and the reload must be abandoned in the same answer.
    must_abandon: bool,
    /// Which generations have a template, by their number; and the number that is being read.
    preloads: BTreeMap<u64, bool>,
    reading: u64,
}

const WANTED_MAX: u32 = SLOTS / 2 - 1;

impl Expectation {
    pub(crate) fn new(settings: &ArbiterSettings) -> Expectation {
        Expectation {
            wanted: settings.workers,
            wanted_next: None,
            announced: None,
            ever_ready: false,
            never_booted: false,
            stop_until: None,
            exit: None,
            listeners_closed: false,
            reload_owed: false,
            generation: 1,
            next_proven: false,
            must_abandon: false,
            preloads: BTreeMap::from([(1, settings.preload)]),
            reading: 1,
        }
    }

    /// A worker of that generation has failed to boot before it got a stop signal.
    pub(crate) fn boot_failed(&mut self, generation: u64) {
        if self.stop_until.is_some() {
            return;
        }
        self.never_booted |= !self.ever_ready;
        self.must_abandon |= self.ever_ready && generation > self.generation && !self.next_proven;
    }

    pub(crate) fn ready(&mut self, generation: u64) {
        self.ever_ready = true;
        self.next_proven |= generation > self.generation;
    }

    fn each_wanted(&mut self, change: impl Fn(u32) -> u32) {
        self.wanted = change(self.wanted);
        self.wanted_next = self.wanted_next.map(change);
    }
}

impl World {
    pub(crate) fn before_event(&mut self, event: &Event) {
        let stopping = self.is_stopping();
        let expectation = &mut self.expectation;
        match event {
            _ if stopping => {}
            Event::Signal(Signal::Ttin) => expectation.each_wanted(|wanted| (wanted + 1).min(WANTED_MAX)),
            Event::Signal(Signal::Ttou) => expectation.each_wanted(|wanted| (wanted - 1).max(1)),
            Event::Signal(Signal::Term) => {
                expectation.stop_until = Some(self.now + GRACEFUL_TIMEOUT + KILL_TIMEOUT);
            }
            Event::Signal(Signal::Hup) => expectation.reload_owed = true,
            Event::Reloaded(settings) => {
                expectation.wanted_next = Some(settings.workers);
                expectation.preloads.insert(expectation.reading, settings.preload);
            }
            _ => {}
        }
        // A second signal makes a graceful stop quick, and never a quick one slow.
        if matches!(event, Event::Signal(Signal::Int | Signal::Quit)) {
            let quick = self.now + QUICK_TIMEOUT + KILL_TIMEOUT;
            expectation.stop_until = Some(expectation.stop_until.map_or(quick, |until| until.min(quick)));
        }
    }

    /// Before an action is performed.
    pub(crate) fn check_action(&mut self, action: &Action) {
        assert_eq!(self.expectation.exit, None, "nothing after the end");
        match action {
            Action::Spawn(spawn) => {
                assert!(!self.is_stopping(), "no worker is born into a server that stops");
                assert!(spawn.slot < SLOTS);
                assert!(self.processes.values().all(|other| other.spawn.slot != spawn.slot), "a slot has one worker");
                assert!(self.processes.values().all(|other| other.spawn.worker != spawn.worker));
                // Twice the workers, two that will not leave, or the only one.
                let wanted = self.expectation.wanted.max(self.expectation.wanted_next.unwrap_or(1));
                let living = u32::try_from(self.processes.len()).expect("few");
                let nobody = self.processes.values().all(|process| process.leaving);
                assert!(living < 2 * wanted + 2 || nobody, "{living} processes for {wanted} workers");
                let preloads = self.expectation.preloads[&spawn.generation];
                assert_eq!(spawn.template.is_some(), preloads, "{spawn:?}");
                if let Some(template) = spawn.template.and_then(|id| self.templates.get(&id)) {
                    assert!(template.ready && !template.leaving, "asked of {template:?}");
                    assert_eq!(template.spawn.generation, spawn.generation);
                }
                let peers = self
                    .processes
                    .values()
                    .filter(|other| other.spawn.generation == spawn.generation && !other.leaving && !other.unborn);
                let peers = u32::try_from(peers.count()).expect("few");
                assert!(peers <= wanted, "{peers} serve or boot already: recycling is one at a time");
                let twin = self.processes.values().find(|other| {
                    other.spawn.generation == spawn.generation
                        && other.spawn.number == spawn.number
                        && !other.leaving
                        && !other.unborn
                });
                assert!(twin.is_none_or(|twin| twin.ready), "two of the same number only when one relieves the other");
            }
            Action::Signal { worker, pid, signal } => {
                let Some(process) = self.processes.get(worker) else {
                    panic!("{signal:?} to {worker:?}, which was reaped: the pid may be another's by now");
                };
                assert_eq!(process.pid, *pid);
                assert!(!process.killed || *signal == Signal::Usr1, "{signal:?} to one that was killed");
                if *signal == Signal::Kill {
                    assert!(process.leaving, "one that was never asked is not killed");
                }
                assert!(*signal != Signal::Quit || process.ready, "the default action of QUIT dumps the core");
                if *signal == Signal::Abrt && !process.ready && !process.leaving {
                    // Its boot took too long, which counts as a failure.
                    self.expectation.boot_failed(process.spawn.generation);
                }
            }
            Action::StartTemplate(spawn) => {
                assert!(!self.is_stopping(), "no template is born into a server that stops");
                let twin =
                    self.templates.values().find(|other| other.spawn.generation == spawn.generation && !other.leaving);
                assert!(twin.is_none(), "a generation has one template: {twin:?}");
                assert!(self.expectation.preloads[&spawn.generation]);
            }
            Action::SignalTemplate { template, pid, signal } => {
                let Some(process) = self.templates.get(template) else {
                    panic!("{signal:?} to {template:?}, which was reaped: the pid may be another's by now");
                };
                assert_eq!(process.pid, *pid);
                assert!(!process.killed, "{signal:?} to one that was killed");
                if *signal == Signal::Kill && !process.ready && !process.leaving {
                    self.expectation.boot_failed(process.spawn.generation);
                }
            }
            Action::CloseListeners => {
                assert!(!self.expectation.listeners_closed);
                self.expectation.listeners_closed = true;
                if self.expectation.never_booted {
                    self.expectation.stop_until = Some(self.now + QUICK_TIMEOUT + KILL_TIMEOUT);
                }
            }
            Action::Notify(Notice::WorkersChanged { old, new }) => {
                assert_eq!(*old, self.expectation.announced);
                self.expectation.announced = Some(*new);
            }
            Action::ReadConfig { generation } => {
                assert!(*generation > self.expectation.generation, "each reading makes a generation of its own");
                assert!(self.expectation.reload_owed, "nobody asked for this reload");
                self.expectation.reload_owed = false;
                self.expectation.reading = *generation;
            }
            Action::Notify(Notice::Reloaded { generation }) => {
                self.expectation.generation = *generation;
                self.expectation.next_proven = false;
                let next = self.expectation.wanted_next.take();
                self.expectation.wanted = next.expect("a reload was on its way");
            }
            Action::Notify(Notice::ReloadAbandoned { generation }) => {
                assert_eq!(*generation, self.expectation.generation);
                assert!(!self.expectation.next_proven, "a generation that can be loaded is not given up");
                let stays = self
                    .processes
                    .values()
                    .find(|process| process.spawn.generation > *generation && !process.leaving && !process.unborn);
                assert!(stays.is_none(), "{stays:?} is of the generation that was given up");
                self.expectation.wanted_next = None;
                self.expectation.must_abandon = false;
            }
            _ => {}
        }
    }

    /// After all actions of one answer were performed.
    pub(crate) fn after_event(&mut self, event: &Event, actions: &[Action]) {
        let exits = actions.iter().filter(|action| matches!(action, Action::Exit(_))).count();
        assert!(exits == 0 || matches!(actions.last(), Some(Action::Exit(_))), "the exit comes last");
        assert_eq!(self.is_stopping(), self.expectation.listeners_closed, "a server that stops takes no more");
        let expectation = &self.expectation;
        assert!(!expectation.must_abandon || self.is_stopping(), "a reload that cannot boot is given up");
        assert!(!expectation.never_booted || self.is_stopping(), "a server that cannot boot ends");

        if !self.is_stopping() {
            let wanted = expectation.wanted_next.unwrap_or(expectation.wanted);
            assert_eq!(expectation.announced, Some(wanted));
            self.check_service(event, actions);
        }
        if let Some(until) = expectation.stop_until {
            assert!(self.now <= until, "the stop should have ended at {until:?}");
        }
        let late = |process: &Process| process.term_at.is_some_and(|at| at + GRACEFUL_TIMEOUT <= self.now);
        for process in self.processes.values().filter(|process| late(process)) {
            assert!(process.killed || self.has_ended(), "{process:?} has had its time");
        }
    }

    /// No serving worker is stopped unless enough others serve.
    fn check_service(&self, event: &Event, actions: &[Action]) {
        let serving = self.processes.values().filter(|process| process.ready && !process.leaving).count();
        let drained = actions.iter().any(|action| match action {
            Action::Signal { worker, signal: Signal::Term, .. } => self.processes[worker].ready,
            _ => false,
        });
        let least = self.expectation.wanted.min(self.expectation.wanted_next.unwrap_or(u32::MAX));
        assert!(!drained || serving >= least as usize, "{event:?} left only {serving} of {least} serving");
        // If no worker crashes by itself, at least one serves from the first worker to the stop.
        assert!(self.some_fall || !self.expectation.ever_ready || serving > 0, "{event:?} left nobody serving");
    }

    /// The arbiter has done everything that was due, or it would wake at once, again and again.
    pub(crate) fn check_clock(&self) {
        if let Some(at) = self.arbiter.wake_at() {
            assert!(at > self.now, "a tick at {at:?} would be a busy loop");
        }
    }

    pub(crate) fn check_calm(&self) {
        let serving = self.processes.values().filter(|process| process.ready && !process.leaving).count();
        assert_eq!(serving, self.expectation.wanted as usize, "those wanted serve");
        assert_eq!(self.expectation.wanted_next, None, "no reload is left hanging");
        assert!(!self.expectation.reload_owed, "no HUP was forgotten");
        let templates: Vec<_> = self.templates.values().map(|found| (found.spawn.generation, found.ready)).collect();
        let preloads = self.expectation.preloads[&self.expectation.generation];
        let one = [(self.expectation.generation, true)];
        assert_eq!(templates, if preloads { &one[..] } else { &[] }, "the generation that serves has its template");
        // If workers have a maximum age, there is always a next wake-up.
        if self.arbiter.settings().max_worker_lifetime.is_none() {
            let others = self.processes.values().filter(|process| process.leaving && !process.killed).count();
            assert_eq!(others, 0, "all others have left, or the kernel holds them");
            assert_eq!(self.arbiter.wake_at(), None, "nobody needs a tick");
        }
    }

    pub(crate) fn check_end(&self) {
        let code = self.expectation.exit.expect("ended");
        if self.expectation.never_booted {
            assert!(code == 3 || code == 4, "a server that never booted says so, not {code}");
        } else {
            assert_eq!(code, 0, "a stop that was asked for is a success");
        }
        assert!(self.processes.values().all(|process| process.killed), "nobody is left behind without a KILL");
        assert!(self.templates.values().all(|process| process.killed), "no template either");
        assert_eq!(self.arbiter.wake_at(), None);
    }
}
