//! A file's permissions.

use std::fmt;

use super::{Plain, Rejected, Value, quoted};
use crate::answer::Raw;

/// Permission bits of a file, at most `0o777`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03o}", self.0)
    }
}

impl Value for Mode {
    const EXPECTED: &'static str = "permissions in octal such as `660`";
    const METAVAR: &'static str = "MODE";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        // `660`, `0660` and `0o660` are the same: file modes are never decimal.
        let digits = text.trim().strip_prefix("0o").unwrap_or(text.trim());
        let is_octal = !digits.is_empty() && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if is_octal && mode <= 0o777 => Ok(Mode(mode)),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Text(text) | Raw::Number(text) => Self::parse(text),
            // Python has already parsed its `0o22`.
            Raw::Integer(number) => match u32::try_from(*number) {
                Ok(mode) if mode <= 0o777 => Ok(Mode(mode)),
                _ => Err(Rejected::unexpected_raw(raw)),
            },
            other => Err(Rejected::unexpected_raw(other)),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn toml(&self) -> String {
        quoted(&self.to_string())
    }

    fn plain(&self) -> Plain {
        Plain::Whole(u64::from(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_octal_however_they_are_spelt() {
        for (text, mode) in [("660", 0o660), ("0660", 0o660), ("0o660", 0o660), ("0", 0), ("777", 0o777)] {
            assert_eq!(Mode::parse(text), Ok(Mode(mode)), "{text:?}");
        }
        for text in ["", "888", "1777", "+660", "-1", "rw-rw----", "0x1b0", "0o"] {
            assert_eq!(Mode::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
        }
        assert_eq!(Mode(0o60).to_string(), "060");
    }
}
