//! Sends what a worker counts to statsd too, where that is set.

use std::sync::Arc;

use farrier_engine::metrics::{Called, Metrics};
use farrier_http::Status;
use farrier_log::statsd::Statsd;

use crate::observed::{Observed, Onlooker};

/// The same counters, and statsd if it is set.
pub(crate) fn measured(counters: Arc<dyn Metrics>, statsd: Option<&Arc<Statsd>>) -> Arc<dyn Metrics> {
    match statsd {
        Some(statsd) => Arc::new(Observed { counters, onlooker: ToStatsd(Arc::clone(statsd)) }),
        None => counters,
    }
}

struct ToStatsd(Arc<Statsd>);

impl Onlooker for ToStatsd {
    fn called(&self, call: &Called) {
        self.0.request(call.status, call.duration_ns);
    }

    fn answered(&self, status: Status) {
        self.0.refusal(status);
    }
}
