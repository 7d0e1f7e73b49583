//! One proxied request: chooses a server, sends the request, passes its answer on, and decides what a failure means.
//!
//! - `attempt`: one server that is asked, with its connection.
//! - `content`: the request's content on its way to the server, kept for another attempt as long as it is small.
//! - `answer`: the server's answer on its way to the client.
//! - `tunnel`: what follows a change of protocol, and `leaving`: its end in a worker that ends.
//! - `wire`: the protocol of the server.
//! - `stop`, `scratch`: how a step ends, and memory that is used in turn.

mod answer;
mod attempt;
mod content;
mod leaving;
mod scratch;
mod stop;
mod tunnel;
#[cfg(test)]
mod tunnel_tests;
mod wire;

use std::sync::Arc;

use farrier_http::{Error, Event, Exchange, ExchangeIo, Next};

use self::attempt::{Asking, Attempt, NotBegun};
use self::content::Outgoing;
use self::scratch::SCRATCH;
use self::stop::{Progress, Stop};
use self::tunnel::Tunnel;
use crate::failure::{Failure, Retry, is_idempotent};
use crate::group::{Chosen, QueuePlace};
use crate::mount::{Mount, TunnelPolicy};
use crate::server::Server;
use crate::websocket;

/// The longest pause before a server is asked again whose backlog was full.
const BACKLOG_PAUSE_MS_MAX: u64 = 50;

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
    /// Since when all servers' backlogs are full, and how long the last pause was, in ms.
    backlog: Option<(u64, u64)>,
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
            backlog: None,
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
                    place.wait_on((io.waker)(), group.sticky.is_some());
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
        let (server, is_trial) = (Arc::clone(lease.server()), lease.is_trial());
        let begun = SCRATCH.with_borrow_mut(|scratch| {
            let asked = Asking { wants_fresh: self.wants_fresh, key: self.key.as_ref() };
            Attempt::begin(lease, &self.mount, asked, &mut self.outgoing, now_ms, io, scratch)
        });
        match begun {
            Ok(attempt) => {
                self.backlog = None;
                self.attempt = Some(Box::new(attempt));
                Ok(true)
            }
            Err(NotBegun::Full) if self.has_time_for_backlog(now_ms) => {
                self.attempts -= 1;
                self.outgoing.rewind();
                let (id, group) = (server.id(), &self.mount.group);
                if !self.tried.contains(&id) && group.has_other(id, &self.tried, now_ms) {
                    self.tried.push(id);
                    return self.begin_attempt(now_ms, io);
                }
                let (since_ms, pause_ms) = self.backlog.unwrap_or((now_ms, 0));
                let pause_ms = (pause_ms * 2).clamp(1, BACKLOG_PAUSE_MS_MAX);
                self.backlog = Some((since_ms, pause_ms));
                self.waits_until_ms = Some(now_ms + pause_ms);
                Ok(false)
            }
            Err(not_begun) => {
                if let NotBegun::Failed(failure) = &not_begun {
                    self.note_failure(&server, is_trial, failure, false, now_ms);
                    self.tried.push(server.id());
                }
                Err(not_begun.into())
            }
        }
    }

    /// Whether a server whose backlog is full is asked once more: it is busy, not broken.
    fn has_time_for_backlog(&self, now_ms: u64) -> bool {
        let since_ms = self.backlog.map_or(now_ms, |(since_ms, _)| since_ms);
        now_ms.saturating_sub(since_ms) < self.mount.group.policy.connect_timeout_ms
    }

    fn note_failure(&self, server: &Server, is_trial: bool, failure: &Failure, is_reused: bool, now_ms: u64) {
        let group = &self.mount.group;
        let is_failing_status =
            matches!(failure, Failure::Status(status) if group.policy.health.fail_on.contains(status));
        if failure.counts_against_server(is_reused) || is_failing_status {
            group.failed(server, is_trial, failure.cause(), now_ms);
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
            self.note_failure(attempt.server(), attempt.lease.is_trial(), &failure, is_reused, now_ms);
        }
        let can_repeat = !self.has_head && self.outgoing.is_replayable();
        let is_safe = !has_sent || policy.retry_unsafe || is_idempotent(io.request);
        let is_stale = failure.retry() == Retry::Unanswered && is_reused;
        if can_repeat && is_stale && policy.retry_on.stale && is_safe && !self.wants_fresh {
            if let Some(attempt) = &attempt {
                attempt.went_stale();
            }
            self.wants_fresh = true;
            // The server did not fail, so the attempts that are allowed for failures are still left.
            self.attempts -= 1;
            self.outgoing.rewind();
            return Ok(());
        }
        if let Some(attempt) = &attempt
            && !self.tried.contains(&attempt.server().id())
        {
            self.tried.push(attempt.server().id());
        }
        let is_allowed = can_repeat
            && match failure.retry() {
                Retry::Unsent => policy.retry_on.connect,
                Retry::Unanswered | Retry::Reset => policy.retry_on.reset && is_safe,
                Retry::Timeout => policy.retry_on.timeout && is_safe,
                Retry::BadResponse => policy.retry_on.bad_response && is_safe,
                Retry::Status => true,
                Retry::No => false,
            };
        let is_left = self.attempts <= policy.retries && self.elapsed_ms(now_ms) < policy.retry_timeout_ms;
        // The budget bounds work that is done twice. A server that refused the connection has done none.
        let is_free = failure == Failure::Refused;
        let percent = policy.retry_budget_percent;
        let has_budget =
            || is_free || self.mount.group.budget.lock().is_ok_and(|mut budget| budget.retry(percent, now_ms));
        if !is_allowed || !is_left || !has_budget() {
            return Err(failure);
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
            && self.elapsed_ms(now_ms) < policy.retry_timeout_ms
            && self.mount.group.has_other(attempt.server().id(), &self.tried, now_ms)
    }

    /// What has taken too long, if anything.
    fn overdue(&self, now_ms: u64) -> Option<Failure> {
        if self.queued.is_some() && self.waits_until_ms.is_some_and(|until_ms| until_ms <= now_ms) {
            return Some(Failure::QueueFull);
        }
        let is_late = self.total_deadline_ms() <= now_ms;
        match &self.attempt {
            Some(attempt) => {
                attempt.overdue(now_ms, self.is_sink_full).or_else(|| is_late.then_some(Failure::HeadTimeout))
            }
            None => is_late.then_some(Failure::QueueFull),
        }
    }

    /// How long it has taken so far. The time in which the client was waited for does not count.
    fn elapsed_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.began_ms + self.outgoing.awaited_ms)
    }

    /// When `total_timeout` is over. It ends with the head.
    fn total_deadline_ms(&self) -> u64 {
        if self.has_head || self.attempt.as_ref().is_some_and(|attempt| attempt.awaits_client()) {
            return u64::MAX;
        }
        self.began_ms + self.outgoing.awaited_ms + self.mount.group.policy.total_timeout_ms
    }

    /// When it is to be stepped even if nothing happens.
    fn next(&self) -> Next {
        let mut at_ms = self.waits_until_ms.unwrap_or(u64::MAX).min(self.total_deadline_ms());
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
                    if let Err(failure) = self.recover(failure, now_ms, io) {
                        return self.give_up(Stop::Failed(failure), io);
                    }
                }
                Err(stop) => return self.give_up(stop, io),
            }
        }
    }
}
