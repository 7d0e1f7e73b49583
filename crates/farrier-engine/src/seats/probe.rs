//! Tests whether the interpreter is available: the monitor asks, and the spawner waits for the interpreter.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The spawner does not wait.
const NEVER: u64 = u64::MAX;

/// What the monitor and the spawner share for the test.
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
    /// Requests a test. True when the spawner is to be woken, because it does not wait for the interpreter already.
    pub(crate) fn wish(&self) -> bool {
        self.waits_since_ns().is_none() && !self.is_wished.swap(true, Ordering::SeqCst)
    }

    /// Takes the request, once.
    pub(crate) fn take_wish(&self) -> bool {
        self.is_wished.swap(false, Ordering::SeqCst)
    }

    /// The spawner begins to wait.
    pub(crate) fn begin(&self, now_ns: u64) {
        self.waits_since_ns.store(now_ns, Ordering::SeqCst);
    }

    /// The spawner no longer waits.
    pub(crate) fn end(&self) {
        self.waits_since_ns.store(NEVER, Ordering::SeqCst);
    }

    /// Since when the spawner waits, in ns.
    pub(crate) fn waits_since_ns(&self) -> Option<u64> {
        Some(self.waits_since_ns.load(Ordering::SeqCst)).filter(|&since_ns| since_ns != NEVER)
    }
}
