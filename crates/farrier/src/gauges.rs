//! The arbiter's own metrics: how many workers live, and how many connections the kernel has queued.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use farrier_config::Config;
use farrier_log::error::ErrorLog;
use farrier_log::statsd::Kind;
use farrier_supervisor::{Listener, Notice};
use pyo3::prelude::*;

use crate::generations::Generations;

/// How often the kernel's queue is measured.
const BACKLOG_INTERVAL: Duration = Duration::from_secs(1);

/// The metrics that the arbiter sends to statsd, if that is set.
pub(crate) struct Gauges {
    log: Arc<ErrorLog>,
    living: Cell<u32>,
    told: Cell<Option<u32>>,
    /// Copies of the listening sockets, if their queues are measured.
    queues: RefCell<Generations<Vec<OwnedFd>>>,
    next_look: Cell<Duration>,
}

impl Gauges {
    pub(crate) fn new(log: &Arc<ErrorLog>, config: &Config, listeners: &[Listener]) -> Gauges {
        Gauges {
            log: Arc::clone(log),
            living: Cell::new(0),
            told: Cell::new(None),
            queues: RefCell::new(Generations::new(copies(config, listeners))),
            next_look: Cell::new(Duration::ZERO),
        }
    }

    /// These are the listeners of the new generation.
    pub(crate) fn renewed(&self, generation: u64, config: &Config, listeners: &[Listener]) {
        self.queues.borrow_mut().add(generation, copies(config, listeners));
    }

    /// Handles the end of reloads and of the server: a copy of a listener keeps its address open.
    pub(crate) fn notice(&self, notice: &Notice) {
        match notice {
            Notice::Reloaded { generation } => self.queues.borrow_mut().settle(*generation),
            Notice::ReloadAbandoned { generation } => self.queues.borrow_mut().abandon(*generation),
            Notice::Stopping => self.close(),
            _ => {}
        }
    }

    /// Closes the copies: this process ends, or is a worker or the template.
    pub(crate) fn close(&self) {
        self.queues.replace(Generations::new(Vec::new()));
    }

    /// A worker was forked.
    pub(crate) fn forked(&self) {
        self.living.set(self.living.get() + 1);
    }

    /// A worker has ended.
    pub(crate) fn ended(&self) {
        self.living.set(self.living.get().saturating_sub(1));
    }

    /// Sends the number of living workers, if it has changed.
    pub(crate) fn tell_workers(&self) {
        let living = Some(self.living.get());
        if self.told.replace(living) != living
            && let Some(statsd) = self.log.statsd()
        {
            statsd.send("gunicorn.workers", &self.living.get().to_string(), Kind::Gauge);
        }
    }

    /// When to call [`Gauges::tell_backlog`] next, in monotonic time.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        (!self.queues.borrow().serving().is_empty()).then(|| self.next_look.get())
    }

    /// Sends the number of connections that the kernel has queued for the TCP listeners, if it is time.
    pub(crate) fn tell_backlog(&self, now: Duration) {
        let queues = self.queues.borrow();
        let queues = queues.serving();
        if queues.is_empty() || now < self.next_look.get() {
            return;
        }
        self.next_look.set(now + BACKLOG_INTERVAL);
        let Some(statsd) = self.log.statsd() else { return };
        let numbers: Vec<i32> = queues.iter().map(|queue| queue.as_raw_fd()).collect();
        let queued = Python::attach(|py| {
            py.import("farrier._logging")?.call_method1("backlog", (numbers,))?.extract::<Option<u64>>()
        });
        // There is no TCP listener, or the kernel does not report it.
        if let Ok(Some(queued)) = queued {
            statsd.send("gunicorn.backlog", &queued.to_string(), Kind::Histogram);
        }
    }
}

/// Copies of the listening sockets, if the settings want their queues measured.
fn copies(config: &Config, listeners: &[Listener]) -> Vec<OwnedFd> {
    if !config.enable_backlog_metric || config.statsd_host.is_none() {
        return Vec::new();
    }
    // A socket that cannot be copied, because no descriptor is left, is not measured.
    listeners.iter().filter_map(|listener| listener.as_fd().try_clone_to_owned().ok()).collect()
}
