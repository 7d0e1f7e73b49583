//! What the leader does with a complete request: it answers the request at once, or hands it over to a place where it
//! can wait.

use std::sync::Arc;

use farrier_http::{Body, DiskLookup, Error, Kind, Plan, Request};

use super::answered_by::AnsweredBy;
use super::disk;
use super::disk::Load;
use super::lead::Lead;
use super::returns::Waiting;
use super::seat::{Seat, Settled};
use super::shared::Work;
use super::turn::Turn;
use farrier_protocol::connection::Connection;
use farrier_protocol::rules::Seating;
use farrier_scheduler::routes::ComputeShare;
use farrier_scheduler::routes::Route;
use farrier_scheduler::{Arrived, Ended, Enqueued, Job, JobKind};

/// Where the lead is after a request was handled.
pub(super) enum Dispatched {
    /// Still here, and the connection too.
    Here(Box<Lead>, Box<Connection>, Settled),
    /// Still here; the connection waits for another seat.
    Queued(Box<Lead>),
    /// Another seat has it; this one has finished its work.
    Elsewhere,
}

impl Seat {
    /// Handles a complete request: at once if its route is short, through the queues otherwise.
    pub(super) fn answer(
        &mut self,
        mut lead: Box<Lead>,
        mut connection: Box<Connection>,
        mut request: Box<Request>,
        end: usize,
        plan: Option<Plan>,
    ) -> Dispatched {
        let plan = match plan {
            Some(plan) => plan,
            None => {
                if let Err(error) = self.prepare(&connection, &mut request) {
                    self.refuse(&mut connection, error, request, lead.now_ms);
                    return Dispatched::Here(lead, connection, Settled::Open);
                }
                self.shared.plan(&mut request)
            }
        };
        let by = match plan {
            Plan::Seat(_) => AnsweredBy::Seat,
            Plan::Now => AnsweredBy::Server,
            Plan::NowUnseen => AnsweredBy::ServerUnseen,
            Plan::Exchange(exchange, _) if connection.stream.is_some() => {
                self.begin_whole_stream_exchange(&mut lead, &connection, request, exchange);
                return Dispatched::Queued(lead);
            }
            Plan::Exchange(exchange, _) => {
                self.begin_exchange(&lead, &mut connection, request, end, exchange);
                return Dispatched::Here(lead, connection, Settled::Open);
            }
            Plan::Disk(lookup) => return self.send_for(lead, Waiting { connection, request, end }, lookup),
        };
        if by != AnsweredBy::Seat {
            let started_ns = self.shared.clock.now_ns();
            let (settled, _) = self.serve(&mut connection, request, end, started_ns, by);
            return Dispatched::Here(lead, connection, settled);
        }
        let route = Route::of(&request);
        let shared = Arc::clone(&self.shared);
        let is_streamed = matches!(request.body, Body::Streamed(_)) && shared.seating.threads > 1;
        if is_streamed {
            // It waits for its client, so the leader must not run it.
            let queued_ms = lead.now_ms;
            let work = Work { connection, request, end };
            return self.enqueue(lead, Job { work, route, kind: JobKind::Slow, queued_ms });
        }
        let now_ns = shared.clock.now_ns();
        // Outside the match, so that the lock is released before anything is done.
        let arrived = shared.scheduler().arrived(self.id, lead, route, self.attached, now_ns);
        match arrived {
            Arrived::Serve => self.call_here(connection, request, end),
            Arrived::Wait(lead, kind) => {
                let queued_ms = lead.now_ms;
                let work = Work { connection, request, end };
                self.enqueue(lead, Job { work, route, kind, queued_ms })
            }
        }
    }

    /// Adds the connection's facts to a request, and decides about its fields.
    ///
    /// # Errors
    /// The request is refused.
    pub(super) fn prepare(&self, connection: &Connection, request: &mut Request) -> Result<(), Error> {
        self.shared.prepare(connection.origin, &connection.link, request)
    }

    /// Lets a request wait for the disk, outside the queues.
    fn send_for(&mut self, lead: Box<Lead>, waiting: Waiting, lookup: Box<dyn DiskLookup>) -> Dispatched {
        // From here on only the poller notices that the client leaves. Without the poller it is noticed when the answer
        // is written.
        let _ = waiting.connection.link.watch(&self.shared.poller, waiting.connection.token);
        match disk::send(&self.shared, Load::DiskLookup(waiting, lookup)) {
            Ok(()) => Dispatched::Queued(lead),
            Err(Load::DiskLookup(Waiting { mut connection, request, .. }, _)) => {
                let error = Error::server(Kind::Overloaded, "cannot start the thread that reads from the disk");
                self.refuse(&mut connection, error, request, lead.now_ms);
                Dispatched::Here(lead, connection, Settled::Open)
            }
            Err(Load::Stretch(..) | Load::Piece(..) | Load::Spool(..)) => Dispatched::Queued(lead),
        }
    }

    /// Answers a request whose files are in memory now. `None`: another seat leads.
    pub(super) fn answer_fetched(&mut self, mut lead: Box<Lead>, waiting: Waiting) -> Option<Box<Lead>> {
        let Waiting { mut connection, request, end } = waiting;
        connection.readable |= connection.link.take_pending();
        connection.ended |= connection.link.has_ended();
        let started_ns = self.shared.clock.now_ns();
        match self.serve(&mut connection, request, end, started_ns, AnsweredBy::Server) {
            (Settled::Open, _) => self.advance(lead, connection),
            (Settled::Closed, _) => {
                self.close(&mut lead, connection);
                Some(lead)
            }
        }
    }

    /// Runs a call that the state has recorded, and takes the lead back unless another seat has it.
    fn call_here(&mut self, mut connection: Box<Connection>, request: Box<Request>, end: usize) -> Dispatched {
        let shared = Arc::clone(&self.shared);
        shared.wake_monitor();
        let mut started_ns = 0;
        if !self.attached {
            self.attach();
            started_ns = shared.clock.now_ns();
            shared.scheduler().attached(self.id, started_ns);
        }
        if started_ns == 0 {
            started_ns = shared.clock.now_ns();
        }
        let stretch_ns = self.last_ended_ns.take().map(|ended_ns| started_ns.saturating_sub(ended_ns));
        let (settled, ended_ns) = self.serve(&mut connection, request, end, started_ns, AnsweredBy::Seat);
        self.last_ended_ns = Some(ended_ns);
        let elapsed_ns = ended_ns.saturating_sub(started_ns);
        let before = self.mark;
        let call_ns = self.own_time_ns(elapsed_ns, ended_ns);
        let share = match (before, self.mark) {
            (Some(before), Some(after)) if before != after => {
                Some(ComputeShare { share: after.compute_share_since(&before, elapsed_ns), process_busy: false })
            }
            _ => None,
        };
        let ended = Ended { call_ns, share };
        let lead = shared.schedule(|scheduler, out| {
            if let Some(stretch_ns) = stretch_ns {
                scheduler.learn_noise(stretch_ns);
            }
            scheduler.call_ended_here(self.id, ended, ended_ns, out)
        });
        match lead {
            Some(lead) => Dispatched::Here(lead, connection, settled),
            None => {
                self.hand_back(connection, settled);
                Dispatched::Elsewhere
            }
        }
    }

    /// Serves short jobs that no leader could take when they came, and that this one can. `None`: another seat leads.
    pub(super) fn take_short_jobs(&mut self, mut lead: Box<Lead>) -> Option<Box<Lead>> {
        let mut turn: Option<Turn> = None;
        loop {
            let now_ns = self.shared.clock.now_ns();
            let taken = self.shared.scheduler().take_short(self.id, lead, self.attached, now_ns);
            match taken {
                Ok(job) => lead = self.serve_here(job)?,
                Err(lead) => return Some(lead),
            }
            let clock = &self.shared.clock;
            if turn.get_or_insert_with(|| Turn::begin(clock)).is_over(clock) {
                return Some(lead);
            }
        }
    }

    /// Serves a job as the leader does; the call has begun. `None`: another seat leads.
    pub(super) fn serve_here(&mut self, job: Job<Work>) -> Option<Box<Lead>> {
        let Work { connection, request, end } = job.work;
        match self.call_here(connection, request, end) {
            Dispatched::Here(mut lead, connection, settled) => match settled {
                settled if connection.upload.is_some() => {
                    self.upload_answered(&mut lead, &connection, settled);
                    Some(lead)
                }
                Settled::Closed if connection.stream.is_none() => {
                    self.close(&mut lead, connection);
                    Some(lead)
                }
                Settled::Closed | Settled::Open => self.advance(lead, connection),
            },
            Dispatched::Queued(lead) => Some(lead),
            Dispatched::Elsewhere => None,
        }
    }

    /// Lets a request wait for a seat.
    fn enqueue(&mut self, lead: Box<Lead>, job: Job<Work>) -> Dispatched {
        let shared = Arc::clone(&self.shared);
        // From here on only the poller notices that the client leaves. Without the poller it is noticed when the answer
        // is written.
        let _ = job.work.connection.link.watch(&shared.poller, job.work.connection.token);
        let now_ns = shared.clock.now_ns();
        match shared.schedule(|scheduler, out| scheduler.enqueue(self.id, lead, job, now_ns, out)) {
            Enqueued::Waits(lead) => {
                self.take_spare();
                Dispatched::Queued(lead)
            }
            Enqueued::LeadGiven => {
                self.take_spare();
                Dispatched::Elsewhere
            }
            Enqueued::Full(lead, Work { mut connection, request, .. }) => {
                let Seating { threads, queue_max, .. } = shared.seating;
                let cause = format!(
                    "the queue of waiting requests is full (queue_max is {queue_max}): all threads of the worker ({threads}) \
                     are in calls; raise threads if the calls wait or workers if they compute, or find out why they are slow"
                );
                let error = Error::server(Kind::Overloaded, cause);
                self.refuse(&mut connection, error, request, lead.now_ms);
                Dispatched::Here(lead, connection, Settled::Open)
            }
        }
    }

    /// The request that has left with its job is replaced by one that a follower has finished with.
    fn take_spare(&mut self) {
        if let Some(unused) = self.scratch.put_spare(self.shared.take_spare()) {
            self.shared.keep_spare(Some(unused));
        }
    }
}
