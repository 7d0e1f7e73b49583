//! Measures the memory of workers once a second, if there is a limit.

use std::fs;
use std::time::Duration;

use crate::process::Pid;

/// How often to measure: memory leaks do not need a shorter interval.
const PERIOD: Duration = Duration::from_secs(1);

/// Measures the resident memory of workers.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatch {
    limit_bytes: Option<u64>,
    next_look: Duration,
}

impl MemoryWatch {
    /// A watch with this limit; without one nothing is measured.
    pub(crate) fn new(limit_bytes: Option<u64>) -> MemoryWatch {
        MemoryWatch { limit_bytes, next_look: Duration::ZERO }
    }

    /// When to measure again.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.limit_bytes.map(|_| self.next_look)
    }

    /// The workers above the limit, with their resident bytes.
    pub(crate) fn look<W>(&mut self, workers: impl Iterator<Item = (W, Pid)>, now: Duration) -> Vec<(W, u64)> {
        let Some(limit) = self.limit_bytes else { return Vec::new() };
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + PERIOD;
        workers
            .filter_map(|(worker, pid)| Some((worker, resident_bytes(pid)?)))
            .filter(|&(_, bytes)| bytes > limit)
            .collect()
    }
}

fn resident_bytes(pid: Pid) -> Option<u64> {
    sizes_bytes(pid).map(|(_, resident)| resident)
}

/// A process's address space and resident memory, in bytes: the first two fields of `/proc/PID/statm`
/// (proc_pid_statm(5)); `None` once the process has gone.
pub(crate) fn sizes_bytes(pid: Pid) -> Option<(u64, u64)> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let page_bytes = rustix::param::page_size() as u64;
    let mut fields = statm.split_ascii_whitespace().map(|pages| pages.parse().map(|pages: u64| pages * page_bytes));
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::own_pid;

    #[test]
    fn a_process_that_holds_more_than_the_limit_is_found_once_a_period() {
        let mut watch = MemoryWatch::new(Some(4096));
        let seen = watch.look([("this", own_pid()), ("gone", 0)].into_iter(), Duration::from_secs(5));
        assert!(matches!(seen[..], [("this", bytes)] if bytes > 4096), "{seen:?}");
        assert_eq!(watch.wake_at(), Some(Duration::from_secs(6)));
        assert_eq!(watch.look([("this", own_pid())].into_iter(), Duration::from_millis(5999)), []);
        let mut large = MemoryWatch::new(Some(u64::MAX));
        assert_eq!(large.look([("this", own_pid())].into_iter(), Duration::from_secs(5)), []);
    }

    #[test]
    fn without_a_limit_nobody_looks() {
        let mut watch = MemoryWatch::new(None);
        assert_eq!(watch.wake_at(), None);
        assert_eq!(watch.look([("this", own_pid())].into_iter(), Duration::from_secs(5)), []);
    }
}
