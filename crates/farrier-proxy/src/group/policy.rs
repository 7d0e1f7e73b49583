//! The bounds of an upstream, and what is done when a server fails.

use crate::balance::Balance;
use crate::health::HealthPolicy;

/// Bounds of an upstream and what is done when a server fails. Times in ms.
#[derive(Debug, Clone)]
pub struct GroupPolicy {
    /// How a server is chosen.
    pub balance: Balance,
    /// Requests in flight to all servers together, from this worker.
    pub max_requests: u32,
    /// Requests that wait when all servers are busy.
    pub queue_max: usize,
    /// How long they wait.
    pub queue_timeout_ms: u64,
    /// For one attempt to connect, TLS included.
    pub connect_timeout_ms: u64,
    /// Between two writes that made progress.
    pub send_timeout_ms: u64,
    /// From the end of the request to the final head.
    pub first_byte_timeout_ms: u64,
    /// Between two reads of content.
    pub read_timeout_ms: u64,
    /// For attempts, queue and head together.
    pub total_timeout_ms: u64,
    /// Requests on one connection.
    pub keepalive_requests: u64,
    /// A connection is used for this long.
    pub keepalive_time_ms: u64,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Failures after which another attempt is made.
    pub retry_on: RetryOn,
    /// Requests that are not idempotent are tried again as well.
    pub retry_unsafe: bool,
    /// Attempts beyond the first, in percent of the requests of 10 seconds; 3 are allowed in any case.
    pub retry_budget_percent: u32,
    /// No attempt begins later.
    pub retry_timeout_ms: u64,
    /// What is made of failures and checks.
    pub health: HealthPolicy,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        GroupPolicy {
            balance: Balance::Least,
            max_requests: 1024,
            queue_max: 256,
            queue_timeout_ms: 5_000,
            connect_timeout_ms: 3_000,
            send_timeout_ms: 30_000,
            first_byte_timeout_ms: 60_000,
            read_timeout_ms: 60_000,
            total_timeout_ms: 300_000,
            keepalive_requests: 1000,
            keepalive_time_ms: 3_600_000,
            retries: 1,
            retry_on: RetryOn::default(),
            retry_unsafe: false,
            retry_budget_percent: 20,
            retry_timeout_ms: 10_000,
            health: HealthPolicy::default(),
        }
    }
}

/// Failures after which another attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// The server was not reached.
    pub connect: bool,
    /// A connection that had been idle was closed before it answered.
    pub stale: bool,
    /// A fresh connection was reset before the head.
    pub reset: bool,
    /// The head did not come in time.
    pub timeout: bool,
    /// The answer breaks the protocol.
    pub bad_response: bool,
    /// Statuses.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        let statuses = Vec::new();
        RetryOn { connect: true, stale: true, reset: false, timeout: false, bad_response: false, statuses }
    }
}
