//! Whole numbers.

use std::cmp::Ordering;

use super::{Plain, Rejected, Value};

/// The digits and radix of a number as text or TOML spells it: `1000`, `1_000`, `0x3e8`.
pub(super) fn whole(text: &str) -> Option<u64> {
    let text = text.trim();
    let (digits, radix) = match text.get(..2) {
        Some("0x") => (&text[2..], 16),
        Some("0o") => (&text[2..], 8),
        Some("0b") => (&text[2..], 2),
        _ => (text, 10),
    };
    // `from_str_radix` would take a sign.
    let is_plain = digits.starts_with(|c: char| c.is_digit(radix)) && !digits.ends_with('_');
    if is_plain { u64::from_str_radix(&digits.replace('_', ""), radix).ok() } else { None }
}

macro_rules! whole_number {
    ($($type:ty),+) => { $(
        impl Value for $type {
            const EXPECTED: &'static str = "a whole number";
            const METAVAR: &'static str = "N";
            const IS_NUMBER: bool = true;

            fn parse(text: &str) -> Result<Self, Rejected> {
                match whole(text) {
                    Some(number) => <$type>::try_from(number)
                        .map_err(|_| Rejected::because(format!("`{text}` is too large, at most {}", <$type>::MAX))),
                    None => Err(Rejected::unexpected(text)),
                }
            }

            fn text(&self) -> String {
                self.to_string()
            }

            fn toml(&self) -> String {
                self.to_string()
            }

            fn plain(&self) -> Plain {
                Plain::Whole(u64::from(*self))
            }

            fn order(&self, bound: &Self) -> Option<Ordering> {
                Some(self.cmp(bound))
            }
        }
    )+ };
}

whole_number!(u32, u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_digits_only() {
        for (text, number) in [
            ("0", Some(0)),
            ("2048", Some(2048)),
            (" 7 ", Some(7)),
            ("10_000", Some(10_000)),
            ("0x10", Some(16)),
            ("0o17", Some(15)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("_1", None),
            ("1_", None),
            ("0x", None),
            ("ten", None),
        ] {
            assert_eq!(whole(text), number, "{text:?}");
        }
    }

    #[test]
    fn a_number_beyond_its_type_says_the_greatest() {
        assert_eq!(u32::parse("4294967296"), Err(Rejected::because("`4294967296` is too large, at most 4294967295")));
    }
}
