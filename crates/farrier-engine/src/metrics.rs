//! What the worker counts: the interface to the counters, which may be in the arbiter's shared memory.

use farrier_http::Status;

/// A call of the application that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Called {
    /// The status sent.
    pub status: Status,
    /// From the beginning of the call to the end of the response, in ns.
    pub duration_ns: u64,
    /// Bytes of content sent.
    pub content_bytes: u64,
    /// Whether the application raised, or broke PEP 3333.
    pub has_failed: bool,
}

/// Counters of a worker. Called from several seats at once; must not wait.
pub trait Metrics: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self) {}
    /// The application was called and its response given.
    fn called(&self, call: &Called) {
        let _ = call;
    }
    /// The server itself gave a response: a refusal, or an answer that needs no application.
    fn answered(&self, status: Status) {
        let _ = status;
    }
    /// So many more calls have outlived `request_timeout`.
    fn overdue(&self, calls: usize) {
        let _ = calls;
    }
    /// Calls begin to run in the worker, or have all ended. While calls run, it beats once a tick.
    fn set_active(&self, active: bool) {
        let _ = active;
    }
    /// So many calls run, as of this tick.
    fn running(&self, calls: usize) {
        let _ = calls;
    }
    /// A heartbeat: calls run, and the interpreter is available.
    fn beat(&self) {}
}

/// Counts nothing.
pub struct NoMetrics;

impl Metrics for NoMetrics {}
