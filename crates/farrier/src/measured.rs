//! Sends what a worker counts to statsd too, where that is set.

use std::sync::Arc;

use farrier_http::Status;
use farrier_server::log::statsd::Statsd;
use farrier_server::metrics::{Called, Metrics};

/// The same counters, and statsd if it is set.
pub(crate) fn measured(counters: Arc<dyn Metrics>, statsd: Option<&Arc<Statsd>>) -> Arc<dyn Metrics> {
    match statsd {
        Some(statsd) => Arc::new(Measured { counters, statsd: Arc::clone(statsd) }),
        None => counters,
    }
}

struct Measured {
    counters: Arc<dyn Metrics>,
    statsd: Arc<Statsd>,
}

impl Metrics for Measured {
    fn accepted(&self) {
        self.counters.accepted();
    }

    fn called(&self, call: &Called) {
        self.counters.called(call);
        self.statsd.request(call.status, call.duration_ns);
    }

    fn answered(&self, status: Status) {
        self.counters.answered(status);
        self.statsd.refusal(status);
    }

    fn overdue(&self, calls: usize) {
        self.counters.overdue(calls);
    }

    fn set_active(&self, active: bool) {
        self.counters.set_active(active);
    }

    fn running(&self, calls: usize) {
        self.counters.running(calls);
    }

    fn beat(&self) {
        self.counters.beat();
    }
}
