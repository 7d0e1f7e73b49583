//! The scheduler's state. After every event, a seat that may serve the waiting jobs is awake or on its way.

use super::actions::Actions;
use super::queues::{Job, JobKind, Queues};
use super::routes::{Expectation, Route, Routes};
use super::seats::{Call, Order, Role, SeatId, Seats};

/// Parked seats that are kept. One takes the lead from a call that proves slow. The other takes it from a leader that
/// waits for the interpreter while that call holds it.
pub(super) const SPARES: usize = 2;

/// The part of the queue reserved for short jobs: one place in so many, if the queue is long enough.
const KEPT_FOR_SHORT: usize = 16;

/// The limits of the scheduler.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Calls that may run at the same time.
    pub threads: usize,
    /// Jobs that may wait.
    pub queue_max: usize,
    /// How long a job may wait, in ms.
    pub queue_timeout_ms: u64,
    /// How often running calls are checked, in ns.
    pub tick_ns: u64,
    /// How long a call may take and still count as short, in ns.
    pub slow_call_ns: u64,
    /// Calls that may wait for their clients to read.
    pub client_waits_max: usize,
}

/// Rules as they were before a fault was fixed, so that the simulation can show that it finds the fault.
#[cfg(test)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Faults {
    /// Seats are requested only when a request begins to wait. At most four are starting at a time, and further
    /// requests for seats are forgotten.
    pub(super) forgets_seats: bool,
    /// With one thread, the main thread parks while short jobs wait for it.
    pub(super) loses_wake_up: bool,
    /// Room in the queue is noticed only when the leader happens to look.
    pub(super) forgets_room: bool,
    /// A leader whose successor is missing keeps the lead, and no seat is requested again.
    pub(super) strands_lead: bool,
    /// A doubtful job may take the last seat.
    pub(super) risks_last_seat: bool,
    /// A seat takes a job although nobody leads.
    pub(super) prefers_jobs_to_lead: bool,
}

/// The scheduler: it decides which seat serves which request.
pub struct Scheduler<T, L> {
    pub(super) bounds: Bounds,
    pub(super) seats: Seats<L>,
    pub(super) queues: Queues<T>,
    pub(super) routes: Routes,
    /// The lead, while its holder is inside a call and anybody may take it.
    pub(super) lead: Option<L>,
    /// Who leads.
    pub(super) leader: SeatId,
    /// The leader is in its wait, or about to be.
    pub(super) leader_waits: bool,
    /// The leader's call proved slow when nobody was parked: the next seat that parks takes the lead.
    pub(super) successor_wanted: bool,
    /// The seat that serves short jobs: only one at a time, because two would compete for the interpreter. A leader
    /// that is deposed because it waits for the interpreter keeps the floor, and serves the gathered jobs once it has
    /// the interpreter. A leader that waits for anything else loses the floor.
    pub(super) floor: Option<SeatId>,
    /// Seats inside a call.
    pub(super) calling: usize,
    /// Of these, calls that were expected to be slow or have proved so.
    pub(super) slow_calling: usize,
    /// Of these, calls expected to compute.
    pub(super) computing: usize,
    /// Calls that wait for their clients.
    pub(super) client_waits: usize,
    /// The leader has decided about the doubtful jobs that it gathered: the remaining ones wait for followers.
    pub(super) doubtful_left: bool,
    /// A request was refused because the queue was full: no connection is accepted until there is room.
    pub(super) is_full: bool,
    /// No seat could be started; the next attempt is not before this time, in ns.
    pub(super) spawn_again_ns: u64,
    /// The engine ends: parked seats leave.
    pub(super) stopping: bool,
    #[cfg(test)]
    pub(super) faults: Faults,
    /// The event is a request that begins to wait.
    #[cfg(test)]
    pub(super) enqueues: bool,
}

impl<T, L> Scheduler<T, L> {
    /// A scheduler whose seat 0 exists and is about to look for an order; that seat gets the lead.
    pub fn new(bounds: Bounds, lead: L) -> Scheduler<T, L> {
        let mut seats = Seats::new();
        let first = seats.want();
        seats.wanted.clear();
        seats.order(first, Order::Lead(lead));
        Scheduler {
            bounds,
            seats,
            queues: Queues::new(),
            routes: Routes::default(),
            lead: None,
            leader: first,
            leader_waits: false,
            successor_wanted: false,
            floor: None,
            calling: 0,
            slow_calling: 0,
            computing: 0,
            client_waits: 0,
            doubtful_left: false,
            is_full: false,
            spawn_again_ns: 0,
            stopping: false,
            #[cfg(test)]
            faults: Faults::default(),
            #[cfg(test)]
            enqueues: false,
        }
    }

    /// Calls that may be slow at the same time: one seat is always reserved for short ones.
    pub(super) fn slow_calls_max(&self) -> usize {
        self.bounds.threads.saturating_sub(1).max(1)
    }

    /// Seats that may exist: more than calls may run, so that somebody can always lead.
    pub(super) fn seats_max(&self) -> usize {
        self.bounds.threads + SPARES
    }

    /// With one thread, calls belong to the main thread and never overlap.
    pub(super) fn is_strict(&self) -> bool {
        self.bounds.threads == 1
    }

    /// Whether a seat may begin a call.
    pub(super) fn may_call(&self, seat: SeatId) -> bool {
        self.calling < self.bounds.threads && (seat == 0 || !self.is_strict()) && !self.stopping
    }

    /// Whether another seat serves short jobs.
    pub(super) fn is_floor_taken(&self, seat: SeatId) -> bool {
        self.floor.is_some_and(|holder| holder != seat)
    }

    /// What kind of job a request of this route is.
    pub(super) fn kind_of(&self, route: Route) -> JobKind {
        if self.is_strict() {
            return JobKind::Short;
        }
        match self.routes.expect(route) {
            Expectation::Short => JobKind::Short,
            Expectation::Doubtful => JobKind::Doubtful,
            Expectation::Slow => JobKind::Slow,
            Expectation::Computing => JobKind::Computing,
        }
    }

    /// Whether none of the route's calls is stuck or runs on a follower's seat.
    pub(super) fn is_unstuck(&self, route: Route) -> bool {
        #[cfg(test)]
        if self.faults.risks_last_seat {
            return true;
        }
        self.routes.is_unstuck(route)
    }

    /// Whether a call of this route would take the last seat, which is kept for routes none of whose calls is stuck.
    pub(super) fn risks_last_seat(&self, route: Route) -> bool {
        !self.is_strict() && self.calling + 1 >= self.bounds.threads && !self.is_unstuck(route)
    }

    /// Short jobs at the front of the queue that may not take the last seat wait as doubtful ones.
    pub(super) fn demote_short(&mut self) {
        while let Some(job) = self.queues.short.front()
            && self.risks_last_seat(job.route)
            && let Some(job) = self.queues.short.pop_front()
        {
            self.queues.push(Job { kind: JobKind::Doubtful, ..job });
        }
    }

    /// Whether the queue has room for a job of this kind.
    pub(super) fn has_room(&self, kind: JobKind) -> bool {
        let kept = if kind == JobKind::Short { 0 } else { self.bounds.queue_max / KEPT_FOR_SHORT };
        self.queues.len() < self.bounds.queue_max - kept
    }

    /// Whether the queue allows the worker to accept connections.
    pub fn is_accepting(&self) -> bool {
        !self.is_full
    }

    /// The next seat that the spawner is to start.
    pub fn next_wanted(&mut self) -> Option<SeatId> {
        self.seats.wanted.pop()
    }

    /// Whether fewer seats are parked than should be.
    pub fn lacks_spares(&self) -> bool {
        self.seats.idle.len() < SPARES
    }

    /// Requests the spare seats before the engine serves: the first call may already need them.
    pub fn start(&mut self, now_ns: u64, out: &mut Actions) {
        self.reconcile(now_ns, out);
    }

    /// Whether the engine ends.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Calls that run.
    pub fn calling(&self) -> usize {
        self.calling
    }

    /// Each call that runs, with its seat.
    pub fn calls(&self) -> impl Iterator<Item = (SeatId, &Call)> {
        self.seats.seats.iter().enumerate().filter_map(|(id, seat)| Some((id, seat.call.as_ref()?)))
    }

    /// The engine ends: nothing more is served, and every seat that is parked or will be leaves.
    ///
    /// Puts the seats to be woken into `out`. Returns whether seat 0 was parked: only seat 0 can end the process in
    /// order.
    pub fn stop(&mut self, out: &mut Actions) -> bool {
        self.stopping = true;
        let is_first_parked = self.seats.role(0) == Role::Parked;
        for id in self.seats.idle.clone() {
            self.seats.order(id, Order::Stop);
            out.wake.push(id);
        }
        out.wake_spawner = true;
        // A seat that is inside a call notices when it looks for work.
        is_first_parked
    }

    /// Whether seat 0 is parked; then it ends the process in order, once the engine is stopping.
    pub fn is_first_parked(&self) -> bool {
        self.seats.role(0) == Role::Parked
    }

    /// Runs after every event: a seat that may serve the waiting jobs is awake afterwards, or on its way.
    pub(super) fn reconcile(&mut self, now_ns: u64, out: &mut Actions) {
        if self.stopping {
            return;
        }
        if self.is_full && self.queues.len() < self.bounds.queue_max {
            self.notice_room(out);
        }
        if self.successor_wanted {
            self.find_successor(out);
        }
        if !self.queues.is_empty() {
            self.call_for_seats(now_ns, out);
        }
        while self.seats.spares() < SPARES && self.spawn(now_ns, out) {}
    }

    fn notice_room(&mut self, out: &mut Actions) {
        #[cfg(test)]
        if self.faults.forgets_room {
            return;
        }
        self.is_full = false;
        self.wake_leader(out);
    }

    fn call_for_seats(&mut self, now_ns: u64, out: &mut Actions) {
        if self.is_strict() {
            // Only the main thread may run calls.
            #[cfg(test)]
            if self.faults.loses_wake_up {
                return;
            }
            if self.leader != 0 && self.seats.role(0) == Role::Parked {
                self.seats.order(0, Order::Work);
                out.wake.push(0);
            } else if self.leader == 0 {
                self.wake_leader(out);
            }
            return;
        }
        let wanted = self.startable();
        while self.seats.supply() < wanted {
            if let Some(&seat) = self.seats.idle.last() {
                self.seats.order(seat, Order::Work);
                out.wake.push(seat);
            } else if !self.spawn(now_ns, out) {
                break;
            }
        }
        let leader_serves = self.lead.is_none() && self.floor.is_none() && self.may_call(self.leader);
        if !self.queues.short.is_empty() && leader_serves {
            self.wake_leader(out);
        }
    }

    /// Jobs other than short ones that a seat could begin now.
    fn startable(&self) -> usize {
        let room = self.slow_calls_max().saturating_sub(self.slow_calling).min(self.bounds.threads - self.calling);
        let computing = if self.computing == 0 { self.queues.computing.len().min(1) } else { 0 };
        // Doubtful jobs go to followers that will soon be free. If there are none, one more is woken: most of the calls
        // are short, and more seats would only contend for the interpreter.
        let doubtful = usize::from(self.doubtful_left && !self.queues.doubtful.is_empty() && self.agile() == 0);
        (self.queues.slow.len() + computing + doubtful).min(room)
    }

    /// Followers that are awake and not stuck: they will look at the queues soon.
    pub(super) fn agile(&self) -> usize {
        let leader = self.leader;
        let agile = |(id, seat): (usize, &super::seats::Seat<L>)| match (&seat.call, seat.role) {
            (Some(call), _) => id != leader && !call.stuck && call.awaits_client.is_none(),
            (None, role) => role == Role::Awake,
        };
        self.seats.seats.iter().enumerate().filter(|&seat| agile(seat)).count()
    }

    /// Requests one more seat. False if no more may exist, or if one could not be started lately.
    fn spawn(&mut self, now_ns: u64, out: &mut Actions) -> bool {
        if self.seats.seated() >= self.seats_max() || now_ns < self.spawn_again_ns {
            return false;
        }
        #[cfg(test)]
        if self.faults.forgets_seats && (self.seats.supply() >= 4 || !self.enqueues) {
            return false;
        }
        self.seats.want();
        out.wake_spawner = true;
        true
    }

    /// Ends the leader's wait.
    pub(super) fn wake_leader(&mut self, out: &mut Actions) {
        // A leader that was woken already is not woken again.
        out.wake_leader |= std::mem::take(&mut self.leader_waits);
    }

    /// Gives the lead to a parked seat, if the lead is free and there is such a seat.
    pub(super) fn find_successor(&mut self, out: &mut Actions) {
        if self.lead.is_none() {
            self.successor_wanted = false;
            return;
        }
        // With one thread the main thread is the last to lead: calls are its own.
        let parked = &self.seats.idle;
        let Some(&successor) = parked.iter().rev().find(|&&seat| seat != 0 || !self.is_strict()) else { return };
        if let Some(lead) = self.lead.take() {
            self.successor_wanted = false;
            self.leader = successor;
            self.seats.order(successor, Order::Lead(lead));
            out.wake.push(successor);
        }
    }

    /// Takes out the jobs that have waited too long.
    pub fn expire(&mut self, now_ms: u64, out: &mut Actions) -> Option<Job<T>> {
        let since_ms = now_ms.checked_sub(self.bounds.queue_timeout_ms)?;
        let job = self.queues.pop_older(since_ms)?;
        self.reconcile(now_ms.saturating_mul(1_000_000), out);
        Some(job)
    }
}
