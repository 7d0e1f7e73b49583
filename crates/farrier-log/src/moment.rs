//! Points in time as logs show them. They are in the process's time zone with its offset, as in Gunicorn. A form
//! without an offset is in UTC.

use std::sync::OnceLock;

use rustix::time::{ClockId, clock_gettime};

/// A point in time, broken down (proleptic Gregorian calendar, local time).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Year of the common era.
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 0 to 23.
    pub hour: u32,
    /// 0 to 59.
    pub minute: u32,
    /// 0 to 59.
    pub second: u32,
    /// 0 to 999.
    pub millisecond: u32,
    /// How much the local time is ahead of UTC, in seconds.
    pub offset_s: i32,
}

/// The offsets of the process's time zone: from when each holds (seconds since 1970), and its seconds ahead of UTC.
static OFFSETS: OnceLock<Vec<(i64, i32)>> = OnceLock::new();

/// Sets the time zone of the process: its offsets in the order in which they begin. Before the first offset, and
/// without this call, the zone is UTC. Only the first call has an effect.
pub fn set_offsets(offsets: Vec<(i64, i32)>) {
    // A second call comes from a second start in the same process: the zone is the same.
    let _ = OFFSETS.set(offsets);
}

fn offset_at(unix_s: i64) -> i32 {
    let Some(offsets) = OFFSETS.get() else { return 0 };
    let later = offsets.partition_point(|&(since, _)| since <= unix_s);
    later.checked_sub(1).map_or(0, |index| offsets[index].1)
}

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

impl Moment {
    /// The present, in local time.
    pub fn now() -> Moment {
        let time = clock_gettime(ClockId::Realtime);
        Moment::at(time.tv_sec, (time.tv_nsec / 1_000_000) as u32, offset_at(time.tv_sec))
    }

    /// The moment at this many seconds and milliseconds since 1970, in a zone this many seconds ahead of UTC.
    pub fn at(unix_s: i64, millisecond: u32, offset_s: i32) -> Moment {
        let unix_s = unix_s + i64::from(offset_s);
        let days = unix_s.div_euclid(86_400);
        let second_of_day = unix_s.rem_euclid(86_400) as u32;
        // Counts years from March, so that the leap day is the last of its year, in eras of 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u32;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u32;
        Moment {
            year: year_of_era + era * 400 + i64::from(month <= 2),
            month,
            day,
            hour: second_of_day / 3600,
            minute: second_of_day / 60 % 60,
            second: second_of_day % 60,
            millisecond,
            offset_s,
        }
    }

    /// `+0000`
    fn offset(&self) -> String {
        let sign = if self.offset_s < 0 { '-' } else { '+' };
        let minutes = self.offset_s.unsigned_abs() / 60;
        format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
    }

    /// `2026-11-22 05:14:49 +0000`, as error-log lines begin.
    pub fn for_error_log(&self) -> String {
        let Moment { year, month, day, hour, minute, second, .. } = self;
        let offset = self.offset();
        format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {offset}")
    }

    /// `[22/Nov/2026:05:28:20 +0000]`, as in the common log format.
    pub fn for_access_log(&self) -> String {
        let Moment { year, month, day, hour, minute, second, .. } = self;
        let month = MONTHS[(*month as usize).clamp(1, 12) - 1];
        let offset = self.offset();
        format!("[{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} {offset}]")
    }

    /// `2026-11-22T05:28:20.123Z`, or with an offset such as `+01:00` in place of the Z (RFC 3339).
    pub fn rfc3339(&self) -> String {
        let Moment { year, month, day, hour, minute, second, millisecond, offset_s } = self;
        let mut zone = self.offset();
        if *offset_s == 0 {
            "Z".clone_into(&mut zone);
        } else {
            zone.insert(3, ':');
        }
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millisecond:03}{zone}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_match_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00 +0000"),
            (951_782_400, "2000-02-29 00:00:00 +0000"),
            (1_709_251_199, "2024-02-29 23:59:59 +0000"),
            (1_795_324_100, "2026-11-22 05:08:20 +0000"),
            (4_107_542_400, "2100-03-01 00:00:00 +0000"),
        ];
        for (unix_s, expected) in cases {
            assert_eq!(Moment::at(unix_s, 0, 0).for_error_log(), expected);
        }
    }

    #[test]
    fn access_log_and_rfc_3339_have_their_own_forms() {
        assert_eq!(Moment::at(951_782_400, 0, 0).for_access_log(), "[29/Feb/2000:00:00:00 +0000]");
        assert_eq!(Moment::at(951_782_400, 7, 0).rfc3339(), "2000-02-29T00:00:00.007Z");
    }

    #[test]
    fn a_zone_shows_local_time_and_its_offset() {
        let india = Moment::at(951_782_400, 7, 19_800);
        assert_eq!(india.for_error_log(), "2000-02-29 05:30:00 +0530");
        assert_eq!(india.rfc3339(), "2000-02-29T05:30:00.007+05:30");
        assert_eq!(Moment::at(951_782_400, 0, -18_000).for_access_log(), "[28/Feb/2000:19:00:00 -0500]");
    }
}
