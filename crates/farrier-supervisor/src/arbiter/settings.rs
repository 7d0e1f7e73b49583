//! The settings that the arbiter needs, and its fixed times.

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
    /// How long the server keeps serving after a graceful stop was requested, so that load balancers notice.
    pub drain_delay: Duration,
    /// How long an active worker may send no heartbeat; `None` means no limit.
    pub timeout: Option<Duration>,
    /// How long a worker may take to load the application; `None` means no limit.
    pub boot_timeout: Option<Duration>,
    /// A worker that ends sooner than this after it became ready has died early, and its successors are delayed.
    pub healthy_after: Duration,
    /// The longest delay before a worker is started again.
    pub respawn_delay_max: Duration,
    /// How long a worker serves before it is replaced; `None` means no limit.
    pub max_worker_lifetime: Option<Duration>,
    /// Each worker serves up to this much longer, at random.
    pub max_worker_lifetime_jitter: Duration,
    /// The seed of that randomness, so that servers which start together differ.
    pub jitter_seed: u64,
    /// Resident memory above which a worker is replaced; `None` means no limit.
    pub max_worker_rss_bytes: Option<u64>,
    /// Whether this is a daemon. Only in a daemon `WINCH` stops the workers; in a terminal it means that the window has
    /// changed.
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

/// How long workers have to leave at a quick stop, and after they reported that they cannot boot.
pub const QUICK_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a hung worker has between `ABRT` and `KILL`.
pub const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the arbiter waits for killed workers before it exits without them.
pub const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// The delay before the next worker, after this many early deaths in a row: none after the first, then a tenth of a
/// second, doubled each time.
pub(super) fn respawn_delay(early_deaths: u32, longest: Duration) -> Duration {
    match early_deaths {
        0 | 1 => Duration::ZERO,
        deaths => FIRST_DELAY.saturating_mul(1 << (deaths - 2).min(20)).min(longest),
    }
}

/// The first delay above zero, and the shortest one after a failed fork.
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
