//! What the leader does with a request that is complete: answers it here and now, or hands it to where it can wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::{Error, Kind, Occupies, Request};

use super::disk::Load;
use super::lead::{Accepting, Lead};
use super::seat::{Seat, Settled};
use super::shared::Shared;
use super::{disk, spawner};
use crate::protocol::connection::Connection;
use crate::scheduler::routes::Route;
use crate::scheduler::state::{Call, Job, JobKind, Order, SchedulerState, Waiting};
use farrier_log::error::Level;

/// Where the lead is after a request was dealt with.
pub(super) enum Dispatched {
    /// Still here, and the connection too.
    Here(Box<Lead>, Box<Connection>, Settled),
    /// Still here; the connection waits for another seat.
    Queued(Box<Lead>),
    /// Another seat has it; this one has finished what it was doing.
    Elsewhere,
}

impl Seat {
    /// Deals with a complete request: here and now if its route is short, through the queues otherwise.
    pub(super) fn answer(
        &mut self,
        lead: Box<Lead>,
        mut connection: Box<Connection>,
        mut request: Box<Request>,
        end: usize,
    ) -> Dispatched {
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
            return Dispatched::Here(lead, connection, Settled::Open);
        }
        let occupies = self.shared.handler.occupies(&mut request);
        if occupies == Occupies::Disk {
            return self.send_for(lead, Waiting { connection, request, end });
        }
        if occupies != Occupies::Seat {
            let started_ns = self.shared.clock.now_ns();
            let (settled, _) = self.serve(&mut connection, request, end, started_ns, occupies);
            return Dispatched::Here(lead, connection, settled);
        }
        let route = Route::of(&request);
        let shared = Arc::clone(&self.shared);
        let mut state = shared.scheduler();
        let strict = shared.seating.threads == 1;
        let kind = if strict { JobKind::Short } else { state.kind_of(route) };
        if kind != JobKind::Short
            || !self.may_serve(&state)
            || state.queues.has_short()
            || state.is_floor_taken(self.id)
        {
            drop(state);
            let queued_ms = lead.now_ms;
            return self.enqueue(lead, Job { connection, request, end, route, kind, queued_ms });
        }
        self.begin_call(&mut state, lead, route);
        drop(state);
        self.call_here(connection, request, end)
    }

    /// Lets a request wait for the disk, apart from everybody else.
    fn send_for(&mut self, lead: Box<Lead>, waiting: Waiting) -> Dispatched {
        // From here on only the poller sees the client leave. Without it that is seen when the answer is written.
        let _ = waiting.connection.link.watch(&self.shared.poller, waiting.connection.token);
        match disk::send(&self.shared, Load::DiskLookup(waiting)) {
            Ok(()) => Dispatched::Queued(lead),
            Err(Load::DiskLookup(Waiting { mut connection, request, .. })) => {
                let error = Error::server(Kind::Overloaded, "no thread can be started that reads from the disk");
                self.refuse(&mut connection, error, request, lead.now_ms);
                Dispatched::Here(lead, connection, Settled::Open)
            }
            Err(Load::Stretch(..) | Load::Piece(..) | Load::Spool(..)) => Dispatched::Queued(lead),
        }
    }

    /// Answers a request whose files are in memory now. `None`: the lead is elsewhere.
    pub(super) fn answer_fetched(&mut self, mut lead: Box<Lead>, waiting: Waiting) -> Option<Box<Lead>> {
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
    pub(super) fn may_serve(&self, state: &SchedulerState) -> bool {
        let threads = self.shared.seating.threads;
        state.calling < threads && (threads > 1 || self.id == 0)
    }

    /// Puts the lead where a successor finds it, and the call where the monitor sees it.
    fn begin_call(&self, state: &mut SchedulerState, lead: Box<Lead>, route: Route) {
        state.calling += 1;
        state.lead = Some(lead);
        state.floor = Some(self.id);
        state.seats[self.id].call = Some(Call {
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

    /// Runs a call whose record is on the state, and takes the lead back if nobody else has.
    fn call_here(&mut self, mut connection: Box<Connection>, request: Box<Request>, end: usize) -> Dispatched {
        let shared = Arc::clone(&self.shared);
        shared.wake_monitor();
        let mut started_ns = 0;
        if !self.attached {
            self.attach();
            let mut state = shared.scheduler();
            started_ns = shared.clock.now_ns();
            if let Some(call) = &mut state.seats[self.id].call {
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
        let mut state = shared.scheduler();
        if let Some(stretch_ns) = stretch_ns {
            state.routes.learn_noise(stretch_ns, stretch_ns > shared.seating.slow_call_ns);
        }
        let route = state.seats[self.id].call.map(|call| call.route);
        self.end_call(&mut state, call_ns);
        if let (Some(route), Some(share)) = (route, share) {
            state.routes.observe_share(route, share);
        }
        let lead = if state.leader == self.id { state.lead.take() } else { None };
        if state.floor == Some(self.id) {
            // Deposed while it waited for the interpreter: it serves what has gathered meanwhile.
            self.relief = state.queues.short_len();
            state.floor = state.floor.filter(|_| lead.is_none());
        }
        drop(state);
        match lead {
            Some(lead) => Dispatched::Here(lead, connection, settled),
            None => {
                self.hand_back(connection, settled);
                Dispatched::Elsewhere
            }
        }
    }

    /// Short jobs that no leader could take at their time, and that this one can.
    pub(super) fn take_short_jobs(&mut self, lead: Box<Lead>) -> Option<Box<Lead>> {
        self.take_jobs_here(lead, |state| state.queues.pop_short())
    }

    /// Serves jobs that `pop` gives as the leader serves short ones.
    pub(super) fn take_jobs_here(
        &mut self,
        mut lead: Box<Lead>,
        pop: impl Fn(&mut SchedulerState) -> Option<Job>,
    ) -> Option<Box<Lead>> {
        loop {
            let shared = Arc::clone(&self.shared);
            let mut state = shared.scheduler();
            if state.is_floor_taken(self.id) || !self.may_serve(&state) {
                return Some(lead);
            }
            let Some(job) = pop(&mut state) else { return Some(lead) };
            self.begin_call(&mut state, lead, job.route);
            drop(state);
            match self.call_here(job.connection, job.request, job.end) {
                Dispatched::Here(still, connection, settled) => {
                    lead = still;
                    match settled {
                        Settled::Closed if connection.stream.is_none() => self.close(&mut lead, connection),
                        Settled::Closed | Settled::Open => lead = self.advance(lead, connection)?,
                    }
                }
                Dispatched::Queued(still) => lead = still,
                Dispatched::Elsewhere => return None,
            }
        }
    }

    /// Lets a request wait for a seat, and sees to it that one comes.
    fn enqueue(&mut self, mut lead: Box<Lead>, job: Job) -> Dispatched {
        let shared = Arc::clone(&self.shared);
        // From here on only the poller sees the client leave. Without it that is seen when the answer is written.
        let _ = job.connection.link.watch(&shared.poller, job.connection.token);
        let mut state = shared.scheduler();
        if state.queues.len() >= shared.seating.queue_max {
            drop(state);
            let Job { mut connection, request, .. } = job;
            let error = Error::server(Kind::Overloaded, "the queue of waiting requests is full (see queue_max)");
            self.refuse(&mut connection, error, request, lead.now_ms);
            lead.set_accepting(Accepting::NotWhileFull, &shared.poller);
            return Dispatched::Here(lead, connection, Settled::Open);
        }
        let kind = job.kind;
        state.queues.push(job);
        let spare = state.spare_requests.pop();
        if let Some(unused) = self.scratch.put_spare(spare) {
            state.keep_spare(Some(unused));
        }
        if shared.seating.threads == 1 && self.id != 0 {
            // Calls belong to the main thread: give it the lead as soon as it is free.
            if let Some(place) = state.idle.iter().position(|&seat| seat == 0) {
                state.idle.remove(place);
                state.leader = 0;
                state.order(0, Order::Lead(lead));
                // This seat goes on as a follower that will find nothing to do.
                state.agile += 1;
                return Dispatched::Elsewhere;
            }
            return Dispatched::Queued(lead);
        }
        let room = state.slow_calling + state.agile < shared.slow_calls_max();
        let wants_seat = match kind {
            JobKind::Short => false,
            // Served by this seat itself, once it has handed the lead on.
            JobKind::Doubtful => false,
            JobKind::Slow => state.agile < state.queues.len() && room,
            JobKind::Computing => state.computing == 0 && state.agile == 0 && room,
        };
        let woken = !wants_seat || state.wake_idle(Order::Work).is_ok();
        let wants_spare = state.lacks_spares();
        drop(state);
        if !woken || wants_spare {
            spawner::ask(&self.shared);
        }
        Dispatched::Queued(lead)
    }
}
