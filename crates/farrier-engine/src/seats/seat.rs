//! A seat: a thread that can lead and that can serve. This module has what it does when it does not lead.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::wire::h1::RequestFacts;
use farrier_http::{Error, Kind, Request, Side};

use super::answered_by::AnsweredBy;
use super::call_record::{CallRecord, CallTarget};
use super::client_waits::SeatWait;
use super::lead::Lead;
use super::overdue;
use super::returns::Returned;
use super::shared::{Shared, Work};
use super::thread_meter::{Reading, ThreadMeter, process_cpu_ns};
use crate::metrics::Called;
use farrier_log::access::Exchange;
use farrier_protocol::after_response::AfterResponse;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::dropped_fields::Reason;
use farrier_protocol::h1;
use farrier_protocol::h1_respond::H1Respond;
use farrier_protocol::outlet::Outcome;
use farrier_protocol::scratch::Scratch;
use farrier_protocol::seat_outlet::Channel;
use farrier_scheduler::routes::ComputeShare;
use farrier_scheduler::{Ended, Idle, Job, JobKind, Looked, Order, SeatId};

/// A reading of the thread's meter is valid for this long, in ns.
const MARK_AGE_MAX_NS: u64 = 1_000_000;

/// A seat.
pub(crate) struct Seat {
    pub(crate) id: SeatId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) scratch: Scratch,
    /// The record of its calls, if they have a limit.
    pub(super) record: Option<Arc<CallRecord>>,
    /// The seat is attached to the interpreter.
    pub(crate) attached: bool,
    pub(crate) meter: ThreadMeter,
    /// A reading not older than a millisecond when a call begins.
    pub(crate) mark: Option<Reading>,
    pub(crate) marked_ns: u64,
    /// When the last call ended, in ns, if only the server's own work has followed.
    pub(crate) last_ended_ns: Option<u64>,
    /// The buffer that the poller fills while this seat leads.
    pub(crate) events: Vec<rustix::event::epoll::Event>,
}

/// Whether a connection stays open after a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settled {
    /// It goes on as its phase says.
    Open,
    /// It is closed.
    Closed,
}

impl Seat {
    pub(crate) fn new(id: SeatId, shared: Arc<Shared>) -> Seat {
        let record = shared.overdue.as_ref().map(|overdue| overdue.record(id, &*shared.host));
        Seat {
            id,
            shared,
            record,
            scratch: Scratch::new(),
            attached: false,
            meter: ThreadMeter::default(),
            mark: None,
            marked_ns: 0,
            last_ended_ns: None,
            events: Vec::new(),
        }
    }

    /// Waits for orders and performs them, until the engine ends or more seats are parked than are kept.
    pub(crate) fn run(self) {
        let shared = Arc::clone(&self.shared);
        guard(&shared, || self.run_orders());
    }

    /// The same, for a seat that looks for work first.
    pub(crate) fn run_from_work(mut self) {
        let shared = Arc::clone(&self.shared);
        guard(&shared, || {
            if self.work() {
                self.run_orders();
            }
        });
    }

    fn run_orders(mut self) {
        loop {
            match self.wait_for_order() {
                Order::Lead(lead) => {
                    if !self.lead(lead) {
                        return;
                    }
                }
                Order::Work => {}
                Order::Stop => return,
            }
            if !self.work() {
                return;
            }
        }
    }

    /// Takes the interpreter, unless the seat has it.
    pub(crate) fn attach(&mut self) {
        if !self.attached {
            self.shared.host.attach();
            self.attached = true;
        }
    }

    /// Leaves the interpreter to others.
    pub(crate) fn detach(&mut self) {
        if self.attached {
            self.shared.host.detach();
            self.attached = false;
        }
    }

    fn wait_for_order(&mut self) -> Order<Box<Lead>> {
        self.detach();
        let idle_timeout = self.shared.seating.threads_idle_timeout;
        loop {
            // The answer is computed first: the scheduler's lock must not be held while this thread is parked.
            let idle = self.shared.scheduler().idle(self.id);
            match idle {
                Idle::Order(order) => return order,
                Idle::Wait => std::thread::park(),
                Idle::WaitAsSurplus => {
                    let began = std::time::Instant::now();
                    std::thread::park_timeout(idle_timeout);
                    if began.elapsed() >= idle_timeout && self.shared.scheduler().leave(self.id) {
                        return Order::Stop;
                    }
                }
            }
        }
    }

    /// Serves jobs as long as there are any for this seat, and takes the lead if no other seat does. False: the engine
    /// ends. True: the seat is parked.
    pub(crate) fn work(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        loop {
            let now_ns = shared.clock.now_ns();
            match shared.schedule(|scheduler, out| scheduler.look(self.id, self.attached, now_ns, out)) {
                Looked::Job(job) => {
                    shared.wake_monitor();
                    self.serve_job(job);
                }
                Looked::Attach => {
                    self.attach();
                    self.refresh_mark(shared.clock.now_ns());
                }
                Looked::Lead(lead) => {
                    if !self.lead(lead) {
                        return false;
                    }
                }
                Looked::Parked => return true,
            }
        }
    }

    fn serve_job(&mut self, job: Job<Work>) {
        let Job { work: Work { mut connection, request, end }, kind, .. } = job;
        let measured = kind != JobKind::Short;
        if measured {
            self.refresh_mark(self.shared.clock.now_ns());
        }
        let before = self.mark;
        let process_before_ns = if measured { process_cpu_ns() } else { 0 };
        let started_ns = self.shared.clock.now_ns();
        let (settled, ended_ns) = if connection.link.is_gone() {
            // The client left while the request waited: there is no one to answer.
            self.scratch.give_back(request);
            (Settled::Closed, started_ns)
        } else {
            self.serve(&mut connection, request, end, started_ns, AnsweredBy::Seat)
        };
        let elapsed_ns = ended_ns.saturating_sub(started_ns);
        let call_ns = self.own_time_ns(elapsed_ns, ended_ns);
        let share = match (before, self.mark) {
            (Some(before), Some(after)) if measured && before != after => {
                let process_ns = process_cpu_ns().saturating_sub(process_before_ns);
                Some(ComputeShare {
                    share: after.compute_share_since(&before, elapsed_ns),
                    process_busy: process_ns > elapsed_ns / 2,
                })
            }
            _ => None,
        };
        self.shared.keep_spare(self.scratch.take_spare());
        let ended = Ended { call_ns, share };
        self.shared.schedule(|scheduler, out| scheduler.call_ended(self.id, ended, ended_ns, out));
        self.hand_back(connection, settled);
    }

    /// Reads the thread's meter, unless it was read within the last millisecond.
    pub(crate) fn refresh_mark(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.marked_ns) > MARK_AGE_MAX_NS {
            self.marked_ns = now_ns;
            self.mark = self.meter.read();
        }
    }

    /// How long a call took, without the time in which other threads had its processor: the route does not cause that.
    /// It is measured only for a call that seems slow.
    pub(crate) fn own_time_ns(&mut self, call_ns: u64, ended_ns: u64) -> u64 {
        if call_ns <= self.shared.seating.slow_call_ns {
            return call_ns;
        }
        let before = self.mark;
        self.mark = self.meter.read();
        self.marked_ns = ended_ns;
        match (before, self.mark) {
            (Some(before), Some(after)) => {
                call_ns.saturating_sub(after.delayed_ns.saturating_sub(before.delayed_ns)).max(1)
            }
            _ => call_ns,
        }
    }

    /// Returns the connection to the leader, and wakes the leader only if it must act.
    pub(crate) fn hand_back(&mut self, connection: Box<Connection>, settled: Settled) {
        let urgent = match settled {
            Settled::Closed => true,
            Settled::Open => {
                !matches!(connection.phase, Phase::Idle)
                    || connection.readable
                    || connection.link.is_gone()
                    || self.shared.draining.load(Ordering::Relaxed)
            }
        };
        if connection.stream.is_some() {
            return self.hand_back_stream(connection);
        }
        if connection.upload.is_some() {
            return self.hand_back_upload(connection, settled);
        }
        let token = connection.token;
        // A leader that was deposed in its call may hold a connection that the poller does not know yet. If it cannot
        // be watched, the leader notices.
        let unwatched = settled == Settled::Open && connection.link.watch(&self.shared.poller, token).is_err();
        let mut returns = self.shared.returns.lock();
        let pending = connection.link.take_pending();
        match settled {
            Settled::Open => {
                let mut connection = connection;
                connection.readable |= pending;
                connection.ended |= connection.link.has_ended();
                returns.push(Returned::Open(connection));
            }
            Settled::Closed => {
                connection.link.shutdown_both();
                returns.push(Returned::Closed(token));
            }
        }
        drop(returns);
        if urgent || pending || unwatched {
            self.shared.leader.wake();
        }
    }

    /// Runs the handler for one request and writes its answer. Returns whether the connection stays open, and when the
    /// call ended in ns.
    pub(crate) fn serve(
        &mut self,
        connection: &mut Connection,
        mut request: Box<Request>,
        end: usize,
        started_ns: u64,
        by: AnsweredBy,
    ) -> (Settled, u64) {
        if let Some(stream) = connection.stream.clone() {
            return self.serve_stream(connection, &stream, request, started_ns, by);
        }
        let shared = &*self.shared;
        connection.requests += 1;
        request.notes.clear();
        let rules = &shared.rules;
        let within_limit = rules.keepalive_requests == 0 || connection.requests < rules.keepalive_requests;
        let keep_alive = request.head.keep_alive && within_limit && rules.keepalive_ms > 0;
        let facts = RequestFacts { is_head: request.method() == b"HEAD", version: request.head.version, keep_alive };
        let client_wait = SeatWait::of(shared, self.id, connection);
        let channel = channel(shared, &client_wait, connection, by == AnsweredBy::Seat);
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let record = self.record.as_ref().filter(|_| by == AnsweredBy::Seat);
        if let Some(record) = record {
            connection.link.begin_response();
            record.open(&request, CallTarget::Connection(Arc::clone(&connection.link)), facts, started_ns);
        }
        let mut respond =
            H1Respond::new(channel, &mut self.scratch, facts, request.head.gateway.via, request.choice, keep_lines);
        if request.takes_trailers() {
            respond.permit_trailers();
        }
        let handled = catch_unwind(AssertUnwindSafe(|| shared.handle(&mut request, &mut respond)));
        match handled {
            Ok(Ok(())) => {}
            Ok(Err(error)) => respond.fail(error),
            Err(panic) => respond.fail(Error::server(Kind::Internal, panic_text(panic.as_ref()))),
        }
        let (mut outcome, lines) = respond.outcome(false);
        let ended_ns = shared.clock.now_ns();
        if let Some(late) = record.and_then(|record| record.close()) {
            overdue::came_back(shared, &late, ended_ns.saturating_sub(started_ns));
            outcome.take_over(&late.taken, overdue::error());
        }
        if by != AnsweredBy::ServerUnseen {
            let by_application = by == AnsweredBy::Seat;
            self.record(&request, &outcome, lines.as_deref(), ended_ns.saturating_sub(started_ns), by_application);
        }
        let now_ms = ended_ns / 1_000_000;
        (self.settle(connection, &outcome, request, end, now_ms), ended_ns)
    }

    /// Answers a request that never reached a handler.
    pub(crate) fn refuse(&mut self, connection: &mut Connection, error: Error, mut request: Box<Request>, now_ms: u64) {
        request.origin = connection.origin;
        if let Some(stream) = connection.stream.clone() {
            return self.refuse_stream(connection, &stream, error, request);
        }
        let shared = &*self.shared;
        let facts = RequestFacts { is_head: false, version: request.head.version, keep_alive: false };
        let client_wait = SeatWait::of(shared, self.id, connection);
        let channel = channel(shared, &client_wait, connection, false);
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let mut respond =
            H1Respond::new(channel, &mut self.scratch, facts, request.head.gateway.via, request.choice, keep_lines);
        respond.fail(error);
        let (outcome, lines) = respond.outcome(true);
        self.record(&request, &outcome, lines.as_deref(), 0, false);
        self.scratch.give_back(request);
        connection.phase = match outcome.after {
            AfterResponse::Close => Phase::Flushing { then: AfterResponse::Close, next: None },
            _ => Phase::Flushing { then: AfterResponse::Linger, next: None },
        };
        connection.deadline_ms = now_ms + shared.rules.response_pace().look_again_ms();
    }

    pub(super) fn settle(
        &mut self,
        connection: &mut Connection,
        outcome: &Outcome,
        request: Box<Request>,
        end: usize,
        now_ms: u64,
    ) -> Settled {
        let rules = &self.shared.rules;
        if outcome.after == AfterResponse::KeepAlive {
            let next = h1::leftover(request, end, &connection.opening, &mut self.scratch, now_ms);
            if outcome.unsent {
                connection.phase = Phase::Flushing { then: AfterResponse::KeepAlive, next };
                connection.deadline_ms = now_ms + rules.response_pace().look_again_ms();
            } else if let Some(next) = next {
                connection.phase = Phase::Head(next);
                connection.deadline_ms = now_ms + rules.header_timeout_ms;
            } else {
                connection.phase = Phase::Idle;
                connection.deadline_ms = now_ms + rules.keepalive_ms;
            }
            return Settled::Open;
        }
        // Unread bytes would turn the close into a reset, and the client would lose its answer.
        let unread = request.arena.filled().len() > end || connection.readable;
        self.scratch.give_back(request);
        // A response that has broken off must not end in an orderly way.
        if connection.link.is_gone() || connection.link.must_reset() && !outcome.unsent {
            return Settled::Closed;
        }
        if outcome.unsent || unread {
            let then = if unread { AfterResponse::Linger } else { outcome.after };
            connection.phase = Phase::Flushing { then, next: None };
            connection.deadline_ms = now_ms + rules.response_pace().look_again_ms();
            return Settled::Open;
        }
        Settled::Closed
    }

    pub(super) fn record(
        &self,
        request: &Request,
        outcome: &Outcome,
        lines: Option<&[u8]>,
        call_ns: u64,
        by_application: bool,
    ) {
        if by_application {
            self.shared.metrics.called(&Called {
                status: outcome.status,
                duration_ns: call_ns,
                content_bytes: outcome.content_bytes,
                has_failed: outcome.fault.as_ref().is_some_and(|fault| fault.side == Side::Application),
            });
        } else {
            self.shared.metrics.answered(outcome.status);
        }
        if let Some(fault) = outcome.fault.as_ref().filter(|fault| !fault.cause.is_empty()) {
            self.log_fault(request, fault);
        }
        for name in &outcome.dropped {
            self.shared.rules.dropped_response_fields.note(name, Reason::HopByHop, &self.shared.error_log);
        }
        if let Some(log) = &self.shared.access_log {
            log.record(&Exchange {
                request,
                status: outcome.status,
                content_bytes: outcome.content_bytes,
                duration_ns: call_ns,
                response_lines: lines.unwrap_or_default(),
            });
        }
    }
}

/// How a response of this connection leaves.
fn channel<'a>(
    shared: &'a Shared,
    client_wait: &'a SeatWait<'a>,
    connection: &'a Connection,
    may_wait: bool,
) -> Channel<'a> {
    Channel {
        rules: &shared.rules,
        host: &*shared.host,
        client_wait,
        poller: &shared.poller,
        link: &connection.link,
        token: connection.token,
        peer: connection.origin.peer,
        draining: &shared.draining,
        upload: connection.upload.as_deref(),
        may_wait,
    }
}

/// Runs a thread of the engine. A panic that reaches this function has lost the lead, or a request's accounting: the
/// worker ends, so that the arbiter notices it and starts another.
pub(super) fn guard(shared: &Shared, life: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(life)) {
        shared
            .error_log
            .write(farrier_log::error::Level::Critical, &format!("{}; the worker ends", panic_text(panic.as_ref())));
        // The thread of the log ends with the process.
        shared.error_log.flush();
        (shared.fail)();
    }
}

pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("a fault of the server's own (please report it): {text}")
}
