//! Events of seats that do not lead: they begin, look for work, park, and leave.

use super::actions::Actions;
use super::queues::{Job, JobKind, Permit};
use super::seats::{Call, Order, Role, SeatId};
use super::state::{SPARES, Scheduler};

/// How long no seat is requested after one could not be started, in ns.
const SPAWN_PAUSE_NS: u64 = 1_000_000_000;

/// The result of a follower's search for work.
pub enum Looked<T, L> {
    /// A job; the call has begun.
    Job(Job<T>),
    /// There is a job, but the seat needs the interpreter before it takes it: that wait is not counted for the route.
    Attach,
    /// The lead, whose holder is inside a call that proved slow.
    Lead(L),
    /// Nothing: the seat is parked.
    Parked,
}

/// The result of a parked seat's search for an order.
pub enum Idle<L> {
    /// An order.
    Order(Order<L>),
    /// Nothing yet: it waits without a time limit.
    Wait,
    /// Nothing yet, and more seats are parked than are kept: this one may leave after a while ([`Scheduler::leave`]).
    WaitAsSurplus,
}

impl<T, L> Scheduler<T, L> {
    /// A requested seat begins: it looks for work.
    pub fn began(&mut self, seat: SeatId) {
        self.seats.set_role(seat, Role::Awake);
    }

    /// A requested seat could not be started. The leader tries again after a pause: its wait must end by then.
    pub fn spawn_failed(&mut self, seat: SeatId, now_ns: u64, out: &mut Actions) {
        self.spawn_again_ns = now_ns + SPAWN_PAUSE_NS;
        self.seats.set_role(seat, Role::Vacant);
        self.wake_leader(out);
    }

    /// A follower looks for work.
    pub fn look(&mut self, seat: SeatId, is_attached: bool, now_ns: u64, out: &mut Actions) -> Looked<T, L> {
        // The lead comes before any job: while nobody leads, only requests in the queues are served.
        #[cfg(test)]
        let takes_lead = !self.faults.prefers_jobs_to_lead;
        #[cfg(not(test))]
        let takes_lead = true;
        if takes_lead && let Some(lead) = self.take_lead(seat) {
            self.leave_floor(seat, out);
            self.reconcile(now_ns, out);
            return Looked::Lead(lead);
        }
        self.demote_short();
        let permitted = self.may_call(seat);
        let may = Permit {
            be_short: permitted && self.may_be_short(seat, is_attached),
            be_slow: self.slow_calling < self.slow_calls_max(),
            compute: self.computing == 0,
        };
        if permitted && !is_attached && self.queues.offers(may) {
            return Looked::Attach;
        }
        let Some(job) = (if permitted { self.queues.pop(may) } else { None }) else {
            return self.park(seat, now_ns, out);
        };
        if job.kind == JobKind::Short {
            self.floor = Some(seat);
            if let Some(entry) = self.seats.seats.get_mut(seat) {
                entry.relief = entry.relief.saturating_sub(1);
            }
        } else {
            self.leave_floor(seat, out);
        }
        self.calling += 1;
        self.slow_calling += usize::from(job.kind != JobKind::Short);
        self.computing += usize::from(job.kind == JobKind::Computing);
        self.routes.begin(job.route);
        self.seats.set_role(seat, Role::Calling);
        if let Some(entry) = self.seats.seats.get_mut(seat) {
            entry.call = Some(Call::new(now_ns, job.kind, job.route));
        }
        self.reconcile(now_ns, out);
        Looked::Job(job)
    }

    fn park(&mut self, seat: SeatId, now_ns: u64, out: &mut Actions) -> Looked<T, L> {
        self.leave_floor(seat, out);
        if let Some(lead) = self.take_lead(seat) {
            self.reconcile(now_ns, out);
            return Looked::Lead(lead);
        }
        self.seats.set_role(seat, Role::Parked);
        self.reconcile(now_ns, out);
        Looked::Parked
    }

    /// Takes the lead, if it is available, from a holder whose call proved slow.
    fn take_lead(&mut self, seat: SeatId) -> Option<L> {
        if !self.successor_wanted || (self.is_strict() && seat == 0) {
            return None;
        }
        let lead = self.lead.take()?;
        self.successor_wanted = false;
        self.leader = seat;
        self.seats.set_role(seat, Role::Leading);
        Some(lead)
    }

    /// A parked seat looks for an order.
    pub fn idle(&mut self, seat: SeatId) -> Idle<L> {
        let Some(entry) = self.seats.seats.get_mut(seat) else { return Idle::Order(Order::Stop) };
        if let Some(order) = entry.order.take() {
            return Idle::Order(order);
        }
        if self.stopping {
            return Idle::Order(Order::Stop);
        }
        if seat != 0 && self.seats.idle.len() > SPARES { Idle::WaitAsSurplus } else { Idle::Wait }
    }

    /// A parked seat has waited long for an order. True: more seats are parked than are kept, so it leaves.
    pub fn leave(&mut self, seat: SeatId) -> bool {
        let is_surplus = seat != 0 && self.seats.role(seat) == Role::Parked && self.seats.idle.len() > SPARES;
        if is_surplus {
            self.seats.set_role(seat, Role::Vacant);
        }
        is_surplus
    }

    /// Whether this follower may serve short jobs: it has the floor, or the floor is free and this seat holds the
    /// interpreter anyway. It serves the jobs that wait now. Later ones belong to the leader, which has the
    /// connections.
    fn may_be_short(&mut self, seat: SeatId, is_attached: bool) -> bool {
        let waiting = self.queues.short.len();
        let strict = self.is_strict();
        let has_floor = self.floor == Some(seat);
        if !has_floor && self.floor.is_some() {
            return false;
        }
        let Some(entry) = self.seats.seats.get_mut(seat) else { return false };
        if has_floor {
            // With one thread no other seat may serve them: jobs that have come meanwhile are served, too.
            #[cfg(test)]
            let strict = strict && !self.faults.loses_wake_up;
            if entry.relief == 0 && strict {
                entry.relief = waiting;
            }
            return entry.relief > 0;
        }
        entry.relief = waiting;
        is_attached || strict
    }

    /// Leaves short jobs to the leader.
    fn leave_floor(&mut self, seat: SeatId, out: &mut Actions) {
        if self.floor == Some(seat) {
            self.floor = None;
            if !self.queues.short.is_empty() {
                self.wake_leader(out);
            }
        }
    }
}
