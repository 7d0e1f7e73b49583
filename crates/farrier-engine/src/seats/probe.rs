//! Finds out whether the interpreter can be had: the monitor wishes to know, the spawner waits for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Nobody waits.
const NEVER: u64 = u64::MAX;

/// What the monitor and the spawner share about it.
pub(crate) struct Probe {
    is_wished: AtomicBool,
    /// Since when the spawner waits for the interpreter, in ns; [`NEVER`] while it does not.
    waits_since_ns: AtomicU64,
}

impl Default for Probe {
    fn default() -> Self {
        Probe { is_wished: AtomicBool::new(false), waits_since_ns: AtomicU64::new(NEVER) }
    }
}

impl Probe {
    /// Wishes to know. True when the spawner is to be woken: it does not wait for the interpreter already.
    pub(crate) fn wish(&self) -> bool {
        self.waits_since_ns().is_none() && !self.is_wished.swap(true, Ordering::SeqCst)
    }

    /// Takes the wish, once.
    pub(crate) fn take_wish(&self) -> bool {
        self.is_wished.swap(false, Ordering::SeqCst)
    }

    /// The spawner begins to wait.
    pub(crate) fn begin(&self, now_ns: u64) {
        self.waits_since_ns.store(now_ns, Ordering::SeqCst);
    }

    /// It waits no more.
    pub(crate) fn end(&self) {
        self.waits_since_ns.store(NEVER, Ordering::SeqCst);
    }

    /// Since when the spawner waits, in ns.
    pub(crate) fn waits_since_ns(&self) -> Option<u64> {
        Some(self.waits_since_ns.load(Ordering::SeqCst)).filter(|&since_ns| since_ns != NEVER)
    }
}
