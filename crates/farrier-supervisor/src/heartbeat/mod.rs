//! Heartbeats in shared memory: workers write that their calls make progress, and the arbiter finds those that do not.
//!
//! The page is made before the first fork, so every process has the same one; there is no file. A worker that runs no
//! call is marked as inactive (`active` is false) and needs no tick, so an idle server sleeps. The arbiter asks it instead:
//! it raises the number of the page, wakes the workers, and each copies that number into its slot.

#![allow(unsafe_code)]

mod watch;

use std::fmt;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

pub use watch::{Beat, Look, Watch};

/// Memory that this process shares with all that it forks: one slot for each worker that may live at the same time.
#[derive(Clone, Copy)]
pub struct HeartbeatPage {
    slots: &'static [Cells],
    server: &'static Cells,
}

impl HeartbeatPage {
    /// Maps memory for `slots` workers; all counters are zero. See [`HeartbeatPage::slots_for`].
    ///
    /// The mapping lasts as long as the process: forked workers use it until their last instruction.
    ///
    /// # Errors
    ///
    /// The kernel's: no memory.
    pub fn new(slots: u32) -> io::Result<HeartbeatPage> {
        // One more for state of the whole server.
        let count = slots.max(1) as usize + 1;
        let bytes = count * size_of::<Cells>();
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory in use.
        let start =
            unsafe { mmap_anonymous(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED)? };
        // SAFETY: the mapping is page-aligned, hence aligned for `Cells`, and holds `count` of them. The kernel has
        // zeroed it, which is a valid value of every atomic. It is never unmapped, and is only reached through atomics.
        let cells: &'static [Cells] = unsafe { std::slice::from_raw_parts(start.cast::<Cells>(), count) };
        let (server, slots) = cells.split_first().ok_or(io::ErrorKind::OutOfMemory)?;
        server.asked.store(1, Ordering::Release);
        Ok(HeartbeatPage { slots, server })
    }

    /// As many slots as `workers` need when a reload doubles them, with room for `TTIN` to add more.
    pub fn slots_for(workers: u32) -> u32 {
        workers.saturating_mul(2).saturating_add(16).max(64)
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// The slot with this number, counted from zero.
    pub fn slot(&self, number: u32) -> Option<Slot> {
        self.slots.get(number as usize).map(|cells| Slot { number, cells, server: self.server })
    }

    /// Tells all workers that the server is about to stop. This cannot be undone.
    pub fn set_leaving(&self) {
        self.server.active.store(1, Ordering::Release);
    }

    /// Asks all workers for an answer and returns the number that it will have. They must be woken after that.
    pub fn ask(&self) -> u64 {
        self.server.asked.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// A counter's sum over all slots: over all workers that ever were.
    pub fn total(&self, counter: Counter) -> u64 {
        self.slots.iter().map(|cells| cells.counters[counter as usize].load(Ordering::Relaxed)).sum()
    }
}

impl fmt::Debug for HeartbeatPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeartbeatPage").field("slots", &self.slots.len()).finish()
    }
}

/// One worker's place in the page. Any thread of the worker may use it.
#[derive(Clone, Copy)]
pub struct Slot {
    number: u32,
    cells: &'static Cells,
    server: &'static Cells,
}

impl Slot {
    /// Its number, counted from zero.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Records that the worker's calls make progress.
    ///
    /// # Arguments
    ///
    /// `now_ms` is [`crate::clock::monotonic_ms`].
    pub fn beat(&self, now_ms: u64) {
        self.cells.beat_ms.store(now_ms, Ordering::Release);
    }

    /// Sets whether calls run. Call `beat` before setting it, or an old beat counts.
    pub fn set_active(&self, active: bool) {
        self.cells.active.store(u64::from(active), Ordering::Release);
    }

    /// Answers what the arbiter has asked so far. From the first answer on it expects them.
    pub fn answer(&self) {
        self.cells.asked.store(self.server.asked.load(Ordering::Acquire), Ordering::Release);
    }

    /// No more answers come: the worker has finished.
    pub fn answer_no_more(&self) {
        self.cells.asked.store(0, Ordering::Release);
    }

    /// The heartbeat as the arbiter sees it: idle while no call runs.
    pub fn read(&self) -> Beat {
        // Acquire, so that a beat stored before `active` is seen with it.
        let active = self.cells.active.load(Ordering::Acquire) != 0;
        let last_ms = self.cells.beat_ms.load(Ordering::Acquire);
        match (active, self.cells.asked.load(Ordering::Acquire)) {
            (true, _) => Beat::Active { last_ms },
            (false, 0) => Beat::None,
            (false, answered) => Beat::Idle { last_ms, answered },
        }
    }

    /// Whether the whole server is about to stop.
    pub fn is_leaving(&self) -> bool {
        self.server.active.load(Ordering::Acquire) != 0
    }

    /// Adds to a counter.
    pub fn count(&self, counter: Counter, more: u64) {
        self.cells.counters[counter as usize].fetch_add(more, Ordering::Relaxed);
    }

    /// A counter's value: the sum over all workers that had this slot.
    pub fn counted(&self, counter: Counter) -> u64 {
        self.cells.counters[counter as usize].load(Ordering::Relaxed)
    }

    /// Sets how many calls run.
    pub fn set_running(&self, calls: u64) {
        self.cells.counters[Counter::Running as usize].store(calls, Ordering::Relaxed);
    }

    /// How many calls ran when the worker last set it.
    pub fn running(&self) -> u64 {
        self.counted(Counter::Running)
    }

    /// Prepares the slot for its next worker. Counters are kept, because a sum over workers must never decrease.
    pub fn reset(&self) {
        self.set_active(false);
        self.set_running(0);
        self.answer_no_more();
        self.beat(0);
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("number", &self.number).field("beat", &self.read()).finish()
    }
}

/// The counters of each worker. Each has a place in the page, which has room for [`COUNTERS_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Connections accepted.
    Accepted,
    /// Requests for which the application was called; `max_requests` counts these.
    Requests,
    /// Requests that the server answered itself, mostly refusals.
    Answers,
    /// Calls that raised, or broke PEP 3333. This counter and the following ones are kept only if they can be read.
    Exceptions,
    /// Requests that took longer than `request_timeout`.
    Timeouts,
    /// Time that calls took, in ns.
    CallNs,
    /// Bytes of content in responses.
    ContentBytes,
    /// Calls that run, as of the last tick; no sum. See [`Slot::set_running`].
    Running,
}

/// How many counters a slot has room for.
pub const COUNTERS_MAX: usize = 29;

/// Whole cache lines, so that two workers never write to the same one.
#[repr(C, align(128))]
struct Cells {
    beat_ms: AtomicU64,
    active: AtomicU64,
    /// In a slot the number that was answered last, 0 for none; for the server the number that was asked last.
    asked: AtomicU64,
    counters: [AtomicU64; COUNTERS_MAX],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_whole_cache_lines() {
        assert_eq!(size_of::<Cells>(), 256);
    }

    #[test]
    fn all_processes_share_a_slot() {
        let page = HeartbeatPage::new(3).expect("mapped");
        assert_eq!(page.slots(), 3);
        assert!(page.slot(3).is_none());
        let slot = page.slot(1).expect("there");
        assert_eq!(slot.read(), Beat::None);
        std::thread::spawn(move || {
            slot.beat(77);
            slot.set_active(true);
        })
        .join()
        .expect("ends");
        assert_eq!(page.slot(1).expect("there").read(), Beat::Active { last_ms: 77 });
        assert_eq!(page.slot(0).expect("there").read(), Beat::None);
    }

    #[test]
    fn every_slot_shows_that_the_server_stops() {
        let page = HeartbeatPage::new(2).expect("mapped");
        let slot = page.slot(1).expect("there");
        assert!(!slot.is_leaving());
        page.set_leaving();
        assert!(slot.is_leaving() && page.slot(0).expect("there").is_leaving());
        assert_eq!(slot.read(), Beat::None);
    }

    #[test]
    fn a_worker_answers_what_was_asked_last() {
        let page = HeartbeatPage::new(2).expect("mapped");
        let (slot, other) = (page.slot(0).expect("there"), page.slot(1).expect("there"));
        slot.answer();
        assert_eq!(slot.read(), Beat::Idle { last_ms: 0, answered: 1 });
        assert_eq!(page.ask(), 2);
        other.answer();
        assert_eq!(slot.read(), Beat::Idle { last_ms: 0, answered: 1 });
        assert_eq!(other.read(), Beat::Idle { last_ms: 0, answered: 2 });
        other.reset();
        assert_eq!(other.read(), Beat::None);
    }

    #[test]
    fn counters_outlive_a_worker_and_its_beat_does_not() {
        let page = HeartbeatPage::new(2).expect("mapped");
        let slot = page.slot(0).expect("there");
        slot.beat(5);
        slot.set_active(true);
        slot.count(Counter::Requests, 2);
        slot.reset();
        slot.count(Counter::Requests, 3);
        page.slot(1).expect("there").count(Counter::Requests, 4);
        assert_eq!(slot.read(), Beat::None);
        assert_eq!((slot.counted(Counter::Requests), slot.counted(Counter::Accepted)), (5, 0));
        assert_eq!(page.total(Counter::Requests), 9);
    }

    #[test]
    fn there_are_slots_for_a_reload_and_a_few_more() {
        assert_eq!(HeartbeatPage::slots_for(1), 64);
        assert_eq!(HeartbeatPage::slots_for(100), 216);
    }
}
