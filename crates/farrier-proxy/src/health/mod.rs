//! Whether a server may be asked: what its failures, its checks and its agent say of it.
//!
//! The laws, which the simulations check:
//!
//! - **Failures** (`failures`). A server is ejected after `fail_max` failures within a window, for 10, 20, 40 … 300 s. Each
//!   minute without an ejection takes one step back. A connection that had been idle and was closed is no failure.
//! - At most half of an upstream's servers are ejected at a time, and a server that is the only one never.
//! - **The way back** is one request. It is idempotent, unless none such comes within 10 s. Its answer ends the ejection, its failure doubles it. Then the
//!   server's weight grows from a tenth to all during the slow start. A server has all of its weight when the process starts.
//! - **Checks** (`checks`). A verdict changes only after `down` failures, or `up` passes, one after the other.
//! - **Panic rule.** If less than 30 % of the weight of all servers that are not backups is well and no backup is, then verdicts
//!   are ignored: a wrong check must not take the rest away. A server that a check could not reach is left out all the same,
//!   and so is one that the configuration, an operator or the agent has taken out.
//!
//! All of it is in words of memory ([`words`]), so that the workers of a server see the same. Times are ms of the clock that they
//! share.

pub mod agent;
pub mod checks;
pub(crate) mod failures;
pub mod probe;
pub mod table;
pub mod words;

pub(crate) use self::failures::{Failed, Failures, failed};
pub use self::words::{Cause, Words};

/// What is made of failures and checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthPolicy {
    /// Failures within the window after which a server is ejected; 0 ejects none.
    pub fail_max: u32,
    /// The window, in ms.
    pub window_ms: u64,
    /// How long the first ejection lasts, in ms.
    pub eject_ms: u64,
    /// Statuses that are failures, too.
    pub fail_on: Vec<u16>,
    /// How long a server that comes back gets less than its part, in ms.
    pub slow_start_ms: u64,
    /// Servers are checked.
    pub is_checked: bool,
    /// A server that was not checked yet gets no request.
    pub starts_down: bool,
    /// Servers have agents.
    pub has_agents: bool,
}

impl Default for HealthPolicy {
    fn default() -> Self {
        HealthPolicy {
            fail_max: 3,
            window_ms: 10_000,
            eject_ms: 10_000,
            fail_on: Vec::new(),
            slow_start_ms: 0,
            is_checked: false,
            starts_down: false,
            has_agents: false,
        }
    }
}

/// Whether a server may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Well,
    /// It was ejected, and one request may try whether it is well again.
    Trial,
    /// It may not, unless too few others are left.
    Ill,
    /// A check could not reach it.
    Unreachable,
    /// It was not checked yet.
    Unchecked,
    /// It gets no new clients.
    Draining,
    /// It was taken out.
    Out,
}

/// A change of a server's health, for the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Its failures have ejected it for this time, in ms.
    Ejected(Cause, u64),
    /// It has answered after an ejection.
    Readmitted,
    /// Its checks fail.
    Down(Cause),
    /// Its checks pass again.
    Up,
    /// The agent has taken it out, or back.
    Agent(agent::Mode),
    /// It gets no new requests, because an operator says so.
    Drains(bool),
}
