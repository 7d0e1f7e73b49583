//! The record of a seat's current call, if calls have a limit. It is enough to answer the client in place of the seat
//! and to name the request in the log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use farrier_http::wire::h1::RequestFacts;
use farrier_http::{Request, Via};

use farrier_log::access::printable;
use farrier_protocol::h2::stream::StreamLink;
use farrier_scheduler::SeatId;
use farrier_transport::link::{Link, TakenOver};

/// One seat's record. The seat writes it and the overdue watch reads it. Its lock is held for a few instructions, and
/// while the connection of an overdue call is taken over.
pub(crate) struct CallRecord {
    pub(crate) seat: SeatId,
    /// The runtime's number of the seat's thread.
    pub(crate) thread_ident: u64,
    /// The kernel's number of it.
    pub(crate) thread_id: i32,
    entry: Mutex<Entry>,
}

#[derive(Default)]
struct Entry {
    /// Counts the calls, so that one is not taken for another.
    serial: u64,
    call: Option<Running>,
    method: Vec<u8>,
    path: Vec<u8>,
}

/// The connection or stream that a call can be taken from.
pub(crate) enum CallTarget {
    /// A connection that carries one request at a time.
    Connection(Arc<Link>),
    /// A stream.
    Stream(Arc<StreamLink>),
}

impl CallTarget {
    /// Whether the call holds up a whole connection.
    fn is_connection(&self) -> bool {
        matches!(self, CallTarget::Connection(_))
    }

    fn set_given_up(&self, is_given_up: bool) {
        if let CallTarget::Stream(stream) = self {
            stream.set_given_up(is_given_up);
        }
    }
}

struct Running {
    started_ns: u64,
    target: CallTarget,
    facts: RequestFacts,
    via: Via,
    /// The request's site, for its error page.
    choice: u32,
    stage: Stage,
}

/// How far a call has exceeded its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    InTime,
    /// Its connection was taken from it.
    TakenOver {
        at_ns: u64,
        taken: TakenOver,
    },
    /// It is no longer waited for.
    GivenUp {
        taken: TakenOver,
    },
}

/// A call, for the log and for later checks.
#[derive(Clone)]
pub(crate) struct NamedCall {
    pub(crate) record: Arc<CallRecord>,
    serial: u64,
    /// Method and path.
    pub(crate) request: String,
    pub(crate) age_ns: u64,
    pub(crate) taken: TakenOver,
    /// It holds up a whole connection.
    pub(crate) is_connection: bool,
}

/// The result of a check of a record.
pub(crate) enum Look {
    /// No call runs, or nothing remains to be done about it.
    Nothing,
    /// Check again at this time, in ns.
    At(u64),
    /// The call is overdue: its connection has been taken over just now.
    Overdue(NamedCall),
    /// The call did not return in its grace time either.
    GivenUp(NamedCall),
}

/// The record of a call that has ended.
pub(crate) struct Late {
    /// What its client got.
    pub(crate) taken: TakenOver,
    /// It was no longer waited for.
    pub(crate) was_given_up: bool,
    /// It held up a whole connection.
    pub(crate) is_connection: bool,
    pub(crate) request: String,
}

impl CallRecord {
    /// The record of the calling seat.
    pub(crate) fn new(seat: SeatId, thread_ident: u64) -> CallRecord {
        let thread_id = rustix::thread::gettid().as_raw_nonzero().get();
        CallRecord { seat, thread_ident, thread_id, entry: Mutex::default() }
    }

    /// A call begins.
    pub(crate) fn open(&self, request: &Request, target: CallTarget, facts: RequestFacts, started_ns: u64) {
        let mut entry = self.entry();
        entry.serial += 1;
        entry.method.clear();
        entry.method.extend_from_slice(request.method());
        entry.path.clear();
        entry.path.extend_from_slice(request.path());
        let via = request.head.gateway.via;
        let choice = request.choice;
        entry.call = Some(Running { started_ns, target, facts, via, choice, stage: Stage::InTime });
    }

    /// The call has ended. Something remains to be done only if it was late.
    pub(crate) fn close(&self) -> Option<Late> {
        let mut entry = self.entry();
        let call = entry.call.take()?;
        let (taken, was_given_up) = match call.stage {
            Stage::InTime => return None,
            Stage::TakenOver { taken, .. } => (taken, false),
            Stage::GivenUp { taken } => (taken, true),
        };
        call.target.set_given_up(false);
        let is_connection = call.target.is_connection();
        Some(Late { taken, was_given_up, is_connection, request: entry.request() })
    }

    /// Checks the call, and takes its connection if it is overdue.
    ///
    /// # Arguments
    ///
    /// `take_over` takes it, with an answer for the client.
    pub(crate) fn look(
        self: &Arc<CallRecord>,
        now_ns: u64,
        timeout_ns: u64,
        grace_ns: u64,
        take_over: impl FnOnce(&CallTarget, RequestFacts, Via, u32) -> TakenOver,
    ) -> Look {
        let mut entry = self.entry();
        let Some(call) = &mut entry.call else { return Look::Nothing };
        let age_ns = now_ns.saturating_sub(call.started_ns);
        let (is_first, taken) = match call.stage {
            Stage::InTime if age_ns < timeout_ns => return Look::At(call.started_ns + timeout_ns),
            Stage::InTime => {
                let taken = take_over(&call.target, call.facts, call.via, call.choice);
                call.stage = Stage::TakenOver { at_ns: now_ns, taken };
                (true, taken)
            }
            Stage::TakenOver { at_ns, .. } if now_ns < at_ns + grace_ns => return Look::At(at_ns + grace_ns),
            Stage::TakenOver { taken, .. } => {
                call.stage = Stage::GivenUp { taken };
                call.target.set_given_up(true);
                (false, taken)
            }
            Stage::GivenUp { .. } => return Look::Nothing,
        };
        let is_connection = call.target.is_connection();
        let (serial, request) = (entry.serial, entry.request());
        let named = NamedCall { record: Arc::clone(self), serial, request, age_ns, taken, is_connection };
        if is_first { Look::Overdue(named) } else { Look::GivenUp(named) }
    }

    /// The seat's current request, and when it began, in ns.
    pub(crate) fn running(&self) -> Option<(String, u64)> {
        let entry = self.entry();
        entry.call.as_ref().map(|call| (entry.request(), call.started_ns))
    }

    fn entry(&self) -> MutexGuard<'_, Entry> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn request(&self) -> String {
        format!("{} {}", String::from_utf8_lossy(&self.method), printable(&self.path))
    }
}

impl NamedCall {
    /// Whether it still runs.
    pub(crate) fn is_running(&self) -> bool {
        let entry = self.record.entry();
        entry.serial == self.serial && entry.call.is_some()
    }
}
