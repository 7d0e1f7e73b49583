//! Limits the rate of requests per client. All workers count together.

mod gcra;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farrier_http::{Error, Flush, Handler, Kind, Peer, Plan, Request, Respond};
use rustix::time::{ClockId, clock_gettime};

use self::gcra::Pace;
pub use self::gcra::Rate;
use self::table::Table;
pub use self::table::words_for;
use crate::sites::Sites;
use farrier_log::occasional::Occasional;
use farrier_protocol::rescue;

/// Clients that are counted at the same time: half a megabyte of words.
pub const CLIENTS: usize = 1 << 16;

/// The limit for every client.
pub struct RateLimit {
    /// How many requests one client may send.
    pub rate: Rate,
    /// Words that all workers share: [`words_for`] gives the number for [`CLIENTS`]. They include the key of the hash
    /// ([`farrier_protocol::client_hash::seed`]).
    pub words: &'static [AtomicU64],
    /// Addresses that are not limited: proxies that have not named their client.
    pub is_exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Logs now and then that requests were refused.
    pub report: Occasional,
}

/// Limits the requests to `inner`, if there is a limit. A peer on a unix socket is not limited, unless a proxy has
/// named the client's address.
///
/// A refusal shows the error page of the site that would have served the request.
pub fn around(inner: Arc<dyn Handler>, limit: Option<RateLimit>, sites: &Arc<Sites>) -> Arc<dyn Handler> {
    let limited = limit.and_then(|limit| {
        let table = Table::new(limit.words)?;
        let pace = Pace::of(limit.rate);
        Some(Limited { limit, table, pace, sites: Arc::clone(sites), inner: Arc::clone(&inner) })
    });
    match limited {
        Some(limited) => Arc::new(limited),
        None => inner,
    }
}

/// The handler around `inner`.
struct Limited {
    limit: RateLimit,
    table: Table,
    pace: Pace,
    sites: Arc<Sites>,
    inner: Arc<dyn Handler>,
}

/// Stored in a refused request: when the client may try again.
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
        self.table.admit(client, &self.pace, now_ns()).map_err(|early_ns| {
            self.limit.report.refused(client);
            TooEarly { retry_after_s: early_ns.div_ceil(1_000_000_000).max(1) }
        })
    }
}

impl Handler for Limited {
    fn plan(&self, request: &mut Request) -> Plan {
        match self.judge(request) {
            Ok(()) => self.inner.plan(request),
            Err(early) => {
                request.found = Some(Arc::new(early));
                Plan::Now
            }
        }
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        let early = request.found.as_ref().and_then(|found| found.downcast_ref::<TooEarly>());
        let Some(&TooEarly { retry_after_s }) = early else { return self.inner.handle(request, respond) };
        let error = Error::client(Kind::TooManyRequests, "this client has sent more requests than rate_limit allows");
        let page = |status| self.sites.page_for(request, status);
        if let Some((head, content)) = rescue::response_to(&error, retry_after_s, page) {
            respond.head(&head, Some(content.len() as u64));
            // An error means that the client has disconnected: nothing is left to do.
            let _ = respond.send(&content, Flush::Later);
            respond.finish();
        }
        Ok(())
    }
}

/// The monotonic clock, which is the same in all processes.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}
