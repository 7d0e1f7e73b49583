//! Handles calls that outlive `request_timeout`. The client is answered, the log gets an entry, and the thread is
//! interrupted. If the call still does not return, the worker asks to be replaced.
//!
//! A thread of its own checks when the oldest call may be overdue, so a call only has to fill in its record. That
//! thread never touches the runtime, because a call may hold it for ever: another thread does.

use std::fmt::Write;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use farrier_http::wire::h1::RequestFacts;
use farrier_http::{Error, Kind, Via};

use super::call_record::{CallRecord, CallTarget, Late, Look, NamedCall};
use super::native_hint;
use super::shared::Shared;
use farrier_log::access::printable;
use farrier_log::error::Level;
use farrier_protocol::h1_error::whole_response;
use farrier_protocol::h2::respond::whole_answer;
use farrier_protocol::host::Host;
use farrier_protocol::rules::Rules;
use farrier_scheduler::SeatId;
use farrier_transport::link::TakenOver;

/// How long the log entry waits for the threads' stacks.
const STACKS_PATIENCE: Duration = Duration::from_millis(500);

/// How long after a log entry with all stacks only those of overdue calls are logged, in ns. When a database is down,
/// many calls become overdue one after the other.
const WHOLE_EVERY_NS: u64 = 10_000_000_000;

/// The least and the most time that an interrupted call has to return.
const GRACE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// The watch over calls that have a limit. It does not exist if calls have no limit.
pub(crate) struct Overdue {
    timeout: Duration,
    /// Asks for the worker's replacement.
    stuck: Box<dyn Fn() + Send + Sync>,
    records: Mutex<Vec<Weak<CallRecord>>>,
    /// Calls that run and are not waited for. For a moment it may be too small by the number of calls that are just
    /// returning.
    given_up: AtomicIsize,
    /// Those of them that hold up a whole connection; the others answer streams.
    given_up_connections: AtomicIsize,
}

impl Overdue {
    /// A watch; `None` without a limit. `stuck` asks for the worker's replacement.
    pub(crate) fn new(timeout: Duration, stuck: Box<dyn Fn() + Send + Sync>) -> Option<Overdue> {
        let (given_up, given_up_connections) = Default::default();
        let records = Mutex::default();
        (!timeout.is_zero()).then_some(Overdue { timeout, stuck, records, given_up, given_up_connections })
    }

    /// The record of the calling seat.
    pub(crate) fn record(&self, seat: SeatId, host: &dyn Host) -> Arc<CallRecord> {
        let record = Arc::new(CallRecord::new(seat, host.thread_ident()));
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|record| record.strong_count() > 0);
        records.push(Arc::downgrade(&record));
        record
    }

    /// Calls that run and are not waited for: a drain ends without them.
    pub(crate) fn given_up(&self) -> usize {
        usize::try_from(self.given_up.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// Connections that wait only for such a call. Those with several requests at once are not among them.
    pub(crate) fn given_up_connections(&self) -> usize {
        usize::try_from(self.given_up_connections.load(Ordering::Relaxed)).unwrap_or(0)
    }

    fn count_given_up(&self, calls: isize, is_connection: bool) {
        self.given_up.fetch_add(calls, Ordering::Relaxed);
        if is_connection {
            self.given_up_connections.fetch_add(calls, Ordering::Relaxed);
        }
    }

    /// The records of all seats.
    pub(crate) fn records(&self) -> Vec<Arc<CallRecord>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    fn grace(&self) -> Duration {
        (self.timeout / 2).clamp(GRACE.0, GRACE.1)
    }
}

/// Runs until the engine stops.
pub(crate) fn run(shared: &Arc<Shared>) {
    let Some(overdue) = &shared.overdue else { return };
    let (timeout_ns, grace_ns) = (overdue.timeout.as_nanos() as u64, overdue.grace().as_nanos() as u64);
    let interrupter = Interrupter::start(&shared.host);
    let mut whole_since_ns = None;
    loop {
        if shared.scheduler().is_stopping() {
            return;
        }
        let now_ns = shared.clock.now_ns();
        // A call that begins now is not overdue before.
        let mut next_ns = now_ns + timeout_ns;
        let (mut late, mut lost) = (Vec::new(), Vec::new());
        for record in overdue.records() {
            let take_over =
                |target: &CallTarget, facts, via, choice| take_over(target, facts, via, choice, &shared.rules);
            match record.look(now_ns, timeout_ns, grace_ns, take_over) {
                Look::Nothing => {}
                Look::At(at_ns) => next_ns = next_ns.min(at_ns),
                Look::Overdue(call) => {
                    next_ns = next_ns.min(now_ns + grace_ns);
                    late.push(call);
                }
                Look::GivenUp(call) => {
                    overdue.count_given_up(1, call.is_connection);
                    lost.push(call);
                }
            }
        }
        if !late.is_empty() {
            shared.metrics.overdue(late.len());
            let whole = whole_since_ns.is_none_or(|since_ns: u64| now_ns - since_ns >= WHOLE_EVERY_NS);
            whole_since_ns = if whole { Some(now_ns) } else { whole_since_ns };
            report(shared, overdue, &interrupter, late, whole);
        }
        if !lost.is_empty() {
            give_up(shared, overdue, &lost);
        }
        let pause_ns = next_ns.saturating_sub(shared.clock.now_ns());
        std::thread::park_timeout(Duration::from_nanos(pause_ns.max(1_000_000)));
    }
}

/// A late call has ended: an exception raised in its thread must not reach the next call.
pub(crate) fn came_back(shared: &Shared, late: &Late, call_ns: u64) {
    shared.host.clear_interrupt();
    if late.was_given_up
        && let Some(overdue) = &shared.overdue
    {
        overdue.count_given_up(-1, late.is_connection);
    }
    let seconds = seconds(call_ns);
    shared.error_log.write(Level::Warning, &format!("Overdue request came back: {} after {seconds} s", late.request));
}

fn take_over(target: &CallTarget, facts: RequestFacts, via: Via, choice: u32, rules: &Rules) -> TakenOver {
    match target {
        CallTarget::Connection(link) => link.take_over(&whole_response(&error(), facts, via, choice, rules)),
        CallTarget::Stream(stream) => stream.take_over(whole_answer(&error(), facts, choice, rules), &rules.responses),
    }
}

/// What the client of an overdue call gets, and what the access log shows once the call has ended.
pub(crate) fn error() -> Error {
    Error::server(Kind::Overdue, "")
}

fn report(shared: &Shared, overdue: &Overdue, interrupter: &Interrupter, late: Vec<NamedCall>, whole: bool) {
    let mut text = String::new();
    for call in &late {
        let client = match call.taken {
            TakenOver::Answered => "its client got 504",
            TakenOver::Cut => "its response had begun, so the connection was cut",
            TakenOver::Gone => "its client had left",
        };
        let (age, seat, limit) = (seconds(call.age_ns), call.record.seat, overdue.timeout.as_secs_f64());
        let _ = writeln!(
            text,
            "REQUEST TIMEOUT: {} has run for {age} s on seat {seat} (request_timeout is {limit} s); {client}. RequestTimeout is raised in its thread",
            call.request
        );
    }
    match interrupter.stacks(&late, whole) {
        Some(stacks) => text.push_str(&stacks),
        None => {
            text.push_str("The interpreter is not available, so there are no stacks; ");
            text.push_str(&native_hint::of_calls(shared));
            text.push_str("If this lasts, the worker is replaced after `timeout`.");
        }
    }
    shared.error_log.write(Level::Error, &text);
    interrupter.interrupt(late);
}

fn give_up(shared: &Shared, overdue: &Overdue, lost: &[NamedCall]) {
    let lost: Vec<&NamedCall> = lost.iter().filter(|call| call.is_running()).collect();
    for call in &lost {
        let doing = native_hint::of_thread(shared, call.record.thread_id);
        shared.error_log.write(
            Level::Critical,
            &format!(
                "Request {} has not come back {} s after RequestTimeout was raised (seat {}: {doing}); the worker asks to be replaced",
                call.request,
                overdue.grace().as_secs_f64(),
                call.record.seat,
            ),
        );
    }
    if !lost.is_empty() {
        (overdue.stuck)();
        // A drain may have waited only for this call.
        shared.poller.wake();
    }
}

fn seconds(ns: u64) -> String {
    format!("{:.1}", ns as f64 / 1e9)
}

/// The thread that uses the runtime.
pub(super) struct Interrupter {
    questions: Sender<Question>,
}

enum Question {
    Stacks { stuck: Vec<u64>, whole: bool, answer: Sender<String> },
    Describe { stuck: Vec<u64>, answer: Sender<Described> },
    Interrupt(Vec<NamedCall>),
}

/// The name of the first request that has one, and the stacks of the threads.
type Described = (Option<String>, String);

impl Interrupter {
    pub(super) fn start(host: &Arc<dyn Host>) -> Interrupter {
        let (questions, asked) = mpsc::channel();
        let host = Arc::clone(host);
        let answers = move || {
            for question in asked {
                match question {
                    Question::Stacks { stuck, whole, answer } => {
                        // The result is no longer wanted if it took too long.
                        let _ = answer.send(host.stacks(&stuck, whole));
                    }
                    Question::Describe { stuck, answer } => {
                        let request = stuck.iter().find_map(|&thread| host.request_of(thread));
                        let _ = answer.send((request, host.stacks(&stuck, false)));
                    }
                    Question::Interrupt(calls) => {
                        for call in calls {
                            host.interrupt(call.record.thread_ident, &mut || call.is_running());
                        }
                    }
                }
            }
        };
        // Without the thread there are no stacks and no interruptions; everything else works.
        let _ = std::thread::Builder::new().name("farrier-stacks".into()).spawn(answers);
        Interrupter { questions }
    }

    fn stacks(&self, calls: &[NamedCall], whole: bool) -> Option<String> {
        let (answer, answered) = mpsc::channel();
        let stuck = calls.iter().map(|call| call.record.thread_ident).collect();
        self.questions.send(Question::Stacks { stuck, whole, answer }).ok()?;
        answered.recv_timeout(STACKS_PATIENCE).ok()
    }

    /// Describes threads that have not been interrupted.
    pub(super) fn describe(&self, stuck: Vec<u64>) -> Option<Described> {
        let (answer, answered) = mpsc::channel();
        self.questions.send(Question::Describe { stuck, answer }).ok()?;
        let (request, stacks) = answered.recv_timeout(STACKS_PATIENCE).ok()?;
        Some((request.map(|request| printable(request.as_bytes())), stacks))
    }

    fn interrupt(&self, calls: Vec<NamedCall>) {
        let _ = self.questions.send(Question::Interrupt(calls));
    }
}
