//! Events of calls: they begin to run, wait for their client, outlive a tick, and end.

use super::actions::Actions;
use super::queues::JobKind;
use super::routes::{ComputeShare, Route};
use super::seats::{Call, Client, Role, SeatId};
use super::state::Scheduler;

/// Ticks after which a call loses the lead even if it has been runnable all the time.
const RUNNABLE_TICKS_MAX: u64 = 6;

/// The same for a call whose processor others have: no other seat would be served sooner.
const STARVED_TICKS_MAX: u64 = 60;

/// What a thread does at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// It runs, or is ready to run and has no processor.
    Running,
    /// It is ready to run, and others have had its processor for most of the call.
    Starved,
    /// It waits for the interpreter.
    AwaitingInterpreter,
    /// It waits for something else, or its state is unknown.
    Waiting,
}

/// What is known of a call that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Ended {
    /// How long it took, in ns, without the time in which other threads had its processor; 0 if nothing is to be
    /// learned.
    pub call_ns: u64,
    /// How it used its time, where that was measured.
    pub share: Option<ComputeShare>,
}

impl<T, L> Scheduler<T, L> {
    /// A seat has got the interpreter that it waited for. That wait is not counted for the route.
    pub fn attached(&mut self, seat: SeatId, now_ns: u64) {
        if let Some(call) = self.seats.call_mut(seat) {
            call.attaching = false;
            call.started_ns = now_ns;
            call.held_up = false;
            call.held_up_ticks = 0;
        }
    }

    /// A call begins to wait for its client to read. It gives up the lead and the floor at once, and its duration is
    /// not counted for the route. Returns false if too many calls wait, in all or for this client: the response is then
    /// given up.
    pub fn client_wait_begins(&mut self, seat: SeatId, client: Client, now_ns: u64, out: &mut Actions) -> bool {
        if !self.may_wait_for(client) {
            return false;
        }
        let Some(call) = self.seats.call_mut(seat) else { return true };
        call.awaits_client = Some(client);
        call.is_excused = true;
        self.client_waits += 1;
        self.give_way(seat);
        self.reconcile(now_ns, out);
        true
    }

    /// A call is about to wait for the disk, for a response that is too large for memory. It gives up the lead and the
    /// floor at once, and its route counts as slow.
    pub fn disk_wait_begins(&mut self, seat: SeatId, now_ns: u64, out: &mut Actions) {
        if self.seats.call(seat).is_some_and(|call| !call.learned) {
            self.stick(seat);
        }
        self.give_way(seat);
        self.reconcile(now_ns, out);
    }

    /// A call that is about to wait gives up the lead and the floor, and its seat does not count as available any more.
    fn give_way(&mut self, seat: SeatId) {
        let Some(call) = self.seats.call_mut(seat) else { return };
        let was_slow = call.is_slow();
        call.stuck = true;
        self.slow_calling += usize::from(!was_slow);
        self.leave_call_floor(seat);
        self.successor_wanted |= self.leader == seat && self.lead.is_some();
    }

    /// The client has read: the call goes on.
    pub fn client_wait_ended(&mut self, seat: SeatId) {
        if let Some(call) = self.seats.call_mut(seat).filter(|call| call.awaits_client.is_some()) {
            call.awaits_client = None;
            self.client_waits -= 1;
        }
    }

    /// Whether one more call may wait for this client. One address may have half of all such waits, one connection a
    /// quarter.
    fn may_wait_for(&self, client: Client) -> bool {
        let most = self.bounds.client_waits_max;
        let waiting = || self.calls().filter_map(|(_, call)| call.awaits_client);
        let of_address = || waiting().filter(|other| other.address == client.address).count();
        let of_connection = || waiting().filter(|other| other.connection == client.connection).count();
        self.client_waits < most
            && (client.address.is_none() || of_address() < most.div_ceil(2))
            && of_connection() < most.div_ceil(4)
    }

    /// Calls that have outlived a tick and are to be examined: the seat, and when its call began.
    pub fn suspects(&self, now_ns: u64) -> Vec<(SeatId, u64)> {
        let tick_ns = self.bounds.tick_ns;
        let outlived = |call: &&Call| !call.stuck && now_ns.saturating_sub(call.started_ns) >= tick_ns;
        let seats = self.seats.seats.iter().enumerate();
        seats.filter_map(|(id, seat)| seat.call.as_ref().filter(outlived).map(|call| (id, call.started_ns))).collect()
    }

    /// The monitor has examined a call.
    ///
    /// # Arguments
    ///
    /// `started_ns` is when the examined call began: the seat may be in another one by now.
    pub fn observed(&mut self, seat: SeatId, started_ns: u64, doing: Doing, now_ns: u64, out: &mut Actions) {
        let tick_ns = self.bounds.tick_ns;
        let Some(call) = self.seats.call_mut(seat) else { return };
        if call.started_ns != started_ns || call.stuck {
            return;
        }
        // No other seat could help a call that runs, or whose processor others have taken: it gets some ticks more.
        let age_ns = now_ns.saturating_sub(started_ns);
        let ran_ns = age_ns.saturating_sub(u64::from(call.held_up_ticks) * tick_ns);
        let patience_ticks = match doing {
            Doing::Running => RUNNABLE_TICKS_MAX,
            Doing::Starved => STARVED_TICKS_MAX,
            Doing::AwaitingInterpreter | Doing::Waiting => 0,
        };
        if ran_ns < patience_ticks * tick_ns {
            return;
        }
        call.held_up = call.attaching || doing == Doing::AwaitingInterpreter;
        call.held_up_ticks += u32::from(call.held_up);
        let is_held_up = call.held_up;
        if seat == self.leader && self.lead.is_some() {
            // It keeps the floor if it waits for the interpreter: its successor would have to wait as well.
            if !is_held_up {
                self.stick(seat);
            }
            self.successor_wanted = true;
            #[cfg(test)]
            if self.faults.strands_lead {
                self.find_successor(out);
                self.successor_wanted = false;
            }
        } else if !is_held_up {
            self.stick(seat);
        }
        self.reconcile(now_ns, out);
    }

    /// A call has outlived its tick: its seat is not available, and its route is slow.
    fn stick(&mut self, seat: SeatId) {
        let Some(call) = self.seats.call_mut(seat) else { return };
        let was_slow = call.is_slow();
        call.stuck = true;
        call.learned = true;
        let route = call.route;
        self.slow_calling += usize::from(!was_slow);
        self.routes.stick(route);
        self.leave_call_floor(seat);
    }

    fn leave_call_floor(&mut self, seat: SeatId) {
        if self.floor == Some(seat) {
            self.floor = None;
        }
    }

    /// A leader's call has ended. Gives the lead back, unless another seat has taken it: then this one is a follower.
    pub fn call_ended_here(&mut self, seat: SeatId, ended: Ended, now_ns: u64, out: &mut Actions) -> Option<L> {
        let route = self.seats.call(seat).map(|call| call.route);
        self.end_call(seat, ended.call_ns);
        if let (Some(route), Some(share)) = (route, ended.share) {
            self.routes.observe_share(route, share.share);
        }
        let lead = if self.leader == seat { self.lead.take() } else { None };
        let role = if lead.is_some() { Role::Leading } else { Role::Awake };
        self.seats.set_role(seat, role);
        if lead.is_some() {
            self.successor_wanted = false;
        }
        if self.floor == Some(seat) {
            if lead.is_some() {
                self.floor = None;
            } else if let Some(entry) = self.seats.seats.get_mut(seat) {
                // Deposed while it waited for the interpreter: it serves the jobs that were gathered meanwhile.
                entry.relief = self.queues.short.len();
            }
        }
        if lead.is_some() {
            // It decides about doubtful jobs when its batch is over: until then no seat is woken for them.
            self.doubtful_left = false;
        }
        if lead.is_none() || self.is_full || !self.queues.is_empty() {
            self.reconcile(now_ns, out);
        }
        lead
    }

    /// A follower's call has ended.
    pub fn call_ended(&mut self, seat: SeatId, ended: Ended, now_ns: u64, out: &mut Actions) {
        if let Some(route) = self.seats.call(seat).map(|call| call.route) {
            self.routes.end(route, ended.share);
        }
        self.end_call(seat, ended.call_ns);
        self.seats.set_role(seat, Role::Awake);
        self.reconcile(now_ns, out);
    }

    /// Learns from a period of the leader's own work, in which no application ran.
    pub fn learn_noise(&mut self, stretch_ns: u64) {
        self.routes.learn_noise(stretch_ns, stretch_ns > self.bounds.slow_call_ns);
    }

    /// Removes the seat's call and learns from it.
    fn end_call(&mut self, seat: SeatId, call_ns: u64) {
        let Some(call) = self.seats.seats.get_mut(seat).and_then(|entry| entry.call.take()) else { return };
        if call.learned {
            self.routes.unstick(call.route);
        } else if call_ns > 0 && !call.is_excused {
            self.learn(call.route, call_ns, call.held_up_ticks);
        }
        self.calling -= 1;
        self.slow_calling -= usize::from(call.is_slow());
        self.computing -= usize::from(call.kind == JobKind::Computing);
        self.client_waits -= usize::from(call.awaits_client.is_some());
    }

    fn learn(&mut self, route: Route, call_ns: u64, held_up_ticks: u32) {
        // Each tick at which it waited for the interpreter counts as a whole tick, which covers the parts before and
        // after.
        let held_up_ns = u64::from(held_up_ticks + u32::from(held_up_ticks > 0)) * self.bounds.tick_ns;
        let call_ns = call_ns.saturating_sub(held_up_ns).max(1);
        self.routes.learn(route, call_ns, call_ns > self.bounds.slow_call_ns);
    }
}
