//! The limits per client, and the memory that all workers share.

use std::io;
use std::sync::Arc;

use farrier_config::Config;
use farrier_handlers::rate_limit::{self, Rate, RateLimit};
use farrier_log::error::ErrorLog;
use farrier_log::occasional::Occasional;
use farrier_protocol::client_hash;
use farrier_protocol::connection_limit::{self, ConnectionLimit};
use farrier_supervisor::{SharedWords, Slot};

use crate::recycling;
use crate::shared_upstreams::SharedUpstreams;

/// The memory. It is always mapped before the first fork, because a reload may need it. Unused pages take no memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clients {
    rates: SharedWords,
    connections: SharedWords,
    /// Workers that may live at the same time.
    workers: usize,
    /// What is known of the servers of upstreams.
    upstreams: SharedUpstreams,
}

impl Clients {
    /// Maps the memory, for this many workers at the same time.
    ///
    /// # Errors
    /// The kernel's: no memory.
    pub(crate) fn new(workers: u32) -> io::Result<Clients> {
        let workers = workers as usize;
        let rates = SharedWords::new(rate_limit::words_for(rate_limit::CLIENTS))?;
        let connections = SharedWords::new(connection_limit::words_for(workers))?;
        for words in [rates, connections] {
            client_hash::seed(&words, [recycling::chance(), recycling::chance()]);
        }
        Ok(Clients { rates, connections, workers, upstreams: SharedUpstreams::new()? })
    }

    /// What is known of the servers of upstreams, for a worker.
    pub(crate) fn upstreams(&self, slot: u32, generation: u32) -> SharedUpstreams {
        self.upstreams.of_worker(slot, generation)
    }

    /// Removes the connections of a worker that has ended, for any reason.
    pub(crate) fn ended(&self, slot: u32) {
        connection_limit::clear(&self.connections, self.workers, slot as usize);
    }

    /// The limit of connections, if there is one, for the worker in this slot.
    pub(crate) fn connection_limit(&self, config: &Config, log: &Arc<ErrorLog>, slot: Slot) -> Option<ConnectionLimit> {
        let most = config.limit_connections_per_address;
        if most == 0 {
            return None;
        }
        let trusted = config.trusted_proxy.clone();
        ConnectionLimit::new(
            most,
            self.connections.words(),
            self.workers,
            slot.number() as usize,
            Box::new(move |address| trusted.iter().any(|proxy| proxy.includes(address))),
            Occasional::new(
                Arc::clone(log),
                "connection",
                "see limit_connections_per_address; behind a proxy, trusted_proxy",
            ),
        )
    }

    /// The limit of requests, if there is one.
    pub(crate) fn rate_limit(&self, config: &Config, log: &Arc<ErrorLog>) -> Option<RateLimit> {
        let rate = config.rate_limit?;
        let trusted = config.trusted_proxy.clone();
        Some(RateLimit {
            rate: Rate { requests: rate.requests, period_ns: rate.period.seconds() * 1_000_000_000, burst: rate.burst },
            words: self.rates.words(),
            is_exempt: Box::new(move |address| trusted.iter().any(|proxy| proxy.includes(address))),
            report: Occasional::new(Arc::clone(log), "request", "429; see rate_limit; behind a proxy, trusted_proxy"),
        })
    }
}
