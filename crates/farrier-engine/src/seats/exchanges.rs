//! How the leader drives exchanges on connections that carry one request at a time: reads content for them, writes what they
//! answer, and steps them in between. They belong to the connection, in the leader's table.

use std::mem;
use std::sync::Arc;
use std::task::Waker;

use farrier_http::pipe::Marks;
use farrier_http::wire::h1::RequestFacts;
use farrier_http::{AnswerSink, BodyFraming, Bytes, Error, Exchange, Kind, Request};

use super::lead::Lead;
use super::seat::{Seat, Settled};
use super::turn;
use farrier_protocol::after_response::AfterResponse;
use farrier_protocol::answer_sink::{Ended, H1Sink, SinkContext};
use farrier_protocol::connection::{Connection, PartialContent, Phase};
use farrier_protocol::content_pace::{ContentPace, LeastPace};
use farrier_protocol::exchange::{RunningExchange, Turn};
use farrier_protocol::exchanging::{self, Exchanging, Feed};
use farrier_protocol::tunnel;
use farrier_protocol::upload::{self, Answer, Upload};
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::token::Token;
use farrier_transport::reactor::waker::StreamWaker;

impl Seat {
    /// Lets an exchange answer a request whose content is complete.
    pub(super) fn begin_exchange(
        &mut self,
        lead: &Lead,
        connection: &mut Connection,
        mut request: Box<Request>,
        end: usize,
        exchange: Box<dyn Exchange>,
    ) {
        let waker = self.waker_of(connection.token);
        let (feed, content) = exchanging::complete(&waker, self.pipe_marks(), &mut request);
        self.scratch.compact(&mut request);
        let (answer, ended) = self.owned_answer(connection, &request, None);
        let (room, started_ns) = (self.room_bytes_min(), self.shared.clock.now_ns());
        let run = RunningExchange::new(exchange, request, content, answer, room, started_ns);
        self.enter_exchange(connection, Exchanging { run, feed, ended, end, pace: ContentPace::new(lead.now_ms) });
    }

    /// Lets an exchange answer a request whose content still arrives.
    pub(super) fn begin_streamed_exchange(
        &mut self,
        lead: &Lead,
        connection: &mut Connection,
        partial: PartialContent,
        exchange: Box<dyn Exchange>,
    ) {
        let waker = self.waker_of(connection.token);
        let PartialContent { mut request, reader, limits, .. } = partial;
        let (source, content) = exchanging::arriving(&waker, self.pipe_marks(), request.head.framing);
        let upload = Upload::begin(&mut request, reader, limits, source);
        let end = request.head.bytes;
        let (answer, ended) = self.owned_answer(connection, &request, Some(&upload));
        let (room, started_ns) = (self.room_bytes_min(), self.shared.clock.now_ns());
        let run = RunningExchange::new(exchange, request, content, answer, room, started_ns);
        let feed = Feed::Upload(Box::new(upload));
        self.enter_exchange(connection, Exchanging { run, feed, ended, end, pace: ContentPace::new(lead.now_ms) });
    }

    fn enter_exchange(&self, connection: &mut Connection, exchanging: Exchanging) {
        connection.requests += 1;
        connection.link.begin_response();
        connection.phase = Phase::Exchange(Box::new(exchanging));
    }

    /// The leader's waker of a connection.
    pub(super) fn waker_of(&self, token: Token) -> Waker {
        let (woken, leader) = (Arc::clone(&self.shared.woken), Arc::clone(&self.shared.leader));
        Arc::new(StreamWaker { woken, leader, token }).into()
    }

    /// How much content waits between the leader and its consumer.
    pub(super) fn pipe_marks(&self) -> Marks {
        Marks::with_high(usize::try_from(self.shared.rules.request_buffer_bytes).unwrap_or(usize::MAX))
    }

    /// An exchange gets `Room` when its sink has room for this many bytes.
    pub(super) fn room_bytes_min(&self) -> u64 {
        self.shared.rules.response_buffer_bytes / 2
    }

    fn owned_answer(
        &self,
        connection: &Connection,
        request: &Request,
        upload: Option<&Upload>,
    ) -> (Box<dyn AnswerSink>, Ended) {
        let shared = &self.shared;
        let rules = &shared.rules;
        let within_limit = rules.keepalive_requests == 0 || connection.requests + 1 < rules.keepalive_requests;
        let keep_alive = request.head.keep_alive && within_limit && rules.keepalive_ms > 0;
        let facts = RequestFacts { is_head: request.method() == b"HEAD", version: request.head.version, keep_alive };
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let mut answer = H1Sink::answer(facts, request.head.gateway.via, request.choice, keep_lines);
        if request.takes_trailers() {
            answer.permit_trailers();
        }
        let context = SinkContext {
            rules: Arc::clone(rules),
            poller: Arc::clone(&shared.poller),
            draining: Arc::clone(&shared.draining),
        };
        let (ended, link) = (Ended::default(), Arc::clone(&connection.link));
        let peer = connection.origin.peer;
        let sink = H1Sink::new(context, link, connection.token, peer, answer, Arc::clone(&ended))
            .with_upload(upload.map(Upload::status));
        (Box::new(sink), ended)
    }

    /// Brings an exchange as far as it goes now. The connection comes back once the exchange is over; otherwise it waits, or is
    /// closed.
    pub(super) fn advance_exchange(
        &mut self,
        lead: &mut Lead,
        mut connection: Box<Connection>,
    ) -> Option<Box<Connection>> {
        let Phase::Exchange(mut exchanging) = mem::replace(&mut connection.phase, Phase::Idle) else {
            return Some(connection);
        };
        // The client of a tunnel may have sent more before it hung up.
        let may_have_more = matches!(exchanging.feed, Feed::Tunnel(_)) && connection.readable;
        if (connection.hung_up && !may_have_more) || !self.write_answer(lead, &connection) {
            connection.link.set_gone();
        }
        let turn = turn::Turn::begin(&self.shared.clock);
        loop {
            let has_fed = self.feed_exchange(lead, &mut connection, &mut exchanging);
            match exchanging.run.advance(lead.now_ms, &mut lead.upstreams, connection.token) {
                Turn::Done => return self.end_exchange(lead, connection, *exchanging),
                _ if exchanging.run.take_switched() => self.begin_tunnel(&connection, &mut exchanging),
                Turn::Waits if !has_fed => break,
                Turn::Waits | Turn::Over if turn.is_over(&self.shared.clock) => {
                    lead.ready.push(connection.token, Readiness::WRITABLE);
                    break;
                }
                Turn::Waits | Turn::Over => {}
            }
        }
        connection.deadline_ms = self.exchange_deadline_ms(lead, &connection, &exchanging);
        connection.phase = Phase::Exchange(exchanging);
        self.park(lead, connection);
        None
    }

    /// The exchange has switched protocols: what the client sends from now on is its content.
    fn begin_tunnel(&self, connection: &Connection, exchanging: &mut Exchanging) {
        let waker = self.waker_of(connection.token);
        let marks = Marks::with_high(tunnel::PIPE_BYTES);
        let (source, content) = exchanging::arriving(&waker, marks, BodyFraming::Chunked);
        let request = exchanging.run.request_mut();
        // What came with the request belongs to the other protocol.
        let early = request.arena.filled().get(exchanging.end..).unwrap_or_default();
        if !early.is_empty() {
            source.push(Bytes::copy_from_slice(early));
        }
        exchanging.run.renew_content(content);
        exchanging.feed = Feed::Tunnel(source);
    }

    /// Gives an exchange more content, if there is any and room for it. True: it has.
    fn feed_exchange(&self, lead: &Lead, connection: &mut Connection, exchanging: &mut Exchanging) -> bool {
        let Exchanging { feed, pace, .. } = exchanging;
        let upload = match feed {
            Feed::Upload(upload) => upload,
            Feed::Tunnel(source) => return connection.read_tunnel(source),
            Feed::Nothing | Feed::File(..) => return feed.read_file(),
        };
        let before = upload.received_bytes();
        let more = connection.read_upload(upload, &self.shared.rules) == upload::Turn::Over;
        let has_moved = upload.received_bytes() != before;
        pace.note(has_moved, upload.awaits_client(), lead.now_ms);
        if pace.deadline_ms(upload.received_bytes(), LeastPace::of(&self.shared.rules)) <= lead.now_ms {
            upload.fail(Error::client(Kind::RequestTimeout, "the content came too slowly"));
            return true;
        }
        has_moved || more
    }

    /// When the exchange is to be looked at even if nothing happens, in ms.
    fn exchange_deadline_ms(&self, lead: &Lead, connection: &Connection, exchanging: &Exchanging) -> u64 {
        let rules = &self.shared.rules;
        let mut deadline_ms = exchanging.run.timer_ms().unwrap_or(u64::MAX);
        if let Feed::Upload(upload) = &exchanging.feed {
            let paced_ms = exchanging.pace.deadline_ms(upload.received_bytes(), LeastPace::of(rules));
            deadline_ms = deadline_ms.min(paced_ms);
        }
        match connection.link.judge(rules.response_pace()) {
            None => deadline_ms,
            Some(Ok(next_ms)) => deadline_ms.min(lead.now_ms + next_ms.max(1)),
            Some(Err(too_slow)) => {
                self.note_too_slow(connection, too_slow);
                // The client gets no more of it; the exchange learns that at once.
                connection.link.break_off();
                connection.link.set_gone();
                lead.now_ms
            }
        }
    }

    /// The exchange is over: counts and logs its answer, and settles the connection.
    fn end_exchange(
        &mut self,
        lead: &mut Lead,
        mut connection: Box<Connection>,
        exchanging: Exchanging,
    ) -> Option<Box<Connection>> {
        let Exchanging { run, feed, ended, end, .. } = exchanging;
        let started_ns = run.started_ns;
        // The sink goes with it, and what has not ended is aborted.
        let request = run.into_request();
        let Some((outcome, lines)) = ended.get() else {
            self.close(lead, connection);
            return None;
        };
        let duration_ns = self.shared.clock.now_ns().saturating_sub(started_ns);
        self.record(&request, outcome, lines.as_deref(), duration_ns, false);
        if let Feed::Upload(mut upload) = feed {
            let lives_on = outcome.after == AfterResponse::KeepAlive;
            upload.let_go(Answer { lives_on, at_ms: lead.now_ms });
            self.scratch.give_back(request);
            connection.phase = Phase::Streaming(upload);
            return Some(connection);
        }
        match self.settle(&mut connection, outcome, request, end, lead.now_ms) {
            Settled::Open => Some(connection),
            Settled::Closed => {
                self.close(lead, connection);
                None
            }
        }
    }
}
