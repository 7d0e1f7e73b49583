//! Refuses requests of clients that send more of them than they may, counted by all workers together.

mod gcra;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_http::{Error, Flush, Handler, Kind, Occupies, Peer, Request, Respond};
use rustix::time::{ClockId, clock_gettime};

use self::gcra::Pace;
pub use self::gcra::Rate;
use self::table::Table;
pub use self::table::{seed, words_for};
use crate::log::error::{ErrorLog, Level};
use crate::rescue;

/// Clients that can be told apart at the same time: half a megabyte of words.
pub const CLIENTS: usize = 1 << 16;

/// How often the log says that requests were refused.
const REPORT_INTERVAL_NS: u64 = 10_000_000_000;

/// What limits clients.
pub struct RateLimit {
    /// How many requests one may send.
    pub rate: Rate,
    /// Words that all workers share: as many as [`words_for`] says for [`CLIENTS`], with a key ([`seed`]).
    pub words: &'static [AtomicU64],
    /// Addresses that are not limited: proxies that have not said for whom they ask.
    pub is_exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Where it is said now and then that requests were refused.
    pub log: Arc<ErrorLog>,
}

/// Limits the requests to `inner`, if there is a limit. A peer on a unix socket for which no address is told is not limited.
pub fn around(inner: Arc<dyn Handler>, limit: Option<RateLimit>) -> Arc<dyn Handler> {
    let limited = limit.and_then(|limit| {
        let table = Table::new(limit.words)?;
        let pace = Pace::of(limit.rate);
        Some(Limited {
            limit,
            table,
            pace,
            refused: AtomicU64::new(0),
            reported_ns: AtomicU64::new(0),
            inner: Arc::clone(&inner),
        })
    });
    match limited {
        Some(limited) => Arc::new(limited),
        None => inner,
    }
}

/// A handler around another one.
struct Limited {
    limit: RateLimit,
    table: Table,
    pace: Pace,
    /// Requests refused since the log was told.
    refused: AtomicU64,
    reported_ns: AtomicU64,
    inner: Arc<dyn Handler>,
}

/// Noted in a request that is refused: when it may come again.
struct TooEarly {
    retry_after_s: u64,
}

impl Limited {
    fn judge(&self, request: &Request) -> Result<(), TooEarly> {
        let Peer::Tcp(address) = request.origin.peer else { return Ok(()) };
        let client = address.ip();
        if (self.limit.is_exempt)(client) {
            return Ok(());
        }
        let now_ns = now_ns();
        self.table.admit(client, &self.pace, now_ns).map_err(|early_ns| {
            self.report(client, now_ns);
            TooEarly { retry_after_s: early_ns.div_ceil(1_000_000_000).max(1) }
        })
    }

    /// Tells the log, at most once in a while.
    fn report(&self, client: IpAddr, now_ns: u64) {
        let refused = self.refused.fetch_add(1, Ordering::Relaxed) + 1;
        let reported_ns = self.reported_ns.load(Ordering::Relaxed);
        let is_due = reported_ns == 0 || now_ns.saturating_sub(reported_ns) >= REPORT_INTERVAL_NS;
        let mine =
            |word: &AtomicU64| word.compare_exchange(reported_ns, now_ns, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if is_due && mine(&self.reported_ns) {
            self.refused.fetch_sub(refused, Ordering::Relaxed);
            let requests = if refused == 1 { "a request" } else { &format!("{refused} requests") };
            self.limit.log.write(
                Level::Warning,
                &format!("Refused {requests} with 429, the last from {client} (see rate_limit; behind a proxy, trusted_proxy)"),
            );
        }
    }
}

impl Handler for Limited {
    fn occupies(&self, request: &mut Request) -> Occupies {
        match self.judge(request) {
            Ok(()) => self.inner.occupies(request),
            Err(early) => {
                request.found = Some(Arc::new(early));
                Occupies::Nothing
            }
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let early = request.found.as_ref().and_then(|found| found.downcast_ref::<TooEarly>());
        let Some(&TooEarly { retry_after_s }) = early else { return self.inner.handle(request, respond) };
        let error = Error::client(Kind::TooManyRequests, "this client has sent more requests than it may");
        if let Some((head, content)) = rescue::response_to(&error, retry_after_s) {
            respond.head(&head, Some(content.len() as u64));
            // A client that has left need not know.
            let _ = respond.send(&content, Flush::Later);
            respond.finish();
        }
        Ok(())
    }
}

/// The same clock in all processes.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
