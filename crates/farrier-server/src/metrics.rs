//! What the worker counts, for whoever keeps the counters (shared memory of the arbiter's, or nobody).

use farrier_http::Status;

/// Counters of a worker. Called from several seats at once; must not wait.
pub trait Metrics: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self) {}
    /// The application was called and its response given, so long after the call began.
    fn called(&self, status: Status, duration_ns: u64) {
        let _ = (status, duration_ns);
    }
    /// The server itself gave a response: a refusal, or what needs no application.
    fn answered(&self, status: Status) {
        let _ = status;
    }
    /// The worker begins (or ends) to have calls running: while it has, it beats once a tick.
    fn set_active(&self, active: bool) {
        let _ = active;
    }
    /// A sign of life: calls run, and the interpreter can be had.
    fn beat(&self) {}
}

/// Counts nothing.
pub struct NoMetrics;

impl Metrics for NoMetrics {}
