//! What the arbiter must know of the configuration, and its own fixed times.

use std::time::Duration;

/// The parameters of supervision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArbiterSettings {
    /// How many workers serve; zero counts as one.
    pub workers: u32,
    /// Whether a template imports the application and forks the workers.
    pub preload: bool,
    /// How long a worker may finish its requests after `TERM` before it is killed.
    pub graceful_timeout: Duration,
    /// How long the server goes on serving after it was told to stop gracefully, so that others can learn of it.
    pub drain_delay: Duration,
    /// How long an active worker may be silent; `None` means for ever.
    pub timeout: Option<Duration>,
    /// How long a worker may load the application; `None` means for ever.
    pub boot_timeout: Option<Duration>,
    /// A worker that dies sooner than this after it became ready has died early, and its successors are delayed.
    pub healthy_after: Duration,
    /// The longest delay before a worker is started again.
    pub respawn_delay_max: Duration,
    /// How long a worker serves before it is replaced; `None` means for ever.
    pub max_worker_lifetime: Option<Duration>,
    /// Each worker serves up to so much longer, by chance.
    pub max_worker_lifetime_jitter: Duration,
    /// Where that chance begins, so that servers which start together do not act together.
    pub jitter_seed: u64,
    /// Resident memory above which a worker is replaced; `None` means any.
    pub max_worker_rss_bytes: Option<u64>,
    /// Whether this is a daemon: only there `WINCH` means to stop the workers. In a terminal its window has changed.
    pub daemon: bool,
}

impl Default for ArbiterSettings {
    fn default() -> ArbiterSettings {
        ArbiterSettings {
            workers: 1,
            preload: false,
            graceful_timeout: Duration::from_secs(25),
            drain_delay: Duration::ZERO,
            timeout: Some(Duration::from_secs(30)),
            boot_timeout: Some(Duration::from_secs(300)),
            healthy_after: Duration::from_secs(5),
            respawn_delay_max: Duration::from_secs(10),
            max_worker_lifetime: None,
            max_worker_lifetime_jitter: Duration::ZERO,
            jitter_seed: 0,
            max_worker_rss_bytes: None,
            daemon: false,
        }
    }
}

/// How long workers have to leave at a quick stop, and one that has said that it cannot boot.
pub const QUICK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a hung worker has between `ABRT` and `KILL`.
pub const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the arbiter waits for workers that it has killed before it leaves without them.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to wait before the next worker, after so many early deaths in a row: nothing after the first, then a tenth
/// of a second, doubled each time.
pub(super) fn respawn_delay(early_deaths: u32, longest: Duration) -> Duration {
    match early_deaths {
        0 | 1 => Duration::ZERO,
        deaths => FIRST_DELAY.saturating_mul(1 << (deaths - 2).min(20)).min(longest),
    }
}

/// The first delay that is one, and the least after a fork that failed.
pub(super) const FIRST_DELAY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_begin_with_none_and_double_up_to_the_longest() {
        let delays_ms = |longest| (0..=9).map(|n| respawn_delay(n, longest).as_millis()).collect::<Vec<_>>();
        assert_eq!(delays_ms(Duration::from_secs(10)), [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert_eq!(respawn_delay(u32::MAX, Duration::from_secs(10)), Duration::from_secs(10));
    }
}
