//! What a seat does while it leads: waits for events and brings each connection as far as it goes now.

use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::answering::Dispatched;
use super::lead::Lead;
use super::seat::{Seat, Settled};
use super::turn::Turn;
use super::uploads::ContentPlan;
use farrier_log::access::peer_text;
use farrier_log::error::Level;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::h1::{self, Step};
use farrier_scheduler::HandedOn;
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::slots::Found;
use farrier_transport::reactor::token::Token;
use farrier_transport::upstream::Happened;

impl Seat {
    /// Leads until the lead is lost (true) or the engine ends (false).
    pub(crate) fn lead(&mut self, mut lead: Box<Lead>) -> bool {
        self.refresh_mark(self.shared.clock.now_ns());
        lead.now_ms = self.shared.clock.now_ms();
        loop {
            lead = match self.take_short_jobs(lead) {
                Some(lead) => lead,
                None => return true,
            };
            while let Some(waiting) = lead.fetched.pop() {
                lead = match self.answer_fetched(lead, waiting) {
                    Some(lead) => lead,
                    None => return true,
                };
            }
            // What a turn leaves for later comes after the events that are polled next: no connection is served twice
            // in a row.
            for _ in 0..lead.ready.len() {
                let Some((token, readiness)) = lead.ready.pop() else { break };
                lead = match self.deal(lead, token, readiness) {
                    Some(lead) => lead,
                    None => return true,
                };
            }
            if !lead.arrivals.is_empty() || self.shared.woken.has_any() {
                lead = match self.serve_streams(lead) {
                    Some(lead) => lead,
                    None => return true,
                };
            }
            if self.is_over(&lead) {
                self.end(lead);
                return false;
            }
            lead = match self.hand_on(lead) {
                Some(lead) => lead,
                None => return true,
            };
            self.wait(&mut lead);
        }
    }

    /// If doubtful calls were gathered, gives the lead to a parked seat and becomes the follower that serves them.
    /// `None`: another seat leads.
    fn hand_on(&mut self, mut lead: Box<Lead>) -> Option<Box<Lead>> {
        let shared = Arc::clone(&self.shared);
        loop {
            let now_ns = shared.clock.now_ns();
            match shared.schedule(|scheduler, out| scheduler.hand_on(self.id, lead, self.attached, now_ns, out)) {
                HandedOn::Keep(lead) => return Some(lead),
                HandedOn::Serve(job) => lead = self.serve_here(job)?,
                HandedOn::LeadGiven => {
                    self.last_ended_ns = None;
                    return None;
                }
            }
        }
    }

    /// Waits for events, detached from the interpreter. Otherwise threads that return from a blocking call would wait
    /// for its switch interval.
    fn wait(&mut self, lead: &mut Lead) {
        let shared = Arc::clone(&self.shared);
        self.detach();
        self.last_ended_ns = None;
        loop {
            // From here on, a thread that has something for the leader wakes it; what came before is found here.
            shared.leader.set_polling(true);
            let returns = shared.returns.take();
            if returns.is_empty() {
                break;
            }
            shared.leader.set_polling(false);
            self.absorb(lead, returns);
        }
        let (scheduler_ms, has_room) = {
            let mut scheduler = shared.scheduler();
            (scheduler.wait_begins(self.id), scheduler.is_accepting())
        };
        lead.gate.set_queue_full(!has_room);
        lead.gate.set_connections(lead.slots.open(), shared.rules.connections_max);
        lead.apply_gate(&shared.poller);
        // The last connection may have been returned closed just now: then there is nothing to wait for.
        let drained = lead.draining_since_ms.is_some() && self.is_empty(lead);
        let has_streams = !lead.arrivals.is_empty() || shared.woken.has_any();
        let is_busy = has_streams || !lead.ready.is_empty() || !lead.fetched.is_empty();
        let timeout_ms = if is_busy || drained {
            Some(0)
        } else {
            let due = [
                lead.timers.next_ms(),
                scheduler_ms,
                lead.gate.paused_until_ms(),
                lead.upstreams.next_ms(),
                shared.overload.due_ms(),
            ];
            due.into_iter().flatten().min().map(|at_ms| at_ms.saturating_sub(lead.now_ms))
        };
        let mut events = std::mem::take(&mut self.events);
        let (ready, upstreams) = (&mut lead.ready, &mut lead.upstreams);
        let waited = shared.poller.wait(&mut events, timeout_ms, |token, readiness| match token {
            // Commands go first: answers after a stop announce the end of the connection.
            Token::CONTROL => ready.push_first(token, readiness),
            token if token.is_upstream() => {
                if let Happened::To(client) = upstreams.note(token, readiness) {
                    ready.push(client, Readiness::WRITABLE);
                }
            }
            token => ready.push(token, readiness),
        });
        shared.leader.set_polling(false);
        self.events = events;
        let now_ns = shared.clock.now_ns();
        lead.now_ms = now_ns / 1_000_000;
        self.refresh_mark(now_ns);
        match waited {
            Ok(()) => {}
            // The application may have signal handlers of its own, and they run on the main thread.
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                if self.id == 0 {
                    shared.host.interrupted();
                    self.attached = false;
                }
            }
            Err(error) => self.lose("poller", &error),
        }
        shared.schedule(|scheduler, out| scheduler.wait_ended(now_ns, out));
        let returns = shared.returns.take();
        self.absorb(lead, returns);
        lead.gate.pass(lead.now_ms);
        lead.upstreams.tend(lead.now_ms);
        shared.overload.write(lead.now_ms, &shared.error_log);
        self.look_at_timers(lead);
    }

    /// Handles one event. `None`: another seat leads.
    fn deal(&mut self, mut lead: Box<Lead>, token: Token, readiness: Readiness) -> Option<Box<Lead>> {
        if token == Token::WAKE {
            self.shared.poller.wake_seen();
            return Some(lead);
        }
        if token == Token::CONTROL {
            self.obey(&mut lead);
            return Some(lead);
        }
        if let Some(listener) = token.as_listener() {
            return self.accept(lead, listener);
        }
        match lead.slots.take(token) {
            Found::Nothing => Some(lead),
            Found::Busy(link) => {
                // The seat that owns it may have returned it just now.
                let returns = {
                    let mut returns = self.shared.returns.lock();
                    link.set_pending();
                    std::mem::take(&mut *returns)
                };
                if readiness.ended {
                    link.set_ended();
                }
                if readiness.hung_up {
                    link.set_gone();
                }
                if readiness.writable {
                    link.flush();
                }
                if !returns.is_empty() {
                    self.absorb(&mut lead, returns);
                    if let Found::Connection(mut connection) = lead.slots.take(token) {
                        link.take_pending();
                        connection.readable |= readiness.readable;
                        connection.ended |= readiness.ended;
                        connection.hung_up |= readiness.hung_up;
                        return self.advance(lead, connection);
                    }
                }
                Some(lead)
            }
            Found::Connection(mut connection) => {
                connection.readable |= readiness.readable;
                connection.ended |= readiness.ended;
                connection.hung_up |= readiness.hung_up;
                self.advance(lead, connection)
            }
        }
    }

    /// Advances a connection as far as possible now, for one turn.
    pub(super) fn advance(&mut self, mut lead: Box<Lead>, mut connection: Box<Connection>) -> Option<Box<Lead>> {
        let mut turn: Option<Turn> = None;
        loop {
            if connection.stream.is_some() {
                self.stream_ended(&mut lead, &connection);
                return Some(lead);
            }
            if connection.upload.is_some() {
                self.upload_answered(&mut lead, &connection, Settled::Open);
                return Some(lead);
            }
            match &mut connection.phase {
                Phase::Flushing { .. } => {
                    if !self.flush(&mut lead, &mut connection) {
                        self.close(&mut lead, connection);
                        return Some(lead);
                    }
                    if matches!(connection.phase, Phase::Flushing { .. }) {
                        self.park(&mut lead, connection);
                        return Some(lead);
                    }
                    continue;
                }
                Phase::Lingering { .. } => {
                    if self.discard(&mut lead, &mut connection) {
                        self.park(&mut lead, connection);
                    } else {
                        self.close(&mut lead, connection);
                    }
                    return Some(lead);
                }
                Phase::Http2(_) => {
                    self.drive(&mut lead, connection);
                    return Some(lead);
                }
                Phase::Exchange(_) => {
                    connection = match self.advance_exchange(&mut lead, connection) {
                        Some(connection) => connection,
                        None => return Some(lead),
                    };
                    continue;
                }
                Phase::Streaming(_) => {
                    connection = match self.advance_upload(&mut lead, connection) {
                        Some(connection) => connection,
                        None => return Some(lead),
                    };
                    continue;
                }
                Phase::Idle | Phase::Head(_) | Phase::Content(_) => {}
            }
            let now_ms = lead.now_ms;
            let rules = &self.shared.rules;
            let scratch = &mut self.scratch;
            let step = catch_unwind(AssertUnwindSafe(|| h1::advance(&mut connection, scratch, rules, now_ms)));
            match step {
                Ok(step @ (Step::Wait | Step::More)) => {
                    if matches!(step, Step::More) {
                        lead.ready.push(connection.token, Readiness::READABLE);
                    }
                    self.spool_content(&mut lead, &connection);
                    self.park(&mut lead, connection);
                    return Some(lead);
                }
                Ok(Step::Again) => {}
                Ok(Step::Closed) => {
                    self.note_handshake(&connection);
                    self.close(&mut lead, connection);
                    return Some(lead);
                }
                Ok(Step::Http2(request)) => self.begin_session(&lead, &mut connection, request),
                Ok(Step::Refused(error, request)) => self.refuse(&mut connection, error, request, now_ms),
                Ok(Step::Head) => {
                    if let ContentPlan::Streamed(carrier, request) = self.plan_content(&lead, &mut connection) {
                        return self.answer_upload(lead, connection, carrier, request);
                    }
                }
                Ok(Step::Request(request, end, plan)) => match self.answer(lead, connection, request, end, plan) {
                    Dispatched::Here(still, here, Settled::Open) => {
                        lead = still;
                        connection = here;
                        if matches!(connection.phase, Phase::Idle) && !connection.readable {
                            self.park(&mut lead, connection);
                            return Some(lead);
                        }
                        // A client that sends one request after the other gives others their turn.
                        let clock = &self.shared.clock;
                        if turn.get_or_insert_with(|| Turn::begin(clock)).served(clock) {
                            let again = Readiness { readable: connection.readable, ..Readiness::READABLE };
                            lead.ready.push(connection.token, again);
                            self.park(&mut lead, connection);
                            return Some(lead);
                        }
                    }
                    Dispatched::Here(mut still, here, Settled::Closed) => {
                        self.close(&mut still, here);
                        return Some(still);
                    }
                    Dispatched::Queued(still) => return Some(still),
                    Dispatched::Elsewhere => return None,
                },
                Err(_) => {
                    self.shared.error_log.write(Level::Error, "a fault of the server's own while reading a request");
                    self.close(&mut lead, connection);
                    return Some(lead);
                }
            }
        }
    }

    /// Logs why a handshake failed. At debug level only: handshakes of unknown clients fail all day.
    fn note_handshake(&self, connection: &Connection) {
        let log = &self.shared.error_log;
        if log.is_on(Level::Debug)
            && let Some(fault) = connection.link.take_handshake_fault()
        {
            let who = peer_text(connection.origin.peer);
            log.write(Level::Debug, &format!("The TLS handshake with ip={who} failed: {fault}"));
        }
    }
}
