//! Durations: seconds, or a number with a unit.

use std::cmp::Ordering;
use std::time::Duration;

use super::{Plain, Rejected, Value, quoted};

/// Units and their nanoseconds. The first of each size is used for output.
const UNITS: &[(&str, u64)] = &[
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
    ("µs", 1_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Longer than anyone needs, and short enough that adding it to a point in time cannot overflow.
const NANOSECONDS_MAX: u64 = 3650 * 86_400_000_000_000;

impl Value for Duration {
    const EXPECTED: &'static str = "a duration such as `500ms`, `30s`, `5m` or a number of seconds";
    const METAVAR: &'static str = "TIME";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(word.len());
        let (number, unit) = (word[..digits].replace('_', ""), word[digits..].trim_start());
        let unit = if unit.is_empty() { "s" } else { unit };
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let nanoseconds =
            known.and_then(|(_, size)| scaled(&number, *size)).ok_or_else(|| Rejected::unexpected(text))?;
        match u64::try_from(nanoseconds) {
            Ok(nanoseconds) if nanoseconds <= NANOSECONDS_MAX => Ok(Duration::from_nanos(nanoseconds)),
            _ => Err(Rejected::because(format!("`{text}` is too long, at most 3650d"))),
        }
    }

    fn text(&self) -> String {
        let nanoseconds = self.as_nanos();
        let unit = UNITS[..4].iter().find(|(_, size)| nanoseconds.is_multiple_of(u128::from(*size)));
        // A nanosecond divides every duration.
        let (name, size) = unit.copied().unwrap_or(("ns", 1));
        format!("{}{name}", nanoseconds / u128::from(size))
    }

    fn toml(&self) -> String {
        quoted(&self.text())
    }

    fn plain(&self) -> Plain {
        if self.subsec_nanos() == 0 { Plain::Whole(self.as_secs()) } else { Plain::Fraction(self.as_secs_f64()) }
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}

/// The decimal `number` times `size`, exactly; `None` if it is no decimal or the product is no whole number.
pub(super) fn scaled(number: &str, size: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.len() > 15 {
        return None;
    }
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let product = digits.checked_mul(u128::from(size))?;
    let divisor = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    product.is_multiple_of(divisor).then_some(product / divisor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, nanoseconds) in [
            ("30", 30_000_000_000_u64),
            ("0", 0),
            ("0.5", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("500ms", 500_000_000),
            ("300us", 300_000),
            ("300µs", 300_000),
            ("1ns", 1),
            ("5m", 300_000_000_000),
            ("5min", 300_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0.5h", 1_800_000_000_000),
            ("1 s", 1_000_000_000),
            ("3650d", NANOSECONDS_MAX),
        ] {
            assert_eq!(Duration::parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "s",
            "-1",
            "1.",
            ".5",
            "1.2.3",
            "1x",
            "1 s 2",
            "1e3",
            "0.0000000001",
            "30S",
            "inf",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(Duration::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
        assert_eq!(Duration::parse("3651d"), Err(Rejected::because("`3651d` is too long, at most 3650d")));
    }

    #[test]
    fn a_duration_is_written_in_the_largest_unit_up_to_seconds() {
        for text in ["0s", "30s", "300s", "1500ms", "1ms", "300us", "100ns"] {
            assert_eq!(Duration::parse(text).map(|duration| duration.text()), Ok(text.to_string()));
        }
    }
}
