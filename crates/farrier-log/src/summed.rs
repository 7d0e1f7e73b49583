//! A log line that would come for every request while the server is overloaded: one line a second, with a count.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{ErrorLog, Level};

/// How long requests are counted before their line is written, in ms.
const INTERVAL_MS: u64 = 1000;

/// Causes that are counted at the same time. Further ones are written at once.
const CAUSES_MAX: usize = 16;

/// No line is due.
const NEVER: u64 = u64::MAX;

/// Counts requests that were refused, for each cause.
pub struct Summed {
    counts: Mutex<Vec<Count>>,
    /// When the lines are due, in ms.
    due_ms: AtomicU64,
}

struct Count {
    cause: String,
    requests: u64,
    /// The last of the requests, as text.
    last: String,
}

impl Default for Summed {
    fn default() -> Self {
        Summed { counts: Mutex::default(), due_ms: AtomicU64::new(NEVER) }
    }
}

impl Summed {
    /// Counts one request. `last` describes it.
    pub fn count(&self, cause: &str, last: String, now_ms: u64, log: &ErrorLog) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.iter_mut().find(|count| count.cause == cause) {
            count.requests += 1;
            count.last = last;
            return;
        }
        let first = Count { cause: cause.to_owned(), requests: 1, last };
        if counts.len() >= CAUSES_MAX {
            drop(counts);
            return log.write(Level::Error, &first.line());
        }
        if counts.is_empty() {
            self.due_ms.store(now_ms + INTERVAL_MS, Ordering::Relaxed);
        }
        counts.push(first);
    }

    /// When [`Summed::write`] must be called, in ms. `None` if nothing was counted.
    #[inline]
    pub fn due_ms(&self) -> Option<u64> {
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        (due_ms != NEVER).then_some(due_ms)
    }

    /// Writes the lines that are due.
    #[inline]
    pub fn write(&self, now_ms: u64, log: &ErrorLog) {
        if self.due_ms.load(Ordering::Relaxed) <= now_ms {
            self.write_all(log);
        }
    }

    /// Writes all lines, such as before the end of the process.
    #[cold]
    pub fn write_all(&self, log: &ErrorLog) {
        let counts = {
            let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
            self.due_ms.store(NEVER, Ordering::Relaxed);
            std::mem::take(&mut *counts)
        };
        counts.iter().for_each(|count| log.write(Level::Error, &count.line()));
    }
}

impl Count {
    fn line(&self) -> String {
        let Count { cause, requests, last } = self;
        match requests {
            1 => format!("Answered a request with 503 ({last}): {cause}"),
            _ => format!("Answered {requests} requests with 503 within a second (the last: {last}): {cause}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::writer::Target;

    fn log(name: &str) -> (ErrorLog, PathBuf) {
        let path = std::env::temp_dir().join(format!("farrier-summed-{name}-{}", std::process::id()));
        let log = ErrorLog::new(Level::Info, Target::File(path.clone()).direct(64 * 1024).expect("opened"), None, None);
        (log, path)
    }

    fn lines(path: PathBuf) -> Vec<String> {
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::remove_file(&path).expect("removed");
        text.lines().map(|line| line.split("] ").last().unwrap_or_default().to_owned()).collect()
    }

    /// Every refused request had a line of its own, so an overload filled the log.
    #[test]
    fn the_requests_of_a_second_are_one_line_for_each_cause() {
        let (log, path) = log("causes");
        let summed = Summed::default();
        assert_eq!(summed.due_ms(), None);
        for number in 0..1000 {
            summed.count("full", format!("GET /{number}"), 5000 + number / 2, &log);
        }
        summed.count("late", "GET /x".into(), 5800, &log);
        assert_eq!(summed.due_ms(), Some(6000));
        summed.write(5999, &log);
        summed.write(6000, &log);
        summed.write(7000, &log);
        assert_eq!(summed.due_ms(), None);
        summed.count("full", "GET /y".into(), 9000, &log);
        summed.write_all(&log);
        let expected = [
            "Answered 1000 requests with 503 within a second (the last: GET /999): full",
            "Answered a request with 503 (GET /x): late",
            "Answered a request with 503 (GET /y): full",
        ];
        assert_eq!(lines(path), expected);
    }

    #[test]
    fn the_number_of_causes_is_bounded() {
        let (log, path) = log("bounded");
        let summed = Summed::default();
        for number in 0..100 {
            summed.count(&format!("cause {number}"), "GET /".into(), 0, &log);
        }
        assert_eq!(summed.counts.lock().expect("unpoisoned").len(), CAUSES_MAX);
        summed.write_all(&log);
        assert_eq!(lines(path).len(), 100);
    }
}
