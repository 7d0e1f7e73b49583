//! What the worker counts, for whoever keeps the counters (shared memory of the arbiter's, or nobody).

/// Counters of a worker. Called from several seats at once; must not wait.
pub trait Metrics: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self) {}
    /// The application was called and its response given; `error`: with a status of 500 or above.
    fn called(&self, error: bool) {
        let _ = error;
    }
    /// The server itself gave a response: a refusal, or what needs no application.
    fn answered(&self, error: bool) {
        let _ = error;
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
