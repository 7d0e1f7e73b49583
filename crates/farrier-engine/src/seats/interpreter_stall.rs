//! Logs which calls run while no thread can take the interpreter. The arbiter will replace the worker if that lasts,
//! and knows nothing of requests.

use super::native_hint;
use super::shared::Shared;
use farrier_log::error::Level;

/// How long the interpreter must be unavailable before it is logged, in ns, beyond the time that it takes to notice.
const TOLD_AFTER_NS: u64 = 1_000_000_000;

/// The monitor's record of such a time.
#[derive(Default)]
pub(crate) struct InterpreterStall {
    since_ns: Option<u64>,
    is_told: bool,
}

impl InterpreterStall {
    /// Notes whether the interpreter is available.
    pub(crate) fn look(&mut self, is_alive: bool, shared: &Shared, now_ns: u64) {
        if is_alive {
            if self.is_told {
                shared.error_log.write(Level::Warning, "The interpreter is available again");
            }
            *self = InterpreterStall::default();
            return;
        }
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        if !self.is_told && now_ns.saturating_sub(since_ns) >= TOLD_AFTER_NS {
            self.is_told = true;
            let calls = native_hint::of_calls(shared);
            let text = format!(
                "No thread can take the interpreter: most likely a call into C holds it and does not release it. The worker is replaced after `timeout` if this lasts; {calls}"
            );
            shared.error_log.write(Level::Error, &text);
        }
    }
}
