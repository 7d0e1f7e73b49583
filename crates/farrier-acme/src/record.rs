//! The record beside a certificate: data that must survive the process.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::moment::unix_s;
use crate::schedule::{FAILURES_PERIOD, Suggestion};
use crate::state::{State, StateError};

/// Data about a certificate that it does not contain itself. Times are whole seconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The directory address of the authority that has issued it.
    pub(crate) directory: String,
    /// The names that were asked for.
    pub(crate) names: Vec<String>,
    /// When it was issued, by this machine's clock.
    pub(crate) issued_unix_s: u64,
    /// When it expires; for readers of the file.
    pub(crate) expires_unix_s: u64,
    /// The authority's renewal time (RFC 9773).
    pub(crate) suggestion: Option<Suggestion>,
    /// The times of recent failures that the authority may have counted.
    pub(crate) failures_unix_s: Vec<u64>,
    /// The last error; for readers of the file.
    pub(crate) last_failure: Option<String>,
}

impl Record {
    /// Reads the record; it is empty if the file is missing or invalid.
    pub(crate) fn read(place: &Path) -> Result<Record, StateError> {
        let text = State::read(place)?.unwrap_or_default();
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    /// Without events in the future: the clock was set back since they were recorded, and nothing should wait for it to
    /// catch up.
    pub(crate) fn until(mut self, now: SystemTime) -> Record {
        let now = unix_s(now);
        self.failures_unix_s.retain(|&at| at <= now);
        if self.issued_unix_s > now {
            self.issued_unix_s = 0;
        }
        self
    }

    /// Writes the record.
    pub(crate) fn write(&self, place: &Path) -> Result<(), StateError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        State::write(place, &(text + "\n"))
    }

    /// Records a failure, and removes old ones.
    pub(crate) fn failed(&mut self, reason: &str, counts: bool, now: SystemTime) {
        let now = unix_s(now);
        if counts {
            self.failures_unix_s.push(now);
        }
        self.failures_unix_s.retain(|&at| at + FAILURES_PERIOD.as_secs() > now && at <= now);
        self.last_failure = Some(reason.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_failures_and_failures_in_the_future_are_dropped() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let mut record = Record { failures_unix_s: vec![1, 99_000, 200_000], ..Record::default() };
        record.failed("no", true, now);
        assert_eq!(record.failures_unix_s, [99_000, 100_000]);
        record.failed("unreachable", false, now);
        assert_eq!(record.failures_unix_s, [99_000, 100_000]);
    }

    #[test]
    fn a_clock_that_was_set_back_causes_no_wait() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let noted = |issued_unix_s, failures: &[u64]| Record {
            issued_unix_s,
            failures_unix_s: failures.to_vec(),
            ..Record::default()
        };
        assert_eq!(noted(2_000, &[500, 3_000]).until(now), noted(0, &[500]));
        assert_eq!(noted(900, &[500]).until(now), noted(900, &[500]));
    }

    #[test]
    fn records_of_another_version_are_read_as_far_as_they_are_known() {
        let read: Record = serde_json::from_str(r#"{"directory": "d", "other": 1}"#).expect("read");
        assert_eq!(read, Record { directory: "d".to_owned(), ..Record::default() });
    }
}
