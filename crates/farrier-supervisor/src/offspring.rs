//! The code of a forked child: a worker, a companion, or a template that forks workers. The arbiter runs none of it.
//!
//! A template forks twice. The intermediate process ends at once, so that the worker becomes a child of the arbiter.
//! The arbiter then waits for it and signals it like any other worker, even if the template ends.

use std::os::fd::{AsFd, AsRawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use crate::arbiter::{EXIT_BOOT_FAILED, Level, Spawn, TemplateSpawn};
use crate::companion_link::CompanionLink;
use crate::heartbeat::HeartbeatPage;
use crate::link::{Link, TemplateLink, WorkerLink};
use crate::nursery::{Errand, Errands};
use crate::process::{self, ExitStatus, Forked, Pid};
use crate::run::Calls;
use crate::signals::{Signal, SignalMask, block_all, restore_defaults, tolerate};
use crate::sockets::Listener;

/// The signals that the arbiter catches.
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

/// Signals that a worker ignores until it catches its own. They are meant for the arbiter, but `pkill` sends them to
/// both.
const WORKER_TOLERATES: &[Signal] =
    &[Signal::Hup, Signal::Ttin, Signal::Ttou, Signal::Usr1, Signal::Usr2, Signal::Winch];

/// Signals that a template ignores once it has loaded the application: it leaves when the arbiter closes its pipe.
const TEMPLATE_TOLERATES: &[Signal] = &[Signal::Term, Signal::Int, Signal::Quit];

/// Signals that a companion ignores: it leaves at `TERM`, and Ctrl-C is handled by the arbiter.
const COMPANION_TOLERATES: &[Signal] =
    &[Signal::Int, Signal::Quit, Signal::Hup, Signal::Ttin, Signal::Ttou, Signal::Usr1, Signal::Usr2, Signal::Winch];

/// The exit code of a worker that panicked, as of an uncaught exception.
const EXIT_PANIC: i32 = 255;

/// How long a worker waits for the intermediate process to end.
const ADOPTION_TRIES: u32 = 10_000;

/// What a child keeps of the arbiter that forked it.
pub(crate) struct Inheritance<'p> {
    pub(crate) arbiter: Pid,
    pub(crate) link: Link,
    pub(crate) page: HeartbeatPage,
    /// The listeners of its own generation. A copy of another's would keep an address open at which nobody accepts.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) calls: Calls<'p>,
}

/// Runs a child that the arbiter has forked as a worker, and returns its exit code.
pub(crate) fn become_worker(inheritance: Inheritance<'_>, spawn: Spawn, mask: SignalMask) -> i32 {
    let Inheritance { link, page, listeners, calls, .. } = inheritance;
    behave_as_a_child(mask);
    let link = page.slot(spawn.slot).map(|slot| link.into_worker(spawn, slot));
    live_as_worker(link, listeners, calls)
}

/// Runs a child that the arbiter has forked as a template, and returns its exit code, or that of a worker that it has forked.
pub(crate) fn become_template(
    inheritance: Inheritance<'_>,
    spawn: TemplateSpawn,
    requests: Errands,
    mask: SignalMask,
) -> i32 {
    let Inheritance { arbiter, link, page, listeners, mut calls } = inheritance;
    behave_as_a_child(mask);
    let link = link.into_template(spawn.template);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let line = format!("Preloading the application (pid: {})", process::own_pid());
        (calls.log)(Level::Info, &line);
        // A template has no thread that could see the end of the arbiter while an import hangs.
        if !process::die_with_parent(arbiter, true) {
            return Fate::Ends(EXIT_BOOT_FAILED);
        }
        let loaded = (calls.preload.load)(spawn.generation);
        process::die_with_parent(arbiter, false);
        match loaded {
            Ok(()) => rear(&link, &requests, &mut calls),
            Err(code) => {
                link.failed(code);
                Fate::Ends(code)
            }
        }
    }));
    match lived.unwrap_or(Fate::Ends(EXIT_PANIC)) {
        Fate::Ends(code) => {
            let _ = catch_unwind(AssertUnwindSafe(|| {
                (calls.preload.unload)();
                (calls.exit_child)(code);
            }));
            code
        }
        Fate::IsWorker { spawn, between, mask } => {
            drop(requests);
            behave_as_a_child(mask);
            wait_for_adoption(between, arbiter);
            let link = page.slot(spawn.slot).map(|slot| link.into_worker(spawn, slot));
            live_as_worker(link, listeners, calls)
        }
    }
}

/// Runs a child that the arbiter has forked as a companion.
pub(crate) fn become_companion(link: CompanionLink, calls: Calls<'_>, mask: SignalMask) -> ! {
    // None of these can fail for signals that were caught a moment ago.
    let _ = restore_defaults(ARBITER_SIGNALS).and_then(|()| tolerate(COMPANION_TOLERATES));
    mask.restore();
    // A copy of a listener would keep its address open.
    let kept = calls.companion.keeps.iter().map(AsRawFd::as_raw_fd).chain(link.descriptors()).collect::<Vec<_>>();
    process::close_all_but(&kept);
    let code = catch_unwind(AssertUnwindSafe(|| (calls.companion.live)(link)));
    process::exit_now(code.unwrap_or(EXIT_PANIC))
}

/// How a template's loop ended: in the template itself, or in a worker that it has forked.
enum Fate {
    Ends(i32),
    IsWorker { spawn: Spawn, between: Pid, mask: SignalMask },
}

/// Forks workers until the arbiter closes the pipe.
fn rear(link: &TemplateLink, requests: &Errands, calls: &mut Calls<'_>) -> Fate {
    // Cannot fail for signals that have had their default actions a moment ago.
    let _ = tolerate(TEMPLATE_TOLERATES);
    link.ready();
    loop {
        (calls.wait)(&mut || {
            let mut fds = [PollFd::from_borrowed_fd(requests.as_fd(), PollFlags::IN)];
            // An error is EINTR: the read below waits as well.
            let _ = poll(&mut fds, None);
        });
        match requests.next() {
            None => return Fate::Ends(0),
            Some(Errand::ReopenLogs) => (calls.preload.reopen_logs)(),
            Some(Errand::Fork(spawn)) => {
                if let Some(fate) = fork_worker(spawn, link, calls) {
                    return fate;
                }
            }
        }
    }
}

/// Forks the intermediate process, which forks the worker and ends. Returns `None` in the template.
fn fork_worker(spawn: Spawn, link: &TemplateLink, calls: &mut Calls<'_>) -> Option<Fate> {
    let mask = block_all();
    // At-fork handlers should run once, in the worker. If there are other threads, they must run here as well, or the
    // intermediate process could wait for a lock that is never released.
    let between = match process::fork_single() {
        Some(outcome) => outcome,
        None => calls.fork.fork(),
    };
    match between {
        Err(error) => link.fork_failed(spawn.worker, &error),
        Ok(Forked::Parent(between)) => match process::wait_for(between) {
            Ok(ExitStatus::Code(0)) => {}
            // Its last messages are handled before this.
            _ => link.fork_failed(spawn.worker, &std::io::Error::from_raw_os_error(libc::ECHILD)),
        },
        Ok(Forked::Child) => {
            let between = process::own_pid();
            match calls.fork.fork() {
                Ok(Forked::Child) => return Some(Fate::IsWorker { spawn, between, mask }),
                Ok(Forked::Parent(worker)) => link.forked(spawn.worker, worker),
                Err(error) => link.fork_failed(spawn.worker, &error),
            }
            process::exit_now(0)
        }
    }
    mask.restore();
    None
}

/// Waits until the intermediate process has ended and the arbiter is the parent: then `os.getppid()` is the same as
/// without a template.
fn wait_for_adoption(between: Pid, arbiter: Pid) {
    for _ in 0..ADOPTION_TRIES {
        let parent = process::parent_pid();
        // If the arbiter is dead, the parent is another process.
        if parent == arbiter || parent != between {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Removes the arbiter's signal handlers. Signals are still blocked: one that arrives before the end is handled as a
/// worker handles it.
fn behave_as_a_child(mask: SignalMask) {
    // Neither can fail for signals that were caught a moment ago.
    let _ = restore_defaults(ARBITER_SIGNALS).and_then(|()| tolerate(WORKER_TOLERATES));
    mask.restore();
}

/// Runs the closure of the caller of `supervise`, and returns the exit code.
fn live_as_worker(link: Option<WorkerLink>, listeners: Vec<Listener>, calls: Calls<'_>) -> i32 {
    let Calls { worker, exit_child, log, .. } = calls;
    let pid = process::own_pid();
    let code = match link {
        Some(link) => {
            log(Level::Info, &format!("Booting worker with pid: {pid}"));
            // Unwinding further would run code that only the parent may run.
            catch_unwind(AssertUnwindSafe(|| worker(link, listeners))).unwrap_or(EXIT_PANIC)
        }
        None => EXIT_BOOT_FAILED,
    };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        log(Level::Info, &format!("Worker exiting (pid: {pid})"));
        exit_child(code);
    }));
    code
}
