//! Looks up the names of upstreams, at the start and again and again, by a thread of its own: a look-up may take seconds,
//! and the leader must not wait for it.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use farrier_config::sites::SERVERS_MAX;
use farrier_config::value::{ResolveFamily, SourceAddress};
use farrier_config::{BindAddress, Upstream};
use farrier_http::upstream::ServerAddress;
use farrier_log::error::{ErrorLog, Level};
use farrier_proxy::group::Group;
use farrier_proxy::names::{Change, MakeServer, Names, pause_ms};
use farrier_tls::client::Peer;

use crate::shared_upstreams::SharedUpstreams;
use crate::upstreams::{fixed, ms, server};

/// The start of a worker waits so long for the first answers.
const START_MAX: Duration = Duration::from_secs(5);

/// The upstreams of a worker, and where the names of each stand.
pub(crate) struct Resolver {
    log: Arc<ErrorLog>,
    shared: SharedUpstreams,
    /// Servers that are found from now on were not there at the start.
    is_late: Arc<AtomicBool>,
    upstreams: Vec<Watched>,
    began: Instant,
    /// Changes with each use.
    chance: u64,
}

/// An upstream, its names and its servers.
struct Watched {
    upstream: Arc<Upstream>,
    group: Arc<Group>,
    names: Names,
    /// Whether more servers were found than are used.
    is_over: bool,
}

/// A name to be looked up.
struct Look {
    upstream: usize,
    place: usize,
    due: Instant,
}

impl Resolver {
    /// No upstream yet.
    pub(crate) fn new(shared: SharedUpstreams, log: &Arc<ErrorLog>) -> Resolver {
        Resolver {
            log: Arc::clone(log),
            shared,
            is_late: Arc::default(),
            upstreams: Vec::new(),
            began: Instant::now(),
            chance: RandomState::new().hash_one(std::process::id()),
        }
    }

    /// Adds an upstream, whose group has no server yet. `peers` is how TLS knows each server, if it is used.
    pub(crate) fn add(&mut self, group: Arc<Group>, upstream: &Arc<Upstream>, peers: Vec<Option<Peer>>) {
        let maker = |(place, peer): (usize, Option<Peer>)| -> MakeServer {
            let (upstream, peer) = (Arc::clone(upstream), peer.map(Arc::new));
            let (shared, is_late) = (self.shared, Arc::clone(&self.is_late));
            Box::new(move |address| {
                server(&upstream, place, address, peer.clone(), &shared, is_late.load(Ordering::Relaxed))
            })
        };
        let names = Names::new(peers.into_iter().enumerate().map(maker).collect(), SERVERS_MAX);
        self.upstreams.push(Watched { upstream: Arc::clone(upstream), group, names, is_over: false });
    }

    /// Gives the groups their servers. Where there are names, a thread looks them up, and this waits for its first answers.
    pub(crate) fn start(mut self) {
        let mut looks = Vec::new();
        for index in 0..self.upstreams.len() {
            let upstream = Arc::clone(&self.upstreams[index].upstream);
            for (place, configured) in upstream.servers.iter().enumerate() {
                match fixed(&configured.url.place) {
                    Some(address) => self.take(index, place, Ok(vec![address])),
                    None => looks.push(Look { upstream: index, place, due: self.began }),
                }
            }
        }
        if looks.is_empty() {
            return;
        }
        let log = Arc::clone(&self.log);
        let (looked, wait) = sync_channel(1);
        let spawned = thread::Builder::new().name("farrier-resolver".into()).spawn(move || self.run(looks, &looked));
        if let Err(error) = spawned {
            log.write(Level::Error, &format!("Cannot start the thread that looks up names of upstreams: {error}"));
        } else if wait.recv_timeout(START_MAX).is_err() {
            let message =
                "The names of upstreams are still being looked up: requests to them are answered with 503 until then";
            log.write(Level::Warning, message);
        }
    }

    fn run(mut self, mut looks: Vec<Look>, looked: &SyncSender<()>) {
        let mut is_first = true;
        while !looks.is_empty() {
            let now = Instant::now();
            let (due, waiting): (Vec<Look>, Vec<Look>) = looks.into_iter().partition(|look| look.due <= now);
            looks = waiting;
            for look in due {
                self.look(&look);
                looks.extend(self.again(&look));
            }
            if std::mem::take(&mut is_first) {
                self.is_late.store(true, Ordering::Relaxed);
                // Nobody may wait any more.
                let _ = looked.try_send(());
            }
            if let Some(next) = looks.iter().map(|look| look.due).min() {
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn look(&mut self, look: &Look) {
        let upstream = Arc::clone(&self.upstreams[look.upstream].upstream);
        let answer = look_up(&upstream.servers[look.place].url.place, &upstream);
        self.take(look.upstream, look.place, answer);
    }

    /// When the name is looked up the next time, if it is.
    fn again(&mut self, look: &Look) -> Option<Look> {
        let watched = &self.upstreams[look.upstream];
        let period = watched.upstream.resolve;
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause_ms = pause_ms(ms(period), watched.names.is_failing(look.place), self.chance >> 33);
        let due = Instant::now() + Duration::from_millis(pause_ms);
        (!period.is_zero()).then_some(Look { upstream: look.upstream, place: look.place, due })
    }

    fn take(&mut self, index: usize, place: usize, answer: io::Result<Vec<ServerAddress>>) {
        let now_ms = ms(self.began.elapsed());
        let watched = &mut self.upstreams[index];
        let was_failing = watched.names.is_failing(place);
        let (addresses, reason) = match answer {
            Ok(addresses) => {
                (Some(addresses), "it has no address of the family that `resolve_family` or `source` allows".to_owned())
            }
            Err(error) => (None, error.to_string()),
        };
        let change = watched.names.take(place, addresses, now_ms);
        let (name, url) = (&watched.group.name, &watched.upstream.servers[place].url);
        let say = |level: Level, what: &str| self.log.write(level, &format!("upstream {name}: {url} {what}"));
        match change {
            Change::Fails => say(Level::Warning, &format!("cannot be looked up, its servers stay: {reason}")),
            Change::Lost => say(Level::Warning, &format!("cannot be looked up, so it has no server: {reason}")),
            Change::Same | Change::Servers if was_failing && !watched.names.is_failing(place) => {
                say(Level::Info, "can be looked up again");
            }
            Change::Same | Change::Servers => {}
        }
        let found = watched.names.found();
        if found > SERVERS_MAX && !watched.is_over {
            say(Level::Warning, &format!("brings the servers to {found}; the first {SERVERS_MAX} are used"));
        }
        watched.is_over = found > SERVERS_MAX;
        if matches!(change, Change::Servers | Change::Lost) {
            watched.group.replace_servers(watched.names.servers());
        }
    }
}

fn look_up(place: &BindAddress, upstream: &Upstream) -> io::Result<Vec<ServerAddress>> {
    let BindAddress::Tcp { host, port } = place else { return Ok(Vec::new()) };
    let is_wanted = |address: &SocketAddr| {
        let is_of_family = match upstream.resolve_family {
            ResolveFamily::Any => true,
            ResolveFamily::V4 => address.is_ipv4(),
            ResolveFamily::V6 => address.is_ipv6(),
        };
        // A connection has both ends in one family.
        is_of_family && upstream.source.is_none_or(|SourceAddress(own)| own.is_ipv4() == address.is_ipv4())
    };
    Ok((host.as_str(), *port).to_socket_addrs()?.filter(is_wanted).map(ServerAddress::Tcp).collect())
}
