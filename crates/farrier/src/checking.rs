//! Checks the servers of upstreams, by a thread of its own: a check may take seconds, and the leader must not wait for it.
//!
//! Each worker has the thread where an upstream has `health`, agents or `drain_file`. Of all workers one has the lease and
//! checks for all; the others see the verdicts in shared memory. A worker that ends loses the lease with time.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use farrier_config::{Upstream, UpstreamServer};
use farrier_http::upstream::ServerAddress;
use farrier_log::error::{ErrorLog, Level};
use farrier_proxy::group::Group;
use farrier_proxy::health::Standing;
use farrier_proxy::health::checks::CheckPolicy;
use farrier_proxy::health::probe::Probe;
use farrier_proxy::server::Server;

use crate::probing::{Prober, Purpose};
use crate::shared_upstreams::SharedUpstreams;
use crate::upstreams::{check_policy, ms, probe};

/// A worker that does not check looks this often whether it shall, and what has changed.
const LOOK_MS: u64 = 500;

/// The lease lasts this long. It is renewed at every turn.
const LEASE_MS: u64 = 5_000;

/// The upstreams of a worker, and what is known of them.
pub(crate) struct Checking {
    shared: SharedUpstreams,
    log: Arc<ErrorLog>,
    watched: Vec<Watched>,
    /// When files and standings are looked at next, in ms.
    look_ms: u64,
}

/// An upstream.
pub(crate) struct Watched {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) group: Arc<Group>,
    pub(crate) probe: Option<(Probe, CheckPolicy)>,
    drain: Option<DrainFile>,
    /// How its servers were at the last turn.
    standings: Vec<(u64, Standing)>,
}

/// A file with servers that get no new requests.
struct DrainFile {
    path: PathBuf,
    contents: Option<String>,
}

impl Checking {
    /// No upstream yet.
    pub(crate) fn new(shared: SharedUpstreams, log: &Arc<ErrorLog>) -> Checking {
        Checking { shared, log: Arc::clone(log), watched: Vec::new(), look_ms: 0 }
    }

    /// Adds an upstream, if something of it is to be looked at.
    pub(crate) fn add(&mut self, group: &Arc<Group>, upstream: &Arc<Upstream>) {
        let probe = upstream.health.as_ref().map(|health| (probe(health), check_policy(health)));
        let drain = upstream.drain_file.clone().map(|path| DrainFile { path, contents: None });
        if probe.is_some() || drain.is_some() || has_agents(upstream) {
            let (upstream, group) = (Arc::clone(upstream), Arc::clone(group));
            self.watched.push(Watched { upstream, group, probe, drain, standings: Vec::new() });
        }
    }

    /// Begins, in a thread of its own. Files are read before, so that no request comes to a server that drains.
    pub(crate) fn start(mut self) {
        if self.watched.is_empty() {
            return;
        }
        self.read_drain_files(false);
        let log = Arc::clone(&self.log);
        let spawned = thread::Builder::new().name("farrier-health".into()).spawn(move || self.run());
        if let Err(error) = spawned {
            log.write(Level::Error, &format!("Cannot start the thread that checks servers of upstreams: {error}"));
        }
    }

    fn run(mut self) {
        let mut prober = match Prober::new(self.shared) {
            Ok(prober) => prober,
            Err(error) => {
                self.log.write(Level::Error, &format!("Cannot check servers of upstreams: {error}"));
                return;
            }
        };
        loop {
            let leads = self.shared.lead(LEASE_MS);
            if self.shared.now_ms() >= self.look_ms {
                self.look_ms = self.shared.now_ms() + LOOK_MS;
                self.read_drain_files(leads);
            }
            if leads {
                let next_ms = prober.turn(&self.watched);
                self.wake_waiting();
                prober.wait(next_ms.min(self.look_ms));
            } else {
                prober.forget();
                self.wake_waiting();
                thread::sleep(Duration::from_millis(LOOK_MS));
            }
        }
    }

    /// Requests that wait for a server may try again once something has changed.
    fn wake_waiting(&mut self) {
        let now_ms = self.shared.now_ms();
        for watched in &mut self.watched {
            let health = &watched.group.policy.health;
            let servers = watched.group.servers();
            let standings: Vec<_> =
                servers.iter().map(|server| (server.id(), server.standing(health, now_ms))).collect();
            if standings != watched.standings {
                watched.standings = standings;
                watched.group.wake_all();
            }
        }
    }

    /// Takes over what the files say now. `speaks`: this worker writes it into the log.
    fn read_drain_files(&mut self, speaks: bool) {
        let now_ms = self.shared.now_ms();
        for Watched { upstream, group, drain, .. } in &mut self.watched {
            let Some(drain) = drain else { continue };
            // A file that is not there names nobody.
            let contents = std::fs::read_to_string(&drain.path).unwrap_or_default();
            let is_same = drain.contents.as_ref() == Some(&contents);
            let servers = group.servers();
            for server in &*servers {
                let named = contents.lines().any(|line| names(line.trim(), server));
                let drains = named || is_configured_to_drain(upstream, server);
                if server.is_draining.swap(drains, Ordering::Relaxed) != drains && speaks && !is_same {
                    group.note(server, farrier_proxy::health::Change::Drains(drains), now_ms);
                }
            }
            drain.contents = Some(contents);
        }
    }
}

/// Whether a line of the file names the server: by its id, as the configuration writes it, or by its address.
fn names(line: &str, server: &Server) -> bool {
    let line = line.split('#').next().unwrap_or_default().trim();
    let address = match &server.target.address {
        ServerAddress::Tcp(address) => address.to_string(),
        ServerAddress::Unix(path) => format!("unix:{}", path.display()),
    };
    !line.is_empty() && (line == server.label || line == server.name || line == address)
}

fn is_configured_to_drain(upstream: &Upstream, server: &Server) -> bool {
    configured(upstream, server).is_some_and(|configured| configured.drain)
}

/// The entry of the configuration that a server was made from.
pub(crate) fn configured<'a>(upstream: &'a Upstream, server: &Server) -> Option<&'a UpstreamServer> {
    upstream.servers.get(server.place)
}

fn has_agents(upstream: &Upstream) -> bool {
    upstream.servers.iter().any(|server| server.agent.is_some())
}

impl Watched {
    /// How often a server is looked at for a purpose, if it is; `is_fast` shortly before a verdict changes.
    pub(crate) fn has(&self, server: &Server, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Check => self.probe.is_some() && !server.is_down,
            Purpose::Agent => configured(&self.upstream, server).is_some_and(|configured| configured.agent.is_some()),
        }
    }

    /// From one question to an agent to the next, in ms.
    pub(crate) fn agent_interval_ms(&self) -> u64 {
        ms(self.upstream.agent_interval)
    }
}
