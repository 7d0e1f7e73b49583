//! What a seat does while it leads: waits for events, reads, decodes, serves short calls itself and hands on the others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::{Error, Kind, Occupies, Request};

use super::desk::{Call, Desk, Job, JobKind, Order, Returned, Waiting};
use super::lead::{Accepted, Accepting, Lead};
use super::poller::Readiness;
use super::porter::{self, Load};
use super::routes::Route;
use super::seat::{Seat, Settled};
use super::shared::Shared;
use super::slots::{Found, Token};
use super::usher;
use crate::connection::{AfterResponse, Connection, Phase};
use crate::control::Command;
use crate::front::h1::{self, Expired, Step};
use crate::log::error::Level;
use crate::transport::{Received, Sent};

/// How long a connection that was lately used may stay silent in a drain before it is closed, in ms: a client that sends
/// its next request at this moment must not lose it.
const DRAIN_IDLE_MS: u64 = 2000;

/// Followers that are awake and not stuck, beyond which doubtful calls wait for them.
const AGILE_MAX: usize = 2;

/// Bytes discarded from a lingering connection before others get their turn.
const LINGER_TURN_BYTES: usize = 1 << 20;

/// Connections that are turned away before others get their turn.
const DISMISSALS_A_TURN: usize = 64;

/// Where the lead is after a request was dealt with.
pub(super) enum Whereabouts {
    /// Still here, and the connection too.
    Here(Box<Lead>, Box<Connection>, Settled),
    /// Still here; the connection waits for another seat.
    Queued(Box<Lead>),
    /// Another seat has it; this one has finished what it was doing.
    Elsewhere,
}

impl Seat {
    /// Leads until the lead is lost (true) or the engine ends (false).
    pub(crate) fn lead(&mut self, mut lead: Box<Lead>) -> bool {
        self.refresh_mark(self.shared.clock.now_ns());
        lead.now_ms = self.shared.clock.now_ms();
        if self.shared.desk().lacks_spares() {
            usher::ask(&self.shared);
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
            while let Some((token, readiness)) = lead.ready.pop_front() {
                lead = match self.deal(lead, token, readiness) {
                    Some(lead) => lead,
                    None => return true,
                };
            }
            if !lead.arrivals.is_empty() || self.shared.rung.has_any() {
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
        let mut desk = shared.desk();
        // Followers that are awake will take them; more of them would only contend for the interpreter.
        if !desk.queues.has_doubtful() || desk.agile >= AGILE_MAX {
            return Some(lead);
        }
        if desk.slow_calling >= shared.slow_calls_max() {
            drop(desk);
            // No follower may take them: a small risk of being slow is better than a certain wait.
            return self.take_jobs_here(lead, Desk::pop_unstuck);
        }
        let Some(successor) = desk.idle.pop() else {
            drop(desk);
            usher::ask(&self.shared);
            return Some(lead);
        };
        desk.leader = successor;
        desk.agile += 1;
        desk.order(successor, Order::Lead(lead));
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
            let mut desk = shared.desk();
            if desk.returns.is_empty() {
                shared.polling.store(true, Ordering::SeqCst);
                let short_for_me = desk.queues.has_short() && self.may_serve(&desk) && !desk.is_floor_taken(self.id);
                break if short_for_me { Some(0) } else { desk.queues.oldest_ms() };
            }
            let returns = std::mem::take(&mut desk.returns);
            drop(desk);
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
        let has_streams = !lead.arrivals.is_empty() || shared.rung.has_any();
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
        shared.polling.store(false, Ordering::SeqCst);
        self.events = events;
        let now_ns = shared.clock.now_ns();
        lead.now_ms = now_ns / 1_000_000;
        self.refresh_mark(now_ns);
        if waited.is_err() && self.id == 0 {
            // EINTR: the application may have signal handlers of its own, and they run on the main thread.
            shared.host.interrupted();
            self.attached = false;
        }
        let returns = std::mem::take(&mut shared.desk().returns);
        self.absorb(lead, returns);
        self.look_at_timers(lead);
        if let Accepting::NotUntil(until_ms) = lead.accepting
            && until_ms <= lead.now_ms
        {
            lead.set_accepting(Accepting::Yes, &shared.poller);
        }
        if lead.accepting == Accepting::NotWhileFull && shared.desk().queues.len() < shared.seating.queue_max {
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
                    let mut desk = self.shared.desk();
                    link.set_pending();
                    std::mem::take(&mut desk.returns)
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
    fn advance(&mut self, mut lead: Box<Lead>, mut connection: Box<Connection>) -> Option<Box<Lead>> {
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
                Phase::Lingering => {
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
            let bench = &mut self.bench;
            let step = catch_unwind(AssertUnwindSafe(|| h1::advance(&mut connection, bench, rules, now_ms)));
            match step {
                Ok(Step::Wait) => {
                    self.park(&mut lead, connection);
                    return Some(lead);
                }
                Ok(Step::Again) => {}
                Ok(Step::Closed) => {
                    self.close(&mut lead, connection);
                    return Some(lead);
                }
                Ok(Step::Http2(request)) => self.begin_session(&lead, &mut connection, request),
                Ok(Step::Refused(error, request)) => self.refuse(&mut connection, error, request, now_ms),
                Ok(Step::Request(request, end)) => match self.answer(lead, connection, request, end) {
                    Whereabouts::Here(still, here, Settled::Open) => {
                        lead = still;
                        connection = here;
                        if matches!(connection.phase, Phase::Idle) && !connection.readable {
                            self.park(&mut lead, connection);
                            return Some(lead);
                        }
                    }
                    Whereabouts::Here(mut still, here, Settled::Closed) => {
                        self.close(&mut still, here);
                        return Some(still);
                    }
                    Whereabouts::Queued(still) => return Some(still),
                    Whereabouts::Elsewhere => return None,
                },
                Err(_) => {
                    self.shared.error_log.write(Level::Error, "a fault of the server's own while reading a request");
                    self.close(&mut lead, connection);
                    return Some(lead);
                }
            }
        }
    }

    /// Deals with a complete request: here and now if its route is short, through the queues otherwise.
    pub(super) fn answer(
        &mut self,
        lead: Box<Lead>,
        mut connection: Box<Connection>,
        mut request: Box<Request>,
        end: usize,
    ) -> Whereabouts {
        request.origin = connection.origin;
        if let Some(negotiated) = connection.link.negotiated() {
            request.secure = Some(Arc::clone(&negotiated.secure));
        }
        if request.came_through_gateway() {
            request.take_origin_from_gateway();
            self.note_commands(&request);
        }
        if let Err(error) = self.decide_fields(&mut request) {
            self.refuse(&mut connection, error, request, lead.now_ms);
            return Whereabouts::Here(lead, connection, Settled::Open);
        }
        let occupies = self.shared.handler.occupies(&mut request);
        if occupies == Occupies::Disk {
            return self.send_for(lead, Waiting { connection, request, end });
        }
        if occupies != Occupies::Seat {
            let started_ns = self.shared.clock.now_ns();
            let (settled, _) = self.serve(&mut connection, request, end, started_ns, occupies);
            return Whereabouts::Here(lead, connection, settled);
        }
        let route = Route::of(&request);
        let shared = Arc::clone(&self.shared);
        let mut desk = shared.desk();
        let strict = shared.seating.threads == 1;
        let kind = if strict { JobKind::Short } else { desk.kind_of(route) };
        if kind != JobKind::Short || !self.may_serve(&desk) || desk.queues.has_short() || desk.is_floor_taken(self.id) {
            drop(desk);
            let queued_ms = lead.now_ms;
            return self.enqueue(lead, Job { connection, request, end, route, kind, queued_ms });
        }
        self.begin_call(&mut desk, lead, route);
        drop(desk);
        self.call_here(connection, request, end)
    }

    /// Lets a request wait for the disk, apart from everybody else.
    fn send_for(&mut self, lead: Box<Lead>, waiting: Waiting) -> Whereabouts {
        // From here on only the poller sees the client leave. Without it that is seen when the answer is written.
        let _ = waiting.connection.link.watch(&self.shared.poller, waiting.connection.token);
        match porter::send(&self.shared, Load::Errand(waiting)) {
            Ok(()) => Whereabouts::Queued(lead),
            Err(Load::Errand(Waiting { mut connection, request, .. })) => {
                let error = Error::server(Kind::Overloaded, "no thread can be started that reads from the disk");
                self.refuse(&mut connection, error, request, lead.now_ms);
                Whereabouts::Here(lead, connection, Settled::Open)
            }
            Err(Load::Stretch(..) | Load::Piece(..)) => Whereabouts::Queued(lead),
        }
    }

    /// Answers a request whose files are in memory now. `None`: the lead is elsewhere.
    fn answer_fetched(&mut self, mut lead: Box<Lead>, waiting: Waiting) -> Option<Box<Lead>> {
        let Waiting { mut connection, request, end } = waiting;
        connection.readable |= connection.link.take_pending();
        connection.ended |= connection.link.has_ended();
        let started_ns = self.shared.clock.now_ns();
        match self.serve(&mut connection, request, end, started_ns, Occupies::Nothing) {
            (Settled::Open, _) => self.advance(lead, connection),
            (Settled::Closed, _) => {
                self.close(&mut lead, connection);
                Some(lead)
            }
        }
    }

    /// Decides about forwarding fields, folded values and underscores; nothing where there are none.
    fn decide_fields(&self, request: &mut Request) -> Result<(), Error> {
        let Shared { rules, error_log, .. } = &*self.shared;
        rules.fields.apply(request, |address| rules.trusts(address), |name| rules.dropped_fields.note(name, error_log))
    }

    /// Says once that a web server sends variables that are not obeyed here.
    fn note_commands(&self, request: &Request) {
        let Shared { rules, error_log, .. } = &*self.shared;
        if request.head.gateway.had_uwsgi_variables && !rules.has_noted_commands.swap(true, Ordering::Relaxed) {
            error_log.write(
                Level::Warning,
                "Dropped variables named UWSGI_*, which a web server has sent: they would command the server, and Farrier obeys none of them; logged once",
            );
        }
    }

    /// Whether this seat may run a call as it leads.
    fn may_serve(&self, desk: &Desk) -> bool {
        let threads = self.shared.seating.threads;
        desk.calling < threads && (threads > 1 || self.id == 0)
    }

    /// Puts the lead where a successor finds it, and the call where the monitor sees it.
    fn begin_call(&self, desk: &mut Desk, lead: Box<Lead>, route: Route) {
        desk.calling += 1;
        desk.lead = Some(lead);
        desk.floor = Some(self.id);
        desk.seats[self.id].call = Some(Call {
            started_ns: self.shared.clock.now_ns(),
            kind: JobKind::Short,
            attaching: !self.attached,
            held_up: false,
            held_up_ticks: 0,
            stuck: false,
            route,
            learned: false,
        });
    }

    /// Runs a call whose record is on the desk, and takes the lead back if nobody else has.
    fn call_here(&mut self, mut connection: Box<Connection>, request: Box<Request>, end: usize) -> Whereabouts {
        let shared = Arc::clone(&self.shared);
        shared.wake_monitor();
        let mut started_ns = 0;
        if !self.attached {
            self.attach();
            let mut desk = shared.desk();
            started_ns = shared.clock.now_ns();
            if let Some(call) = &mut desk.seats[self.id].call {
                call.attaching = false;
                // The wait for the interpreter says nothing about the route.
                call.started_ns = started_ns;
                call.held_up = false;
                call.held_up_ticks = 0;
            }
        }
        if started_ns == 0 {
            started_ns = shared.clock.now_ns();
        }
        let stretch_ns = self.last_ended_ns.take().map(|ended_ns| started_ns.saturating_sub(ended_ns));
        let (settled, ended_ns) = self.serve(&mut connection, request, end, started_ns, Occupies::Seat);
        self.last_ended_ns = Some(ended_ns);
        let elapsed_ns = ended_ns.saturating_sub(started_ns);
        let before = self.mark;
        let call_ns = self.own_time_ns(elapsed_ns, ended_ns);
        let share = match (before, self.mark) {
            (Some(before), Some(after)) if before != after => Some(after.compute_share_since(&before, elapsed_ns)),
            _ => None,
        };
        let mut desk = shared.desk();
        if let Some(stretch_ns) = stretch_ns {
            desk.routes.learn_noise(stretch_ns, stretch_ns > shared.seating.slow_call_ns);
        }
        let route = desk.seats[self.id].call.map(|call| call.route);
        self.end_call(&mut desk, call_ns);
        if let (Some(route), Some(share)) = (route, share) {
            desk.routes.observe_share(route, share);
        }
        let lead = if desk.leader == self.id { desk.lead.take() } else { None };
        if desk.floor == Some(self.id) {
            // Deposed while it waited for the interpreter: it serves what has gathered meanwhile.
            self.relief = desk.queues.short_len();
            desk.floor = desk.floor.filter(|_| lead.is_none());
        }
        drop(desk);
        match lead {
            Some(lead) => Whereabouts::Here(lead, connection, settled),
            None => {
                self.hand_back(connection, settled);
                Whereabouts::Elsewhere
            }
        }
    }

    /// Short jobs that no leader could take at their time, and that this one can.
    fn take_short_jobs(&mut self, lead: Box<Lead>) -> Option<Box<Lead>> {
        self.take_jobs_here(lead, |desk| desk.queues.pop_short())
    }

    /// Serves jobs that `pop` gives as the leader serves short ones.
    fn take_jobs_here(&mut self, mut lead: Box<Lead>, pop: impl Fn(&mut Desk) -> Option<Job>) -> Option<Box<Lead>> {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut desk = shared.desk();
            if desk.is_floor_taken(self.id) || !self.may_serve(&desk) {
                return Some(lead);
            }
            let Some(job) = pop(&mut desk) else { return Some(lead) };
            self.begin_call(&mut desk, lead, job.route);
            drop(desk);
            match self.call_here(job.connection, job.request, job.end) {
                Whereabouts::Here(still, connection, settled) => {
                    lead = still;
                    match settled {
                        Settled::Closed if connection.stream.is_none() => self.close(&mut lead, connection),
                        Settled::Closed | Settled::Open => lead = self.advance(lead, connection)?,
                    }
                }
                Whereabouts::Queued(still) => lead = still,
                Whereabouts::Elsewhere => return None,
            }
        }
    }

    /// Lets a request wait for a seat, and sees to it that one comes.
    fn enqueue(&mut self, mut lead: Box<Lead>, job: Job) -> Whereabouts {
        let shared = Arc::clone(&self.shared);
        // From here on only the poller sees the client leave. Without it that is seen when the answer is written.
        let _ = job.connection.link.watch(&shared.poller, job.connection.token);
        let mut desk = shared.desk();
        if desk.queues.len() >= shared.seating.queue_max {
            drop(desk);
            let Job { mut connection, request, .. } = job;
            let error = Error::server(Kind::Overloaded, "the queue of waiting requests is full (see queue_max)");
            self.refuse(&mut connection, error, request, lead.now_ms);
            lead.set_accepting(Accepting::NotWhileFull, &shared.poller);
            return Whereabouts::Here(lead, connection, Settled::Open);
        }
        let kind = job.kind;
        desk.queues.push(job);
        let spare = desk.spare_requests.pop();
        if let Some(unused) = self.bench.put_spare(spare) {
            desk.keep_spare(Some(unused));
        }
        if shared.seating.threads == 1 && self.id != 0 {
            // Calls belong to the main thread: give it the lead as soon as it is free.
            if let Some(place) = desk.idle.iter().position(|&seat| seat == 0) {
                desk.idle.remove(place);
                desk.leader = 0;
                desk.order(0, Order::Lead(lead));
                // This seat goes on as a follower that will find nothing to do.
                desk.agile += 1;
                return Whereabouts::Elsewhere;
            }
            return Whereabouts::Queued(lead);
        }
        let room = desk.slow_calling + desk.agile < shared.slow_calls_max();
        let wants_seat = match kind {
            JobKind::Short => false,
            // Served by this seat itself, once it has handed the lead on.
            JobKind::Doubtful => false,
            JobKind::Slow => desk.agile < desk.queues.len() && room,
            JobKind::Computing => desk.computing == 0 && desk.agile == 0 && room,
        };
        let woken = !wants_seat || desk.wake_idle(Order::Work).is_ok();
        let wants_spare = desk.lacks_spares();
        drop(desk);
        if !woken || wants_spare {
            usher::ask(&self.shared);
        }
        Whereabouts::Queued(lead)
    }

    /// Takes back connections that other seats have finished with.
    fn absorb(&mut self, lead: &mut Lead, returns: Vec<Returned>) {
        for returned in returns {
            match returned {
                Returned::Closed(token) => lead.slots.release(token),
                Returned::Ready(waiting) => lead.fetched.push(waiting),
                Returned::Fetched(token) => lead.ready.push_back((token, Readiness::WRITABLE)),
                Returned::Open(connection) if connection.stream.is_some() => self.stream_ended(lead, &connection),
                Returned::Open(connection) => {
                    let readiness = Readiness {
                        readable: connection.readable,
                        writable: matches!(connection.phase, Phase::Flushing { .. }),
                        ended: connection.ended,
                        hung_up: connection.link.is_gone(),
                    };
                    let waits = matches!(connection.phase, Phase::Idle) && !readiness.readable && !readiness.hung_up;
                    let token = connection.token;
                    let mut connection = connection;
                    if lead.draining_since_ms.is_some() {
                        connection.deadline_ms = connection.deadline_ms.min(lead.now_ms + DRAIN_IDLE_MS);
                    }
                    self.park(lead, connection);
                    if !waits {
                        lead.ready.push_back((token, readiness));
                    }
                }
            }
        }
    }

    /// Writes more of a response. False: the connection is to be closed.
    fn flush(&mut self, lead: &mut Lead, connection: &mut Connection) -> bool {
        match connection.link.flush() {
            Sent::Broken => return false,
            Sent::Unsent(_) => {
                connection.link.watch_writable(&self.shared.poller, connection.token);
                connection.deadline_ms = lead.now_ms + self.shared.rules.write_timeout_ms;
                if connection.link.has_more_now() {
                    let again = Readiness::WRITABLE;
                    lead.ready.push_back((connection.token, again));
                }
                if let Some(cold) = connection.link.take_cold() {
                    let load = Load::Stretch(connection.token, Arc::clone(&connection.link), cold);
                    return porter::send(&self.shared, load).is_ok();
                }
                return true;
            }
            Sent::All => {}
        }
        let Phase::Flushing { then, next } = std::mem::replace(&mut connection.phase, Phase::Idle) else { return true };
        let rules = &self.shared.rules;
        match then {
            AfterResponse::Close => return false,
            AfterResponse::Linger => {
                connection.link.shutdown_write();
                connection.phase = Phase::Lingering;
                connection.deadline_ms = lead.now_ms + rules.linger_timeout_ms;
                // What came before the answer is not announced again.
                connection.readable = true;
            }
            AfterResponse::KeepAlive => match next {
                Some(next) => {
                    connection.phase = Phase::Head(next);
                    connection.deadline_ms = lead.now_ms + rules.header_timeout_ms;
                }
                // Its answer said that it lives on; the drain has begun since.
                None if lead.draining_since_ms.is_some() => connection.deadline_ms = lead.now_ms + DRAIN_IDLE_MS,
                None => connection.deadline_ms = lead.now_ms + rules.keepalive_ms,
            },
        }
        true
    }

    /// Reads and forgets what a client still sends after its last answer. False: it has closed.
    fn discard(&mut self, lead: &mut Lead, connection: &mut Connection) -> bool {
        if !connection.readable {
            return true;
        }
        let mut request = self.bench.take_request();
        let mut turn_bytes = LINGER_TURN_BYTES;
        let open = loop {
            match connection.link.receive(request.arena.spare()) {
                Received::Bytes(count) if count >= turn_bytes => {
                    let again = Readiness::READABLE;
                    lead.ready.push_back((connection.token, again));
                    break true;
                }
                Received::Bytes(count) => turn_bytes -= count,
                Received::Nothing => {
                    connection.readable = false;
                    break true;
                }
                Received::End | Received::Plain(_) | Received::Broken => break false,
            }
        };
        self.bench.give_back(request);
        open
    }

    pub(super) fn close(&mut self, lead: &mut Lead, connection: Box<Connection>) {
        lead.slots.release(connection.token);
        drop(connection);
        if let Accepting::NotUntil(_) = lead.accepting {
            lead.set_accepting(Accepting::Yes, &self.shared.poller);
        }
    }

    /// Takes connections that wait at a listener and serves at once what they bring along. `None`: the lead is elsewhere.
    fn accept(&mut self, mut lead: Box<Lead>, listener: usize) -> Option<Box<Lead>> {
        let turn = lead.accepts_a_turn();
        let mut count = 0;
        while count < turn {
            let Some(connection) = self.take_connection(&mut lead, listener) else { break };
            count += 1;
            lead = self.advance(lead, connection)?;
        }
        lead.accepted(count);
        Some(lead)
    }

    /// Takes all connections that wait at a listener and parks them.
    fn accept_all(&mut self, lead: &mut Lead, listener: usize) {
        while let Some(connection) = self.take_connection(lead, listener) {
            if matches!(connection.phase, Phase::Flushing { .. }) {
                let now = Readiness::WRITABLE;
                lead.ready.push_back((connection.token, now));
            }
            self.park(lead, connection);
        }
    }

    /// Takes one connection; one that is above the cap is refused at once.
    fn take_connection(&mut self, lead: &mut Lead, listener: usize) -> Option<Box<Connection>> {
        let shared = Arc::clone(&self.shared);
        let mut accepted = lead.accept(listener, &shared.rules);
        for _ in 0..DISMISSALS_A_TURN {
            if !matches!(accepted, Accepted::Dismissed) {
                break;
            }
            accepted = lead.accept(listener, &shared.rules);
        }
        match accepted {
            Accepted::Connection(connection) => {
                shared.metrics.accepted();
                Some(connection)
            }
            Accepted::OverCap(mut connection) => {
                let error = Error::server(
                    Kind::Overloaded,
                    "the worker has as many connections as it may (see worker_connections)",
                );
                let request = self.bench.take_request();
                self.refuse(&mut connection, error, request, lead.now_ms);
                Some(connection)
            }
            Accepted::Nobody | Accepted::Dismissed => None,
            Accepted::OutOfDescriptors(error) => {
                shared.error_log.write(
                    Level::Error,
                    &format!(
                        "cannot accept a connection: {error}; raise the limit of open files (ulimit -n) or lower worker_connections"
                    ),
                );
                lead.pause_accepting(&shared.poller);
                None
            }
        }
    }

    /// Lets a connection wait.
    pub(super) fn park(&self, lead: &mut Lead, connection: Box<Connection>) {
        if let Err(error) = lead.park(connection, &self.shared.poller) {
            self.shared.error_log.write(
                Level::Error,
                &format!(
                    "cannot watch a connection, so it is closed: {error}; see /proc/sys/fs/epoll/max_user_watches"
                ),
            );
        }
    }

    fn look_at_timers(&mut self, lead: &mut Lead) {
        while let Some(token) = lead.timers.pop_due(lead.now_ms) {
            match lead.slots.take(token) {
                Found::Nothing => {}
                // A seat owns it: look again, for it may come back with a deadline that is nearer than a new entry.
                Found::Busy(_) => lead.timers.look_at(token, lead.now_ms + 1000),
                Found::Connection(mut connection) => {
                    connection.looked_at_ms = u64::MAX;
                    if matches!(connection.phase, Phase::Http2(_)) {
                        self.look_at_session(lead, connection);
                        continue;
                    }
                    match h1::expire(&mut connection, &self.shared.rules, lead.now_ms) {
                        Expired::NotYet => self.park(lead, connection),
                        Expired::Close => self.close(lead, connection),
                        Expired::Refuse(error, request) => {
                            self.refuse(&mut connection, error, request, lead.now_ms);
                            let now = Readiness::WRITABLE;
                            lead.ready.push_back((token, now));
                            self.park(lead, connection);
                        }
                    }
                }
            }
        }
        self.expire_jobs(lead);
    }

    /// Requests that have waited too long for a seat get 503.
    fn expire_jobs(&mut self, lead: &mut Lead) {
        let timeout_ms = self.shared.seating.queue_timeout_ms;
        let Some(since_ms) = lead.now_ms.checked_sub(timeout_ms) else { return };
        loop {
            let job = self.shared.desk().queues.pop_older(since_ms);
            let Some(Job { mut connection, request, .. }) = job else { return };
            let error = Error::server(Kind::Overloaded, "the request waited too long for a seat (see queue_timeout)");
            self.refuse(&mut connection, error, request, lead.now_ms);
            if connection.stream.is_some() {
                self.stream_ended(lead, &connection);
                continue;
            }
            let now = Readiness::WRITABLE;
            lead.ready.push_back((connection.token, now));
            self.park(lead, connection);
        }
    }

    fn obey(&mut self, lead: &mut Lead) {
        let commands = lead.control.as_mut().map(|control| control.take()).unwrap_or_default();
        for command in commands {
            match command {
                Command::Drain => self.drain(lead),
                Command::Quit => {
                    lead.draining_since_ms.get_or_insert(lead.now_ms);
                    self.shared.desk().stopping = true;
                }
                Command::ReopenLogs => {
                    self.shared.error_log.reopen();
                    if let Some(log) = &self.shared.access_log {
                        log.reopen();
                    }
                }
            }
        }
    }

    /// Begins to stop: takes what is queued at the listeners, then no more.
    fn drain(&mut self, lead: &mut Lead) {
        if lead.draining_since_ms.is_some() {
            return;
        }
        self.shared.draining.store(true, Ordering::Relaxed);
        lead.draining_since_ms = Some(lead.now_ms);
        self.sweep_listeners(lead);
        lead.set_accepting(Accepting::NoMore, &self.shared.poller);
        for token in lead.slots.parked() {
            if let Found::Connection(mut connection) = lead.slots.take(token) {
                if matches!(connection.phase, Phase::Http2(_)) {
                    self.say_farewell(lead, connection);
                    continue;
                }
                if matches!(connection.phase, Phase::Idle) {
                    connection.deadline_ms = connection.deadline_ms.min(lead.now_ms + DRAIN_IDLE_MS);
                }
                self.park(lead, connection);
            }
        }
    }

    fn sweep_listeners(&mut self, lead: &mut Lead) {
        for listener in 0..lead.listeners.len() {
            self.accept_all(lead, listener);
        }
    }

    /// Whether the engine has nothing left to do.
    fn is_over(&mut self, lead: &mut Lead) -> bool {
        if lead.draining_since_ms.is_none() {
            return false;
        }
        if self.shared.desk().stopping {
            return true;
        }
        if !self.is_empty(lead) || !lead.ready.is_empty() || !lead.arrivals.is_empty() {
            return false;
        }
        // The last connection is gone; a client may have connected meanwhile.
        self.sweep_listeners(lead);
        self.is_empty(lead)
    }

    /// Whether no connection is left but those whose calls are not waited for.
    fn is_empty(&self, lead: &Lead) -> bool {
        lead.slots.open() <= self.shared.overdue.as_ref().map_or(0, |overdue| overdue.given_up())
    }

    /// Sends everybody home.
    fn end(&mut self, lead: Box<Lead>) {
        drop(lead);
        let mut desk = self.shared.desk();
        desk.stopping = true;
        let first_is_stuck = self.id != 0 && !desk.idle.contains(&0);
        for entry in &mut desk.seats {
            if entry.order.is_none() {
                entry.order = Some(Order::Stop);
            }
            if let Some(thread) = &entry.thread {
                thread.unpark();
            }
        }
        drop(desk);
        usher::call(&self.shared);
        if let Some(monitor) = self.shared.monitor.get() {
            self.shared.monitor_asleep.store(false, Ordering::SeqCst);
            monitor.unpark();
        }
        if first_is_stuck {
            (self.shared.abandon)();
        }
    }
}
