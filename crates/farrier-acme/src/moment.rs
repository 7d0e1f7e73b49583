//! Points in time: as whole seconds for stored data, and as text for messages.

use std::time::{Duration, SystemTime};

/// Whole seconds since 1970.
pub(crate) fn unix_s(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The point in time.
pub(crate) fn of_unix_s(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(u64::from(u32::MAX) * 2))
}

/// The date, for messages.
pub(crate) fn date(at: SystemTime) -> String {
    // Later years have more than four digits.
    let last = Duration::from_secs(253_402_300_799);
    httpdate::fmt_http_date(at.max(SystemTime::UNIX_EPOCH).min(SystemTime::UNIX_EPOCH + last))
}

/// A length of time in the largest precise unit, for messages.
pub(crate) fn span(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_printed_in_one_unit() {
        for (seconds, text) in [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 days")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn a_date_far_in_the_future_is_printed() {
        assert!(date(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 40)).contains("9999"));
        assert_eq!(unix_s(of_unix_s(1_000)), 1_000);
    }
}
