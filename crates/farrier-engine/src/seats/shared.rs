//! What every seat of a worker can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use farrier_http::Handler;

use super::disk::DiskThread;
use super::overdue::Overdue;
use super::thread_state::InterpreterLock;
use crate::host::Host;
use crate::metrics::Metrics;
use crate::reactor::clock::Clock;
use crate::reactor::poller::Poller;
use crate::reactor::waker::{LeaderWaker, WokenStreams};
use crate::rules::{Rules, Seating};
use crate::scheduler::state::{SPARES, SchedulerState};
use farrier_log::access::AccessLog;
use farrier_log::error::ErrorLog;

/// What every seat of a worker can reach: the rules, the log, the handler, and the state under its lock.
pub(crate) struct Shared {
    pub(crate) poller: Arc<Poller>,
    pub(crate) leader: Arc<LeaderWaker>,
    scheduler: Mutex<SchedulerState>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) seating: Seating,
    pub(crate) clock: Clock,
    interpreter_lock: InterpreterLock,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) error_log: Arc<ErrorLog>,
    pub(crate) metrics: Arc<dyn Metrics>,
    /// HTTP/2 connections that have something to send.
    pub(crate) woken: Arc<WokenStreams>,
    /// Responses say `Connection: close`.
    pub(crate) draining: Arc<AtomicBool>,
    /// The monitor sleeps until a call runs.
    pub(crate) monitor_asleep: AtomicBool,
    pub(crate) monitor: OnceLock<Thread>,
    pub(crate) spawner: OnceLock<Thread>,
    /// Somebody has asked for a seat.
    pub(crate) spawner_called: AtomicBool,
    /// Ends the process when the first seat cannot: it is inside a call that does not end.
    pub(crate) abandon: Box<dyn Fn() + Send + Sync>,
    /// The watch over calls, where they have a limit.
    pub(crate) overdue: Option<Overdue>,
    /// The thread that waits for the disk.
    pub(crate) disk: DiskThread,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "the one place where the parts of the engine come together")]
    pub(crate) fn new(
        poller: Arc<Poller>,
        host: Arc<dyn Host>,
        handler: Arc<dyn Handler>,
        rules: Rules,
        seating: Seating,
        interpreter_lock: InterpreterLock,
        access_log: Option<Arc<AccessLog>>,
        error_log: Arc<ErrorLog>,
        metrics: Arc<dyn Metrics>,
        abandon: Box<dyn Fn() + Send + Sync>,
        overdue: Option<Overdue>,
    ) -> Shared {
        Shared {
            leader: Arc::new(LeaderWaker::new(Arc::clone(&poller))),
            poller,
            scheduler: Mutex::new(SchedulerState::new()),
            host,
            handler,
            rules: Arc::new(rules),
            seating,
            clock: Clock::start(),
            interpreter_lock,
            access_log,
            error_log,
            metrics,
            woken: Arc::default(),
            draining: Arc::new(AtomicBool::new(false)),
            monitor_asleep: AtomicBool::new(false),
            monitor: OnceLock::new(),
            spawner: OnceLock::new(),
            spawner_called: AtomicBool::new(false),
            abandon,
            overdue,
            disk: DiskThread::default(),
        }
    }

    /// The state. InterpreterStall for a few instructions, never across a wait, a system call or a handler.
    pub(crate) fn scheduler(&self) -> MutexGuard<'_, SchedulerState> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a wait for the interpreter from other waits.
    pub(crate) fn interpreter_lock(&self) -> &InterpreterLock {
        &self.interpreter_lock
    }

    /// Calls that may be slow at the same time: one seat is always left for short ones.
    pub(crate) fn slow_calls_max(&self) -> usize {
        self.seating.threads.saturating_sub(1).max(1)
    }

    /// Seats that may exist: more than calls may run, so that somebody can always lead.
    pub(crate) fn seats_max(&self) -> usize {
        self.seating.threads + SPARES
    }

    /// Lets the leader look at the state.
    pub(crate) fn wake_leader(&self) {
        self.leader.wake();
    }

    /// Lets the monitor tick, if it sleeps.
    pub(crate) fn wake_monitor(&self) {
        if self.monitor_asleep.load(Ordering::Relaxed)
            && self.monitor_asleep.swap(false, Ordering::SeqCst)
            && let Some(monitor) = self.monitor.get()
        {
            monitor.unpark();
        }
    }
}
