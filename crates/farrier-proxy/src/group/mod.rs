//! An upstream: its servers, which of them is asked next, and who waits when all are busy.

mod eligible;
mod lease;
mod policy;
mod queue;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::task::Waker;

use farrier_http::Request;

use self::eligible::Eligible;
pub use self::lease::Lease;
pub use self::policy::{GroupPolicy, RetryOn};
pub use self::queue::QueuePlace;
use crate::balance::{Candidates, Members};
use crate::budget::RetryBudget;
use crate::failure::{Failure, is_idempotent};
use crate::hash::scramble;
use crate::health::failures::{self, Trial};
use crate::health::{Cause, Change, Failed, Standing, words};
use crate::server::{Protocol, Server};
use crate::sticky::Sticky;

/// A change of the health of a server, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notice {
    /// What has changed.
    pub change: Change,
    /// Servers that are well now.
    pub well: usize,
    /// Servers that the upstream has.
    pub all: usize,
    /// A server can be asked now. If not, requests are answered with 503.
    pub has_server: bool,
}

/// Is told of changes of health that this worker makes.
pub type Observer = Box<dyn Fn(&Server, &Notice) + Send + Sync>;

/// Gives the time of the clock that all processes share, in ms, above 0.
pub type SharedClock = Box<dyn Fn() -> u64 + Send + Sync>;

/// An upstream.
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its bounds.
    pub policy: GroupPolicy,
    /// Which clients stay with a server.
    pub sticky: Option<Sticky>,
    /// Is told of changes.
    pub observer: Option<Observer>,
    /// The clock that all processes share; without one the worker's own counts.
    pub clock: Option<SharedClock>,
    /// How far that clock is ahead of the worker's, in ms; `u64::MAX` before it was compared.
    ahead_ms: AtomicU64,
    /// Its servers. The set is replaced as a whole, and read once for each choice.
    servers: RwLock<Arc<[Arc<Server>]>>,
    in_flight: AtomicU32,
    queue: Arc<queue::Queue>,
    /// Retries that are allowed.
    pub(crate) budget: Mutex<RetryBudget>,
    /// What a balance remembers from one choice to the next.
    turn: AtomicU64,
    /// Where the round robin begins.
    begins_at: AtomicU64,
}

/// Where a request goes.
pub enum Chosen {
    /// To this server.
    Server(Lease),
    /// All servers are busy: it waits.
    Busy,
}

impl Group {
    /// An upstream with these servers.
    pub fn new(name: String, servers: Vec<Arc<Server>>, policy: GroupPolicy) -> Group {
        Group {
            name,
            policy,
            sticky: None,
            observer: None,
            clock: None,
            ahead_ms: AtomicU64::new(u64::MAX),
            servers: RwLock::new(servers.into()),
            in_flight: AtomicU32::new(0),
            queue: Arc::default(),
            budget: Mutex::new(RetryBudget::default()),
            turn: AtomicU64::new(0),
            begins_at: AtomicU64::new(0),
        }
    }

    /// Lets the choices of each worker begin elsewhere, so that not all of them ask the same server first.
    pub fn begin_at(&self, worker: u64) {
        // Neighbours would draw the same, one after the other.
        self.turn.store(scramble(worker), Ordering::Relaxed);
        self.begins_at.store(worker, Ordering::Relaxed);
        begin_round(&self.servers(), worker);
    }

    /// Its servers as they are now.
    pub fn servers(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.servers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other servers in the place of all. One that is no longer among them gets no new requests and finishes those that
    /// it has.
    pub fn replace_servers(&self, servers: Vec<Arc<Server>>) {
        let has_new = {
            let mut current = self.servers.write().unwrap_or_else(PoisonError::into_inner);
            let has_new = servers.iter().any(|server| !current.iter().any(|known| Arc::ptr_eq(known, server)));
            if current.is_empty() {
                begin_round(&servers, self.begins_at.load(Ordering::Relaxed));
            }
            *current = servers.into();
            has_new
        };
        if has_new {
            self.queue.wake_all();
        }
    }

    /// Whether a server speaks uwsgi or FastCGI.
    pub(crate) fn speaks_gateway_protocols(&self) -> bool {
        self.servers().iter().any(|server| server.protocol != Protocol::Http1)
    }

    /// The time of the clock that the processes share.
    pub(crate) fn shared_ms(&self, now_ms: u64) -> u64 {
        let Some(clock) = &self.clock else { return now_ms };
        let mut ahead_ms = self.ahead_ms.load(Ordering::Relaxed);
        if ahead_ms == u64::MAX {
            // Both count the same ms, so they are compared once.
            ahead_ms = clock().saturating_sub(now_ms);
            self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        }
        now_ms + ahead_ms
    }

    /// Chooses a server for a request. `tried` are the ids of servers that failed for it.
    ///
    /// # Errors
    /// [`Failure::NoServer`]: none may be asked.
    pub fn choose(self: &Arc<Self>, request: &Request, tried: &[u64], now_ms: u64) -> Result<Chosen, Failure> {
        if self.in_flight.load(Ordering::Relaxed) >= self.policy.max_requests {
            return Ok(Chosen::Busy);
        }
        let servers = self.servers();
        let now_ms = self.shared_ms(now_ms);
        let eligible = Eligible::of(&servers, &self.policy.health, now_ms);
        if let Some(sticky) = &self.sticky
            && let Some(chosen) = self.bound(sticky, &servers, &eligible, request, tried, now_ms)?
        {
            return Ok(chosen);
        }
        let tried: Members = places(&servers, |server| tried.contains(&server.id()));
        let full = places(&servers, |server| !server.has_room(self.policy.health.has_agents));
        let trial = eligible.trial.without(tried).without(full);
        if !trial.is_empty() {
            let is_safe = is_idempotent(request);
            let begin = |place: usize| failures::begin_trial(&servers[place].words[words::FAILED], is_safe, now_ms);
            if let Some((place, begun)) = trial.iter().find_map(|place| Some((place, begin(place)?))) {
                return Ok(Chosen::Server(self.lease(&servers[place], Some(begun))));
            }
        }
        let Eligible { first, then, is_any_unchecked, .. } = eligible;
        if first.or(then).is_empty() {
            return if is_any_unchecked { Ok(Chosen::Busy) } else { Err(Failure::NoServer) };
        }
        // One that was not tried, else a backup, else one again.
        let free = [first.without(tried), then.without(tried), first]
            .into_iter()
            .map(|members| members.without(full))
            .find(|free| !free.is_empty());
        let Some(free) = free else { return Ok(Chosen::Busy) };
        let from = Candidates { servers: &servers, free, health: &self.policy.health, now_ms };
        let Some(place) = self.policy.balance.choose(&self.turn, from, request) else { return Ok(Chosen::Busy) };
        Ok(Chosen::Server(self.lease(&servers[place], None)))
    }

    /// The server that the client is bound to. `None`: there is none, and one is chosen.
    fn bound(
        self: &Arc<Self>,
        sticky: &Sticky,
        servers: &Arc<[Arc<Server>]>,
        eligible: &Eligible,
        request: &Request,
        tried: &[u64],
        now_ms: u64,
    ) -> Result<Option<Chosen>, Failure> {
        let Some(key) = sticky.bound(request) else { return Ok(None) };
        let place = servers.iter().position(|server| server.key == key && !tried.contains(&server.id()));
        let health = &self.policy.health;
        let Some(place) = place else { return if sticky.is_strict() { Err(Failure::NoServer) } else { Ok(None) } };
        let server = &servers[place];
        let has_room = server.has_room(health.has_agents);
        let (may, trial) = match server.standing(health, now_ms) {
            Standing::Well | Standing::Draining => (true, None),
            Standing::Trial if has_room => {
                let is_safe = is_idempotent(request);
                let trial = failures::begin_trial(&server.words[words::FAILED], is_safe, now_ms);
                (trial.is_some(), trial)
            }
            _ => (eligible.first.has(place), None),
        };
        match may {
            true if has_room => Ok(Some(Chosen::Server(self.lease(server, trial)))),
            true => Ok(Some(Chosen::Busy)),
            false if sticky.is_strict() => Err(Failure::NoServer),
            false => Ok(None),
        }
    }

    /// Whether another server than this one may be asked.
    pub(crate) fn has_other(&self, id: u64, tried: &[u64], now_ms: u64) -> bool {
        let servers = self.servers();
        let Eligible { first, then, .. } = Eligible::of(&servers, &self.policy.health, self.shared_ms(now_ms));
        first.or(then).iter().map(|place| servers[place].id()).any(|other| other != id && !tried.contains(&other))
    }

    fn lease(self: &Arc<Self>, server: &Arc<Server>, trial: Option<Trial>) -> Lease {
        Lease::new(self, server, trial)
    }

    /// Lets a request wait until a server has room. `None`: too many wait already.
    pub fn wait(self: &Arc<Self>, waker: Waker) -> Option<QueuePlace> {
        self.queue.wait(waker, self.policy.queue_max)
    }

    /// A server is well again, or there are others: all that wait may try.
    pub fn wake_all(&self) {
        self.queue.wake_all();
    }

    /// Notes that a server has failed for a request, which may be its trial. `now_ms` is the worker's.
    pub fn failed(&self, server: &Server, is_trial: bool, cause: Cause, now_ms: u64) {
        let now_ms = self.shared_ms(now_ms);
        let health = &self.policy.health;
        server.took_failing(now_ms);
        let word = &server.words[words::FAILED];
        if health.fail_max == 0 {
            return;
        }
        let is_one_too_many = match failures::failed(word, now_ms) {
            Failed::Well(_) => server.failures.note(health, now_ms),
            // Of those that began before the ejection nothing follows.
            Failed::Ejected | Failed::MayBeTried => is_trial,
        };
        if !is_one_too_many {
            return;
        }
        if self.is_too_many(server) {
            // It was on trial, and others have gone since.
            failures::take_back(word);
            return;
        }
        if let Some(lasts_ms) = failures::eject(word, health, cause, now_ms) {
            if self.is_too_many(server) {
                // Another worker has ejected another server at the same moment.
                failures::take_back(word);
            } else {
                self.note(server, Change::Ejected(cause, lasts_ms), now_ms);
            }
        }
    }

    /// Whether more than half of the servers are out if this one is.
    fn is_too_many(&self, server: &Server) -> bool {
        let servers = self.servers();
        let is_out = |other: &&Arc<Server>| other.id() == server.id() || failures::is_out(&other.words[words::FAILED]);
        servers.iter().filter(is_out).count() * 2 > servers.len()
    }

    /// Tells the observer of a change. `now_ms` is of the shared clock.
    pub fn note(&self, server: &Server, change: Change, now_ms: u64) {
        if let Some(observer) = &self.observer {
            let servers = self.servers();
            let is_well = |each: &&Arc<Server>| each.standing(&self.policy.health, now_ms) == Standing::Well;
            let well = servers.iter().filter(is_well).count();
            let Eligible { first, then, .. } = Eligible::of(&servers, &self.policy.health, now_ms);
            observer(server, &Notice { change, well, all: servers.len(), has_server: !first.or(then).is_empty() });
        }
    }
}

/// Lets the round robin begin with the server of a worker: it is owed most.
fn begin_round(servers: &[Arc<Server>], worker: u64) {
    if let Some(place) = worker.checked_rem(servers.len() as u64) {
        servers[place as usize].turn.store(1, Ordering::Relaxed);
    }
}

fn places(servers: &[Arc<Server>], is: impl Fn(&Server) -> bool) -> Members {
    servers.iter().enumerate().filter(|(_, server)| is(server)).map(|(place, _)| place).collect()
}
