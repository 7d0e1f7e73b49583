//! A log line that may come often, limited to one in ten seconds.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::error::{ErrorLog, Level};

/// The least time between two lines.
const INTERVAL: Duration = Duration::from_secs(10);

/// Counts refused clients and logs their number: the first at once, further ones at most once per interval.
pub struct Occasional {
    log: Arc<ErrorLog>,
    what: &'static str,
    advice: &'static str,
    start: Instant,
    refused: AtomicU64,
    /// When the next line may be written, in ns since the start.
    due_ns: AtomicU64,
}

impl Occasional {
    /// A counter that has counted nothing yet.
    ///
    /// # Arguments
    ///
    /// `what` is the noun for one refused thing, such as "request". `advice` names the settings.
    pub fn new(log: Arc<ErrorLog>, what: &'static str, advice: &'static str) -> Occasional {
        let (refused, due_ns) = (AtomicU64::new(0), AtomicU64::new(0));
        Occasional { log, what, advice, start: Instant::now(), refused, due_ns }
    }

    /// Counts one more refusal, and logs the number if a line is due.
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
