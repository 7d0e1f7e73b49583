//! The checks that are under way: their connections, deadlines and outcomes. They belong to the thread that checks.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Arc;

use farrier_http::upstream::{ServerAddress, Target, UpstreamStream, Upstreams};
use farrier_proxy::health::agent::{LINE_BYTES_MAX, Told};
use farrier_proxy::health::checks::{self, Verdict};
use farrier_proxy::health::probe::ProbeAnswer;
use farrier_proxy::health::words::{AGENT, CHECKED};
use farrier_proxy::health::{Cause, Change};
use farrier_proxy::server::Server;
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::token::Token;
use farrier_transport::upstream::{Door, UpstreamPool};

use crate::checking::{Watched, configured};
use crate::shared_upstreams::SharedUpstreams;

/// Checks under way at a time.
const UNDER_WAY_MAX: usize = 64;

/// An agent that takes longer says nothing.
const AGENT_TIMEOUT_MS: u64 = 2_000;

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Purpose {
    /// A check of the server.
    Check,
    /// A question to its agent.
    Agent,
}

const PURPOSES: [Purpose; 2] = [Purpose::Check, Purpose::Agent];

/// Makes the checks.
pub(crate) struct Prober {
    shared: SharedUpstreams,
    poller: Arc<Poller>,
    pool: UpstreamPool,
    /// When each server is looked at next, in ms, by its id.
    due: HashMap<(u64, Purpose), u64>,
    under_way: Vec<Running>,
    chance: u64,
}

/// Whom a connection is for.
#[derive(Clone)]
struct Subject {
    /// The upstream, among those that are watched.
    upstream: usize,
    server: Arc<Server>,
    purpose: Purpose,
}

/// A check that is under way.
struct Running {
    subject: Subject,
    stream: Box<dyn UpstreamStream>,
    is_connected: bool,
    unsent: Vec<u8>,
    reading: Reading,
    deadline_ms: u64,
}

enum Reading {
    Probe(Box<ProbeAnswer>),
    Agent(Vec<u8>),
}

impl Prober {
    /// Nothing is under way.
    ///
    /// # Errors
    /// Out of descriptors.
    pub(crate) fn new(shared: SharedUpstreams) -> io::Result<Prober> {
        let poller = Arc::new(Poller::new()?);
        Ok(Prober {
            shared,
            pool: UpstreamPool::new(Arc::clone(&poller)),
            poller,
            due: HashMap::new(),
            under_way: Vec::new(),
            chance: RandomState::new().hash_one(std::process::id()),
        })
    }

    /// Another worker checks: what is under way is given up.
    pub(crate) fn forget(&mut self) {
        self.under_way.clear();
        self.due.clear();
    }

    /// Waits until something happens on a connection, or for that time.
    pub(crate) fn wait(&mut self, until_ms: u64) {
        let timeout_ms = until_ms.saturating_sub(self.shared.now_ms()).max(1);
        let (poller, pool) = (Arc::clone(&self.poller), &mut self.pool);
        let waited = poller.wait(&mut Vec::new(), Some(timeout_ms), |token, readiness| {
            pool.note(token, readiness);
        });
        if waited.is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
            std::thread::sleep(std::time::Duration::from_millis(timeout_ms));
        }
    }

    /// Goes on with all that is under way and begins what is due. When it is to be called even if nothing happens, in ms.
    pub(crate) fn turn(&mut self, watched: &[Watched]) -> u64 {
        let now_ms = self.shared.now_ms();
        for mut running in std::mem::take(&mut self.under_way) {
            match running.step(now_ms) {
                Some(outcome) => self.ended(watched, &running.subject, outcome, now_ms),
                None => self.under_way.push(running),
            }
        }
        let mut still = HashMap::new();
        for (upstream, each) in watched.iter().enumerate() {
            for server in &*each.group.servers() {
                for purpose in PURPOSES.into_iter().filter(|&purpose| each.has(server, purpose)) {
                    let key = (server.id(), purpose);
                    let is_its = |running: &Running| (running.subject.server.id(), running.subject.purpose) == key;
                    let is_due = self.due.get(&key).is_none_or(|&due_ms| due_ms <= now_ms);
                    let has_room = self.under_way.len() < UNDER_WAY_MAX;
                    if is_due && has_room && !self.under_way.iter().any(is_its) {
                        self.begin(watched, Subject { upstream, server: Arc::clone(server), purpose }, now_ms);
                    }
                    still.insert(key, self.due.get(&key).copied().unwrap_or(now_ms));
                }
            }
        }
        // Servers that have gone are forgotten.
        self.due = still;
        let deadlines = self.under_way.iter().map(|running| running.deadline_ms);
        self.due.values().copied().filter(|&due_ms| due_ms > now_ms).chain(deadlines).min().unwrap_or(u64::MAX)
    }

    fn begin(&mut self, watched: &[Watched], subject: Subject, now_ms: u64) {
        let each = &watched[subject.upstream];
        let Some((target, unsent, reading, timeout_ms)) = planned(each, &subject) else { return };
        self.pause(each, &subject, now_ms);
        let (mut signal, owner) = (None, Token::new(0, 0));
        let connected = Door { pool: &mut self.pool, owner, signal: &mut signal, now_ms }.connect(&target);
        let stream = match connected {
            Ok(stream) => stream,
            Err(error) => {
                return self.ended(watched, &subject, Outcome::Check(Err(connect_cause(&error))), now_ms);
            }
        };
        let deadline_ms = now_ms + timeout_ms;
        let mut running = Running { subject, stream, is_connected: false, unsent, reading, deadline_ms };
        match running.step(now_ms) {
            Some(outcome) => self.ended(watched, &running.subject, outcome, now_ms),
            None => self.under_way.push(running),
        }
    }

    /// Says when the server is looked at next.
    fn pause(&mut self, each: &Watched, Subject { server, purpose, .. }: &Subject, now_ms: u64) {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pause_ms = match (purpose, &each.probe) {
            (Purpose::Check, Some((_, policy))) => checks::pause_ms(&server.words[CHECKED], policy, self.chance >> 33),
            _ => each.agent_interval_ms(),
        };
        self.due.insert((server.id(), *purpose), now_ms + pause_ms);
    }

    fn ended(&mut self, watched: &[Watched], subject: &Subject, outcome: Outcome, now_ms: u64) {
        let (each, server) = (&watched[subject.upstream], &subject.server);
        let change = match (subject.purpose, outcome) {
            (Purpose::Agent, Outcome::Line(line)) => {
                let before = Told::of(&server.words[AGENT]);
                let told = before.after(&line).unwrap_or(before);
                told.store(&server.words[AGENT]);
                (told.mode != before.mode).then_some(Change::Agent(told.mode))
            }
            (Purpose::Check, Outcome::Check(outcome)) => {
                let taken = each.probe.as_ref();
                let taken = taken.and_then(|(_, policy)| checks::take(&server.words[CHECKED], outcome, policy, now_ms));
                taken.map(|verdict| match verdict {
                    Verdict::Down(cause) => Change::Down(cause),
                    _ => Change::Up,
                })
            }
            // An agent that cannot be asked says nothing.
            _ => None,
        };
        if let Some(change) = change {
            each.group.note(server, change, now_ms);
        }
        // The outcome may have made the pause short.
        self.pause(each, subject, now_ms);
    }
}

/// Where a check goes, what it sends, what reads the answer, and how long it may take.
fn planned(each: &Watched, subject: &Subject) -> Option<(Target, Vec<u8>, Reading, u64)> {
    let server = &subject.server;
    let mut target = Target { idle_max: 0, ..server.target.clone() };
    if subject.purpose == Purpose::Agent {
        let agent = configured(&each.upstream, server)?.agent.as_ref()?;
        target = Target { address: crate::upstreams::fixed(&agent.place)?, security: None, ..target };
        return Some((target, Vec::new(), Reading::Agent(Vec::new()), AGENT_TIMEOUT_MS));
    }
    let (probe, policy) = each.probe.as_ref()?;
    let port = each.upstream.health.as_ref().and_then(|health| health.port);
    if let (ServerAddress::Tcp(address), Some(Ok(port))) = (&mut target.address, port.map(u16::try_from)) {
        address.set_port(port);
    }
    Some((target, probe.request(&server.authority), Reading::Probe(Box::new(probe.answer())), policy.timeout_ms))
}

/// How a connection has ended.
enum Outcome {
    Check(Result<(), Cause>),
    Line(Vec<u8>),
}

impl Running {
    /// Goes on as far as it can. `Some`: it has ended.
    fn step(&mut self, now_ms: u64) -> Option<Outcome> {
        if let Some(outcome) = self.advance() {
            return Some(outcome);
        }
        let cause = if self.is_connected { Cause::Timeout } else { Cause::ConnectTimeout };
        (self.deadline_ms <= now_ms).then_some(Outcome::Check(Err(cause)))
    }

    fn advance(&mut self) -> Option<Outcome> {
        if !self.is_connected {
            match self.stream.is_ready() {
                Ok(true) => self.is_connected = true,
                Ok(false) => return None,
                Err(error) => return Some(Outcome::Check(Err(connect_cause(&error)))),
            }
            if let Reading::Probe(answer) = &self.reading
                && let Some(outcome) = answer.connected()
            {
                return Some(Outcome::Check(outcome));
            }
        }
        if !self.unsent.is_empty() {
            match self.stream.send(&[&self.unsent], false) {
                Ok(sent) => drop(self.unsent.drain(..sent)),
                // The answer may be there all the same.
                Err(_) => self.unsent.clear(),
            }
        }
        let mut received = [0; 4096];
        loop {
            let (count, is_orderly) = match self.stream.receive(&mut received) {
                Ok(None) => return None,
                Ok(Some(count)) => (count, true),
                Err(_) => (0, false),
            };
            match &mut self.reading {
                Reading::Probe(answer) => {
                    let outcome =
                        if count == 0 { Some(answer.closed(is_orderly)) } else { answer.take(&received[..count]) };
                    if let Some(outcome) = outcome {
                        return Some(Outcome::Check(outcome));
                    }
                }
                Reading::Agent(line) => {
                    line.extend_from_slice(&received[..count]);
                    if count == 0 || line.len() >= LINE_BYTES_MAX || line.contains(&b'\n') {
                        return Some(Outcome::Line(std::mem::take(line)));
                    }
                }
            }
        }
    }
}

/// What a failed connect says.
fn connect_cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Cause::ConnectTimeout,
        io::ErrorKind::InvalidData => Cause::Handshake,
        io::ErrorKind::PermissionDenied if error.get_ref().is_some() => Cause::Handshake,
        _ => Cause::Refused,
    }
}
