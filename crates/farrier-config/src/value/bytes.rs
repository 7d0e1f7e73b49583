//! Sizes in bytes.

use std::cmp::Ordering;
use std::fmt;

use super::duration::scaled;
use super::{Plain, Rejected, Value, quoted};

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

impl Bytes {
    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, at most the largest possible length.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Units in lower case and their bytes. The first three are used for output.
const UNITS: &[(&str, u64)] = &[
    ("gib", 1 << 30),
    ("mib", 1 << 20),
    ("kib", 1 << 10),
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((_, size), name) in UNITS.iter().zip(["GiB", "MiB", "KiB"]) {
            if self.0 > 0 && self.0.is_multiple_of(*size) {
                return write!(f, "{}{name}", self.0 / size);
            }
        }
        write!(f, "{}", self.0)
    }
}

impl Value for Bytes {
    const EXPECTED: &'static str = "a size such as `8190`, `64KiB`, `10MiB` or `1MB`";
    const METAVAR: &'static str = "SIZE";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        let digits = word.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(word.len());
        let (number, unit) = (word[..digits].replace('_', ""), word[digits..].trim_start().to_ascii_lowercase());
        let known = UNITS.iter().find(|(name, _)| *name == unit);
        let bytes = known.and_then(|(_, size)| scaled(&number, *size)).ok_or_else(|| Rejected::unexpected(text))?;
        // File offsets are signed, so nothing can be longer.
        match u64::try_from(bytes) {
            Ok(bytes) if i64::try_from(bytes).is_ok() => Ok(Bytes(bytes)),
            _ => Err(Rejected::because(format!("`{text}` is too large, at most {}", i64::MAX))),
        }
    }

    fn text(&self) -> String {
        self.to_string()
    }

    fn toml(&self) -> String {
        let text = self.to_string();
        if text.ends_with('B') { quoted(&text) } else { text }
    }

    fn plain(&self) -> Plain {
        Plain::Whole(self.0)
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        Some(self.cmp(bound))
    }
}
