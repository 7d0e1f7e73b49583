//! The world around the scheduler, in simulated time: seats, an interpreter, a monitor, a spawner and clients.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::laws::{self, Lasting, Law};
use crate::routes::Route;
use crate::seats::Call;
use crate::state::Faults;
use crate::{
    Actions, Arrived, Bounds, Client, Doing, Ended, Enqueued, HandedOn, Idle, Job, JobKind, Looked, Order, Scheduler,
};

const MS: u64 = 1_000_000;

/// The interpreter is taken from a computing thread after this time, in ns.
const SWITCH_NS: u64 = 5 * MS;

/// The lead. It exists once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lead;

/// The parameters of a history.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) threads: usize,
    pub(super) queue_max: usize,
    pub(super) queue_timeout_ms: u64,
    pub(super) requests: usize,
    /// They arrive within this time, in ns.
    pub(super) span_ns: u64,
    /// One in so many requests sleeps, and one in so many computes; 0 for none.
    pub(super) sleeps: u64,
    pub(super) computes: u64,
    /// How long a slow call takes at most, in ns.
    pub(super) slow_ns: u64,
    /// One in so many calls waits for its client; 0 for none.
    pub(super) slow_clients: u64,
    /// One in so many seats cannot be started; 0 for none.
    pub(super) spawn_fails: u64,
    pub(super) faults: Faults,
}

impl Plan {
    /// Calls of all kinds, and enough seats.
    pub(super) fn of(seed: u64) -> Plan {
        Plan {
            threads: 2 + (seed % 7) as usize,
            queue_max: 1000,
            queue_timeout_ms: 2000,
            requests: 24,
            span_ns: 30 * MS,
            sleeps: 2 + seed % 3,
            computes: if seed.is_multiple_of(4) { 5 } else { 0 },
            slow_ns: 20 * MS,
            slow_clients: 0,
            spawn_fails: 0,
            faults: Faults::default(),
        }
    }

    /// Many slow calls at once.
    pub(super) fn burst(seed: u64) -> Plan {
        Plan {
            threads: 60,
            requests: 50,
            span_ns: 20 * MS,
            sleeps: 1,
            computes: 0,
            slow_ns: 200 * MS,
            queue_timeout_ms: 500,
            ..Plan::of(seed)
        }
    }

    /// One thread: every call belongs to the main thread.
    pub(super) fn strict(seed: u64) -> Plan {
        Plan { threads: 1, requests: 12, computes: 0, span_ns: 60 * MS, queue_timeout_ms: 4000, ..Plan::of(seed) }
    }

    /// A short queue, which is soon full.
    pub(super) fn full(seed: u64) -> Plan {
        Plan { threads: 2 + (seed % 2) as usize, queue_max: 1 + (seed % 3) as usize, computes: 0, ..Plan::of(seed) }
    }
}

/// What a seat is about to do, or waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Program {
    /// Waits for an order.
    Parked,
    /// Looks for an order.
    LookForOrder,
    /// Looks for work.
    Look,
    /// Waits for the interpreter, to look for work then.
    AttachToLook,
    /// Leads: takes short jobs, then the events of a batch, then hands on, then waits.
    TakeShort,
    Batch,
    HandOn,
    BeginWait,
    /// In the wait of the leader.
    Polling,
    WaitOver,
    /// Waits for the interpreter, to begin the leader's call then.
    AttachToCall,
    /// Inside a call.
    Call,
    /// The thread has not begun, or has left.
    Gone,
}

/// A step of a call.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Needs the interpreter for so long, in ns.
    Hold(u64),
    /// Waits without it, in ns.
    Sleep(u64),
    /// Waits for the client, in ns.
    AwaitClient(u64),
}

pub(super) struct SeatInWorld {
    pub(super) program: Program,
    pub(super) has_lead: bool,
    attached: bool,
    /// Unparked before it parked.
    token: bool,
    steps: VecDeque<Step>,
    is_sleeping: bool,
    awaits_client: bool,
    request: Option<usize>,
    as_leader: bool,
    began_ns: u64,
}

impl SeatInWorld {
    fn new() -> SeatInWorld {
        SeatInWorld {
            program: Program::Gone,
            has_lead: false,
            attached: false,
            token: false,
            steps: VecDeque::new(),
            is_sleeping: false,
            awaits_client: false,
            request: None,
            as_leader: false,
            began_ns: 0,
        }
    }

    /// Whether it is inside a call that waits for something other than the interpreter.
    pub(super) fn is_sleeping(&self) -> bool {
        self.is_sleeping
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    /// The seat goes on.
    Seat(usize),
    /// A sleep of the seat's call ends.
    Wakes(usize),
    Arrival(usize),
    Tick,
    /// The spawner looks for a seat to start.
    Spawner,
    /// The leader's wait times out; only if it is still the same wait.
    WaitTimeout(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Waiting,
    Served,
    Refused,
}

struct SimulatedRequest {
    route: u64,
    fate: Fate,
}

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) scheduler: Scheduler<usize, Lead>,
    pub(super) seats: Vec<SeatInWorld>,
    pub(super) now_ns: u64,
    /// Whether the leader accepts connections, as it decided last.
    pub(super) accepting: bool,
    pub(super) lasting: Lasting,
    happenings: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    serial: u64,
    random: u64,
    requests: Vec<SimulatedRequest>,
    inbox: VecDeque<usize>,
    woken: Vec<bool>,
    interpreter: Option<usize>,
    awaiting: VecDeque<usize>,
    wait: u64,
    wake_pending: bool,
    spawner_called: bool,
    /// A call of a route with stuck calls has taken the last seat.
    pub(super) risked: bool,
}

impl World {
    pub(super) fn new(seed: u64, plan: Plan) -> World {
        let bounds = Bounds {
            threads: plan.threads,
            queue_max: plan.queue_max,
            queue_timeout_ms: plan.queue_timeout_ms,
            tick_ns: MS,
            slow_call_ns: MS,
            client_waits_max: plan.threads.div_ceil(2),
        };
        let mut scheduler = Scheduler::new(bounds, Lead);
        scheduler.faults = plan.faults;
        let mut world = World {
            plan,
            scheduler,
            seats: vec![SeatInWorld::new()],
            now_ns: 0,
            accepting: true,
            lasting: Lasting::default(),
            happenings: BinaryHeap::new(),
            serial: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            requests: Vec::new(),
            inbox: VecDeque::new(),
            woken: vec![false],
            interpreter: None,
            awaiting: VecDeque::new(),
            wait: 0,
            wake_pending: false,
            spawner_called: false,
            risked: false,
        };
        world.seats[0].program = Program::LookForOrder;
        world.later(0, Happening::Seat(0));
        world.later(0, Happening::Tick);
        for number in 0..world.plan.requests {
            let at_ns = 2 * MS + world.below(world.plan.span_ns);
            let route = world.below(6);
            world.requests.push(SimulatedRequest { route, fate: Fate::Waiting });
            world.later(at_ns, Happening::Arrival(number));
        }
        world
    }

    /// Runs the history to its end.
    pub(super) fn run(mut self) -> Result<(), Law> {
        let mut out = Actions::default();
        self.scheduler.start(0, &mut out);
        self.perform(&out)?;
        let end_ns = self.plan.span_ns + 60_000 * MS;
        while let Some(Reverse((at_ns, _, happening))) = self.happenings.pop() {
            self.now_ns = at_ns;
            self.happen(happening)?;
            laws::check(&mut self)?;
            let is_over = self.requests.iter().all(|request| request.fate != Fate::Waiting);
            if is_over && self.scheduler.calling() == 0 && self.accepting {
                return Ok(());
            }
            if self.now_ns > end_ns {
                break;
            }
        }
        Err(Law::NotServed)
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Law> {
        match happening {
            Happening::Seat(seat) => self.go_on(seat),
            Happening::Wakes(seat) => {
                self.seats[seat].is_sleeping = false;
                if std::mem::take(&mut self.seats[seat].awaits_client) {
                    self.scheduler.client_wait_ended(seat);
                }
                self.acquire(seat);
                Ok(())
            }
            Happening::Arrival(number) => {
                self.inbox.push_back(number);
                self.end_poll();
                Ok(())
            }
            Happening::Tick => {
                let calling = self.scheduler.calling() > 0;
                let pause_ns = if calling { MS } else { 4 * MS };
                self.soon(pause_ns, Happening::Tick);
                if calling { self.tick() } else { Ok(()) }
            }
            Happening::Spawner => self.spawn(),
            Happening::WaitTimeout(wait) => {
                if wait == self.wait {
                    self.end_poll();
                }
                Ok(())
            }
        }
    }

    fn tick(&mut self) -> Result<(), Law> {
        for (seat, started_ns) in self.scheduler.suspects(self.now_ns) {
            let doing = if self.seats[seat].is_sleeping {
                Doing::Waiting
            } else if self.interpreter == Some(seat) {
                // A seat that holds the interpreter may lack a processor.
                if self.now_ns.is_multiple_of(3) { Doing::Starved } else { Doing::Running }
            } else {
                Doing::AwaitingInterpreter
            };
            let mut out = Actions::default();
            self.scheduler.observed(seat, started_ns, doing, self.now_ns, &mut out);
            self.perform(&out)?;
        }
        Ok(())
    }

    fn spawn(&mut self) -> Result<(), Law> {
        let Some(seat) = self.scheduler.next_wanted() else {
            self.spawner_called = false;
            return Ok(());
        };
        let fails = self.plan.spawn_fails > 0 && self.below(self.plan.spawn_fails) == 0;
        while self.seats.len() <= seat {
            self.seats.push(SeatInWorld::new());
            self.woken.push(false);
        }
        if fails {
            let mut out = Actions::default();
            self.scheduler.spawn_failed(seat, self.now_ns, &mut out);
            self.perform(&out)?;
        } else {
            self.seats[seat] = SeatInWorld { program: Program::Look, ..SeatInWorld::new() };
            self.woken[seat] = false;
            self.scheduler.began(seat);
            self.step(seat);
        }
        let pause_ns = 100_000 + self.below(300_000);
        self.soon(pause_ns, Happening::Spawner);
        Ok(())
    }

    fn go_on(&mut self, seat: usize) -> Result<(), Law> {
        let mut out = Actions::default();
        let (now_ns, attached) = (self.now_ns, self.seats[seat].attached);
        match self.seats[seat].program {
            Program::Parked | Program::LookForOrder => {
                self.detach(seat);
                match self.scheduler.idle(seat) {
                    Idle::Order(order) => {
                        self.woken[seat] = false;
                        match order {
                            Order::Lead(Lead) => self.lead(seat),
                            Order::Work => self.continue_as(seat, Program::Look),
                            Order::Stop => self.seats[seat].program = Program::Gone,
                        }
                    }
                    Idle::WaitAsSurplus if self.below(4) == 0 && self.scheduler.leave(seat) => {
                        self.seats[seat].program = Program::Gone;
                    }
                    Idle::Wait | Idle::WaitAsSurplus => {
                        self.seats[seat].program = Program::Parked;
                        if std::mem::take(&mut self.seats[seat].token) {
                            self.step(seat);
                        }
                    }
                }
            }
            Program::Look => match self.scheduler.look(seat, attached, now_ns, &mut out) {
                Looked::Job(_) if self.scheduler.successor_wanted && self.scheduler.lead.is_some() => {
                    return Err(Law::LeadStranded);
                }
                Looked::Job(job) => self.begin_call(seat, job.work, false),
                Looked::Attach => {
                    self.seats[seat].program = Program::AttachToLook;
                    self.acquire(seat);
                }
                Looked::Lead(Lead) => self.lead(seat),
                Looked::Parked => self.continue_as(seat, Program::LookForOrder),
            },
            Program::AttachToLook => self.continue_as(seat, Program::Look),
            Program::TakeShort => {
                self.seats[seat].has_lead = false;
                match self.scheduler.take_short(seat, Lead, attached, now_ns) {
                    Ok(job) => self.begin_leaders_call(seat, job.work),
                    Err(Lead) => {
                        self.seats[seat].has_lead = true;
                        self.continue_as(seat, Program::Batch);
                    }
                }
            }
            Program::Batch => match self.inbox.pop_front() {
                None => self.continue_as(seat, Program::HandOn),
                Some(number) => self.arrive(seat, number, &mut out)?,
            },
            Program::HandOn => {
                self.seats[seat].has_lead = false;
                match self.scheduler.hand_on(seat, Lead, attached, now_ns, &mut out) {
                    HandedOn::Keep(Lead) => {
                        self.seats[seat].has_lead = true;
                        self.continue_as(seat, Program::BeginWait);
                    }
                    HandedOn::Serve(job) => self.begin_leaders_call(seat, job.work),
                    HandedOn::LeadGiven => self.continue_as(seat, Program::Look),
                }
            }
            Program::BeginWait => self.begin_wait(seat),
            Program::WaitOver => {
                self.scheduler.wait_ended(now_ns, &mut out);
                while let Some(job) = self.scheduler.expire(now_ns / MS, &mut out) {
                    if laws::could_serve(self) {
                        return Err(Law::JobExpiresBesideFreeSeat);
                    }
                    self.settle(job.work, Fate::Refused)?;
                }
                self.continue_as(seat, Program::TakeShort);
            }
            Program::AttachToCall => {
                self.scheduler.attached(seat, now_ns);
                self.seats[seat].program = Program::Call;
                self.go_on_with_call(seat, &mut out)?;
            }
            Program::Call => self.go_on_with_call(seat, &mut out)?,
            Program::Polling | Program::Gone => {}
        }
        self.perform(&out)
    }

    fn lead(&mut self, seat: usize) {
        self.seats[seat].has_lead = true;
        self.continue_as(seat, Program::TakeShort);
    }

    fn arrive(&mut self, seat: usize, number: usize, out: &mut Actions) -> Result<(), Law> {
        let route = Route::numbered(self.requests[number].route);
        let attached = self.seats[seat].attached;
        self.seats[seat].has_lead = false;
        match self.scheduler.arrived(seat, Lead, route, attached, self.now_ns) {
            Arrived::Serve => self.begin_leaders_call(seat, number),
            Arrived::Wait(Lead, kind) => {
                let job = Job { work: number, route, kind, queued_ms: self.now_ns / MS };
                match self.scheduler.enqueue(seat, Lead, job, self.now_ns, out) {
                    Enqueued::Waits(Lead) => self.keep_lead(seat),
                    Enqueued::Full(Lead, number) => {
                        self.settle(number, Fate::Refused)?;
                        self.keep_lead(seat);
                    }
                    Enqueued::LeadGiven => self.continue_as(seat, Program::Look),
                }
            }
        }
        Ok(())
    }

    fn keep_lead(&mut self, seat: usize) {
        self.seats[seat].has_lead = true;
        self.continue_as(seat, Program::Batch);
    }

    fn begin_wait(&mut self, seat: usize) {
        self.detach(seat);
        let until_ms = self.scheduler.wait_begins(seat);
        self.accepting = self.scheduler.is_accepting();
        self.wait += 1;
        if !self.inbox.is_empty() || std::mem::take(&mut self.wake_pending) || until_ms == Some(0) {
            return self.continue_as(seat, Program::WaitOver);
        }
        self.seats[seat].program = Program::Polling;
        if let Some(until_ms) = until_ms {
            let at_ns = (until_ms * MS).max(self.now_ns);
            self.later(at_ns, Happening::WaitTimeout(self.wait));
        }
    }

    /// Ends the leader's wait. A leader that is not waiting looks for news before it waits.
    fn end_poll(&mut self) {
        match self.seats.iter().position(|seat| seat.program == Program::Polling) {
            Some(seat) => {
                self.wait += 1;
                self.continue_as(seat, Program::WaitOver);
            }
            None => self.wake_pending = true,
        }
    }

    fn begin_leaders_call(&mut self, seat: usize, number: usize) {
        self.begin_call(seat, number, true);
    }

    fn begin_call(&mut self, seat: usize, number: usize, as_leader: bool) {
        let route = self.requests[number].route;
        let is_last = self.plan.threads > 1 && self.scheduler.calling() == self.plan.threads;
        let stuck = |(other, call): (usize, &Call)| {
            other != seat && call.stuck && !call.is_excused && call.route == Route::numbered(route)
        };
        let is_short = self.scheduler.calls().any(|(of, call)| of == seat && call.kind == JobKind::Short);
        self.risked |= is_last && is_short && self.scheduler.calls().any(stuck);
        let slow_ns = MS + self.below(self.plan.slow_ns);
        let mut steps = VecDeque::new();
        steps.push_back(Step::Hold(2_000 + self.below(30_000)));
        if self.plan.sleeps > 0 && (self.plan.sleeps == 1 || route.is_multiple_of(self.plan.sleeps)) {
            // A route that sleeps does so nearly always.
            if self.below(10) > 0 {
                steps.push_back(Step::Sleep(slow_ns));
                steps.push_back(Step::Hold(2_000));
            }
        } else if self.plan.computes > 0 && route % self.plan.computes == 1 {
            let mut left_ns = slow_ns;
            while left_ns > 0 {
                let slice_ns = left_ns.min(SWITCH_NS);
                steps.push_back(Step::Hold(slice_ns));
                left_ns -= slice_ns;
            }
        }
        if self.plan.slow_clients > 0 && self.below(self.plan.slow_clients) == 0 {
            steps.push_back(Step::AwaitClient(slow_ns));
            steps.push_back(Step::Hold(2_000));
        }
        let now_ns = self.now_ns;
        let entry = &mut self.seats[seat];
        (entry.steps, entry.request, entry.as_leader, entry.began_ns) = (steps, Some(number), as_leader, now_ns);
        entry.program = if as_leader && !entry.attached { Program::AttachToCall } else { Program::Call };
        match entry.attached {
            true => self.step(seat),
            false => self.acquire(seat),
        }
    }

    /// The seat has the interpreter and is inside a call.
    fn go_on_with_call(&mut self, seat: usize, out: &mut Actions) -> Result<(), Law> {
        match self.seats[seat].steps.pop_front() {
            Some(Step::Hold(ns)) => {
                // Others that wait for the interpreter get it between two slices.
                if ns >= SWITCH_NS && !self.awaiting.is_empty() {
                    self.seats[seat].steps.push_front(Step::Hold(ns - 1));
                    self.detach(seat);
                    self.acquire(seat);
                } else {
                    self.soon(ns, Happening::Seat(seat));
                }
            }
            Some(Step::Sleep(ns)) => {
                self.detach(seat);
                self.seats[seat].is_sleeping = true;
                self.soon(ns, Happening::Wakes(seat));
            }
            Some(Step::AwaitClient(ns)) => {
                let number = self.seats[seat].request.unwrap_or_default() as u64;
                let client = Client { connection: number, address: Some(number % 3) };
                if self.scheduler.client_wait_begins(seat, client, self.now_ns, out) {
                    self.detach(seat);
                    self.seats[seat].is_sleeping = true;
                    self.seats[seat].awaits_client = true;
                    self.soon(ns, Happening::Wakes(seat));
                } else {
                    self.step(seat);
                }
            }
            None => {
                let number = self.seats[seat].request.take();
                if let Some(number) = number {
                    self.settle(number, Fate::Served)?;
                }
                let ended = Ended { call_ns: self.now_ns - self.seats[seat].began_ns, share: None };
                if self.seats[seat].as_leader {
                    match self.scheduler.call_ended_here(seat, ended, self.now_ns, out) {
                        Some(Lead) => self.keep_lead(seat),
                        None => self.continue_as(seat, Program::Look),
                    }
                } else {
                    self.scheduler.call_ended(seat, ended, self.now_ns, out);
                    self.continue_as(seat, Program::Look);
                }
            }
        }
        Ok(())
    }

    fn settle(&mut self, number: usize, fate: Fate) -> Result<(), Law> {
        let request = &mut self.requests[number];
        if request.fate != Fate::Waiting {
            return Err(Law::ServedTwice);
        }
        request.fate = fate;
        Ok(())
    }

    fn perform(&mut self, out: &Actions) -> Result<(), Law> {
        for &seat in &out.wake {
            if std::mem::replace(&mut self.woken[seat], true) {
                return Err(Law::WokenTwice);
            }
            if self.seats[seat].program == Program::Parked {
                self.step(seat);
            } else {
                self.seats[seat].token = true;
            }
        }
        if out.wake_leader {
            self.end_poll();
        }
        if out.wake_spawner && !std::mem::replace(&mut self.spawner_called, true) {
            let pause_ns = 10_000 + self.below(100_000);
            self.soon(pause_ns, Happening::Spawner);
        }
        Ok(())
    }

    /// Waits for the interpreter, then goes on.
    fn acquire(&mut self, seat: usize) {
        if self.interpreter.is_none() {
            self.interpreter = Some(seat);
            self.seats[seat].attached = true;
            self.step(seat);
        } else {
            self.awaiting.push_back(seat);
        }
    }

    fn detach(&mut self, seat: usize) {
        if std::mem::take(&mut self.seats[seat].attached) {
            self.interpreter = None;
            if let Some(next) = self.awaiting.pop_front() {
                self.acquire(next);
            }
        }
    }

    fn continue_as(&mut self, seat: usize, program: Program) {
        self.seats[seat].program = program;
        self.step(seat);
    }

    /// The seat goes on after some microseconds.
    fn step(&mut self, seat: usize) {
        let pause_ns = 1_000 + self.below(20_000);
        self.soon(pause_ns, Happening::Seat(seat));
    }

    fn soon(&mut self, pause_ns: u64, happening: Happening) {
        self.later(self.now_ns + pause_ns, happening);
    }

    fn later(&mut self, at_ns: u64, happening: Happening) {
        self.serial += 1;
        self.happenings.push(Reverse((at_ns, self.serial, happening)));
    }

    fn below(&mut self, bound: u64) -> u64 {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % bound.max(1)
    }
}
