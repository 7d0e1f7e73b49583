//! What the worker counts, for whoever keeps the counters (shared memory of the arbiter's, or nobody).

/// Counters of a worker. Called from several seats at once; must not wait.
pub trait Metrics: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self) {}
    /// A response was given; `error`: with a status of 500 or above.
    fn responded(&self, error: bool) {
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
