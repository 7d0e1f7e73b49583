//! Monotonic time: the arbiter gets it as a parameter, and processes compare it through shared memory.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock's reading. It is the same in all processes of one machine and never steps back.
pub fn monotonic() -> Duration {
    let reading = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(reading.tv_sec).unwrap_or(0), u32::try_from(reading.tv_nsec).unwrap_or(0))
}

/// The monotonic clock in whole milliseconds, as a heartbeat stores it.
pub fn monotonic_ms() -> u64 {
    duration_ms(monotonic())
}

/// A duration in whole milliseconds.
pub(crate) fn duration_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
