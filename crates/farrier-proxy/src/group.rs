//! An upstream: its servers, which of them is asked next, and who waits when all are busy.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;

use farrier_http::Request;

use crate::balance::Balance;
use crate::budget::RetryBudget;
use crate::failure::Failure;
use crate::server::Server;

/// Bounds of an upstream and what is done when a server fails. Times in ms.
#[derive(Debug, Clone)]
pub struct GroupPolicy {
    /// How a server is chosen.
    pub balance: Balance,
    /// Requests in flight to all servers together, from this worker.
    pub max_requests: u32,
    /// Requests that wait when all servers are busy.
    pub queue_max: usize,
    /// How long they wait.
    pub queue_timeout_ms: u64,
    /// For one attempt to connect, TLS included.
    pub connect_timeout_ms: u64,
    /// Between two writes that made progress.
    pub send_timeout_ms: u64,
    /// From the end of the request to the final head.
    pub first_byte_timeout_ms: u64,
    /// Between two reads of content.
    pub read_timeout_ms: u64,
    /// For attempts, queue and head together.
    pub total_timeout_ms: u64,
    /// Requests on one connection.
    pub keepalive_requests: u64,
    /// A connection is used for this long.
    pub keepalive_time_ms: u64,
    /// Attempts beyond the first.
    pub retries: u32,
    /// Failures after which another attempt is made.
    pub retry_on: RetryOn,
    /// Requests that are not idempotent are tried again as well.
    pub retry_unsafe: bool,
    /// No attempt begins later.
    pub retry_timeout_ms: u64,
    /// Failures of a server before it is left out; 0 leaves none out.
    pub fail_max: u32,
    /// How long it is left out the first time.
    pub eject_ms: u64,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        GroupPolicy {
            balance: Balance::Least,
            max_requests: 1024,
            queue_max: 256,
            queue_timeout_ms: 5_000,
            connect_timeout_ms: 3_000,
            send_timeout_ms: 30_000,
            first_byte_timeout_ms: 60_000,
            read_timeout_ms: 60_000,
            total_timeout_ms: 300_000,
            keepalive_requests: 1000,
            keepalive_time_ms: 3_600_000,
            retries: 1,
            retry_on: RetryOn::default(),
            retry_unsafe: false,
            retry_timeout_ms: 10_000,
            fail_max: 3,
            eject_ms: 10_000,
        }
    }
}

/// Failures after which another attempt is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOn {
    /// The server was not reached.
    pub connect: bool,
    /// A connection that had been idle was closed before it answered.
    pub stale: bool,
    /// A fresh connection was reset before the head.
    pub reset: bool,
    /// The head did not come in time.
    pub timeout: bool,
    /// The answer breaks the protocol.
    pub bad_response: bool,
    /// Statuses.
    pub statuses: Vec<u16>,
}

impl Default for RetryOn {
    fn default() -> Self {
        let statuses = Vec::new();
        RetryOn { connect: true, stale: true, reset: false, timeout: false, bad_response: false, statuses }
    }
}

/// An upstream.
pub struct Group {
    /// Its name.
    pub name: String,
    /// Its bounds.
    pub policy: GroupPolicy,
    /// Its servers. The set is replaced as a whole, and read once for each choice.
    servers: RwLock<Arc<[Arc<Server>]>>,
    in_flight: AtomicU32,
    queue: Mutex<Queue>,
    /// Retries that are allowed.
    pub(crate) budget: Mutex<RetryBudget>,
    /// What a balance remembers from one choice to the next.
    pub(crate) turn: AtomicU64,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
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
        let budget = Mutex::new(RetryBudget::default());
        Group {
            name,
            policy,
            servers: RwLock::new(servers.into()),
            in_flight: AtomicU32::new(0),
            queue: Mutex::default(),
            budget,
            turn: AtomicU64::new(0),
        }
    }

    /// Whether a server speaks uwsgi or FastCGI.
    pub(crate) fn speaks_gateway_protocols(&self) -> bool {
        self.servers().iter().any(|server| server.protocol != crate::server::Protocol::Http1)
    }

    /// Its servers as they are now.
    pub fn servers(&self) -> Arc<[Arc<Server>]> {
        Arc::clone(&self.servers.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other servers in the place of all. One that is no longer among them gets no new requests and finishes those that
    /// it has.
    pub fn replace_servers(&self, servers: Vec<Arc<Server>>) {
        let added = {
            let mut current = self.servers.write().unwrap_or_else(PoisonError::into_inner);
            let added = servers.iter().filter(|server| !current.iter().any(|known| Arc::ptr_eq(known, server))).count();
            *current = servers.into();
            added
        };
        (0..added).for_each(|_| self.wake_next());
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
        let eligible = eligible(&servers, tried, now_ms);
        if eligible.is_empty() {
            return Err(Failure::NoServer);
        }
        let free: Vec<&Arc<Server>> = eligible.into_iter().filter(|server| server.has_room()).collect();
        let Some(server) = self.policy.balance.choose(self, &free, request) else { return Ok(Chosen::Busy) };
        Ok(Chosen::Server(self.lease(server)))
    }

    /// Whether another server than this one may be asked.
    pub(crate) fn has_other(&self, id: u64, tried: &[u64], now_ms: u64) -> bool {
        let servers = self.servers();
        eligible(&servers, tried, now_ms).into_iter().any(|other| other.id() != id && !tried.contains(&other.id()))
    }

    fn lease(self: &Arc<Self>, server: &Arc<Server>) -> Lease {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { group: Arc::clone(self), server: Arc::clone(server) }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request wait until a server has room. `None`: too many wait already.
    pub fn wait(self: &Arc<Self>, waker: Waker) -> Option<QueuePlace> {
        let mut queue = self.queue();
        if queue.waiting.len() >= self.policy.queue_max {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back((number, waker));
        Some(QueuePlace { group: Arc::clone(self), number })
    }

    /// A server has room again: the next request that waits may try.
    fn wake_next(&self) {
        if let Some((_, waker)) = self.queue().waiting.pop_front() {
            waker.wake();
        }
    }

    /// Notes that a server has answered.
    pub fn succeeded(&self, server: &Server, head_us: u64) {
        server.answered(head_us);
        if server.failures.load(Ordering::Relaxed) > 0 {
            server.failures.store(0, Ordering::Relaxed);
            server.ejection_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a server has failed. True: it is left out from now on.
    pub fn failed(&self, server: &Server, now_ms: u64) -> bool {
        let failures = server.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if self.policy.fail_max == 0 || failures < self.policy.fail_max || server.is_ejected(now_ms) {
            return false;
        }
        let servers = self.servers();
        let out = servers.iter().filter(|server| server.is_ejected(now_ms)).count();
        if (out + 1) * 2 > servers.len() {
            // At most half of the servers.
            return false;
        }
        let before = server.ejection_ms.load(Ordering::Relaxed);
        let lasts_ms = if before == 0 { self.policy.eject_ms } else { (before * 2).min(300_000) };
        server.ejection_ms.store(lasts_ms, Ordering::Relaxed);
        server.ejected_until_ms.store(now_ms + lasts_ms, Ordering::Relaxed);
        // One trial decides when it comes back.
        server.failures.store(self.policy.fail_max - 1, Ordering::Relaxed);
        true
    }
}

/// The servers that may be asked: those that are up and were not tried, else backups, else any that is up.
fn eligible<'a>(servers: &'a [Arc<Server>], tried: &[u64], now_ms: u64) -> Vec<&'a Arc<Server>> {
    let up = |server: &&Arc<Server>| !server.is_down && !server.is_draining.load(Ordering::Relaxed);
    let all: Vec<&Arc<Server>> = servers.iter().filter(up).collect();
    // A single server is never left out, and neither are all of them.
    let healthy = |server: &&Arc<Server>| all.len() == 1 || !server.is_ejected(now_ms);
    let untried = |server: &&Arc<Server>| !tried.contains(&server.id());
    let of = |is_backup: bool| {
        let kind = all.iter().copied().filter(|server| server.is_backup == is_backup);
        kind.filter(healthy).filter(untried).collect::<Vec<_>>()
    };
    let primary = of(false);
    if !primary.is_empty() {
        return primary;
    }
    let backup = of(true);
    if !backup.is_empty() {
        return backup;
    }
    all.into_iter().filter(|server| !server.is_backup || tried.is_empty()).collect()
}

/// A request's place at a server. Dropped, the place is free.
pub struct Lease {
    group: Arc<Group>,
    server: Arc<Server>,
}

impl Lease {
    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The server has answered, so long after the request.
    pub(crate) fn group_succeeded(&self, head_us: u64) {
        self.group.succeeded(&self.server, head_us);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.group.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.group.wake_next();
    }
}

/// A request's place among those that wait.
pub struct QueuePlace {
    group: Arc<Group>,
    number: u64,
}

impl QueuePlace {
    /// Waits on, in front, if it was called and another request has taken the room before it.
    pub(crate) fn wait_on(&self, waker: Waker) {
        let mut queue = self.group.queue();
        if queue.waiting.iter().all(|(number, _)| *number != self.number) {
            queue.waiting.push_front((self.number, waker));
        }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut queue = self.group.queue();
        let before = queue.waiting.len();
        queue.waiting.retain(|(number, _)| *number != self.number);
        if queue.waiting.len() == before {
            // It was called already. Another one takes the room if this one does not.
            drop(queue);
            self.group.wake_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_request_that_is_called_too_late_is_called_again() {
        // Its place in the queue was lost with the call, so it waited until `queue_timeout` and was answered with 503.
        let group = Arc::new(Group::new("app".to_owned(), Vec::new(), GroupPolicy::default()));
        let (late, next) = (Arc::new(Calls(AtomicUsize::new(0))), Arc::new(Calls(AtomicUsize::new(0))));
        let calls = |of: &Arc<Calls>| of.0.load(Ordering::Relaxed);
        let place = group.wait(Waker::from(Arc::clone(&late)));
        let _other = group.wait(Waker::from(Arc::clone(&next)));
        group.wake_next();
        assert_eq!((calls(&late), calls(&next)), (1, 0));
        if let Some(place) = &place {
            place.wait_on(Waker::from(Arc::clone(&late)));
            place.wait_on(Waker::from(Arc::clone(&late)));
        }
        group.wake_next();
        assert_eq!((calls(&late), calls(&next)), (2, 0));
        group.wake_next();
        assert_eq!((calls(&late), calls(&next)), (2, 1));
        drop(place);
    }
}
