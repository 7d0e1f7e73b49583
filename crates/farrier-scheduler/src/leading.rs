//! Events of the leader: a request has arrived, a batch is over, the wait begins and ends.

use super::actions::Actions;
use super::queues::{Job, JobKind};
use super::routes::Route;
use super::seats::{Call, Order, Role, SeatId};
use super::state::Scheduler;

/// With this many followers awake and not stuck, doubtful calls wait for them.
const AGILE_MAX: usize = 2;

/// Where a request is served that has just arrived.
pub enum Arrived<L> {
    /// By the leader, at once: the call has begun, and any seat may take the lead.
    Serve,
    /// By another seat: it is to be enqueued as this kind.
    Wait(L, JobKind),
}

/// The result of queueing a request.
pub enum Enqueued<T, L> {
    /// It waits.
    Waits(L),
    /// The queue is full: it is refused.
    Full(L, T),
    /// It waits for the main thread, which has the lead now. This seat is a follower.
    LeadGiven,
}

/// Who leads after a batch of events.
pub enum HandedOn<T, L> {
    /// The leader still does.
    Keep(L),
    /// The leader serves this job at once: the call has begun, and any seat may take the lead.
    Serve(Job<T>),
    /// Another seat does. This one is a follower that serves the gathered jobs.
    LeadGiven,
}

impl<T, L> Scheduler<T, L> {
    /// The leader has a complete request.
    pub fn arrived(&mut self, seat: SeatId, lead: L, route: Route, is_attached: bool, now_ns: u64) -> Arrived<L> {
        let mut kind = self.kind_of(route);
        if kind == JobKind::Short && self.risks_last_seat(route) {
            kind = JobKind::Doubtful;
        }
        let serves =
            kind == JobKind::Short && self.may_call(seat) && self.queues.short.is_empty() && !self.is_floor_taken(seat);
        if !serves {
            return Arrived::Wait(lead, kind);
        }
        self.begin_here(seat, lead, route, is_attached, now_ns);
        Arrived::Serve
    }

    /// The leader lets a request wait for a seat.
    pub fn enqueue(&mut self, seat: SeatId, lead: L, job: Job<T>, now_ns: u64, out: &mut Actions) -> Enqueued<T, L> {
        if !self.has_room(job.kind) {
            self.is_full |= self.queues.len() >= self.bounds.queue_max;
            return Enqueued::Full(lead, job.work);
        }
        if job.kind == JobKind::Doubtful {
            self.doubtful_left = false;
        }
        self.queues.push(job);
        if self.is_strict() && seat != 0 && self.seats.role(0) == Role::Parked {
            self.give_lead(seat, 0, lead, out);
            return Enqueued::LeadGiven;
        }
        #[cfg(test)]
        {
            self.enqueues = true;
        }
        self.reconcile(now_ns, out);
        #[cfg(test)]
        {
            self.enqueues = false;
        }
        Enqueued::Waits(lead)
    }

    /// A batch of events is over. If doubtful calls were gathered, the lead goes to a parked seat, and the leader
    /// becomes the follower that serves them. It holds the interpreter already, and one hand-over is enough for all of
    /// them.
    pub fn hand_on(
        &mut self,
        seat: SeatId,
        lead: L,
        is_attached: bool,
        now_ns: u64,
        out: &mut Actions,
    ) -> HandedOn<T, L> {
        // Followers that are awake will take them; more of them would only contend for the interpreter.
        if self.queues.doubtful.is_empty() || self.agile() >= AGILE_MAX {
            return self.keep_lead(lead, now_ns, out);
        }
        if self.slow_calling >= self.slow_calls_max() {
            // No follower may take them. A small risk of a slow call is better than a certain wait.
            let may = self.may_call(seat) && !self.is_floor_taken(seat);
            if let Some(job) = if may { self.pop_unstuck() } else { None } {
                self.begin_here(seat, lead, job.route, is_attached, now_ns);
                return HandedOn::Serve(job);
            }
            return self.keep_lead(lead, now_ns, out);
        }
        let Some(&successor) = self.seats.idle.last() else { return self.keep_lead(lead, now_ns, out) };
        self.give_lead(seat, successor, lead, out);
        HandedOn::LeadGiven
    }

    /// Takes a short job for the leader to serve now: the call has begun, and any seat may take the lead. Without such
    /// a job, the lead is returned.
    pub fn take_short(&mut self, seat: SeatId, lead: L, is_attached: bool, now_ns: u64) -> Result<Job<T>, L> {
        if self.queues.short.is_empty() || self.is_floor_taken(seat) || !self.may_call(seat) {
            return Err(lead);
        }
        self.demote_short();
        let Some(job) = self.queues.short.pop_front() else { return Err(lead) };
        self.begin_here(seat, lead, job.route, is_attached, now_ns);
        Ok(job)
    }

    /// The leader is about to wait. Returns the time-out in ms, if any; `Some(0)` means that there is something to do
    /// at once.
    pub fn wait_begins(&mut self, seat: SeatId) -> Option<u64> {
        if !self.queues.short.is_empty() && self.may_call(seat) && !self.is_floor_taken(seat) {
            return Some(0);
        }
        self.leader_waits = true;
        let oldest_ms = self.queues.oldest_ms()?;
        let expires_ms = oldest_ms + self.bounds.queue_timeout_ms + 1;
        // If no seat could be started, it is tried again.
        let again_ms = self.spawn_again_ns.div_ceil(1_000_000);
        Some(if again_ms > oldest_ms { expires_ms.min(again_ms) } else { expires_ms })
    }

    /// The leader's wait is over.
    pub fn wait_ended(&mut self, now_ns: u64, out: &mut Actions) {
        self.leader_waits = false;
        if self.spawn_again_ns != 0 && self.spawn_again_ns <= now_ns {
            self.spawn_again_ns = 0;
            self.reconcile(now_ns, out);
        }
    }

    fn keep_lead(&mut self, lead: L, now_ns: u64, out: &mut Actions) -> HandedOn<T, L> {
        self.doubtful_left = true;
        self.reconcile(now_ns, out);
        HandedOn::Keep(lead)
    }

    /// Gives the lead to a parked seat; its holder becomes a follower.
    fn give_lead(&mut self, seat: SeatId, successor: SeatId, lead: L, out: &mut Actions) {
        self.leader = successor;
        self.seats.set_role(seat, Role::Awake);
        self.seats.order(successor, Order::Lead(lead));
        out.wake.push(successor);
    }

    /// Stores the lead for a successor, and records the call for the monitor.
    fn begin_here(&mut self, seat: SeatId, lead: L, route: Route, is_attached: bool, now_ns: u64) {
        self.calling += 1;
        self.lead = Some(lead);
        self.floor = Some(seat);
        self.seats.set_role(seat, Role::Calling);
        if let Some(entry) = self.seats.seats.get_mut(seat) {
            entry.call = Some(Call { attaching: !is_attached, ..Call::new(now_ns, JobKind::Short, route) });
        }
    }

    /// The next doubtful job, if the seat reserved for short routes may be used for it.
    fn pop_unstuck(&mut self) -> Option<Job<T>> {
        let place = self.queues.doubtful.iter().position(|job| self.is_unstuck(job.route))?;
        self.queues.doubtful.remove(place)
    }
}
