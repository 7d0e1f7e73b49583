//! Performs what the arbiter decides: forks, signals, waits, sleeps. The loop of the parent process.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::arbiter::{
    Action, Arbiter, ArbiterSettings, Cause, EXIT_BOOT_FAILED, Event, Level, Notice, Spawn, WorkerId,
};
use crate::clock::monotonic;
use crate::heartbeat::{HeartbeatPage, Slot, Watch};
use crate::link::{Link, WorkerLink};
use crate::memory::MemoryWatch;
use crate::process::{self, ExitStatus, Fork, Forked, Pid};
use crate::signals::{Signal, SignalMask, SignalPipe, block_all, ignore_pipe_signal, restore_defaults, tolerate};
use crate::sockets::{Listener, SocketFile, unlink_dropped};

/// All that supervision needs from its caller.
pub struct Plan<'p> {
    /// How many workers, and how patient to be.
    pub settings: ArbiterSettings,
    /// Bound before; closed when the server stops, and their files removed when it has.
    pub listeners: Vec<Listener>,
    /// Shared memory, made before.
    pub page: HeartbeatPage,
    /// How to fork.
    pub fork: &'p mut dyn Fork,
    /// How to wait: calls what it is given, which blocks. An interpreter lets its other threads run meanwhile.
    pub wait: &'p mut dyn FnMut(&mut (dyn FnMut() + Send)),
    /// Hears, in the arbiter, of each worker that is about to be forked.
    pub before_fork: &'p mut dyn FnMut(&Spawn),
    /// What a worker does, from the loading of the application to its end; runs in the child and returns the exit code.
    pub worker: &'p mut dyn FnMut(WorkerLink, &[Listener]) -> i32,
    /// Hears, in the arbiter, of each worker whose process has ended and was reaped, after the log has been told.
    pub reaped: &'p mut dyn FnMut(&Spawn, Pid, ExitStatus),
    /// How a child ends with a code; must not return to the parent's frames. If it returns, `_exit` follows.
    pub exit_child: &'p mut dyn FnMut(i32),
    /// Writes a line to the error log.
    pub log: &'p mut dyn FnMut(Level, &str),
    /// Reads the configuration again, at `HUP`, for the generation of the given number. Until [`Notice::Reloaded`]
    /// workers of the old generation may still be forked ([`WorkerLink::generation`]), with the old configuration.
    pub read_config: &'p mut ReadConfig<'p>,
    /// Hears of what happens, in order: hooks, the service manager.
    pub notice: &'p mut dyn FnMut(Notice),
    /// What the parent does beside supervision; `&mut ()` does nothing.
    pub housekeeping: &'p mut dyn Housekeeping,
}

/// What the parent does beside supervision: signs of life, and its part in an upgrade.
pub trait Housekeeping {
    /// When [`Housekeeping::work`] is wanted, in monotonic time; `None` for not at all.
    fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// The time has come.
    ///
    /// # Arguments
    ///
    /// `workers` is how many live.
    fn work(&mut self, now: Duration, workers: usize) {
        let _ = (now, workers);
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

/// Reads the configuration again for the generation of this number, given the listeners of the one that serves.
pub type ReadConfig<'p> = dyn FnMut(u64, &[Listener]) -> Result<Renewal, String> + 'p;

/// A configuration that was read again.
#[derive(Debug)]
pub struct Renewal {
    /// For the new generation.
    pub settings: ArbiterSettings,
    /// The listeners of the new generation, if they are others: see [`crate::sockets::rebind_all`].
    pub listeners: Option<Vec<Listener>>,
}

/// Supervises workers until a signal or a failure ends it, and returns the exit code. Does not return in a child.
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
///     ArbiterSettings, BindOptions, HeartbeatPage, Level, ListenSpec, Plan, Renewal, supervise,
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
///         // Load the application here, or say `return link.boot_failed(true)`.
///         let Ok(signals) = link.catch_signals() else { return link.boot_failed(true) };
///         link.ready();
///         // Serve until `signals.fd()` or `link.alive_fd()` is readable.
///         drop(signals);
///         0
///     },
///     reaped: &mut |_spawn, _pid, _status| {},
///     exit_child: &mut |code| exit_now(code),
///     log: &mut log,
///     read_config: &mut |_generation, _listeners| Ok(Renewal { settings: ArbiterSettings::default(), listeners: None }),
///     notice: &mut |_notice| {},
///     housekeeping: &mut (),
/// };
/// std::process::exit(supervise(plan)?);
/// # }
/// ```
pub fn supervise(plan: Plan<'_>) -> io::Result<i32> {
    ignore_pipe_signal()?;
    let signals = SignalPipe::install(ARBITER_SIGNALS)?;
    let link = Link::new()?;
    let arbiter = Arbiter::new(plan.settings.clone(), plan.page.slots());
    let watch = Watch::new(plan.settings.timeout);
    let memory = MemoryWatch::new(plan.settings.max_worker_rss_bytes);
    let Plan { listeners, page, fork, wait, before_fork, worker, reaped, exit_child, log, read_config, notice, .. } =
        plan;
    let housekeeping = plan.housekeeping;
    let calls = Calls { fork, wait, before_fork, worker, reaped, exit_child, log, read_config, notice, housekeeping };
    let mut parent = Parent {
        arbiter,
        watch,
        memory,
        workers: BTreeMap::new(),
        signals,
        link,
        page,
        listeners,
        next_listeners: None,
        files: Vec::new(),
        calls,
    };
    match parent.run() {
        Side::Parent(code) => {
            // The handlers stay until the process ends: a second TERM must not change its exit code.
            let Parent { signals, .. } = parent;
            std::mem::forget(signals);
            Ok(code)
        }
        // The child takes the parent apart.
        Side::Child(spawn, mask) => become_worker(parent, spawn, mask),
    }
}

pub(crate) const ARBITER_SIGNALS: &[Signal] = &[
    Signal::Term,
    Signal::Int,
    Signal::Quit,
    Signal::Hup,
    Signal::Ttin,
    Signal::Ttou,
    Signal::Usr1,
    Signal::Usr2,
    Signal::Winch,
    Signal::Chld,
];

/// What a worker lives through without harm until it catches signals of its own: they are meant for the arbiter, but
/// `pkill` finds both.
const WORKER_TOLERATES: &[Signal] =
    &[Signal::Hup, Signal::Ttin, Signal::Ttou, Signal::Usr1, Signal::Usr2, Signal::Winch];

/// A panic in a worker: an uncaught exception of the server's own.
const EXIT_PANIC: i32 = 255;

struct Parent<'p> {
    arbiter: Arbiter,
    watch: Watch,
    memory: MemoryWatch,
    workers: BTreeMap<WorkerId, (Pid, Slot)>,
    signals: SignalPipe,
    link: Link,
    page: HeartbeatPage,
    listeners: Vec<Listener>,
    /// Those of the generation that is starting, if it has others.
    next_listeners: Option<Vec<Listener>>,
    /// Of listeners that are closed already.
    files: Vec<SocketFile>,
    calls: Calls<'p>,
}

struct Calls<'p> {
    fork: &'p mut dyn Fork,
    wait: &'p mut dyn FnMut(&mut (dyn FnMut() + Send)),
    before_fork: &'p mut dyn FnMut(&Spawn),
    worker: &'p mut dyn FnMut(WorkerLink, &[Listener]) -> i32,
    reaped: &'p mut dyn FnMut(&Spawn, Pid, ExitStatus),
    exit_child: &'p mut dyn FnMut(i32),
    log: &'p mut dyn FnMut(Level, &str),
    read_config: &'p mut ReadConfig<'p>,
    notice: &'p mut dyn FnMut(Notice),
    housekeeping: &'p mut dyn Housekeeping,
}

/// On which side of a fork `run` ended.
enum Side {
    Parent(i32),
    Child(Spawn, SignalMask),
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
                    Event::Exited { worker, .. } => drop(self.workers.remove(worker)),
                    _ => {}
                }
                for action in self.arbiter.on(event, now) {
                    match self.perform(action) {
                        Outcome::Done => {}
                        // An answer comes before whatever else is waiting.
                        Outcome::Answer(event) => events.push_front(event),
                        Outcome::End(side) => return side,
                    }
                }
            }
            self.sleep();
            self.gather(&mut events);
        }
    }

    fn perform(&mut self, action: Action) -> Outcome {
        match action {
            Action::Spawn(spawn) => return self.spawn(spawn),
            Action::Signal { pid, signal, .. } => {
                // It may have ended this instant (ESRCH); its status is on the way.
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
        let mask = block_all();
        match self.calls.fork.fork() {
            Ok(Forked::Child) => Outcome::End(Side::Child(spawn, mask)),
            Ok(Forked::Parent(pid)) => {
                mask.restore();
                self.workers.insert(worker, (pid, slot));
                Outcome::Answer(Event::Spawned { worker, pid })
            }
            Err(error) => {
                mask.restore();
                Outcome::Answer(Event::ForkFailed { worker, reason: error.to_string() })
            }
        }
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
            Notice::WorkerExited { spawn, pid, status, .. } => (self.calls.reaped)(&spawn, pid, status),
            Notice::Upgrade => self.calls.housekeeping.upgrade(&self.listeners),
            _ => {}
        }
        (self.calls.notice)(notice);
    }

    /// Until a signal, a message or the time.
    fn sleep(&mut self) {
        let wake_at =
            [self.arbiter.wake_at(), self.watch.wake_at(), self.memory.wake_at(), self.calls.housekeeping.wake_at()];
        let wake_at = wake_at.into_iter().flatten().min();
        let timeout = wake_at.map(|at| timespec(at.saturating_sub(monotonic())));
        let mut fds =
            [PollFd::new(&self.signals, PollFlags::IN), PollFd::from_borrowed_fd(self.link.fd(), PollFlags::IN)];
        // An error is EINTR, which is as good as a wake-up; everything is looked at after either.
        (self.calls.wait)(&mut || {
            let _ = poll(&mut fds, timeout.as_ref());
        });
    }

    fn gather(&mut self, events: &mut VecDeque<Event>) {
        let (mut signals, mut ended) = (Vec::new(), Vec::new());
        loop {
            // The pipe is emptied before the children are looked at, or a CHLD that comes in between would be
            // forgotten; and again after each end that was found, for the signal that caused it may be there too.
            signals.extend(self.signals.drain());
            match process::reap() {
                more if more.is_empty() => break,
                more => ended.extend(more),
            }
        }
        // Statuses before messages: what the ended had to say is then in the pipe, and must be heard before their end.
        let (ready, said): (Vec<_>, Vec<_>) =
            self.link.drain().into_iter().partition(|event| matches!(event, Event::Ready(_)));
        let (stops, signals): (Vec<_>, Vec<_>) = signals
            .into_iter()
            .filter(|&signal| signal != Signal::Chld)
            .partition(|signal| matches!(signal, Signal::Term | Signal::Int | Signal::Quit));
        events.extend(ready);
        // Before what the workers have come to: Ctrl-C reaches them as well, and a worker that it ended while it was
        // loading the application has not failed.
        events.extend(stops.into_iter().map(Event::Signal));
        events.extend(said);
        for (pid, status) in ended {
            match self.workers.iter().find(|(_, (known, _))| *known == pid) {
                Some((&worker, _)) => events.push_back(Event::Exited { worker, status }),
                // The successor; or one whom process 1 inherits, who is only buried.
                None => self.calls.housekeeping.stranger_ended(pid, status),
            }
        }
        events.extend(signals.into_iter().map(Event::Signal));
        let now = monotonic();
        let beats = self.workers.iter().map(|(&worker, (_, slot))| (worker, slot.read()));
        events.extend(self.watch.look(beats, now).into_iter().map(Event::HeartbeatStale));
        let pids = self.workers.iter().map(|(&worker, (pid, _))| (worker, *pid));
        let outgrown = self.memory.look(pids, now).into_iter();
        events
            .extend(outgrown.map(|(worker, rss_bytes)| Event::Retiring { worker, cause: Cause::Memory { rss_bytes } }));
        if self.calls.housekeeping.wake_at().is_some_and(|at| at <= now) {
            self.calls.housekeeping.work(now, self.workers.len());
        }
        if events.is_empty() && self.arbiter.wake_at().is_some_and(|at| at <= now) {
            events.push_back(Event::Tick);
        }
    }
}

enum Outcome {
    Done,
    Answer(Event),
    End(Side),
}

/// The child's life: nothing of the parent's is run here any more, and it ends here.
fn become_worker(parent: Parent<'_>, spawn: Spawn, mask: SignalMask) -> ! {
    let Parent { arbiter, signals, link, page, listeners, next_listeners, calls, .. } = parent;
    let Calls { worker, exit_child, log, .. } = calls;
    // Signals are still blocked: one that comes before this is done is handled as a worker handles it.
    drop(signals);
    // Neither can fail for signals that were caught a moment ago.
    let _ = restore_defaults(ARBITER_SIGNALS).and_then(|()| tolerate(WORKER_TOLERATES));
    mask.restore();
    // A copy of the other generation's listeners would keep an address open that nobody accepts at.
    let listeners = match next_listeners {
        Some(next) if spawn.generation != arbiter.generation() => {
            drop(listeners);
            next
        }
        next => {
            drop(next);
            listeners
        }
    };
    let pid = process::own_pid();
    let code = match page.slot(spawn.slot) {
        Some(slot) => {
            let link = link.into_worker(spawn, slot);
            log(Level::Info, &format!("Booting worker with pid: {pid}"));
            // Unwinding further would run what only the parent may run.
            catch_unwind(AssertUnwindSafe(|| worker(link, &listeners))).unwrap_or(EXIT_PANIC)
        }
        None => EXIT_BOOT_FAILED,
    };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        log(Level::Info, &format!("Worker exiting (pid: {pid})"));
        exit_child(code);
    }));
    process::exit_now(code)
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX), tv_nsec: duration.subsec_nanos().into() }
}
