//! One proxied request: chooses a server, sends the request, passes its answer on, and decides what a failure means.
//!
//! - `attempt`: one server that is asked, with its connection.
//! - `content`: the request's content on its way to the server, kept for another attempt as long as it is small.
//! - `answer`: the server's answer on its way to the client.
//! - `tunnel`: what follows a change of protocol, and `leaving`: its end in a worker that ends.
//! - `wire`: the protocol of the server.

mod answer;
mod attempt;
mod content;
mod leaving;
mod tunnel;
#[cfg(test)]
mod tunnel_tests;
mod wire;

use std::cell::RefCell;
use std::sync::Arc;

use farrier_http::{Error, Event, Exchange, ExchangeIo, Kind, Next, Request, Side};

use self::attempt::{Asking, Attempt};
use self::content::Outgoing;
use self::tunnel::Tunnel;
use crate::failure::{Failure, Retry};
use crate::group::{Chosen, QueuePlace};
use crate::mount::{Mount, TunnelPolicy};
use crate::request::Refused;
use crate::server::Server;
use crate::websocket;

/// Bytes that are read from a server in one turn.
const TURN_BYTES: usize = 256 * 1024;

/// Bytes of one read.
const READ_BYTES: usize = 64 * 1024;

/// Memory that all exchanges of a thread use in turn.
struct Scratch {
    inbox: Vec<u8>,
    values: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch { inbox: Vec::new(), values: Vec::new() }) };
}

/// Why an exchange does not go on.
enum Stop {
    /// The server has failed; another may be asked.
    Failed(Failure),
    /// The request is answered with an error.
    Answer(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It waits for an event.
    Waits,
    /// Others get their turn; there is more to do.
    StoppedEarly,
    /// The answer is complete.
    Done,
}

/// A proxied request.
pub(crate) struct ProxyExchange {
    mount: Arc<Mount>,
    outgoing: Outgoing,
    attempt: Option<Box<Attempt>>,
    tunnel: Option<Box<Tunnel>>,
    queued: Option<QueuePlace>,
    /// Servers that failed, by their ids.
    tried: Vec<u64>,
    attempts: u32,
    /// The next attempt uses a new connection: one that had been idle was closed.
    wants_fresh: bool,
    began_ms: u64,
    /// When the queue or a pause ends, in ms.
    waits_until_ms: Option<u64>,
    is_sink_full: bool,
    /// The answer's head was given to the sink.
    has_head: bool,
    /// When the worker began to end, in ms.
    draining_since_ms: Option<u64>,
    /// The key of a WebSocket handshake for a client of HTTP/2, which has none.
    key: Option<[u8; 24]>,
}

impl ProxyExchange {
    /// A request to the servers of a mount.
    pub(crate) fn new(mount: Arc<Mount>) -> ProxyExchange {
        ProxyExchange {
            mount,
            outgoing: Outgoing::default(),
            attempt: None,
            tunnel: None,
            queued: None,
            tried: Vec::new(),
            attempts: 0,
            wants_fresh: false,
            began_ms: 0,
            waits_until_ms: None,
            is_sink_full: false,
            has_head: false,
            draining_since_ms: None,
            key: None,
        }
    }

    fn begin(&mut self, now_ms: u64, io: &ExchangeIo<'_>) {
        self.began_ms = now_ms;
        self.key = websocket::fresh_key(io.request);
        // What the client sends behind an extended CONNECT is the other protocol's.
        self.outgoing.begin(if self.key.is_some() { Some(0) } else { io.content_bytes });
        if let Ok(mut budget) = self.mount.group.budget.lock() {
            budget.request(now_ms);
        }
    }

    /// Goes on as far as it can.
    fn advance(&mut self, now_ms: u64, io: &mut ExchangeIo<'_>) -> Result<Progress, Stop> {
        if self.attempt.is_none() && !self.begin_attempt(now_ms, io)? {
            return Ok(Progress::Waits);
        }
        let Some(attempt) = &mut self.attempt else { return Ok(Progress::Waits) };
        let policy = &self.mount.group.policy;
        if !attempt.is_connected(now_ms, policy)? {
            return Ok(Progress::Waits);
        }
        let is_sending_cut = attempt.send(&mut self.outgoing, now_ms, policy, io)?;
        match self.pass_on(now_ms, io)? {
            Progress::Waits if is_sending_cut => Ok(Progress::StoppedEarly),
            progress => Ok(progress),
        }
    }

    /// Chooses a server and connects to it. False: all are busy, and the request waits.
    fn begin_attempt(&mut self, now_ms: u64, io: &mut ExchangeIo<'_>) -> Result<bool, Stop> {
        let group = &self.mount.group;
        if self.waits_until_ms.is_some_and(|until_ms| until_ms > now_ms) && self.queued.is_none() {
            return Ok(false);
        }
        let lease = match group.choose(io.request, &self.tried, now_ms)? {
            Chosen::Server(lease) => lease,
            Chosen::Busy => {
                if let Some(place) = &self.queued {
                    place.wait_on((io.waker)());
                    return Ok(false);
                }
                self.queued = Some(group.wait((io.waker)()).ok_or(Failure::QueueFull)?);
                self.waits_until_ms = Some(now_ms + group.policy.queue_timeout_ms);
                return Ok(false);
            }
        };
        self.queued = None;
        self.waits_until_ms = None;
        self.attempts += 1;
        let server = Arc::clone(lease.server());
        let begun = SCRATCH.with_borrow_mut(|scratch| {
            let asked = Asking { wants_fresh: self.wants_fresh, key: self.key.as_ref() };
            Attempt::begin(lease, &self.mount, asked, &mut self.outgoing, now_ms, io, &mut scratch.values)
        });
        match begun {
            Ok(attempt) => {
                self.attempt = Some(Box::new(attempt));
                Ok(true)
            }
            Err(stop) => {
                if let attempt::NotBegun::Failed(failure) = &stop {
                    self.note_failure(&server, failure, false, now_ms);
                    self.tried.push(server.id());
                }
                Err(stop.into())
            }
        }
    }

    fn note_failure(&self, server: &Server, failure: &Failure, is_reused: bool, now_ms: u64) {
        if failure.counts_against_server(is_reused) {
            self.mount.group.failed(server, now_ms);
        }
    }

    /// A server has failed: decides whether another attempt is made.
    ///
    /// # Errors
    /// The failure is the answer.
    fn recover(&mut self, failure: Failure, now_ms: u64, io: &ExchangeIo<'_>) -> Result<(), Failure> {
        let policy = &self.mount.group.policy;
        let attempt = self.attempt.take();
        let (is_reused, has_sent) = match &attempt {
            Some(attempt) => (attempt.is_reused(), attempt.has_sent()),
            None => (false, false),
        };
        if let Some(attempt) = &attempt {
            self.note_failure(attempt.server(), &failure, is_reused, now_ms);
        }
        if self.has_head || !self.outgoing.is_replayable() {
            return Err(failure);
        }
        let is_safe = !has_sent || policy.retry_unsafe || is_idempotent(io.request);
        let is_stale = failure.retry() == Retry::Unanswered && is_reused;
        if is_stale && policy.retry_on.stale && is_safe && !self.wants_fresh {
            if let Some(attempt) = &attempt {
                attempt.went_stale();
            }
            self.wants_fresh = true;
            self.outgoing.rewind();
            return Ok(());
        }
        let is_allowed = match failure.retry() {
            Retry::Unsent => policy.retry_on.connect,
            Retry::Unanswered | Retry::Reset => policy.retry_on.reset && is_safe,
            Retry::Timeout => policy.retry_on.timeout && is_safe,
            Retry::BadResponse => policy.retry_on.bad_response && is_safe,
            Retry::Status => true,
            Retry::No => false,
        };
        let elapsed_ms = now_ms.saturating_sub(self.began_ms);
        let is_left = self.attempts <= policy.retries && elapsed_ms < policy.retry_timeout_ms;
        if !is_allowed || !is_left || !self.mount.group.budget.lock().is_ok_and(|mut budget| budget.retry(now_ms)) {
            return Err(failure);
        }
        if let Some(attempt) = &attempt
            && !self.tried.contains(&attempt.server().id())
        {
            self.tried.push(attempt.server().id());
        }
        self.wants_fresh = false;
        self.outgoing.rewind();
        Ok(())
    }

    /// Whether another server is asked because of this status. The last one's answer is given, whatever it is.
    fn may_try_for_status(&self, status: u16, attempt: &Attempt, now_ms: u64, io: &ExchangeIo<'_>) -> bool {
        let policy = &self.mount.group.policy;
        policy.retry_on.statuses.contains(&status)
            && (policy.retry_unsafe || is_idempotent(io.request))
            && self.outgoing.is_replayable()
            && self.attempts <= policy.retries
            && now_ms.saturating_sub(self.began_ms) < policy.retry_timeout_ms
            && self.mount.group.has_other(attempt.server().id(), &self.tried, now_ms)
    }

    /// What has taken too long, if anything.
    fn overdue(&self, now_ms: u64) -> Option<Failure> {
        if self.queued.is_some() && self.waits_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Some(Failure::QueueFull);
        }
        let late = |at_ms: u64| at_ms <= now_ms;
        let total = self.began_ms + self.mount.group.policy.total_timeout_ms;
        match &self.attempt {
            Some(attempt) => attempt
                .overdue(now_ms, self.is_sink_full)
                .or_else(|| (!self.has_head && late(total)).then_some(Failure::HeadTimeout)),
            None => late(total).then_some(Failure::QueueFull),
        }
    }

    /// When it is to be stepped even if nothing happens.
    fn next(&self) -> Next {
        let mut at_ms = self.waits_until_ms.unwrap_or(u64::MAX);
        if !self.has_head {
            at_ms = at_ms.min(self.began_ms + self.mount.group.policy.total_timeout_ms);
        }
        if let Some(attempt) = &self.attempt {
            at_ms = at_ms.min(attempt.deadline_ms(self.is_sink_full));
        }
        if at_ms == u64::MAX { Next::Wait } else { Next::WaitUntil(at_ms) }
    }

    fn step_tunnel(
        tunnel: &mut Tunnel,
        policy: &TunnelPolicy,
        is_sink_full: &mut bool,
        event: Event,
        now_ms: u64,
        io: &mut ExchangeIo<'_>,
    ) -> Next {
        if event == Event::Timer && tunnel.deadline_ms(policy) <= now_ms {
            io.answer.end();
            return Next::Done;
        }
        match tunnel.step(is_sink_full, now_ms, io) {
            Progress::Done => return Next::Done,
            Progress::StoppedEarly => io.is_stopped_early = true,
            Progress::Waits => {}
        }
        tunnel.next(policy, now_ms)
    }

    fn give_up(&mut self, stop: Stop, io: &mut ExchangeIo<'_>) -> Next {
        let error = match stop {
            Stop::Answer(error) => error,
            Stop::Failed(failure) => {
                let error = failure.error();
                let servers = self.mount.group.servers();
                let last = self.tried.last().and_then(|&id| servers.iter().find(|server| server.id() == id));
                let place = last.map_or(&self.mount.group.name, |server| &server.name);
                Error { cause: format!("{} ({place})", error.cause).into(), ..error }
            }
        };
        self.attempt = None;
        self.queued = None;
        io.answer.abort(error);
        Next::Done
    }
}

impl Exchange for ProxyExchange {
    fn step(&mut self, event: Event, now_ms: u64, io: &mut ExchangeIo<'_>) -> Next {
        match event {
            // What it owns goes with it.
            Event::ClientGone => return Next::Done,
            Event::Begin => self.begin(now_ms, io),
            Event::Room => self.is_sink_full = false,
            Event::Drain => self.draining_since_ms = Some(now_ms),
            Event::Content | Event::Upstream | Event::Timer => {}
        }
        if let Some(tunnel) = &mut self.tunnel {
            if let Some(since_ms) = self.draining_since_ms {
                tunnel.leave(since_ms, &self.mount.tunnel);
            }
            return Self::step_tunnel(tunnel, &self.mount.tunnel, &mut self.is_sink_full, event, now_ms, io);
        }
        let mut overdue = if event == Event::Timer { self.overdue(now_ms) } else { None };
        loop {
            let advanced = match overdue.take() {
                Some(failure) => Err(Stop::Failed(failure)),
                None => self.advance(now_ms, io),
            };
            match advanced {
                Ok(Progress::Waits) if self.tunnel.is_some() => {
                    io.is_switched = true;
                    return Next::Wait;
                }
                Ok(Progress::Waits) => return self.next(),
                Ok(Progress::StoppedEarly) => {
                    io.is_stopped_early = true;
                    return self.next();
                }
                Ok(Progress::Done) => return Next::Done,
                Err(Stop::Failed(failure)) => {
                    if let Some(attempt) = &self.attempt
                        && !self.tried.contains(&attempt.server().id())
                    {
                        self.tried.push(attempt.server().id());
                    }
                    if let Err(failure) = self.recover(failure, now_ms, io) {
                        return self.give_up(Stop::Failed(failure), io);
                    }
                }
                Err(stop) => return self.give_up(stop, io),
            }
        }
    }
}

/// RFC 9110 §9.2.2.
fn is_idempotent(request: &Request) -> bool {
    // An extended CONNECT is sent as a GET.
    request.protocol().is_some()
        || matches!(request.method(), b"GET" | b"HEAD" | b"OPTIONS" | b"TRACE" | b"PUT" | b"DELETE")
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        match refused {
            Refused::Error(error) => Stop::Answer(error),
            Refused::LastHop => Stop::Answer(Error::answer(farrier_http::Status::OK)),
            Refused::Loop => Stop::Failed(Failure::Loop),
        }
    }
}

/// The client's content failed: it broke off, came too slowly, or was too large.
fn of_content(error: Error) -> Stop {
    match error.side {
        Side::Client => Stop::Answer(error),
        _ => Stop::Answer(Error { kind: Kind::NoRoom, ..error }),
    }
}
