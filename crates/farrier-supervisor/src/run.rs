//! Performs the arbiter's actions: forks, signals, waits, sleeps. The loop of the parent process.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::arbiter::{
    Action, Arbiter, ArbiterSettings, Cause, Event, Level, Notice, Spawn, TemplateId, TemplateSpawn, WorkerId,
};
use crate::clock::monotonic;
use crate::companion::{Companion, Step};
use crate::companion_link::{CompanionLines, CompanionLink};
use crate::heartbeat::{HeartbeatPage, Slot, Watch};
use crate::link::{Link, WorkerLink};
use crate::memory::MemoryWatch;
use crate::nursery::{Errand, Errands, Nursery};
use crate::offspring::{self, ARBITER_SIGNALS, Inheritance};
use crate::process::{self, ExitStatus, Fork, Forked, Pid};
use crate::signals::{Signal, SignalMask, SignalPipe, block_all, ignore_pipe_signal};
use crate::sockets::{Listener, SocketFile, unlink_dropped};

/// Everything that supervision needs from its caller.
pub struct Plan<'p> {
    /// The number of workers, and the time limits.
    pub settings: ArbiterSettings,
    /// Bound already; closed when the server stops. Then their files are removed.
    pub listeners: Vec<Listener>,
    /// Shared memory, made before.
    pub page: HeartbeatPage,
    /// How to fork.
    pub fork: &'p mut dyn Fork,
    /// How to wait: calls the given function, which blocks. An interpreter lets its other threads run meanwhile.
    pub wait: &'p mut dyn FnMut(&mut (dyn FnMut() + Send)),
    /// Called in the arbiter before each worker is forked.
    pub before_fork: &'p mut dyn FnMut(&Spawn),
    /// The code of a worker, from the loading of the application to its end. It runs in the child and returns the exit
    /// code. It owns the listeners, so that it can close them before its end.
    pub worker: &'p mut dyn FnMut(WorkerLink, Vec<Listener>) -> i32,
    /// Called in the arbiter with the pid of each worker.
    pub forked: &'p mut dyn FnMut(&Spawn, Pid),
    /// The code of a template, if [`ArbiterSettings::preload`] asks for one.
    pub preload: Preload<'p>,
    /// Called in the arbiter after a worker has ended, was reaped and was logged.
    pub reaped: &'p mut dyn FnMut(&Spawn, Pid, ExitStatus),
    /// Ends a worker or a template with an exit code, or prepares its end: if it returns, [`supervise`] returns
    /// [`Ended::Child`]. It must not unwind into the parent's frames.
    pub exit_child: &'p mut dyn FnMut(i32),
    /// Writes a line to the error log.
    pub log: &'p mut dyn FnMut(Level, &str),
    /// Reads the configuration again, at `HUP`, for the generation of the given number. Until [`Notice::Reloaded`]
    /// workers of the old generation may still be forked ([`WorkerLink::generation`]), with the old configuration.
    pub read_config: &'p mut ReadConfig<'p>,
    /// Receives the notices in order, for hooks and the service manager.
    pub notice: &'p mut dyn FnMut(Notice),
    /// Other work of the parent; `&mut ()` does nothing.
    pub housekeeping: &'p mut dyn Housekeeping,
    /// A process beside the workers.
    pub companion: Accompany<'p>,
}

/// A process beside the workers, for work that is no request: forked by the arbiter, started again when it dies, replaced
/// after a reload, ended with the server. Nothing waits for it.
pub struct Accompany<'p> {
    /// Its name in the log.
    pub name: &'p str,
    /// Whether there should be one; called at the start and after each reload.
    pub is_wanted: &'p mut dyn FnMut() -> bool,
    /// Its code, which runs in the child until `TERM` and returns the exit code. All descriptors of the arbiter are
    /// closed there except the standard streams, the link's and those it keeps, so nothing else of the arbiter's may be
    /// used. It must end when [`CompanionLink::alive`] reaches its end.
    pub live: &'p mut dyn FnMut(CompanionLink) -> i32,
    /// Descriptors of the arbiter's that it keeps.
    pub keeps: Vec<BorrowedFd<'p>>,
}

/// Other work of the parent: the watchdog of the service manager, and upgrades.
pub trait Housekeeping {
    /// When to call [`Housekeeping::work`], in monotonic time; `None` for never.
    fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// The time has come.
    ///
    /// # Arguments
    ///
    /// `workers` is the number of living workers.
    fn work(&mut self, now: Duration, workers: usize) {
        let _ = (now, workers);
    }

    /// A descriptor that wakes the parent for [`Housekeeping::serve`] when it is readable.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// The parent is awake and the descriptor may be readable. Must not block.
    fn serve(&mut self, now: Duration, listeners: &[Listener]) {
        let _ = (now, listeners);
    }

    /// A successor is wanted (`USR2`); it gets these listeners.
    fn upgrade(&mut self, listeners: &[Listener]) {
        let _ = listeners;
    }

    /// A child that is no worker has ended.
    fn stranger_ended(&mut self, pid: Pid, status: ExitStatus) {
        let _ = (pid, status);
    }

    /// Whether another master serves from the same listeners, so that the files of unix sockets must stay.
    fn shares_listeners(&self) -> bool {
        false
    }
}

impl Housekeeping for () {}

/// The code of a template: a process that loads the application once and forks the workers of a generation. `worker`
/// then runs in a fork of it.
pub struct Preload<'p> {
    /// Loads the application of this generation. The error is the code to exit with, and has been logged.
    pub load: &'p mut dyn FnMut(u64) -> Result<(), i32>,
    /// Opens the logs again, after a rotation.
    pub reopen_logs: &'p mut dyn FnMut(),
    /// Called at the end of a template.
    pub unload: &'p mut dyn FnMut(),
    /// Called in the arbiter after a template has ended and was reaped.
    pub ended: &'p mut dyn FnMut(Pid),
}

/// Reads the configuration again for the generation of this number, given the listeners of the one that serves.
pub type ReadConfig<'p> = dyn FnMut(u64, &[Listener]) -> Result<Renewal, String> + 'p;

/// A configuration that was read again.
#[derive(Debug)]
pub struct Renewal {
    /// For the new generation.
    pub settings: ArbiterSettings,
    /// The listeners of the new generation, if they have changed: see [`crate::sockets::rebind_all`].
    pub listeners: Option<Vec<Listener>>,
}

/// Which process has ended its part in the supervision, with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The arbiter.
    Server(i32),
    /// A worker or a template: what the caller would do for the arbiter now is not its business.
    Child(i32),
}

/// Supervises workers until a signal or a failure ends it, and returns the exit code. In a child it returns only if
/// [`Plan::exit_child`] does.
///
/// # Errors
///
/// There is no descriptor for the pipes, or this process supervises already.
///
/// # Examples
///
/// A server without an interpreter; with one, `fork` is `os.fork()` and `exit_child` flushes and calls `os._exit()`.
///
/// ```no_run
/// use farrier_supervisor::process::{exit_now, fork_plain};
/// use farrier_supervisor::sockets::bind_all;
/// use farrier_supervisor::{
///     Accompany, ArbiterSettings, BindOptions, Ended, HeartbeatPage, Level, ListenSpec, Plan, Preload, Renewal,
///     supervise,
/// };
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut log = |level: Level, line: &str| eprintln!("[{}] {line}", level.name());
/// let listen = [ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port: 8000 }];
/// let listeners = bind_all(&listen, &BindOptions::default(), &mut log)?;
/// let settings = ArbiterSettings { workers: 2, ..ArbiterSettings::default() };
/// let plan = Plan {
///     page: HeartbeatPage::new(HeartbeatPage::slots_for(settings.workers))?,
///     settings,
///     listeners,
///     // SAFETY: this program has one thread.
///     fork: &mut || unsafe { fork_plain() },
///     wait: &mut |block| block(),
///     before_fork: &mut |_spawn| {},
///     worker: &mut |link, _listeners| {
/// // Load the application here; if that fails, `return link.boot_failed(true)`.
///         let Ok(signals) = link.catch_signals() else { return link.boot_failed(true) };
///         link.ready();
///         // Serve until `signals.fd()` or `link.alive_fd()` is readable.
///         drop(signals);
///         0
///     },
///     forked: &mut |_spawn, _pid| {},
///     preload: Preload {
///         load: &mut |_generation| Ok(()),
///         reopen_logs: &mut || {},
///         unload: &mut || {},
///         ended: &mut |_pid| {},
///     },
///     reaped: &mut |_spawn, _pid, _status| {},
///     exit_child: &mut |code| exit_now(code),
///     log: &mut log,
///     read_config: &mut |_generation, _listeners| Ok(Renewal { settings: ArbiterSettings::default(), listeners: None }),
///     notice: &mut |_notice| {},
///     housekeeping: &mut (),
///     companion: Accompany { name: "nothing", is_wanted: &mut || false, live: &mut |_link| 0, keeps: Vec::new() },
/// };
/// match supervise(plan)? {
///     Ended::Server(code) | Ended::Child(code) => std::process::exit(code),
/// }
/// # }
/// ```
pub fn supervise(plan: Plan<'_>) -> io::Result<Ended> {
    ignore_pipe_signal()?;
    let signals = SignalPipe::install(ARBITER_SIGNALS)?;
    let link = Link::new()?;
    let arbiter = Arbiter::new(plan.settings.clone(), plan.page.slots());
    let watch = Watch::new(plan.settings.timeout);
    let memory = MemoryWatch::new(plan.settings.max_worker_rss_bytes);
    let calls = Calls {
        fork: plan.fork,
        wait: plan.wait,
        before_fork: plan.before_fork,
        worker: plan.worker,
        forked: plan.forked,
        preload: plan.preload,
        reaped: plan.reaped,
        exit_child: plan.exit_child,
        log: plan.log,
        read_config: plan.read_config,
        notice: plan.notice,
        housekeeping: plan.housekeeping,
        companion: plan.companion,
    };
    let companion = Companion::new((calls.companion.is_wanted)());
    let mut parent = Parent {
        arbiter,
        watch,
        memory,
        workers: BTreeMap::new(),
        templates: BTreeMap::new(),
        companion,
        companion_lines: None,
        signals,
        link,
        page: plan.page,
        listeners: plan.listeners,
        next_listeners: None,
        files: Vec::new(),
        own_pid: process::own_pid(),
        calls,
    };
    match parent.run() {
        Side::Parent(code) => {
            // The handlers stay until the process ends: a second TERM must not change its exit code.
            let Parent { signals, .. } = parent;
            std::mem::forget(signals);
            Ok(Ended::Server(code))
        }
        Side::Worker(spawn, mask) => {
            Ok(Ended::Child(offspring::become_worker(parent.bequeath(spawn.generation), spawn, mask)))
        }
        Side::Template(spawn, requests, mask) => {
            Ok(Ended::Child(offspring::become_template(parent.bequeath(spawn.generation), spawn, requests, mask)))
        }
        Side::Companion(lines, mask) => {
            let Parent { link, calls, .. } = parent;
            offspring::become_companion(lines.into_link(link.into_alive()), calls, mask)
        }
    }
}

pub(crate) struct Parent<'p> {
    arbiter: Arbiter,
    watch: Watch,
    memory: MemoryWatch,
    workers: BTreeMap<WorkerId, Known>,
    templates: BTreeMap<TemplateId, Nursery>,
    companion: Companion,
    /// The link of the current or the last companion.
    companion_lines: Option<CompanionLines>,
    signals: SignalPipe,
    link: Link,
    page: HeartbeatPage,
    listeners: Vec<Listener>,
    /// The listeners of the generation that is starting, if they have changed.
    next_listeners: Option<Vec<Listener>>,
    /// Of listeners that are closed already.
    files: Vec<SocketFile>,
    own_pid: Pid,
    calls: Calls<'p>,
}

/// A worker that a template was asked to fork.
struct Known {
    spawn: Spawn,
    /// `None` until its template has reported it.
    pid: Option<Pid>,
    slot: Slot,
}

/// The caller's functions that children need as well.
pub(crate) struct Calls<'p> {
    pub(crate) fork: &'p mut dyn Fork,
    pub(crate) wait: &'p mut dyn FnMut(&mut (dyn FnMut() + Send)),
    before_fork: &'p mut dyn FnMut(&Spawn),
    pub(crate) worker: &'p mut dyn FnMut(WorkerLink, Vec<Listener>) -> i32,
    forked: &'p mut dyn FnMut(&Spawn, Pid),
    pub(crate) preload: Preload<'p>,
    reaped: &'p mut dyn FnMut(&Spawn, Pid, ExitStatus),
    pub(crate) exit_child: &'p mut dyn FnMut(i32),
    pub(crate) log: &'p mut dyn FnMut(Level, &str),
    read_config: &'p mut ReadConfig<'p>,
    notice: &'p mut dyn FnMut(Notice),
    housekeeping: &'p mut dyn Housekeeping,
    pub(crate) companion: Accompany<'p>,
}

/// The side of a fork on which `run` ended.
enum Side {
    Parent(i32),
    Worker(Spawn, SignalMask),
    Template(TemplateSpawn, Errands, SignalMask),
    Companion(CompanionLines, SignalMask),
}

impl Parent<'_> {
    fn run(&mut self) -> Side {
        if !self.listeners.is_empty() {
            let at: Vec<&str> = self.listeners.iter().map(Listener::display).collect();
            (self.calls.log)(Level::Info, &format!("Listening at: {} ({})", at.join(","), process::own_pid()));
        }
        let mut events = VecDeque::from([Event::Started]);
        loop {
            while let Some(event) = events.pop_front() {
                let now = monotonic();
                match &event {
                    Event::Ready(_) => self.watch.notice(now),
                    Event::Exited { worker, .. } | Event::ForkFailed { worker, .. } => {
                        self.workers.remove(worker);
                    }
                    _ => {}
                }
                for action in self.arbiter.on(event, now) {
                    match self.perform(action) {
                        Outcome::Done => {}
                        // Answers are handled before other events that wait.
                        Outcome::Answer(event) => events.push_front(event),
                        Outcome::End(side) => return side,
                    }
                }
            }
            if let Outcome::End(side) = self.tend_companion() {
                return side;
            }
            self.sleep();
            self.gather(&mut events);
        }
    }

    fn perform(&mut self, action: Action) -> Outcome {
        match action {
            Action::Spawn(spawn) => return self.spawn(spawn),
            Action::Signal { pid, signal, .. } => {
                // It may have ended just now (ESRCH); its status follows.
                let _ = process::kill(pid, signal);
            }
            Action::StartTemplate(spawn) => return self.start_template(spawn),
            Action::SignalTemplate { template, pid, signal } => {
                if let Some(nursery) = self.templates.get_mut(&template) {
                    nursery.close();
                }
                let _ = process::kill(pid, signal);
            }
            Action::Log { level, message } => (self.calls.log)(level, &message),
            Action::ReadConfig { generation } => return Outcome::Answer(self.read_config(generation)),
            Action::CloseListeners => {
                let listeners = self.listeners.drain(..).chain(self.next_listeners.take().into_iter().flatten());
                self.files.extend(listeners.filter_map(Listener::close));
            }
            Action::Notify(notice) => self.notify(notice),
            Action::Exit(code) => {
                if !self.calls.housekeeping.shares_listeners() {
                    self.files.iter().for_each(SocketFile::unlink);
                }
                self.bury_companion();
                return Outcome::End(Side::Parent(code));
            }
        }
        Outcome::Done
    }

    fn spawn(&mut self, spawn: Spawn) -> Outcome {
        let worker = spawn.worker;
        let Some(slot) = self.page.slot(spawn.slot) else {
            let reason = format!("there is no slot {}", spawn.slot);
            return Outcome::Answer(Event::ForkFailed { worker, reason });
        };
        slot.reset();
        (self.calls.before_fork)(&spawn);
        if let Some(template) = spawn.template {
            let asked = self.templates.get(&template).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
            return match asked.and_then(|nursery| nursery.ask(Errand::Fork(spawn))) {
                Ok(()) => {
                    self.workers.insert(worker, Known { spawn, pid: None, slot });
                    Outcome::Done
                }
                Err(error) => Outcome::Answer(Event::ForkFailed { worker, reason: error.to_string() }),
            };
        }
        let mask = block_all();
        match self.calls.fork.fork() {
            Ok(Forked::Child) => Outcome::End(Side::Worker(spawn, mask)),
            Ok(Forked::Parent(pid)) => {
                mask.restore();
                self.workers.insert(worker, Known { spawn, pid: Some(pid), slot });
                (self.calls.forked)(&spawn, pid);
                Outcome::Answer(Event::Spawned { worker, pid })
            }
            Err(error) => {
                mask.restore();
                Outcome::Answer(Event::ForkFailed { worker, reason: error.to_string() })
            }
        }
    }

    fn start_template(&mut self, spawn: TemplateSpawn) -> Outcome {
        let template = spawn.template;
        let failed =
            |error: io::Error| Outcome::Answer(Event::TemplateNotForked { template, reason: error.to_string() });
        // The workers must be this process's children, not the template's.
        let (requests, write) = match process::adopt_orphans().and_then(|()| Errands::pipe()) {
            Ok(pipe) => pipe,
            Err(error) => return failed(error),
        };
        let mask = block_all();
        match self.calls.fork.fork() {
            Ok(Forked::Child) => {
                drop(write);
                Outcome::End(Side::Template(spawn, requests, mask))
            }
            Ok(Forked::Parent(pid)) => {
                mask.restore();
                self.templates.insert(template, Nursery::new(pid, write));
                Outcome::Answer(Event::TemplateStarted { template, pid })
            }
            Err(error) => {
                mask.restore();
                failed(error)
            }
        }
    }

    /// Performs the actions that are due for the companion.
    fn tend_companion(&mut self) -> Outcome {
        while let Some(step) = self.companion.due(monotonic()) {
            match step {
                Step::Signal(pid, signal) => drop(process::kill(pid, signal)),
                Step::Start => {
                    let started = self.start_companion();
                    match started {
                        Ok(Some(side)) => return Outcome::End(side),
                        Ok(None) => {}
                        Err(error) => {
                            self.companion.not_started(monotonic());
                            (self.calls.log)(
                                Level::Error,
                                &format!("The process for {} could not be forked: {error}", self.calls.companion.name),
                            );
                        }
                    }
                }
            }
        }
        Outcome::Done
    }

    /// Forks it; returns the role of the child in the child.
    fn start_companion(&mut self) -> io::Result<Option<Side>> {
        let lines = CompanionLines::new()?;
        let mask = block_all();
        // It never uses the interpreter, so no hook needs to run there. If there are other threads, the hooks release
        // locks.
        let forked = process::fork_single().unwrap_or_else(|| self.calls.fork.fork());
        match forked {
            Ok(Forked::Child) => Ok(Some(Side::Companion(lines, mask))),
            Ok(Forked::Parent(pid)) => {
                mask.restore();
                self.companion.started(pid, monotonic());
                self.companion_lines = Some(lines);
                Ok(None)
            }
            Err(error) => {
                mask.restore();
                Err(error)
            }
        }
    }

    /// Updates whether a companion is wanted.
    fn renew_companion(&mut self, is_wanted: bool) {
        if let Some(Step::Signal(pid, signal)) = self.companion.renew(is_wanted, monotonic()) {
            let _ = process::kill(pid, signal);
        }
    }

    /// Writes the companion's lines to the log.
    fn hear_companion(&mut self) {
        let lines = self.companion_lines.as_mut().map(CompanionLines::drain);
        for (level, line) in lines.into_iter().flatten() {
            (self.calls.log)(level, &line);
        }
    }

    /// The server ends, and the companion needs no cleanup.
    fn bury_companion(&mut self) {
        if let Some(pid) = self.companion.pid() {
            let _ = process::kill(pid, Signal::Kill);
            let _ = process::wait_for(pid);
        }
        self.hear_companion();
    }

    fn read_config(&mut self, generation: u64) -> Event {
        match (self.calls.read_config)(generation, &self.listeners) {
            Ok(Renewal { settings, listeners }) => {
                self.next_listeners = listeners;
                Event::Reloaded(settings)
            }
            Err(reason) => Event::ReloadFailed(reason),
        }
    }

    fn notify(&mut self, notice: Notice) {
        match notice {
            Notice::Leaving | Notice::Stopping => self.page.set_leaving(),
            Notice::Reloaded { .. } => {
                if let Some(next) = self.next_listeners.take() {
                    let old = std::mem::replace(&mut self.listeners, next);
                    unlink_dropped(&old, &self.listeners);
                }
                self.memory = MemoryWatch::new(self.arbiter.settings().max_worker_rss_bytes);
                self.watch = Watch::new(self.arbiter.settings().timeout);
                self.watch.notice(monotonic());
            }
            Notice::ReloadAbandoned { .. } => {
                if let Some(next) = self.next_listeners.take() {
                    unlink_dropped(&next, &self.listeners);
                }
            }
            Notice::ReopenLogs => {
                for nursery in self.templates.values() {
                    // One that has gone has no log.
                    let _ = nursery.ask(Errand::ReopenLogs);
                }
            }
            Notice::WorkerExited { spawn, pid, status, .. } => (self.calls.reaped)(&spawn, pid, status),
            Notice::Upgrade => self.calls.housekeeping.upgrade(&self.listeners),
            _ => {}
        }
        let (is_reloaded, is_over) = (matches!(notice, Notice::Reloaded { .. }), matches!(notice, Notice::Stopping));
        (self.calls.notice)(notice);
        if is_reloaded {
            let is_wanted = (self.calls.companion.is_wanted)();
            self.renew_companion(is_wanted);
        } else if is_over {
            self.renew_companion(false);
        }
    }

    /// Whether a message goes to the arbiter; a template's message about a worker is recorded here.
    fn is_heard(&mut self, message: &Event, ended: &[(Pid, ExitStatus)]) -> bool {
        match *message {
            Event::Spawned { worker, pid } => {
                if let Some(known) = self.workers.get_mut(&worker) {
                    known.pid = Some(pid);
                    (self.calls.forked)(&known.spawn, pid);
                    return true;
                }
                // Its template was lost and the worker was given up; its status is treated as that of an unknown
                // process.
                if ended.iter().all(|(other, _)| *other != pid) {
                    let _ = process::kill(pid, Signal::Kill);
                }
                false
            }
            Event::ForkFailed { worker, .. } => self.workers.get(&worker).is_some_and(|known| known.pid.is_none()),
            _ => true,
        }
    }

    /// Finds which process has ended.
    fn bury(&mut self, pid: Pid, status: ExitStatus, events: &mut VecDeque<Event>) {
        if let Some((&worker, _)) = self.workers.iter().find(|(_, known)| known.pid == Some(pid)) {
            events.push_back(Event::Exited { worker, status });
            return;
        }
        if self.companion.pid() == Some(pid) {
            // Its last lines are logged first.
            self.hear_companion();
            if let Some(line) = self.companion.ended(status, monotonic()) {
                (self.calls.log)(Level::Warning, &format!("The process for {} {line}", self.calls.companion.name));
            }
            return;
        }
        let template = self.templates.iter().find(|(_, nursery)| nursery.pid == pid).map(|(&template, _)| template);
        let Some(template) = template else {
            // The successor; or an orphan that process 1 inherits, which is only reaped.
            self.calls.housekeeping.stranger_ended(pid, status);
            return;
        };
        self.templates.remove(&template);
        (self.calls.preload.ended)(pid);
        events.push_back(Event::TemplateExited { template, status });
        let unborn =
            self.workers.iter().filter(|(_, known)| known.pid.is_none() && known.spawn.template == Some(template));
        let reason = "its template has gone";
        events.extend(unborn.map(|(&worker, _)| Event::ForkFailed { worker, reason: reason.to_owned() }));
    }

    /// Waits for a signal, a message or the deadline.
    fn sleep(&mut self) {
        let wake_at = [
            self.arbiter.wake_at(),
            self.watch.wake_at(),
            self.memory.wake_at(),
            self.calls.housekeeping.wake_at(),
            self.companion.wake_at(),
        ];
        let wake_at = wake_at.into_iter().flatten().min();
        let timeout = wake_at.map(|at| timespec(at.saturating_sub(monotonic())));
        let mut fds =
            vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::from_borrowed_fd(self.link.fd(), PollFlags::IN)];
        fds.extend(self.companion_lines.iter().map(|lines| PollFd::from_borrowed_fd(lines.fd(), PollFlags::IN)));
        fds.extend(self.calls.housekeeping.descriptor().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        // An error is EINTR, which counts as a wake-up; everything is checked after either.
        (self.calls.wait)(&mut || {
            let _ = poll(&mut fds, timeout.as_ref());
        });
    }

    fn gather(&mut self, events: &mut VecDeque<Event>) {
        let (mut signals, mut ended) = (Vec::new(), Vec::new());
        loop {
            // The pipe is emptied before the children are checked, or a CHLD in between would be lost. It is emptied
            // again after each ended child, because the signal that caused the end may be there too.
            signals.extend(self.signals.drain());
            match process::reap() {
                more if more.is_empty() => break,
                more => ended.extend(more),
            }
        }
        self.hear_companion();
        // Statuses are collected before messages are read: the last messages of an ended child are then in the pipe,
        // and must be handled before its end.
        let mut messages = self.link.drain();
        messages.retain(|message| self.is_heard(message, &ended));
        let good = |event: &Event| matches!(event, Event::Spawned { .. } | Event::Ready(_) | Event::TemplateReady(_));
        let (good, said): (Vec<_>, Vec<_>) = messages.into_iter().partition(good);
        let (stops, signals): (Vec<_>, Vec<_>) = signals
            .into_iter()
            .filter(|&signal| signal != Signal::Chld)
            .partition(|signal| matches!(signal, Signal::Term | Signal::Int | Signal::Quit));
        events.extend(good);
        // Signals are handled before the ends of workers: Ctrl-C reaches workers as well, and a worker that it ended
        // during loading has not failed.
        events.extend(stops.into_iter().map(Event::Signal));
        events.extend(said);
        for (pid, status) in ended {
            self.bury(pid, status, events);
        }
        events.extend(signals.into_iter().map(Event::Signal));
        let now = monotonic();
        let beats = self.workers.iter().map(|(&worker, known)| (worker, known.slot.read()));
        let look = self.watch.look(beats, now);
        events.extend(look.stale.into_iter().map(Event::HeartbeatStale));
        events.extend(look.unanswered.into_iter().map(Event::Unanswered));
        if look.asks {
            self.watch.asked(self.page.ask(), now);
            self.link.ask();
        }
        let pids = self.workers.iter().filter_map(|(&worker, known)| Some((worker, known.pid?)));
        let outgrown = self.memory.look(pids, now).into_iter();
        events
            .extend(outgrown.map(|(worker, rss_bytes)| Event::Retiring { worker, cause: Cause::Memory { rss_bytes } }));
        self.calls.housekeeping.serve(now, &self.listeners);
        if self.calls.housekeeping.wake_at().is_some_and(|at| at <= now) {
            self.calls.housekeeping.work(now, self.workers.len());
        }
        if events.is_empty() && self.arbiter.wake_at().is_some_and(|at| at <= now) {
            events.push_back(Event::Tick);
        }
    }
}

impl<'p> Parent<'p> {
    /// In a child: everything that it may keep. Dropping the rest closes what only the arbiter may have.
    fn bequeath(self, generation: u64) -> Inheritance<'p> {
        let Parent { arbiter, link, page, listeners, next_listeners, calls, own_pid, .. } = self;
        let listeners = match next_listeners {
            Some(next) if generation != arbiter.generation() => next,
            _ => listeners,
        };
        Inheritance { arbiter: own_pid, link, page, listeners, calls }
    }
}

enum Outcome {
    Done,
    Answer(Event),
    End(Side),
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
