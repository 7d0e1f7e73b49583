//! What every seat of a worker can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use farrier_http::Handler;

use super::bell::Rung;
use super::desk::{Desk, SPARES};
use super::host::Host;
use super::overdue::Overdue;
use super::poller::Poller;
use super::porter::Porter;
use super::thread_state::InterpreterLock;
use crate::clock::Clock;
use crate::log::access::AccessLog;
use crate::log::error::ErrorLog;
use crate::metrics::Metrics;
use crate::rules::{Rules, Seating};

/// What every seat of a worker can reach: the rules, the log, the handler, and the desk under its lock.
pub(crate) struct Shared {
    pub(crate) poller: Poller,
    desk: Mutex<Desk>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) rules: Rules,
    pub(crate) seating: Seating,
    pub(crate) clock: Clock,
    interpreter_lock: InterpreterLock,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) error_log: Arc<ErrorLog>,
    pub(crate) metrics: Arc<dyn Metrics>,
    /// HTTP/2 connections that have something to send.
    pub(crate) rung: Rung,
    /// The leader is in its wait, or about to be.
    pub(crate) polling: AtomicBool,
    /// Responses say `Connection: close`.
    pub(crate) draining: AtomicBool,
    /// The monitor sleeps until a call runs.
    pub(crate) monitor_asleep: AtomicBool,
    pub(crate) monitor: OnceLock<Thread>,
    pub(crate) usher: OnceLock<Thread>,
    /// Somebody has asked for a seat.
    pub(crate) usher_called: AtomicBool,
    /// Ends the process when the first seat cannot: it is inside a call that does not end.
    pub(crate) abandon: Box<dyn Fn() + Send + Sync>,
    /// The watch over calls, where they have a limit.
    pub(crate) overdue: Option<Overdue>,
    /// The thread that waits for the disk.
    pub(crate) porter: Porter,
}

impl Shared {
    #[allow(clippy::too_many_arguments, reason = "the one place where the parts of the engine come together")]
    pub(crate) fn new(
        poller: Poller,
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
            poller,
            desk: Mutex::new(Desk::new()),
            host,
            handler,
            rules,
            seating,
            clock: Clock::start(),
            interpreter_lock,
            access_log,
            error_log,
            metrics,
            rung: Rung::default(),
            polling: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            monitor_asleep: AtomicBool::new(false),
            monitor: OnceLock::new(),
            usher: OnceLock::new(),
            usher_called: AtomicBool::new(false),
            abandon,
            overdue,
            porter: Porter::default(),
        }
    }

    /// The desk. Held for a few instructions, never across a wait, a system call or a handler.
    pub(crate) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Lets the leader look at the desk.
    pub(crate) fn wake_leader(&self) {
        if self.polling.load(Ordering::SeqCst) {
            self.poller.wake();
        }
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
