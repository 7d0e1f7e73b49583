//! A rate of requests.

use super::{Rejected, Value};

/// A number of requests in a period, and how many may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The number of requests …
    pub requests: u64,
    /// … in this period.
    pub period: Period,
    /// Requests that may come at once.
    pub burst: u64,
}

/// The period of a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// `s`
    Second,
    /// `m`
    Minute,
    /// `h`
    Hour,
    /// `d`
    Day,
}

impl Period {
    const ALL: [(&'static str, Period, u64); 4] =
        [("s", Period::Second, 1), ("m", Period::Minute, 60), ("h", Period::Hour, 3600), ("d", Period::Day, 86_400)];

    /// Its length in seconds.
    pub fn seconds(self) -> u64 {
        self.row().2
    }

    fn row(self) -> (&'static str, Period, u64) {
        Period::ALL[self as usize]
    }
}

/// A higher number would be the same as no limit.
const NUMBER_MAX: u64 = 1_000_000;

impl Value for Rate {
    const EXPECTED: &'static str = "a rate such as `10/s`, `300/m` or `10/s burst 50`";
    const METAVAR: &'static str = "RATE";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let number = |word: &str| word.parse().ok().filter(|number| (1..=NUMBER_MAX).contains(number));
        let mut words = text.split_ascii_whitespace().flat_map(|word| word.split('='));
        let rate = words.next().and_then(|word| {
            let (requests, unit) = word.split_once('/')?;
            // nginx writes `10r/s`.
            let requests = number(requests.strip_suffix('r').unwrap_or(requests))?;
            let (_, period, _) = Period::ALL.into_iter().find(|(name, ..)| *name == unit)?;
            Some((requests, period))
        });
        let burst = match (words.next(), words.next(), words.next()) {
            (None, ..) => rate.map(|(requests, _)| requests),
            (Some("burst"), Some(burst), None) => number(burst),
            _ => None,
        };
        match (rate, burst) {
            (Some((requests, period)), Some(burst)) => Ok(Rate { requests, period, burst }),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        let (name, ..) = self.period.row();
        match self.burst {
            burst if burst == self.requests => format!("{}/{name}", self.requests),
            burst => format!("{}/{name} burst {burst}", self.requests),
        }
    }
}
