//! Counts a worker's requests for the application if there is a limit, and asks for the worker's replacement when it is
//! reached.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_config::Config;
use farrier_engine::metrics::{Called, Metrics};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::{Cause, WorkerLink, process};

use crate::compose::SharedCounters;
use crate::observed::{Observed, Onlooker};

/// A worker's counters: its slot of the arbiter's page, and its requests only if their number is limited.
pub(crate) fn metrics(config: &Config, link: &Arc<WorkerLink>, log: &Arc<ErrorLog>) -> Arc<dyn Metrics> {
    let counters: Arc<dyn Metrics> = Arc::new(SharedCounters { slot: link.slot(), is_read: config.stats.is_some() });
    match config.max_requests {
        0 => counters,
        least => {
            let limit = least.saturating_add(chance() % config.max_requests_jitter.saturating_add(1));
            let (link, log) = (Arc::clone(link), Arc::clone(log));
            Arc::new(Observed { counters, onlooker: Limit { calls: AtomicU64::new(0), limit, link, log } })
        }
    }
}

/// A random number of this worker. Processes that were forked from one share its random keys, but not its pid.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(process::own_pid())
}

/// Counts up to a limit. The worker keeps serving until its successor does.
struct Limit {
    calls: AtomicU64,
    limit: u64,
    link: Arc<WorkerLink>,
    log: Arc<ErrorLog>,
}

impl Onlooker for Limit {
    fn called(&self, _: &Called) {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.limit {
            self.log.write(Level::Info, "Autorestarting worker after current request.");
            self.link.wants_recycling(Cause::Requests);
        }
    }
}
