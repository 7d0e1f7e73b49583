//! What the leader does with a request whose content is incomplete: asks its handler how it wants the content, and reads it
//! for a seat that takes it as it arrives.
//!
//! The connection stays in the leader's table, so that it is read wherever the lead is. What goes to the seat stands for it.

use std::mem;
use std::sync::Arc;

use farrier_http::pipe::{End, pipe};
use farrier_http::{Body, BodyFraming, BodyMode, Plan, Request};

use super::answering::Dispatched;
use super::disk::{self, Load};
use super::lead::Lead;
use super::returns::Returned;
use super::seat::{Seat, Settled};
use farrier_protocol::after_response::AfterResponse;
use farrier_protocol::connection::{Connection, PartialContent, PartialHead, Phase};
use farrier_protocol::h1;
use farrier_protocol::reader::HeadReader;
use farrier_protocol::streamed_body::PipedBody;
use farrier_protocol::upload::{Answer, Turn, Upload};
use farrier_transport::link::Sent;
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::slots::Found;

/// Bytes of unread content that are discarded for the sake of the next request.
const DISCARDED_BYTES_MAX: u64 = 1 << 20;

/// Room for the rest of a head that came behind content.
const HEAD_ROOM_BYTES: usize = 1024;

/// How the content of a request goes on.
pub(super) enum ContentPlan {
    /// As the connection's phase says: it is read to its end, or refused.
    InPhase,
    /// A seat takes it as it arrives. What stands for the connection, and the request.
    Streamed(Box<Connection>, Box<Request>),
}

impl Seat {
    /// A head is complete and its content is not: asks the handler what it wants.
    pub(super) fn plan_content(&mut self, lead: &Lead, connection: &mut Connection) -> ContentPlan {
        let Phase::Content(mut partial) = mem::replace(&mut connection.phase, Phase::Idle) else {
            return ContentPlan::InPhase;
        };
        if let Err(error) = self.prepare(connection, &mut partial.request) {
            self.refuse(connection, error, partial.request, lead.now_ms);
            return ContentPlan::InPhase;
        }
        let plan = self.shared.plan(&mut partial.request);
        // What a proxy says of the host or the path may lead to another mount than the head alone did.
        partial.limits = self.shared.rules.limits_for(&mut partial.request).map(Box::new);
        let plan = match plan {
            Plan::Seat(BodyMode::Streamed) => return self.begin_upload(connection, *partial),
            Plan::Exchange(exchange, BodyMode::Streamed) => {
                self.begin_streamed_exchange(lead, connection, *partial, exchange);
                return ContentPlan::InPhase;
            }
            plan => plan,
        };
        h1::invite(&partial, &connection.link);
        partial.plan = Some(plan);
        connection.phase = Phase::Content(partial);
        ContentPlan::InPhase
    }

    fn begin_upload(&mut self, connection: &mut Connection, partial: PartialContent) -> ContentPlan {
        let rules = &self.shared.rules;
        let engine = End::Engine(self.waker_of(connection.token));
        let (source, drain) = pipe(self.pipe_marks(), engine, End::Seat);
        let PartialContent { mut request, reader, limits, .. } = partial;
        let upload = Upload::begin(&mut request, reader, limits, source);
        // Until the seat sends something, an interim response may.
        connection.link.begin_response();
        let (status, fault) = (upload.status(), Arc::clone(&upload.status().fault));
        let carrier = Box::new(connection.for_upload(status));
        connection.phase = Phase::Streaming(Box::new(upload));
        connection.deadline_ms = u64::MAX;
        let length_bytes = match request.head.framing {
            BodyFraming::Length(length) => Some(length),
            _ => None,
        };
        request.content_fault = Some(Arc::clone(&fault));
        request.body = Body::Streamed(Box::new(PipedBody::new(drain, length_bytes, fault, rules)));
        ContentPlan::Streamed(carrier, request)
    }

    /// Lets a request be answered whose content is still read. `None`: the lead is elsewhere.
    pub(super) fn answer_upload(
        &mut self,
        mut lead: Box<Lead>,
        connection: Box<Connection>,
        carrier: Box<Connection>,
        request: Box<Request>,
    ) -> Option<Box<Lead>> {
        // What has come is read first: much of the content may be there.
        if let Some(connection) = self.advance_upload(&mut lead, connection) {
            self.park(&mut lead, connection);
        }
        let (end, plan) = (request.head.bytes, Plan::Seat(BodyMode::Streamed));
        match self.answer(lead, carrier, request, end, Some(plan)) {
            Dispatched::Here(mut lead, carrier, settled) => {
                self.upload_answered(&mut lead, &carrier, settled);
                Some(lead)
            }
            Dispatched::Queued(lead) => Some(lead),
            Dispatched::Elsewhere => None,
        }
    }

    /// Reads more content for a seat, and writes what the seat's answer has left. The connection comes back once its answer
    /// was given and all is settled; otherwise it waits, or is closed.
    pub(super) fn advance_upload(
        &mut self,
        lead: &mut Lead,
        mut connection: Box<Connection>,
    ) -> Option<Box<Connection>> {
        let Phase::Streaming(mut upload) = mem::replace(&mut connection.phase, Phase::Idle) else {
            return Some(connection);
        };
        if connection.hung_up {
            connection.link.set_gone();
        }
        let is_written = self.write_answer(lead, &connection);
        let turn = connection.read_upload(&mut upload, &self.shared.rules);
        if let Some(answer) = upload.answer {
            let linger_ms = answer.at_ms + self.shared.rules.linger_timeout_ms;
            let waits = is_written && answer.lives_on && upload.is_worth_discarding(DISCARDED_BYTES_MAX);
            if !waits || lead.now_ms >= linger_ms {
                return self.end_upload(lead, connection, &upload, answer);
            }
            connection.deadline_ms = linger_ms;
        }
        if turn == Turn::Over {
            lead.ready.push(connection.token, Readiness::READABLE);
        }
        connection.phase = Phase::Streaming(upload);
        self.park(lead, connection);
        None
    }

    /// Writes more of what the seat has given. False: the client is gone.
    pub(super) fn write_answer(&self, lead: &mut Lead, connection: &Connection) -> bool {
        match connection.link.flush() {
            Sent::All => true,
            Sent::Broken => false,
            Sent::Unsent(_) => {
                connection.link.watch_writable(&self.shared.poller, connection.token);
                if connection.link.has_more_now() {
                    lead.ready.push(connection.token, Readiness::WRITABLE);
                }
                match connection.link.take_cold() {
                    Some(cold) => {
                        let load = Load::Stretch(connection.token, Arc::clone(&connection.link), cold);
                        disk::send(&self.shared, load).is_ok()
                    }
                    None => true,
                }
            }
        }
    }

    /// The answer was given, and no more content is read for it.
    fn end_upload(
        &mut self,
        lead: &mut Lead,
        mut connection: Box<Connection>,
        upload: &Upload,
        answer: Answer,
    ) -> Option<Box<Connection>> {
        if connection.link.is_gone() {
            self.close(lead, connection);
            return None;
        }
        let leftover = upload.leftover();
        let is_complete = upload.is_complete();
        let then = match () {
            () if answer.lives_on && is_complete => AfterResponse::KeepAlive,
            () if is_complete && leftover.is_empty() && !connection.readable => AfterResponse::Close,
            // Bytes that nobody will read would turn the close into a reset, and the client would lose its answer.
            () => AfterResponse::Linger,
        };
        let next = (then == AfterResponse::KeepAlive && !leftover.is_empty()).then(|| {
            let mut request = Box::new(Request::with_room(leftover.len() + HEAD_ROOM_BYTES));
            request.arena.append(leftover);
            let reader = HeadReader::of(&connection.opening);
            Box::new(PartialHead { request, reader, since_ms: lead.now_ms })
        });
        connection.phase = Phase::Flushing { then, next };
        connection.deadline_ms = lead.now_ms + self.shared.rules.write_timeout_ms;
        Some(connection)
    }

    /// The answer to a request was given whose content was read meanwhile, here or by another seat.
    pub(super) fn upload_answered(&mut self, lead: &mut Lead, carrier: &Connection, settled: Settled) {
        let token = carrier.token;
        if let Found::Connection(mut connection) = lead.slots.take(token) {
            if let Phase::Streaming(upload) = &mut connection.phase {
                let lives_on = settled == Settled::Open
                    && matches!(carrier.phase, Phase::Idle | Phase::Flushing { then: AfterResponse::KeepAlive, .. });
                upload.let_go(Answer { lives_on, at_ms: lead.now_ms });
                connection.requests = carrier.requests;
                lead.ready.push(token, Readiness::WRITABLE);
            }
            self.park(lead, connection);
        }
    }

    /// Gives back to the leader what stood for a connection.
    pub(super) fn hand_back_upload(&self, mut carrier: Box<Connection>, settled: Settled) {
        if settled == Settled::Closed {
            carrier.phase = Phase::Flushing { then: AfterResponse::Close, next: None };
        }
        self.shared.returns.lock().push(Returned::Open(carrier));
        self.shared.leader.wake();
    }
}
