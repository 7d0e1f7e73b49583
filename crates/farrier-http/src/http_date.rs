//! Dates in fields (RFC 9110 §5.6.7), as whole seconds since the beginning of 1970.

use std::time::{Duration, UNIX_EPOCH};

/// Reads any of the three forms: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and `Sun Nov 6
/// 08:49:37 1994`. `None` for anything else, and for dates before 1970: both must be ignored.
pub fn parse(text: &[u8]) -> Option<i64> {
    let date = httpdate::parse_http_date(std::str::from_utf8(text).ok()?).ok()?;
    i64::try_from(date.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// Writes an IMF-fixdate, the form to send. A time outside of its range (before 1970, after 9999) becomes the nearest
/// possible date.
pub fn format(unix_s: i64) -> String {
    let seconds = u64::try_from(unix_s).unwrap_or(0).min(LAST_S);
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Fri, 31 Dec 9999 23:59:59 GMT.
const LAST_S: u64 = 253_402_300_799;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_three_forms_are_read() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Thu Nov 26 00:00:00 2026"), Some(1_795_651_200));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nox 1994 08:49:37 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT; x",
            "Sun,",
            ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_time_outside_of_the_range_becomes_the_nearest_date() {
        assert_eq!(format(-1), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(format(i64::MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(unix_s in 0..=LAST_S as i64) {
            prop_assert_eq!(parse(format(unix_s).as_bytes()), Some(unix_s));
        }

        #[test]
        fn no_bytes_cause_a_panic(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }
    }
}
