//! Dates in fields (RFC 9110 §5.6.7), as whole seconds since the beginning of 1970.

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

/// Reads any of the three forms: `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. The weekday is not checked. `None` for anything else, which is to be ignored.
pub fn parse(text: &[u8]) -> Option<i64> {
    let comma = text.iter().position(|&byte| byte == b',');
    let (year, month, day, time) = match (comma, text) {
        (Some(3), [_, _, _, b',', b' ', rest @ ..]) if rest.len() == 24 => {
            let ends_right = rest[2] == b' ' && rest[6] == b' ' && rest[11] == b' ' && &rest[20..] == b" GMT";
            ends_right.then_some(())?;
            (number(&rest[7..11])?, month(&rest[3..6])?, number(&rest[..2])?, &rest[12..20])
        }
        (Some(at @ 6..=9), _) => {
            let rest = text.get(at + 1..)?;
            let ends_right = rest.len() == 23 && rest[0] == b' ' && rest[3] == b'-' && rest[7] == b'-';
            (ends_right && rest[10] == b' ' && &rest[19..] == b" GMT").then_some(())?;
            // A year that seems to be more than 50 years ahead is one of the last century; without a clock: 1970 to 2069.
            let year = number(&rest[8..10])?;
            (
                if year < 70 { 2000 + year } else { 1900 + year },
                month(&rest[4..7])?,
                number(&rest[1..3])?,
                &rest[11..19],
            )
        }
        (None, _) if text.len() == 24 => {
            let ends_right = text[3] == b' ' && text[7] == b' ' && text[10] == b' ' && text[19] == b' ';
            ends_right.then_some(())?;
            let day = if text[8] == b' ' { number(&text[9..10])? } else { number(&text[8..10])? };
            (number(&text[20..])?, month(&text[4..7])?, day, &text[11..19])
        }
        _ => return None,
    };
    let (hour, minute, second) = (number(&time[..2])?, number(&time[3..5])?, number(&time[6..])?);
    let is_time = time[2] == b':' && time[5] == b':' && hour < 24 && minute < 60 && second <= 60;
    let is_date = year >= 1601 && (1..=31).contains(&day);
    (is_time && is_date).then_some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Writes the form that is to be sent, an IMF-fixdate.
pub fn format(unix_s: i64) -> String {
    let (days, second_of_day) = (unix_s.div_euclid(86_400), unix_s.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month = String::from_utf8_lossy(MONTHS[(month - 1) as usize]);
    let (hour, minute, second) = (second_of_day / 3600, second_of_day / 60 % 60, second_of_day % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, &digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
}

fn month(name: &[u8]) -> Option<i64> {
    MONTHS.iter().position(|month| month[..] == *name).map(|at| at as i64 + 1)
}

/// Days since the beginning of 1970. Years begin in March here, so that the leap day is the last of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The reverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn all_three_forms_are_read() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(text.as_bytes()), Some(784_111_777), "{text}");
        }
        assert_eq!(parse(b"Thu, 29 Feb 2024 23:59:60 GMT"), Some(1_709_251_200));
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
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sun,",
            ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(unix_s in -10_000_000_000i64..250_000_000_000) {
            prop_assert_eq!(parse(format(unix_s).as_bytes()), Some(unix_s));
        }

        #[test]
        fn no_bytes_are_too_strange(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse(&text);
        }
    }
}
