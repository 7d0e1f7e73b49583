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
