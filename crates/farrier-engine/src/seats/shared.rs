//! What every seat of a worker can reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use farrier_http::{Handler, Request};

use super::disk::DiskThread;
use super::lead::Lead;
use super::overdue::Overdue;
use super::probe::Probe;
use super::returns::{Returned, Returns};
use super::thread_state::InterpreterLock;
use super::threads::Threads;
use crate::metrics::Metrics;
use farrier_log::access::AccessLog;
use farrier_log::error::ErrorLog;
use farrier_log::summed::Summed;
use farrier_protocol::connection::Connection;
use farrier_protocol::host::Host;
use farrier_protocol::rules::{Rules, Seating};
use farrier_scheduler::{Actions, Scheduler};
use farrier_transport::reactor::clock::Clock;
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::waker::{LeaderWaker, WokenStreams};

/// Requests kept for reuse beyond those in the scratch buffers of the seats.
const SPARE_REQUESTS_MAX: usize = 32;

/// What a seat needs to serve a request.
pub(crate) struct Work {
    pub(crate) connection: Box<Connection>,
    pub(crate) request: Box<Request>,
    /// Where the request ends in its arena.
    pub(crate) end: usize,
}

/// The scheduler as the seats drive it.
pub(crate) type SeatScheduler = Scheduler<Work, Box<Lead>>;

/// What every seat of a worker can reach: the rules, the log, the handler, and the state under its lock.
pub(crate) struct Shared {
    pub(crate) poller: Arc<Poller>,
    pub(crate) leader: Arc<LeaderWaker>,
    scheduler: Mutex<SeatScheduler>,
    pub(crate) threads: Threads,
    pub(crate) returns: Returns,
    /// Requests that followers have finished with, for the reads of the leader.
    #[allow(clippy::vec_box, reason = "boxes are handed on; a request moved in and out would be copied")]
    spare_requests: Mutex<Vec<Box<Request>>>,
    pub(crate) host: Arc<dyn Host>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) rules: Arc<Rules>,
    pub(crate) seating: Seating,
    pub(crate) clock: Clock,
    interpreter_lock: InterpreterLock,
    pub(crate) access_log: Option<Arc<AccessLog>>,
    pub(crate) error_log: Arc<ErrorLog>,
    /// Requests that were answered with 503 and are not in the error log yet.
    pub(crate) overload: Summed,
    pub(crate) metrics: Arc<dyn Metrics>,
    /// HTTP/2 connections that have something to send.
    pub(crate) woken: Arc<WokenStreams>,
    /// Responses say `Connection: close`.
    pub(crate) draining: Arc<AtomicBool>,
    /// The monitor sleeps until a call runs.
    pub(crate) monitor_asleep: AtomicBool,
    pub(crate) monitor: OnceLock<Thread>,
    pub(crate) spawner: OnceLock<Thread>,
    pub(crate) probe: Probe,
    /// A seat was requested.
    pub(crate) spawner_called: AtomicBool,
    /// Ends the process if the first seat cannot: it is inside a call that does not end.
    pub(crate) abandon: Box<dyn Fn() + Send + Sync>,
    /// Ends the process after an internal error, so that the arbiter notices it and replaces the worker.
    pub(crate) fail: Box<dyn Fn() + Send + Sync>,
    /// The watch over calls, if they have a limit.
    pub(crate) overdue: Option<Overdue>,
    /// The disk thread.
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
        fail: Box<dyn Fn() + Send + Sync>,
        lead: Box<Lead>,
        overdue: Option<Overdue>,
    ) -> Shared {
        Shared {
            leader: Arc::new(LeaderWaker::new(Arc::clone(&poller))),
            poller,
            scheduler: Mutex::new(Scheduler::new(seating.bounds(), lead)),
            threads: Threads::default(),
            returns: Returns::default(),
            spare_requests: Mutex::default(),
            host,
            handler,
            rules: Arc::new(rules),
            seating,
            clock: Clock::start(),
            interpreter_lock,
            access_log,
            error_log,
            overload: Summed::default(),
            metrics,
            woken: Arc::default(),
            draining: Arc::new(AtomicBool::new(false)),
            monitor_asleep: AtomicBool::new(false),
            monitor: OnceLock::new(),
            spawner: OnceLock::new(),
            probe: Probe::default(),
            spawner_called: AtomicBool::new(false),
            abandon,
            fail,
            overdue,
            disk: DiskThread::default(),
        }
    }

    /// Reports an event to the scheduler, and wakes the threads that it names.
    ///
    /// The lock is held for the event alone: a few instructions, never across a wake-up, a system call or a handler.
    pub(crate) fn schedule<R>(&self, event: impl FnOnce(&mut SeatScheduler, &mut Actions) -> R) -> R {
        let mut actions = Actions::default();
        let answer = event(&mut self.scheduler(), &mut actions);
        if !actions.is_empty() {
            self.perform(&actions);
        }
        answer
    }

    /// The scheduler, for questions and for events that wake nobody.
    pub(crate) fn scheduler(&self) -> MutexGuard<'_, SeatScheduler> {
        self.scheduler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn perform(&self, actions: &Actions) {
        for &seat in &actions.wake {
            self.threads.wake(seat);
        }
        if actions.wake_leader {
            self.poller.wake();
        }
        if actions.wake_spawner {
            self.wake_spawner();
        }
    }

    /// Wakes the spawner to look for seats to start.
    pub(crate) fn wake_spawner(&self) {
        self.spawner_called.store(true, Ordering::SeqCst);
        if let Some(spawner) = self.spawner.get() {
            spawner.unpark();
        }
    }

    /// Gives something to the leader, which looks at it before its next wait.
    pub(crate) fn give_back(&self, returned: Returned) {
        self.returns.lock().push(returned);
        self.leader.wake();
    }

    /// Keeps a request for the reads of the leader.
    pub(crate) fn keep_spare(&self, request: Option<Box<Request>>) {
        if request.is_some() {
            let mut spare = self.spare_requests.lock().unwrap_or_else(PoisonError::into_inner);
            if spare.len() < SPARE_REQUESTS_MAX {
                spare.extend(request);
            }
        }
    }

    /// A request that a follower has finished with, if there is one.
    pub(crate) fn take_spare(&self) -> Option<Box<Request>> {
        self.spare_requests.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    /// Distinguishes a wait for the interpreter from other waits.
    pub(crate) fn interpreter_lock(&self) -> &InterpreterLock {
        &self.interpreter_lock
    }

    /// Wakes the monitor, if it sleeps.
    pub(crate) fn wake_monitor(&self) {
        if self.monitor_asleep.load(Ordering::Relaxed)
            && self.monitor_asleep.swap(false, Ordering::SeqCst)
            && let Some(monitor) = self.monitor.get()
        {
            monitor.unpark();
        }
    }
}
