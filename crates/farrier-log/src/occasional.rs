//! Says now and then in the error log that something happens again and again.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::{ErrorLog, Level};

/// How often it is said.
const INTERVAL: Duration = Duration::from_secs(10);

/// What clients are refused, as the log is told of it: at once, and then at most once in a while, with their number.
pub struct Occasional {
    log: Arc<ErrorLog>,
    what: &'static str,
    advice: &'static str,
    start: Instant,
    refused: AtomicU64,
    /// The next time, in ns since the start.
    due_ns: AtomicU64,
}

impl Occasional {
    /// Nothing was refused yet.
    ///
    /// # Arguments
    ///
    /// `what` is one of what is refused, as in "request", `advice` names the settings.
    pub fn new(log: Arc<ErrorLog>, what: &'static str, advice: &'static str) -> Occasional {
        let (refused, due_ns) = (AtomicU64::new(0), AtomicU64::new(0));
        Occasional { log, what, advice, start: Instant::now(), refused, due_ns }
    }

    /// One more was refused.
    pub fn refused(&self, client: IpAddr) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ns = self.start.elapsed().as_nanos() as u64;
        let due_ns = self.due_ns.load(Ordering::Relaxed);
        let next_ns = now_ns + INTERVAL.as_nanos() as u64;
        let is_mine = || self.due_ns.compare_exchange(due_ns, next_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now_ns >= due_ns && is_mine() {
            self.refused.fetch_sub(refused, Ordering::Relaxed);
            let Occasional { what, advice, .. } = self;
            let number = if refused == 1 { format!("a {what}") } else { format!("{refused} {what}s") };
            self.log.write(Level::Warning, &format!("Refused {number}, the last from {client} ({advice})"));
        }
    }
}
