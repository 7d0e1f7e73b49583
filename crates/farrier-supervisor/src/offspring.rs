//! What becomes of a forked child: a worker, or a template that forks workers. Nothing of the arbiter's runs here.
//!
//! A template forks twice: the process between ends at once, so that the worker becomes a child of the arbiter, which
//! then waits for it and signals it like any other, whatever happens to the template.

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

/// What the arbiter catches.
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

/// What a template lives through that has loaded the application: it leaves when the arbiter closes its pipe.
const TEMPLATE_TOLERATES: &[Signal] = &[Signal::Term, Signal::Int, Signal::Quit];

/// What a companion lives through: it leaves when it is told `TERM`, and Ctrl-C is the arbiter's to hear.
const COMPANION_TOLERATES: &[Signal] =
    &[Signal::Int, Signal::Quit, Signal::Hup, Signal::Ttin, Signal::Ttou, Signal::Usr1, Signal::Usr2, Signal::Winch];

/// A panic in a worker: an uncaught exception of the server's own.
const EXIT_PANIC: i32 = 255;

/// How long a worker waits for the process between to be gone.
const ADOPTION_TRIES: u32 = 10_000;

/// What a child has of the arbiter it was forked from.
pub(crate) struct Inheritance<'p> {
    pub(crate) arbiter: Pid,
    pub(crate) link: Link,
    pub(crate) page: HeartbeatPage,
    /// Of its own generation. A copy of another's would keep an address open that nobody accepts at.
    pub(crate) listeners: Vec<Listener>,
    pub(crate) calls: Calls<'p>,
}

/// The life of a child that the arbiter has forked as a worker.
pub(crate) fn become_worker(inheritance: Inheritance<'_>, spawn: Spawn, mask: SignalMask) -> ! {
    let Inheritance { link, page, listeners, calls, .. } = inheritance;
    behave_as_a_child(mask);
    let link = page.slot(spawn.slot).map(|slot| link.into_worker(spawn, slot));
    live_as_worker(link, &listeners, calls)
}

/// The life of a child that is to be a template.
pub(crate) fn become_template(
    inheritance: Inheritance<'_>,
    spawn: TemplateSpawn,
    requests: Errands,
    mask: SignalMask,
) -> ! {
    let Inheritance { arbiter, link, page, listeners, mut calls } = inheritance;
    behave_as_a_child(mask);
    let link = link.into_template(spawn.template);
    let lived = catch_unwind(AssertUnwindSafe(|| {
        let line = format!("Preloading the application (pid: {})", process::own_pid());
        (calls.log)(Level::Info, &line);
        match (calls.preload.load)(spawn.generation) {
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
            process::exit_now(code)
        }
        Fate::IsWorker { spawn, between, mask } => {
            drop(requests);
            behave_as_a_child(mask);
            wait_for_adoption(between, arbiter);
            let link = page.slot(spawn.slot).map(|slot| link.into_worker(spawn, slot));
            live_as_worker(link, &listeners, calls)
        }
    }
}

/// The life of a child that is to be a companion.
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

/// Forks workers as long as any are asked for.
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

/// Forks the process between, which forks the worker and ends. Returns `None` in the template.
fn fork_worker(spawn: Spawn, link: &TemplateLink, calls: &mut Calls<'_>) -> Option<Fate> {
    let mask = block_all();
    // At-fork handlers are to run once, in the worker. With other threads around they must run here as well, or the
    // process between could find a lock that nobody will ever release.
    let between = match process::fork_single() {
        Some(outcome) => outcome,
        None => calls.fork.fork(),
    };
    match between {
        Err(error) => link.fork_failed(spawn.worker, &error),
        Ok(Forked::Parent(between)) => match process::wait_for(between) {
            Ok(ExitStatus::Code(0)) => {}
            // Whatever it has still said counts before this.
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

/// Until the process between has gone and the arbiter is the parent: then `os.getppid()` is what it is without a template.
fn wait_for_adoption(between: Pid, arbiter: Pid) {
    for _ in 0..ADOPTION_TRIES {
        let parent = process::parent_pid();
        // With a dead arbiter it is somebody else.
        if parent == arbiter || parent != between {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Gives up the arbiter's signal handlers. Signals are still blocked: one that comes before this is done is handled as a
/// worker handles it.
fn behave_as_a_child(mask: SignalMask) {
    // Neither can fail for signals that were caught a moment ago.
    let _ = restore_defaults(ARBITER_SIGNALS).and_then(|()| tolerate(WORKER_TOLERATES));
    mask.restore();
}

/// Runs what the caller of the supervision has given, and ends.
fn live_as_worker(link: Option<WorkerLink>, listeners: &[Listener], calls: Calls<'_>) -> ! {
    let Calls { worker, exit_child, log, .. } = calls;
    let pid = process::own_pid();
    let code = match link {
        Some(link) => {
            log(Level::Info, &format!("Booting worker with pid: {pid}"));
            // Unwinding further would run what only the parent may run.
            catch_unwind(AssertUnwindSafe(|| worker(link, listeners))).unwrap_or(EXIT_PANIC)
        }
        None => EXIT_BOOT_FAILED,
    };
    let _ = catch_unwind(AssertUnwindSafe(|| {
        log(Level::Info, &format!("Worker exiting (pid: {pid})"));
        exit_child(code);
    }));
    process::exit_now(code)
}
