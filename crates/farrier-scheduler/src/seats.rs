//! The seats as the scheduler knows them: which exist, what each is doing, and which are parked.

use super::queues::JobKind;
use super::routes::Route;

/// Number of a seat; seat 0 is the process's main thread.
pub type SeatId = usize;

/// An order for a parked seat.
#[derive(Debug, PartialEq, Eq)]
pub enum Order<L> {
    /// Take the lead.
    Lead(L),
    /// Look at the queues.
    Work,
    /// End.
    Stop,
}

/// What a seat is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Its thread has ended, or never existed.
    Vacant,
    /// It was requested and has not begun.
    Coming,
    /// It waits for an order.
    Parked,
    /// It has an order, or looks at the queues.
    Awake,
    /// It leads.
    Leading,
    /// It runs a call, as the leader or as a follower.
    Calling,
}

/// The client that a call waits for, until that client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its connection.
    pub connection: u64,
    /// Its address, as a number; none if several clients may share it, as behind a proxy.
    pub address: Option<u64>,
}

/// The call that a seat is running.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    pub started_ns: u64,
    pub kind: JobKind,
    /// The seat waits for the interpreter; the call has not begun.
    pub attaching: bool,
    /// When last examined, it waited for the interpreter.
    pub held_up: bool,
    /// Ticks at which it waited for the interpreter.
    pub held_up_ticks: u32,
    /// It has outlived a tick: its seat does not count as available any more.
    pub stuck: bool,
    pub route: Route,
    /// The route table has already counted it as slow.
    pub learned: bool,
    /// The client that it waits for; this wait is not counted for the route.
    pub awaits_client: Option<Client>,
    /// It has waited for its client, so its duration is not counted for the route.
    pub is_excused: bool,
}

impl Call {
    pub(super) fn new(started_ns: u64, kind: JobKind, route: Route) -> Call {
        Call {
            started_ns,
            kind,
            attaching: false,
            held_up: false,
            held_up_ticks: 0,
            stuck: matches!(kind, JobKind::Slow | JobKind::Computing),
            route,
            learned: false,
            awaits_client: None,
            is_excused: false,
        }
    }

    /// Whether it counts as possibly slow: such calls leave one seat to short routes.
    pub(super) fn is_slow(&self) -> bool {
        self.stuck || self.kind != JobKind::Short
    }
}

pub(super) struct Seat<L> {
    pub(super) role: Role,
    pub(super) order: Option<Order<L>>,
    pub(super) call: Option<Call>,
    /// Short jobs that it may still serve before it leaves the floor to the leader.
    pub(super) relief: usize,
}

#[cfg(test)]
impl<L> Seat<L> {
    /// Whether it was given the lead and has not taken it yet.
    pub(super) fn has_lead_order(&self) -> bool {
        matches!(self.order, Some(Order::Lead(_)))
    }
}

/// All seats.
pub(super) struct Seats<L> {
    pub(super) seats: Vec<Seat<L>>,
    /// Parked seats without an order; the last to park is the first to be woken.
    pub(super) idle: Vec<SeatId>,
    /// Seats that the spawner is to start.
    pub(super) wanted: Vec<SeatId>,
    vacant: Vec<SeatId>,
    coming: usize,
    /// Seats that are awake without a call: they look at the queues before they park.
    awake: usize,
}

impl<L> Seats<L> {
    pub(super) fn new() -> Seats<L> {
        Seats { seats: Vec::new(), idle: Vec::new(), wanted: Vec::new(), vacant: Vec::new(), coming: 0, awake: 0 }
    }

    /// Seats that exist or were requested.
    pub(super) fn seated(&self) -> usize {
        self.seats.len() - self.vacant.len()
    }

    /// Seats that will look at the queues soon: awake without a call, or on their way.
    pub(super) fn supply(&self) -> usize {
        self.awake + self.coming
    }

    /// Parked seats, and those that will be soon.
    pub(super) fn spares(&self) -> usize {
        self.idle.len() + self.coming
    }

    pub(super) fn role(&self, seat: SeatId) -> Role {
        self.seats.get(seat).map_or(Role::Vacant, |seat| seat.role)
    }

    pub(super) fn call(&self, seat: SeatId) -> Option<&Call> {
        self.seats.get(seat)?.call.as_ref()
    }

    pub(super) fn call_mut(&mut self, seat: SeatId) -> Option<&mut Call> {
        self.seats.get_mut(seat)?.call.as_mut()
    }

    /// A seat that is to be started, as soon as the spawner can.
    pub(super) fn want(&mut self) -> SeatId {
        let seat = Seat { role: Role::Vacant, order: None, call: None, relief: 0 };
        let id = match self.vacant.pop() {
            Some(id) => {
                self.seats[id] = seat;
                id
            }
            None => {
                self.seats.push(seat);
                self.seats.len() - 1
            }
        };
        self.set_role(id, Role::Coming);
        self.wanted.push(id);
        id
    }

    pub(super) fn set_role(&mut self, id: SeatId, role: Role) {
        let Some(seat) = self.seats.get_mut(id) else { return };
        let was = std::mem::replace(&mut seat.role, role);
        if was == role {
            return;
        }
        match was {
            Role::Coming => self.coming -= 1,
            Role::Awake => self.awake -= 1,
            Role::Parked => self.idle.retain(|&parked| parked != id),
            Role::Vacant | Role::Leading | Role::Calling => {}
        }
        match role {
            Role::Coming => self.coming += 1,
            Role::Awake => self.awake += 1,
            Role::Parked => self.idle.push(id),
            Role::Vacant => self.vacant.push(id),
            Role::Leading | Role::Calling => {}
        }
    }

    /// Gives a parked seat an order.
    pub(super) fn order(&mut self, id: SeatId, order: Order<L>) {
        let role = if matches!(order, Order::Lead(_)) { Role::Leading } else { Role::Awake };
        self.set_role(id, role);
        if let Some(seat) = self.seats.get_mut(id) {
            seat.order = Some(order);
        }
    }
}
