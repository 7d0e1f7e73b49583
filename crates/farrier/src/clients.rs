//! What workers count of clients together: memory that the arbiter shares with them all, and the limits that use it.

use std::io;
use std::sync::Arc;

use farrier_config::Config;
use farrier_server::log::error::ErrorLog;
use farrier_server::rate_limit::{self, Rate, RateLimit};
use farrier_supervisor::SharedWords;

use crate::recycling;

/// The memory. Made before the first fork, whatever the settings say, for a reload may want it; as long as nobody uses it, it
/// takes no room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    rates: SharedWords,
}

impl Clients {
    /// Maps the memory.
    ///
    /// # Errors
    /// The kernel's: no memory.
    pub(crate) fn new() -> io::Result<Clients> {
        let rates = SharedWords::new(rate_limit::words_for(rate_limit::CLIENTS))?;
        rate_limit::seed(&rates, [recycling::chance(), recycling::chance()]);
        Ok(Clients { rates })
    }

    /// The limit of requests, if there is one.
    pub(crate) fn rate_limit(&self, config: &Config, log: &Arc<ErrorLog>) -> Option<RateLimit> {
        let rate = config.rate_limit?;
        let trusted = config.trusted_proxy.clone();
        Some(RateLimit {
            rate: Rate { requests: rate.requests, period_ns: rate.period.seconds() * 1_000_000_000, burst: rate.burst },
            words: self.rates.words(),
            is_exempt: Box::new(move |address| trusted.iter().any(|proxy| proxy.includes(address))),
            log: Arc::clone(log),
        })
    }
}
