//! How the leader drives exchanges that answer streams of HTTP/2. They belong to the session, in the leader's table.

use std::sync::Arc;

use farrier_http::Exchange;
use farrier_http::Request;

use super::lead::Lead;
use super::seat::Seat;
use super::streams::facts;
use farrier_protocol::answer_sink::Ended;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::content_pace::ContentPace;
use farrier_protocol::exchange::{Content, RunningExchange, Turn};
use farrier_protocol::exchanging::{self, Exchanging, Feed};
use farrier_protocol::h2::session::Session;
use farrier_protocol::h2::sink::H2Sink;
use farrier_protocol::h2::stream_exchange::StreamExchange;
use farrier_transport::link::Link;
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::token::Token;

impl Seat {
    /// Lets an exchange answer a stream's request whose content is complete.
    pub(super) fn begin_whole_stream_exchange(
        &mut self,
        lead: &mut Lead,
        carrier: &Connection,
        mut request: Box<Request>,
        exchange: Box<dyn Exchange>,
    ) {
        let waker = self.waker_of(carrier.token);
        let (feed, content) = exchanging::complete(&waker, self.pipe_marks(), &mut request);
        self.begin_stream_exchange(lead, carrier, request, exchange, feed, content);
    }

    /// Lets an exchange answer a stream's request, whose content comes by the pipe.
    #[allow(clippy::too_many_arguments, reason = "the parts of an exchange come together here")]
    pub(super) fn begin_stream_exchange(
        &mut self,
        lead: &mut Lead,
        carrier: &Connection,
        request: Box<Request>,
        exchange: Box<dyn Exchange>,
        feed: Feed,
        content: Content,
    ) {
        let Some(stream) = &carrier.stream else { return };
        let shared = &self.shared;
        let ended = Ended::default();
        let keep_lines = shared.access_log.as_ref().is_some_and(|log| log.wants_response_fields());
        let answer = Box::new(H2Sink::new(
            Arc::clone(&shared.rules),
            Arc::clone(&carrier.link),
            Arc::clone(stream),
            facts(&request),
            request.choice,
            keep_lines,
            Arc::clone(&ended),
        ));
        let (room, started_ns, end) = (self.room_bytes_min(), shared.clock.now_ns(), request.head.bytes);
        let run = RunningExchange::new(exchange, request, content, answer, room, started_ns);
        let exchanging = Exchanging { run, feed, ended, end, pace: ContentPace::new(lead.now_ms) };
        let entry = StreamExchange::new(Arc::clone(stream), exchanging);
        // Its session is in the table while its requests are handled; without it the entry and everything it owns is
        // dropped.
        if let Some(Phase::Http2(session)) = lead.slots.parked_at(carrier.token).map(|connection| &mut connection.phase)
        {
            session.exchanges.push(entry);
            lead.ready.push(carrier.token, Readiness::WRITABLE);
        }
    }

    /// Advances the exchanges of a session as far as possible now. True: the session is to be driven again.
    pub(super) fn step_exchanges(&mut self, session: &mut Session, link: &Link, lead: &mut Lead, token: Token) -> bool {
        let now_ms = lead.now_ms;
        let mut is_to_be_driven = false;
        let mut index = 0;
        while let Some(exchange) = session.exchanges.get_mut(index) {
            let has_fed = exchange.exchanging.feed.read_file();
            let turn = exchange.exchanging.run.advance(now_ms, &mut lead.upstreams, token);
            is_to_be_driven |= has_fed || turn == Turn::Over;
            if exchange.exchanging.run.take_switched() {
                // The content of the stream is what the client sends in the other protocol, and it may be there already.
                exchange.exchanging.run.remind_of_content();
            }
            exchange.note_unsent(now_ms);
            if turn != Turn::Done {
                index += 1;
                continue;
            }
            let StreamExchange { stream, exchanging, .. } = session.exchanges.swap_remove(index);
            let started_ns = exchanging.run.started_ns;
            // The sink is dropped with it, and an unfinished answer is aborted.
            let request = exchanging.run.into_request();
            if let Some((outcome, lines)) = exchanging.ended.get() {
                let duration_ns = self.shared.clock.now_ns().saturating_sub(started_ns);
                self.record(&request, outcome, lines.as_deref(), duration_ns, false);
            }
            self.scratch.give_back(request);
            session.take_back(&stream, now_ms);
            // Data given at the end is still to be written.
            is_to_be_driven |= !link.is_gone();
        }
        is_to_be_driven
    }
}
