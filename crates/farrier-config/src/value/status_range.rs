//! Statuses of responses, as a range.

use super::{Rejected, Value};

/// Statuses from the first to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StatusRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

impl Value for StatusRange {
    const EXPECTED: &'static str = "a status such as `204`, or a range such as `200-399`";
    const METAVAR: &'static str = "STATUSES";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..=599).contains(status));
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(StatusRange { first, last }),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        match self {
            StatusRange { first, last } if first == last => first.to_string(),
            StatusRange { first, last } => format!("{first}-{last}"),
        }
    }
}
