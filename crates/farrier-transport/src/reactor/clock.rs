//! The two clocks: monotonic time since the worker began, and the Date field, formatted once a second per seat.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// Monotonic time since a start.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    pub fn start() -> Clock {
        Clock { start: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    /// Milliseconds since the start.
    pub fn now_ms(&self) -> u64 {
        self.now_ns() / 1_000_000
    }
}

/// The value of the Date field (RFC 9110 §6.6.1), an IMF-fixdate, formatted again when the second changes.
pub struct Date {
    second: i64,
    text: String,
}

impl Default for Date {
    fn default() -> Self {
        Date { second: i64::MIN, text: String::new() }
    }
}

impl Date {
    /// The current value.
    pub fn now(&mut self) -> &str {
        // The coarse clock is read without a system call and is exact to a few milliseconds.
        let second = clock_gettime(ClockId::RealtimeCoarse).tv_sec;
        if second != self.second {
            self.second = second;
            let time: SystemTime = UNIX_EPOCH + Duration::from_secs(second.max(0) as u64);
            self.text = httpdate::fmt_http_date(time);
        }
        &self.text
    }
}
