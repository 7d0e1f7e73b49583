//! A worker's counters with an observer of calls and responses.

use std::sync::Arc;

use farrier_engine::metrics::{Called, Metrics};
use farrier_http::Status;

/// Observes counted events.
pub(crate) trait Onlooker: Send + Sync {
    /// A call of the application has ended.
    fn called(&self, call: &Called);

    /// The server itself has answered.
    fn answered(&self, _: Status) {}
}

/// The counters, and an observer that is called after them.
pub(crate) struct Observed<O> {
    pub(crate) counters: Arc<dyn Metrics>,
    pub(crate) onlooker: O,
}

impl<O: Onlooker> Metrics for Observed<O> {
    fn accepted(&self) {
        self.counters.accepted();
    }

    fn called(&self, call: &Called) {
        self.counters.called(call);
        self.onlooker.called(call);
    }

    fn answered(&self, status: Status) {
        self.counters.answered(status);
        self.onlooker.answered(status);
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
