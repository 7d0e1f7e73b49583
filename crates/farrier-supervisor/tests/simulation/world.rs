//! The simulated world of the arbiter: processes are records, and the clock jumps from one event to the next.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use farrier_supervisor::{
    Action, Arbiter, ArbiterSettings, Cause, Event, ExitStatus, Notice, Pid, Signal, Spawn, TemplateId, WorkerId,
};

use crate::Tally;
use crate::dice::Dice;
use crate::invariants::Expectation;
use crate::templates::TemplateProcess;

/// The failure rates of this history.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fortune {
    pub(crate) boot_fails_permille: u64,
    pub(crate) fork_fails_permille: u64,
    pub(crate) config_fails_permille: u64,
    /// For serving workers: crash or hang.
    pub(crate) falls_permille: u64,
    pub(crate) retires_permille: u64,
    pub(crate) deaf_permille: u64,
    pub(crate) unkillable_permille: u64,
    /// Of templates that have loaded the application.
    pub(crate) templates_fall_permille: u64,
}

impl Fortune {
    /// Failure rates differ between histories. In every third one no serving worker crashes, so that every gap in
    /// service is the arbiter's fault.
    pub(crate) fn of_seed(seed: u64) -> Fortune {
        let bad = seed % 7 * 60;
        Fortune {
            boot_fails_permille: bad,
            fork_fails_permille: bad / 4,
            config_fails_permille: bad / 2,
            falls_permille: if seed.is_multiple_of(3) { 0 } else { 500 },
            retires_permille: 200,
            deaf_permille: bad / 2,
            unkillable_permille: if seed.is_multiple_of(5) { 100 } else { 0 },
            templates_fall_permille: 300,
        }
    }

    const CALM: Fortune = Fortune {
        boot_fails_permille: 0,
        fork_fails_permille: 0,
        config_fails_permille: 0,
        falls_permille: 0,
        retires_permille: 0,
        deaf_permille: 0,
        unkillable_permille: 0,
        templates_fall_permille: 0,
    };
}

/// A process that the arbiter has not reaped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) spawn: Spawn,
    pub(crate) pid: Pid,
    /// The arbiter knows that it is ready.
    pub(crate) ready: bool,
    /// It got a stop signal, or has announced its end.
    pub(crate) leaving: bool,
    pub(crate) term_at: Option<Duration>,
    pub(crate) killed: bool,
    /// Its template has been asked to fork it and has not done so yet.
    pub(crate) unborn: bool,
    deaf: bool,
    unkillable: bool,
    /// It has ended; the arbiter does not know yet.
    zombie: bool,
}

/// Something that will happen unless its process ends before.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Happening {
    Ready(WorkerId),
    Born(WorkerId),
    TemplateReady(TemplateId),
    TemplateFails(TemplateId, i32),
    TemplateEnds(TemplateId, ExitStatus),
    TemplateReaped(TemplateId, ExitStatus),
    BootFails(WorkerId, i32),
    Ends(WorkerId, ExitStatus),
    Reaped(WorkerId, ExitStatus),
    Hangs(WorkerId),
    Retires(WorkerId),
    Operator(Signal),
}

pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) arbiter: Arbiter,
    pub(crate) processes: BTreeMap<WorkerId, Process>,
    pub(crate) templates: BTreeMap<TemplateId, TemplateProcess>,
    pub(crate) expectation: Expectation,
    pub(crate) tally: Tally,
    /// In this history workers that serve crash or hang by themselves.
    pub(crate) some_fall: bool,
    pub(crate) fortune: Fortune,
    pub(crate) dice: Dice,
    agenda: BTreeMap<(Duration, u64), Happening>,
    happenings: u64,
    pub(crate) pids: Pid,
    told: bool,
}

pub(crate) const GRACEFUL_TIMEOUT: Duration = Duration::from_secs(8);
pub(crate) const SLOTS: u32 = 24;
/// The longest time between a request to fork and its answer.
pub(crate) const BIRTH: Duration = Duration::from_millis(20);
const BOOT_TIMEOUT: Duration = Duration::from_secs(15);
const STEPS_OF_TROUBLE: u64 = 150;

impl World {
    pub(crate) fn new(seed: u64, fortune: Fortune, told: bool) -> World {
        let mut dice = Dice::new(seed);
        let settings = settings(&mut dice);
        World {
            now: Duration::from_secs(1000),
            expectation: Expectation::new(&settings),
            arbiter: Arbiter::new(settings, SLOTS),
            processes: BTreeMap::new(),
            templates: BTreeMap::new(),
            tally: Tally::default(),
            some_fall: fortune.falls_permille > 0,
            fortune,
            dice,
            agenda: BTreeMap::new(),
            happenings: 0,
            pids: 100,
            told,
        }
    }

    pub(crate) fn begin(&mut self) {
        self.tell(Event::Started);
        // A failed first boot ends the history; most histories should be longer.
        if self.dice.permille(850) {
            let fortune = std::mem::replace(&mut self.fortune, Fortune::CALM);
            while !self.expectation.ever_ready && !self.has_ended() {
                self.step();
            }
            self.fortune = fortune;
        }
    }

    pub(crate) fn live_through_trouble(&mut self) {
        let end = self.tally.steps + STEPS_OF_TROUBLE;
        while self.tally.steps < end && !self.has_ended() {
            if self.agenda.is_empty() || self.dice.permille(150) {
                let signal = self.dice.choose(&[
                    Signal::Hup,
                    Signal::Hup,
                    Signal::Hup,
                    Signal::Ttin,
                    Signal::Ttou,
                    Signal::Usr1,
                    Signal::Chld,
                ]);
                self.operator(signal);
            }
            if self.dice.permille(3) {
                let signal = self.dice.choose(&[Signal::Term, Signal::Term, Signal::Int, Signal::Quit]);
                self.operator(signal);
            }
            self.step();
        }
    }

    /// Failures stop; after a while exactly the wanted workers serve, and no wake-up is pending.
    pub(crate) fn become_calm(&mut self) {
        self.fortune = Fortune::CALM;
        let is_trouble = |happening: &Happening| matches!(happening, Happening::Operator(_) | Happening::Hangs(_));
        self.agenda.retain(|_, happening| !is_trouble(happening));
        // Longer than a boot that hangs, twice a drain, and the longest delay before a respawn.
        let until = self.now + Duration::from_secs(120);
        while self.next_time().is_some_and(|at| at <= until) && !self.has_ended() {
            self.step();
        }
        if !self.has_ended() && !self.is_stopping() {
            self.check_calm();
            self.tally.became_calm += 1;
        }
    }

    pub(crate) fn stop(&mut self) {
        let signal = self.dice.choose(&[Signal::Term, Signal::Int, Signal::Quit]);
        self.tell(Event::Signal(signal));
    }

    pub(crate) fn run_to_the_end(&mut self) {
        if !self.has_ended() && !self.is_stopping() {
            self.stop();
        }
        while !self.has_ended() {
            self.step();
        }
        self.check_end();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.expectation.exit.is_some()
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.expectation.stop_until.is_some()
    }

    /// The next happening, or the time that the arbiter has asked for.
    fn step(&mut self) {
        let tick = self.arbiter.wake_at();
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        let Some(at) = self.next_time() else {
            panic!("nothing will ever happen, and the server has not ended");
        };
        assert!(at >= self.now);
        self.now = at;
        if tick.is_some_and(|tick| next.is_none_or(|next| tick < next)) {
            self.tell(Event::Tick);
        } else if let Some((_, happening)) = self.agenda.pop_first() {
            self.happen(happening);
        }
    }

    fn next_time(&self) -> Option<Duration> {
        let next = self.agenda.first_key_value().map(|((at, _), _)| *at);
        [next, self.arbiter.wake_at()].into_iter().flatten().min()
    }

    fn happen(&mut self, happening: Happening) {
        let living = |world: &World, worker: &WorkerId| world.processes.get(worker).is_some_and(|found| !found.zombie);
        match happening {
            Happening::Operator(signal) => self.tell(Event::Signal(signal)),
            Happening::Born(worker) if self.processes.get(&worker).is_some_and(|found| found.unborn) => {
                self.is_born(worker)
            }
            Happening::TemplateReady(..)
            | Happening::TemplateFails(..)
            | Happening::TemplateEnds(..)
            | Happening::TemplateReaped(..) => self.happen_to_template(happening),
            Happening::Ready(worker) if living(self, &worker) => self.becomes_ready(worker),
            Happening::BootFails(worker, code) if living(self, &worker) => {
                self.tally.boot_failures += 1;
                if let Some(process) = self.processes.get_mut(&worker) {
                    if !process.leaving {
                        self.expectation.boot_failed(process.spawn.generation);
                    }
                    process.leaving = true;
                }
                self.tell(Event::BootFailed { worker, code });
                let after = self.dice.within(Duration::from_millis(200));
                self.later(after, Happening::Ends(worker, ExitStatus::Code(code)));
            }
            Happening::Ends(worker, status) if living(self, &worker) => {
                if let Some(process) = self.processes.get_mut(&worker) {
                    process.zombie = true;
                }
                let after = self.dice.within(Duration::from_millis(5));
                self.later(after, Happening::Reaped(worker, status));
            }
            Happening::Reaped(worker, status) => {
                let Some(process) = self.processes.remove(&worker) else { return };
                if !process.ready && !process.leaving {
                    self.tally.boot_failures += 1;
                    self.expectation.boot_failed(process.spawn.generation);
                }
                self.tally.crashes += u64::from(!process.leaving);
                self.tell(Event::Exited { worker, status });
            }
            Happening::Hangs(worker) if living(self, &worker) => {
                self.tally.timeouts += 1;
                let silence =
                    if self.tally.timeouts.is_multiple_of(2) { Event::Unanswered } else { Event::HeartbeatStale };
                self.tell(silence(worker));
            }
            Happening::Retires(worker) if living(self, &worker) => {
                self.tally.retirements += 1;
                let cause = self.dice.choose(&[Cause::Requests, Cause::Stuck, Cause::Memory { rss_bytes: 1 << 30 }]);
                self.tell(Event::Retiring { worker, cause });
            }
            _ => {}
        }
    }

    fn becomes_ready(&mut self, worker: WorkerId) {
        let Some(process) = self.processes.get_mut(&worker) else { return };
        process.ready = true;
        if !process.leaving {
            self.expectation.ready(process.spawn.generation);
        }
        self.tell(Event::Ready(worker));
        if self.dice.permille(self.fortune.falls_permille) {
            let after = self.dice.choose(&[Duration::from_millis(10), Duration::from_secs(3), Duration::from_secs(40)]);
            let after = self.dice.within(after);
            let fall = match self.dice.between(0, 3) {
                0 => Happening::Hangs(worker),
                1 => Happening::Ends(worker, ExitStatus::Code(0)),
                2 => Happening::Ends(worker, ExitStatus::Code(255)),
                _ => Happening::Ends(worker, ExitStatus::Signal(11)),
            };
            self.later(after, fall);
        }
        if self.dice.permille(self.fortune.retires_permille) {
            let after = self.dice.within(Duration::from_secs(20));
            self.later(after, Happening::Retires(worker));
        }
    }

    /// Sends an event to the arbiter, performs its actions, and sends it the results, until there are no more actions.
    pub(crate) fn tell(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            self.tally.steps += 1;
            self.before_event(&event);
            let actions = self.arbiter.on(event.clone(), self.now);
            if self.told {
                println!("{:>12.3?} {event:?} -> {actions:?}", self.now.as_secs_f64());
            }
            for action in &actions {
                if let Some(answer) = self.perform(action) {
                    events.push_back(answer);
                }
            }
            self.after_event(&event, &actions);
        }
        self.check_clock();
    }

    fn perform(&mut self, action: &Action) -> Option<Event> {
        self.check_action(action);
        match action {
            Action::Spawn(spawn) => match spawn.template {
                None => Some(self.fork(*spawn)),
                Some(template) => self.ask_template(template, *spawn),
            },
            Action::StartTemplate(spawn) => Some(self.start_template(*spawn)),
            Action::SignalTemplate { template, signal, .. } => {
                self.deliver_to_template(*template, *signal);
                None
            }
            Action::Signal { worker, signal, .. } => {
                self.deliver(*worker, *signal);
                None
            }
            Action::ReadConfig { .. } => Some(if self.dice.permille(self.fortune.config_fails_permille) {
                Event::ReloadFailed("an error".to_owned())
            } else {
                Event::Reloaded(settings(&mut self.dice))
            }),
            Action::Notify(notice) => {
                self.tally.reloads += u64::from(matches!(notice, Notice::Reloaded { .. }));
                self.tally.reloads_abandoned += u64::from(matches!(notice, Notice::ReloadAbandoned { .. }));
                None
            }
            Action::Exit(code) => {
                self.expectation.exit = Some(*code);
                let well = *code == 0;
                self.tally.ended_well += u64::from(well);
                self.tally.ended_at_boot += u64::from(!well);
                None
            }
            Action::Log { message, .. } => {
                self.tally.aged += u64::from(message.contains("has lived for"));
                None
            }
            Action::CloseListeners => None,
        }
    }

    pub(crate) fn fork(&mut self, spawn: Spawn) -> Event {
        let worker = spawn.worker;
        if self.dice.permille(self.fortune.fork_fails_permille) {
            return Event::ForkFailed { worker, reason: "no memory".to_owned() };
        }
        self.tally.spawns += 1;
        self.pids += 1;
        let process = Process {
            spawn,
            pid: self.pids,
            ready: false,
            leaving: false,
            term_at: None,
            killed: false,
            unborn: false,
            deaf: self.dice.permille(self.fortune.deaf_permille),
            unkillable: self.dice.permille(self.fortune.unkillable_permille),
            zombie: false,
        };
        self.processes.insert(worker, process);
        // An event of a worker that is not forked yet has no effect.
        let born = if spawn.template.is_some() { BIRTH } else { Duration::ZERO };
        let after = born + self.dice.within(Duration::from_secs(3));
        if self.dice.permille(self.fortune.boot_fails_permille) {
            match self.dice.between(0, 5) {
                // It hangs until the boot timeout.
                0 => {}
                1 => self.later(after, Happening::Ends(worker, ExitStatus::Signal(9))),
                2 => self.later(after, Happening::Ends(worker, ExitStatus::Code(3))),
                3 => self.later(after, Happening::BootFails(worker, 4)),
                _ => self.later(after, Happening::BootFails(worker, 3)),
            }
        } else {
            self.later(after, Happening::Ready(worker));
        }
        Event::Spawned { worker, pid: self.pids }
    }

    fn deliver(&mut self, worker: WorkerId, signal: Signal) {
        let now = self.now;
        let Some(process) = self.processes.get_mut(&worker) else { return };
        let longest = match signal {
            Signal::Kill => {
                process.killed = true;
                self.tally.kills += 1;
                if process.unkillable {
                    return;
                }
                Duration::from_millis(20)
            }
            Signal::Usr1 => return,
            _ => {
                process.leaving = true;
                if signal == Signal::Term {
                    process.term_at = process.term_at.or(Some(now));
                }
                if process.deaf {
                    return;
                }
                match signal {
                    // Some finish in time, some would not.
                    Signal::Term if process.ready => GRACEFUL_TIMEOUT + GRACEFUL_TIMEOUT / 4,
                    Signal::Quit | Signal::Abrt => Duration::from_millis(1500),
                    _ => Duration::from_millis(10),
                }
            }
        };
        let status = match signal {
            Signal::Kill => ExitStatus::Signal(9),
            Signal::Abrt => ExitStatus::Signal(6),
            _ if process.ready => ExitStatus::Code(0),
            signal => ExitStatus::Signal(signal.number()),
        };
        let after = self.dice.within(longest);
        self.later(after, Happening::Ends(worker, status));
    }

    fn operator(&mut self, signal: Signal) {
        let after = self.dice.choose(&[Duration::ZERO, Duration::from_secs(1), Duration::from_secs(20)]);
        let after = self.dice.within(after);
        self.later(after, Happening::Operator(signal));
    }

    pub(crate) fn later(&mut self, after: Duration, happening: Happening) {
        self.happenings += 1;
        self.agenda.insert((self.now + after, self.happenings), happening);
    }
}

fn settings(dice: &mut Dice) -> ArbiterSettings {
    ArbiterSettings {
        workers: u32::try_from(dice.choose(&[1_u64, 1, 2, 3, 4, 5])).expect("small"),
        preload: dice.permille(400),
        graceful_timeout: GRACEFUL_TIMEOUT,
        boot_timeout: Some(BOOT_TIMEOUT),
        max_worker_lifetime: dice.permille(250).then(|| Duration::from_secs(10)),
        max_worker_lifetime_jitter: Duration::from_secs(dice.between(0, 10)),
        jitter_seed: dice.between(0, 1000),
        ..ArbiterSettings::default()
    }
}
