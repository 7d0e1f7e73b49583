//! The clock of the file cache. It is coarse, and read without a system call.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds of a monotonic clock.
pub(super) fn clock_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
