//! Measures how a seat's thread spent its time, as the kernel's scheduler counts it: running, waiting for a processor,
//! or neither.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Reads the calling thread's scheduler statistics (proc(5), `/proc/[pid]/task/[tid]/schedstat`).
#[derive(Default)]
pub(crate) struct ThreadMeter {
    statistics: Option<File>,
    /// The file is missing: nothing is measured.
    absent: bool,
}

/// Processor time that the whole process has used, in ns.
pub(crate) fn process_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Times since the thread began, in ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
pub(crate) struct Reading {
    /// Running on a processor.
    pub(crate) ran_ns: u64,
    /// Ready to run while others ran.
    pub(crate) delayed_ns: u64,
}

impl ThreadMeter {
    /// A reading; must be taken on the thread that the meter belongs to.
    pub(crate) fn read(&mut self) -> Option<Reading> {
        if self.absent {
            return None;
        }
        if self.statistics.is_none() {
            self.statistics = File::open("/proc/thread-self/schedstat").ok();
        }
        let mut text = [0; 96];
        let reading = self
            .statistics
            .as_ref()
            .and_then(|file| file.read_at(&mut text, 0).ok())
            .and_then(|count| parse(&text[..count]));
        self.absent = reading.is_none();
        reading
    }
}

impl Reading {
    /// A reading of any thread of this process.
    pub(crate) fn of(thread_id: i32) -> Option<Reading> {
        parse(&std::fs::read(format!("/proc/self/task/{thread_id}/schedstat")).ok()?)
    }

    /// The share of the time since `before` in which the thread used a processor. The time that it waited for one is
    /// left out. From 0 (it slept, or waited for others) to 1 (it computed).
    pub(crate) fn compute_share_since(&self, before: &Reading, elapsed_ns: u64) -> f32 {
        let ran_ns = self.ran_ns.saturating_sub(before.ran_ns);
        let delayed_ns = self.delayed_ns.saturating_sub(before.delayed_ns);
        let own_ns = elapsed_ns.saturating_sub(delayed_ns).max(ran_ns).max(1);
        ran_ns as f32 / own_ns as f32
    }
}

fn parse(text: &[u8]) -> Option<Reading> {
    let mut numbers = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let ran_ns = numbers.next()?.parse().ok()?;
    let delayed_ns = numbers.next()?.parse().ok()?;
    Some(Reading { ran_ns, delayed_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_waited_for_a_processor_did_not_wait_for_anything_else() {
        let before = parse(b"1000 500 7\n").expect("well formed");
        let after = parse(b"6000 4500 9\n").expect("well formed");
        assert_eq!(after.compute_share_since(&before, 9_000), 1.0);
        assert_eq!(after.compute_share_since(&before, 14_000), 0.5);
    }

    #[test]
    fn the_kernel_reports_the_times_of_this_thread() {
        let mut meter = ThreadMeter::default();
        let first = meter.read();
        assert!(first.is_none() || meter.read() >= first);
    }
}
