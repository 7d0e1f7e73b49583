//! What a seat does while it leads: waits for events and brings each connection as far as it goes now.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::answering::Dispatched;
use super::lead::{Accepting, Lead};
use super::seat::{Seat, Settled};
use super::spawner;
use crate::protocol::connection::{Connection, Phase};
use crate::protocol::h1::{self, Step};
use crate::reactor::poller::Readiness;
use crate::reactor::slots::Found;
use crate::reactor::token::Token;
use crate::scheduler::state::{Order, SchedulerState};
use farrier_log::access::peer_text;
use farrier_log::error::Level;

/// Followers that are awake and not stuck, beyond which doubtful calls wait for them.
const AGILE_MAX: usize = 2;

impl Seat {
    /// Leads until the lead is lost (true) or the engine ends (false).
    pub(crate) fn lead(&mut self, mut lead: Box<Lead>) -> bool {
        self.refresh_mark(self.shared.clock.now_ns());
        lead.now_ms = self.shared.clock.now_ms();
        if self.shared.scheduler().lacks_spares() {
            spawner::ask(&self.shared);
        }
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
            // What becomes ready meanwhile waits for a look at the poller: a connection with much to read delays no other.
            for _ in 0..lead.ready.len() {
                let Some((token, readiness)) = lead.ready.pop_front() else { break };
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
            if self.is_over(&mut lead) {
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

    /// With doubtful calls at hand, gives the lead to a parked seat and becomes the follower that serves them: it has the
    /// interpreter already, and one hand-over pays for all of them.
    fn hand_on(&mut self, lead: Box<Lead>) -> Option<Box<Lead>> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.scheduler();
        // Followers that are awake will take them; more of them would only contend for the interpreter.
        if !state.queues.has_doubtful() || state.agile >= AGILE_MAX {
            return Some(lead);
        }
        if state.slow_calling >= shared.slow_calls_max() {
            drop(state);
            // No follower may take them: a small risk of being slow is better than a certain wait.
            return self.take_jobs_here(lead, SchedulerState::pop_unstuck);
        }
        let Some(successor) = state.idle.pop() else {
            drop(state);
            spawner::ask(&self.shared);
            return Some(lead);
        };
        state.leader = successor;
        state.agile += 1;
        state.order(successor, Order::Lead(lead));
        self.last_ended_ns = None;
        None
    }

    /// Waits for events, detached from the interpreter: threads that come back from a blocking call would otherwise wait
    /// for its switch interval.
    fn wait(&mut self, lead: &mut Lead) {
        let shared = Arc::clone(&self.shared);
        self.detach();
        self.last_ended_ns = None;
        let oldest_ms = loop {
            let mut state = shared.scheduler();
            if state.returns.is_empty() {
                shared.leader.set_polling(true);
                let short_for_me = state.queues.has_short() && self.may_serve(&state) && !state.is_floor_taken(self.id);
                break if short_for_me { Some(0) } else { state.queues.oldest_ms() };
            }
            let returns = std::mem::take(&mut state.returns);
            drop(state);
            self.absorb(lead, returns);
        };
        let queue_deadline_ms = oldest_ms.map(|oldest| oldest + shared.seating.queue_timeout_ms + 1);
        let next_ms = match (lead.timers.next_ms(), queue_deadline_ms) {
            (Some(timer), Some(queue)) => Some(timer.min(queue)),
            (timer, queue) => timer.or(queue),
        };
        let pause_ms = match lead.accepting {
            Accepting::NotUntil(until_ms) => Some(until_ms),
            _ => None,
        };
        let wake_ms = match (next_ms, pause_ms) {
            (Some(next), Some(pause)) => Some(next.min(pause)),
            (next, pause) => next.or(pause),
        };
        // The last connection may have come back closed just now: then there is nothing to wait for.
        let drained = lead.draining_since_ms.is_some() && self.is_empty(lead);
        let has_streams = !lead.arrivals.is_empty() || shared.woken.has_any();
        let is_busy = has_streams || !lead.ready.is_empty() || !lead.fetched.is_empty();
        let has_work = is_busy || oldest_ms == Some(0) || drained;
        let timeout_ms = if has_work { Some(0) } else { wake_ms.map(|at| at.saturating_sub(lead.now_ms)) };
        let mut events = std::mem::take(&mut self.events);
        let ready = &mut lead.ready;
        let waited = shared.poller.wait(&mut events, timeout_ms, |token, readiness| match token {
            // Commands go first: answers after a stop say that the connection ends.
            Token::CONTROL => ready.push_front((token, readiness)),
            token => ready.push_back((token, readiness)),
        });
        shared.leader.set_polling(false);
        self.events = events;
        let now_ns = shared.clock.now_ns();
        lead.now_ms = now_ns / 1_000_000;
        self.refresh_mark(now_ns);
        if waited.is_err() && self.id == 0 {
            // EINTR: the application may have signal handlers of its own, and they run on the main thread.
            shared.host.interrupted();
            self.attached = false;
        }
        let returns = std::mem::take(&mut shared.scheduler().returns);
        self.absorb(lead, returns);
        self.look_at_timers(lead);
        if let Accepting::NotUntil(until_ms) = lead.accepting
            && until_ms <= lead.now_ms
        {
            lead.set_accepting(Accepting::Yes, &shared.poller);
        }
        if lead.accepting == Accepting::NotWhileFull && shared.scheduler().queues.len() < shared.seating.queue_max {
            lead.set_accepting(Accepting::Yes, &shared.poller);
        }
    }

    /// Deals with one event. `None`: the lead is elsewhere.
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
                // The seat that owns it may have given it back just now.
                let returns = {
                    let mut state = self.shared.scheduler();
                    link.set_pending();
                    std::mem::take(&mut state.returns)
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
                        return self.advance(lead, connection);
                    }
                }
                Some(lead)
            }
            Found::Connection(mut connection) => {
                connection.readable |= readiness.readable;
                connection.ended |= readiness.ended;
                self.advance(lead, connection)
            }
        }
    }

    /// Brings a connection as far as it goes now.
    pub(super) fn advance(&mut self, mut lead: Box<Lead>, mut connection: Box<Connection>) -> Option<Box<Lead>> {
        loop {
            if connection.stream.is_some() {
                self.stream_ended(&mut lead, &connection);
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
                Phase::Idle | Phase::Head(_) | Phase::Content(_) => {}
            }
            let now_ms = lead.now_ms;
            let rules = &self.shared.rules;
            let scratch = &mut self.scratch;
            let step = catch_unwind(AssertUnwindSafe(|| h1::advance(&mut connection, scratch, rules, now_ms)));
            match step {
                Ok(step @ (Step::Wait | Step::More)) => {
                    if matches!(step, Step::More) {
                        lead.ready.push_back((connection.token, Readiness::READABLE));
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
                Ok(Step::Request(request, end)) => match self.answer(lead, connection, request, end) {
                    Dispatched::Here(still, here, Settled::Open) => {
                        lead = still;
                        connection = here;
                        if matches!(connection.phase, Phase::Idle) && !connection.readable {
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

    /// Says in the log why a handshake failed, for whoever looks for the reason: strangers fail all day.
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
