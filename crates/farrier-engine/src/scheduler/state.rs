//! What the seats of a worker share, under one lock that is never held while anything waits.

use std::collections::VecDeque;
use std::thread::Thread;

use farrier_http::Request;

use super::routes::{Expectation, Route, Routes};
use crate::protocol::connection::Connection;
use crate::reactor::token::Token;
use crate::seats::lead::Lead;

/// Number of a seat; seat 0 is the process's main thread.
pub(crate) type SeatId = usize;

/// Parked seats that are kept: one to take the lead from a call that proves slow, one more to take it from a leader that
/// waits for an interpreter which that call holds.
pub(crate) const SPARES: usize = 2;

/// Requests kept for reuse beyond those on the seats' scratch buffers.
const SPARE_REQUESTS_MAX: usize = 32;

/// A request that waits for a seat.
pub(crate) struct Job {
    pub(crate) connection: Box<Connection>,
    pub(crate) request: Box<Request>,
    /// Where the request ends in its arena.
    pub(crate) end: usize,
    pub(crate) route: Route,
    pub(crate) kind: JobKind,
    /// When it began to wait, in ms.
    pub(crate) queued_ms: u64,
}

/// Which queue a job waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobKind {
    /// Short, but the leader could not take it: goes before all others.
    Short,
    /// Perhaps slow: the leader gathers them, hands the lead on and then serves them itself.
    Doubtful,
    /// Slow because it waits for something: a seat each.
    Slow,
    /// Slow because it computes: more at once than the interpreter can run would only disturb each other and everybody.
    Computing,
}

/// What a parked seat is told to do.
pub(crate) enum Order {
    /// Take the lead.
    Lead(Box<Lead>),
    /// Look at the queues.
    Work,
    /// Leave.
    Stop,
}

/// A connection that comes back to the leader from another seat.
pub(crate) enum Returned {
    /// It goes on.
    Open(Box<Connection>),
    /// It is closed; its slot is free.
    Closed(Token),
    /// What its request needs is in memory: it can be answered at once.
    Ready(Waiting),
    /// What its response needs next is in memory: more of it can be written.
    Fetched(Token),
}

/// A request that waits for the disk.
pub(crate) struct Waiting {
    pub(crate) connection: Box<Connection>,
    pub(crate) request: Box<Request>,
    /// Where the request ends in its arena.
    pub(crate) end: usize,
}

/// The call that a seat is running.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) started_ns: u64,
    pub(crate) kind: JobKind,
    /// The seat waits for the interpreter; the call has not begun.
    pub(crate) attaching: bool,
    /// The last look at it found it waiting for the interpreter.
    pub(crate) held_up: bool,
    /// Ticks at which it was found so.
    pub(crate) held_up_ticks: u32,
    /// It has outlived a tick: its seat does not count as available any more.
    pub(crate) stuck: bool,
    pub(crate) route: Route,
    /// The table knows already that it is slow.
    pub(crate) learned: bool,
}

/// One seat as the others see it.
pub(crate) struct SeatEntry {
    pub(crate) thread: Option<Thread>,
    /// The kernel's number of the thread.
    pub(crate) thread_id: i32,
    pub(crate) order: Option<Order>,
    pub(crate) call: Option<Call>,
}

/// The shared state.
pub(crate) struct SchedulerState {
    /// The lead, while its holder is inside a call and anybody may take it.
    pub(crate) lead: Option<Box<Lead>>,
    /// Who leads.
    pub(crate) leader: SeatId,
    pub(crate) seats: Vec<SeatEntry>,
    /// Parked seats; the last to park is the first to be woken.
    pub(crate) idle: Vec<SeatId>,
    /// Seats that the spawner is to bring.
    pub(crate) wanted: Vec<SeatId>,
    /// Seats that were asked for and have not begun.
    pub(crate) coming: usize,
    /// Ids whose threads have left.
    pub(crate) vacant: Vec<SeatId>,
    pub(crate) queues: Queues,
    pub(crate) returns: Vec<Returned>,
    pub(crate) routes: Routes,
    /// Requests that followers are done with, for the leader's next reads.
    #[allow(clippy::vec_box, reason = "boxes are handed on; a request moved in and out would be copied")]
    pub(crate) spare_requests: Vec<Box<Request>>,
    /// Seats inside a call.
    pub(crate) calling: usize,
    /// Of these, calls that were expected to be slow or have proved so, apart from the leader's.
    pub(crate) slow_calling: usize,
    /// Of these, calls expected to compute.
    pub(crate) computing: usize,
    /// Followers that are awake and not stuck: they will look at the queues soon.
    pub(crate) agile: usize,
    /// The seat that serves what is short: only one at a time, for two would only take the interpreter from each other. A
    /// leader that is deposed because it waits for the interpreter keeps the floor, and serves what has gathered when it gets
    /// it; one that waits for anything else loses it.
    pub(crate) floor: Option<SeatId>,
    /// The spawner shall find out whether the interpreter can be had.
    pub(crate) probe_wanted: bool,
    /// Since when the spawner waits for the interpreter, in ns.
    pub(crate) spawner_waits_since_ns: Option<u64>,
    /// The engine ends: parked seats leave.
    pub(crate) stopping: bool,
}

impl SchedulerState {
    pub(crate) fn new() -> SchedulerState {
        SchedulerState {
            lead: None,
            leader: 0,
            seats: Vec::new(),
            idle: Vec::new(),
            wanted: Vec::new(),
            coming: 0,
            vacant: Vec::new(),
            queues: Queues::default(),
            returns: Vec::new(),
            routes: Routes::default(),
            spare_requests: Vec::new(),
            calling: 0,
            slow_calling: 0,
            computing: 0,
            agile: 0,
            floor: None,
            probe_wanted: false,
            spawner_waits_since_ns: None,
            stopping: false,
        }
    }

    /// What kind of job a request of this route is.
    pub(crate) fn kind_of(&self, route: Route) -> JobKind {
        match self.routes.expect(route) {
            Expectation::Short => JobKind::Short,
            Expectation::Doubtful => JobKind::Doubtful,
            Expectation::Slow => JobKind::Slow,
            Expectation::Computing => JobKind::Computing,
        }
    }

    /// The next doubtful job, if the seat that is left for short routes may be risked for it.
    pub(crate) fn pop_unstuck(&mut self) -> Option<Job> {
        let place = self.queues.doubtful.iter().position(|job| self.routes.is_unstuck(job.route))?;
        self.queues.doubtful.remove(place)
    }

    /// Gives a parked seat an order and wakes it. False when none is parked.
    pub(crate) fn wake_idle(&mut self, order: Order) -> Result<(), Order> {
        let Some(seat) = self.idle.pop() else { return Err(order) };
        self.order(seat, order);
        Ok(())
    }

    /// Gives the seat an order and wakes it.
    pub(crate) fn order(&mut self, seat: SeatId, order: Order) {
        if matches!(order, Order::Work) {
            self.agile += 1;
        }
        let entry = &mut self.seats[seat];
        entry.order = Some(order);
        if let Some(thread) = &entry.thread {
            thread.unpark();
        }
    }

    /// Keeps a request for the leader's next reads.
    pub(crate) fn keep_spare(&mut self, request: Option<Box<Request>>) {
        if self.spare_requests.len() < SPARE_REQUESTS_MAX {
            self.spare_requests.extend(request);
        }
    }

    /// Whether another seat serves what is short.
    pub(crate) fn is_floor_taken(&self, seat: SeatId) -> bool {
        self.floor.is_some_and(|holder| holder != seat)
    }

    /// Whether fewer seats are parked, or will be soon, than are to be kept.
    pub(crate) fn lacks_spares(&self) -> bool {
        self.idle.len() + self.coming < SPARES
    }

    /// The calling thread is the seat's.
    pub(crate) fn occupy(&mut self, seat: SeatId) {
        self.seats[seat].thread = Some(std::thread::current());
        self.seats[seat].thread_id = rustix::thread::gettid().as_raw_nonzero().get();
    }

    /// Makes room for a seat.
    pub(crate) fn add_seat(&mut self) -> SeatId {
        let entry = SeatEntry { thread: None, thread_id: 0, order: None, call: None };
        match self.vacant.pop() {
            Some(id) => {
                self.seats[id] = entry;
                id
            }
            None => {
                self.seats.push(entry);
                self.seats.len() - 1
            }
        }
    }

    /// Seats that exist.
    pub(crate) fn seated(&self) -> usize {
        self.seats.len() - self.vacant.len()
    }
}

/// Which jobs a follower may take.
pub(crate) struct Permit {
    pub(crate) be_short: bool,
    pub(crate) be_slow: bool,
    pub(crate) compute: bool,
}

/// Jobs that wait, by kind.
#[derive(Default)]
pub(crate) struct Queues {
    short: VecDeque<Job>,
    doubtful: VecDeque<Job>,
    slow: VecDeque<Job>,
    computing: VecDeque<Job>,
}

impl Queues {
    pub(crate) fn len(&self) -> usize {
        self.short.len() + self.doubtful.len() + self.slow.len() + self.computing.len()
    }

    pub(crate) fn short_len(&self) -> usize {
        self.short.len()
    }

    pub(crate) fn has_short(&self) -> bool {
        !self.short.is_empty()
    }

    pub(crate) fn has_doubtful(&self) -> bool {
        !self.doubtful.is_empty()
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.of(job.kind).push_back(job);
    }

    /// The next short job.
    pub(crate) fn pop_short(&mut self) -> Option<Job> {
        self.short.pop_front()
    }

    /// Whether there is a job that [`Queues::pop`] would give.
    pub(crate) fn offers(&self, may: &Permit) -> bool {
        let slow = !self.doubtful.is_empty() || !self.slow.is_empty() || (may.compute && !self.computing.is_empty());
        (may.be_short && !self.short.is_empty()) || (may.be_slow && slow)
    }

    /// The next job a seat may take: short ones first.
    pub(crate) fn pop(&mut self, may: &Permit) -> Option<Job> {
        if may.be_short
            && let Some(job) = self.short.pop_front()
        {
            return Some(job);
        }
        if !may.be_slow {
            return None;
        }
        if let Some(job) = self.doubtful.pop_front() {
            return Some(job);
        }
        // The one that waited longer, so that neither queue starves the other.
        let slow = self.slow.front().map(|job| job.queued_ms);
        let computing = self.computing.front().filter(|_| may.compute).map(|job| job.queued_ms);
        match (slow, computing) {
            (Some(slow), Some(computing)) if computing < slow => self.computing.pop_front(),
            (Some(_), _) => self.slow.pop_front(),
            (None, Some(_)) => self.computing.pop_front(),
            (None, None) => None,
        }
    }

    /// Takes the jobs that have waited since before `since_ms`.
    pub(crate) fn pop_older(&mut self, since_ms: u64) -> Option<Job> {
        [&mut self.short, &mut self.doubtful, &mut self.slow, &mut self.computing].into_iter().find_map(|queue| {
            let is_due = queue.front().is_some_and(|job| job.queued_ms < since_ms);
            if is_due { queue.pop_front() } else { None }
        })
    }

    /// When the oldest job began to wait, in ms.
    pub(crate) fn oldest_ms(&self) -> Option<u64> {
        [&self.short, &self.doubtful, &self.slow, &self.computing]
            .into_iter()
            .filter_map(|queue| queue.front().map(|job| job.queued_ms))
            .min()
    }

    fn of(&mut self, kind: JobKind) -> &mut VecDeque<Job> {
        match kind {
            JobKind::Short => &mut self.short,
            JobKind::Doubtful => &mut self.doubtful,
            JobKind::Slow => &mut self.slow,
            JobKind::Computing => &mut self.computing,
        }
    }
}
