//! What the leader does for HTTP/2: it drives sessions, serves their requests as it serves those of other connections,
//! and takes back streams that are answered.
//!
//! A session stays in the leader's table while its requests are served: a call may lose the lead, and the next leader
//! must find the session there.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::wire::h1::RequestFacts;
use farrier_http::{Error, Kind, Peer, Request, Version};
use h2::Reason;

use super::answered_by::AnsweredBy;
use super::answering::Dispatched;
use super::call_record::CallTarget;
use super::client_waits::SeatWait;
use super::disk::{self, Load};
use super::lead::Lead;
use super::overdue;
use super::returns::Returned;
use super::seat::{Seat, Settled, panic_text};
use farrier_log::access::peer_text;
use farrier_log::error::Level;
use farrier_protocol::after_response::AfterResponse;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::exchanging::Feed;
use farrier_protocol::h2::arrival::{self, Arrival, Incoming};
use farrier_protocol::h2::respond::{H2Respond, StreamChannel};
use farrier_protocol::h2::session::{Driven, Session, SessionContext};
use farrier_protocol::h2::stream::StreamLink;
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::slots::Found;
use farrier_transport::reactor::token::Token;
use farrier_transport::reactor::waker::StreamWaker;

/// How long streams are served before answers are sent and other connections get their turn, in ms.
const TURN_MS: u64 = 1;

/// The least time between two checks of a session's time-outs, in ms.
const LOOK_AGAIN_MS: u64 = 10;

impl Seat {
    /// Starts HTTP/2 on a connection; it begins with the bytes in the request's arena.
    pub(super) fn begin_session(&mut self, lead: &Lead, connection: &mut Connection, request: Box<Request>) {
        let inbox = request.arena.filled().to_vec();
        self.scratch.give_back(request);
        let waker = Arc::new(StreamWaker {
            woken: Arc::clone(&self.shared.woken),
            leader: Arc::clone(&self.shared.leader),
            token: connection.token,
        });
        let Connection { token, link, origin, .. } = connection;
        let (shared, now_ms) = (Arc::clone(&self.shared), lead.now_ms);
        let rules = &shared.rules;
        let planner = shared.planner(*origin, link);
        let session_context = SessionContext { token: *token, link, origin: *origin, rules, now_ms, planner: &planner };
        let mut session = Session::begin(&session_context, inbox, waker.into());
        if lead.draining_since_ms.is_some() {
            session.send_goaway(lead.now_ms);
        }
        connection.phase = Phase::Http2(Box::new(session));
    }

    /// Drives sessions and serves their requests until nothing remains or other connections are to have their turn.
    /// `None`: another seat leads.
    pub(super) fn serve_streams(&mut self, mut lead: Box<Lead>) -> Option<Box<Lead>> {
        let since_ms = lead.now_ms;
        loop {
            self.drive_woken(&mut lead);
            if lead.arrivals.is_empty() {
                return Some(lead);
            }
            while let Some(arrival) = lead.arrivals.pop_front() {
                lead = self.serve_arrival(lead, arrival)?;
                lead.now_ms = self.shared.clock.now_ms();
                if lead.now_ms > since_ms + TURN_MS {
                    self.drive_woken(&mut lead);
                    return Some(lead);
                }
            }
        }
    }

    /// Serves one request of a session, or lets it wait for a seat.
    fn serve_arrival(&mut self, mut lead: Box<Lead>, arrival: Arrival) -> Option<Box<Lead>> {
        let Arrival { token, link, origin, stream, incoming } = arrival;
        if link.is_gone() || stream.is_gone() {
            self.take_back(&mut lead, token, stream);
            return Some(lead);
        }
        let mut carrier = Box::new(Connection::of_stream(token, link, origin, stream));
        let mut plan = None;
        let (request, refusal) = match incoming {
            Incoming::Planned(request, planned) => {
                plan = Some(planned);
                (request, None)
            }
            Incoming::Exchange(request, exchange, content) => {
                self.begin_stream_exchange(&mut lead, &carrier, request, exchange, Feed::Nothing, content);
                return Some(lead);
            }
            Incoming::Refused(error, request) => (request, Some(error)),
            Incoming::Head(head) => {
                let mut request = self.scratch.take_request();
                let decoded = arrival::decode(&head, &mut request, origin.scheme, true, &self.shared.rules);
                (request, decoded.err())
            }
        };
        if let Some(error) = refusal {
            self.refuse(&mut carrier, error, request, lead.now_ms);
            self.stream_ended(&mut lead, &carrier);
            return Some(lead);
        }
        let end = request.head.bytes;
        match self.answer(lead, carrier, request, end, plan) {
            Dispatched::Here(mut lead, carrier, Settled::Open | Settled::Closed) => {
                self.stream_ended(&mut lead, &carrier);
                Some(lead)
            }
            Dispatched::Queued(lead) => Some(lead),
            Dispatched::Elsewhere => None,
        }
    }

    /// A stream's request was answered, here or by another seat.
    pub(super) fn stream_ended(&mut self, lead: &mut Lead, carrier: &Connection) {
        let Connection { token, stream, .. } = carrier;
        if let Some(stream) = stream {
            self.take_back(lead, *token, Arc::clone(stream));
        }
    }

    fn take_back(&mut self, lead: &mut Lead, token: Token, stream: Arc<StreamLink>) {
        let now_ms = lead.now_ms;
        let Some(connection) = lead.slots.parked_at(token) else { return };
        let Phase::Http2(session) = &mut connection.phase else { return };
        session.take_back(&stream, now_ms);
        // Otherwise its waker was called: a stream that was answered has something to send.
        if session.is_over() && session.out == 0 {
            lead.ready.push(token, Readiness::WRITABLE);
        }
    }

    /// Drives the sessions whose wakers were called.
    fn drive_woken(&mut self, lead: &mut Lead) {
        let shared = Arc::clone(&self.shared);
        // Driving a session may call its waker again; after the second time, other connections get their turn.
        for _ in 0..2 {
            if !shared.woken.has_any() {
                return;
            }
            let mut tokens = std::mem::take(&mut lead.woken);
            shared.woken.take(&mut tokens);
            for token in tokens.drain(..) {
                if let Found::Connection(connection) = lead.slots.take(token) {
                    if matches!(connection.phase, Phase::Http2(_)) {
                        self.drive(lead, connection);
                    } else {
                        if matches!(connection.phase, Phase::Streaming(_) | Phase::Exchange(_)) {
                            lead.ready.push(token, Readiness::WRITABLE);
                        }
                        self.park(lead, connection);
                    }
                }
            }
            lead.woken = tokens;
        }
    }

    /// Advances a session as far as possible now, and lets it wait.
    pub(super) fn drive(&mut self, lead: &mut Lead, mut connection: Box<Connection>) {
        let shared = Arc::clone(&self.shared);
        let (readable, ended) = (std::mem::take(&mut connection.readable), connection.ended);
        let Connection { token, link, origin, phase, .. } = &mut *connection;
        let planner = shared.planner(*origin, link);
        let (rules, now_ms) = (&shared.rules, lead.now_ms);
        let session_context = SessionContext { token: *token, link, origin: *origin, rules, now_ms, planner: &planner };
        let Phase::Http2(session) = phase else { return self.park(lead, connection) };
        session.note(readable, ended);
        let driven = catch_unwind(AssertUnwindSafe(|| match session.is_over() {
            true => Driven::Ended,
            false => session.drive(&session_context, &mut lead.arrivals),
        }));
        let driven = driven.unwrap_or_else(|_| {
            shared.error_log.write(Level::Error, "a fault of the server's own on an HTTP/2 connection");
            session.abandon();
            Driven::Ended
        });
        let is_full = session.is_full();
        for (stream, cold) in session.take_cold() {
            if disk::send(&shared, Load::Piece(*token, Arc::clone(&stream), cold)).is_err() {
                stream.give_up(Reason::INTERNAL_ERROR);
            }
        }
        for spool in session.take_spools() {
            if disk::send_spool(&shared, *token, spool) {
                lead.ready.push(*token, Readiness::READABLE);
            }
        }
        self.note_malformed(session.take_malformed(), origin.peer);
        if driven == Driven::Ended {
            // A tunnel takes what came last: after GOAWAY the connection ends with the last byte of its last stream.
            self.step_exchanges(session, link, lead, *token);
            link.set_gone();
        }
        let is_over = self.step_exchanges(session, link, lead, *token);
        if is_over {
            lead.ready.push(*token, Readiness::WRITABLE);
        }
        let (deadline_ms, out) = (session.deadline_ms(&shared.rules), session.out);
        match driven {
            Driven::Ended if out == 0 => {
                // What was said last is with the link.
                connection.phase = Phase::Flushing { then: AfterResponse::Linger, next: None };
                connection.deadline_ms = lead.now_ms + shared.rules.write_timeout_ms;
                lead.ready.push(connection.token, Readiness::WRITABLE);
            }
            Driven::Ended => {
                // Calls of its streams go on; the connection waits only for them.
                connection.link.flush();
                connection.link.set_gone();
                connection.deadline_ms = u64::MAX;
            }
            Driven::Open | Driven::More => {
                // Everything due was handled; an immediate check would find the same again.
                connection.deadline_ms = deadline_ms.max(lead.now_ms + LOOK_AGAIN_MS);
                if driven == Driven::More {
                    lead.ready.push(connection.token, Readiness::READABLE);
                }
                if is_full {
                    connection.link.watch_writable(&shared.poller, connection.token);
                }
            }
        }
        self.park(lead, connection);
    }

    /// Logs requests that the `h2` crate has refused: it resets their streams and reports neither them nor the reason.
    fn note_malformed(&self, count: u32, peer: Peer) {
        if count > 0 {
            let who = peer_text(peer);
            self.shared.error_log.write(
                Level::Warning,
                &format!(
                    "Invalid request from ip={who}: {count} stream(s) of HTTP/2 reset with PROTOCOL_ERROR; usual reasons are a byte in :path that must be percent-encoded, a malformed field or pseudo-field, and content that is not as long as its Content-Length"
                ),
            );
        }
    }

    /// A session's deadline, or the time to check it, has come.
    pub(super) fn look_at_session(&mut self, lead: &mut Lead, mut connection: Box<Connection>) {
        let shared = Arc::clone(&self.shared);
        let Connection { token, link, origin, phase, .. } = &mut *connection;
        let planner = shared.planner(*origin, link);
        let (rules, now_ms) = (&shared.rules, lead.now_ms);
        let session_context = SessionContext { token: *token, link, origin: *origin, rules, now_ms, planner: &planner };
        let Phase::Http2(session) = phase else { return self.park(lead, connection) };
        if session.is_over() {
            return self.park(lead, connection);
        }
        if session.expire(&session_context, &mut lead.arrivals) {
            return self.drive(lead, connection);
        }
        if session.out == 0 {
            self.close(lead, connection);
        } else {
            session.abandon();
            connection.link.set_gone();
            connection.link.shutdown_both();
            connection.deadline_ms = u64::MAX;
            self.park(lead, connection);
        }
    }

    /// Tells a session's client that the connection ends.
    pub(super) fn send_goaway(&mut self, lead: &mut Lead, mut connection: Box<Connection>) {
        if let Phase::Http2(session) = &mut connection.phase {
            session.send_goaway(lead.now_ms);
        }
        self.drive(lead, connection);
    }

    /// Runs the handler for one stream's request and gives its answer to the stream.
    pub(super) fn serve_stream(
        &mut self,
        connection: &Connection,
        stream: &Arc<StreamLink>,
        mut request: Box<Request>,
        started_ns: u64,
        by: AnsweredBy,
    ) -> (Settled, u64) {
        let shared = Arc::clone(&self.shared);
        request.notes.clear();
        let facts = facts(&request);
        let by_application = by == AnsweredBy::Seat;
        let record = self.record.clone().filter(|_| by_application);
        if let Some(record) = &record {
            record.open(&request, CallTarget::Stream(Arc::clone(stream)), facts, started_ns);
        }
        let channel = StreamChannel {
            rules: &shared.rules,
            host: &*shared.host,
            client_wait: &SeatWait::of(&shared, self.id, connection),
            link: &connection.link,
            stream,
            may_wait: by_application,
        };
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let mut respond = H2Respond::new(channel, &mut self.scratch, facts, request.choice, keep_lines);
        let handled = catch_unwind(AssertUnwindSafe(|| shared.handle(&mut request, &mut respond)));
        match handled {
            Ok(Ok(())) => {}
            Ok(Err(error)) => respond.fail(error),
            Err(panic) => respond.fail(Error::server(Kind::Internal, panic_text(panic.as_ref()))),
        }
        let (mut outcome, lines) = respond.outcome();
        let ended_ns = shared.clock.now_ns();
        let call_ns = ended_ns.saturating_sub(started_ns);
        if let Some(late) = record.and_then(|record| record.close()) {
            overdue::came_back(&shared, &late, call_ns);
            outcome.take_over(&late.taken, overdue::error());
        }
        if by != AnsweredBy::ServerUnseen {
            self.record(&request, &outcome, lines.as_deref(), call_ns, by_application);
        }
        self.scratch.give_back(request);
        (Settled::Open, ended_ns)
    }

    /// Returns a stream to the leader, and wakes the leader only if nothing else will.
    pub(super) fn hand_back_stream(&self, carrier: Box<Connection>) {
        let urgent = carrier.link.is_gone() || self.shared.draining.load(Ordering::Relaxed);
        self.shared.returns.lock().push(Returned::Open(carrier));
        if urgent {
            self.shared.leader.wake();
        }
    }

    /// Answers a stream's request that never reached a handler.
    pub(super) fn refuse_stream(
        &mut self,
        connection: &Connection,
        stream: &StreamLink,
        error: Error,
        request: Box<Request>,
    ) {
        let link = &*connection.link;
        let shared = Arc::clone(&self.shared);
        let facts = facts(&request);
        let client_wait = &SeatWait::of(&shared, self.id, connection);
        let channel =
            StreamChannel { rules: &shared.rules, host: &*shared.host, client_wait, link, stream, may_wait: false };
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let mut respond = H2Respond::new(channel, &mut self.scratch, facts, request.choice, keep_lines);
        respond.fail(error);
        let (outcome, lines) = respond.outcome();
        self.record(&request, &outcome, lines.as_deref(), 0, false);
        self.scratch.give_back(request);
    }
}

pub(super) fn facts(request: &Request) -> RequestFacts {
    RequestFacts { is_head: request.method() == b"HEAD", version: Version::Http2, keep_alive: true }
}
