//! One HTTP/2 connection as the leader drives it: reads what came, hands out requests, and sends the answers of the
//! seats.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use farrier_http::pipe::{End, Marks, pipe};
use farrier_http::{Body, BodyFraming, BodyMode, Error, Origin, Plan, Request};
use h2::server::{Connection, Handshake};
use h2::{Reason, RecvStream};

use crate::exchanging;
use crate::h2::arrival::{Arrival, Incoming, IncompleteRequest};
use crate::h2::exit::PIECE_BYTES_MAX;
use crate::h2::frames::Allowance;
use crate::h2::io::{Io, LinkIo, lock};
use crate::h2::open_streams::OpenStreams;
use crate::h2::piece::Piece;
use crate::h2::stream::StreamLink;
use crate::h2::stream_exchange::StreamExchange;
use crate::rules::Rules;
use crate::streamed_body::PipedBody;
use farrier_transport::file_stretch::ColdStretch;
use farrier_transport::link::Link;
use farrier_transport::reactor::token::Token;
use farrier_transport::spool_file::Spool;
use farrier_transport::upload_budget::ConnectionUploads;

/// How long a client has to close after it was notified that the connection ends, in ms.
const GOAWAY_PATIENCE_MS: u64 = 2000;

/// Content passed to a connection in one turn, before other connections get their turn.
const SEND_TURN_BYTES: usize = 256 * 1024;

/// Most content of one stream that the `h2` crate holds at a time: it cannot keep more than it gets.
const STREAM_BUFFER_BYTES: usize = PIECE_BYTES_MAX;

/// Incomplete requests for which an idle connection keeps room.
const REQUESTS_KEPT: usize = 4;

/// The parts of a connection that its streams share.
pub struct SessionContext<'a> {
    /// Its name in the poller and the slots.
    pub token: Token,
    /// Its socket and what is unsent.
    pub link: &'a Arc<Link>,
    /// Peer and listener.
    pub origin: Origin,
    /// The settings that apply.
    pub rules: &'a Rules,
    /// The time of this turn, in ms.
    pub now_ms: u64,
    /// What happens to a request whose content arrives.
    pub planner: &'a Planner<'a>,
}

/// Asks a request's handler for its plan.
///
/// # Errors
/// The request is refused.
pub type Planner<'a> = dyn Fn(&mut Request) -> Result<Plan, Error> + 'a;

/// The result of driving a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driven {
    /// It goes on, and waits for its client or its seats.
    Open,
    /// It goes on, and there is more to do: other connections get their turn first.
    More,
    /// It has ended, and the link has all data that could be sent.
    Ended,
}

/// One HTTP/2 connection.
pub struct Session {
    state: State,
    io: Arc<Mutex<Io>>,
    waker: Waker,
    incoming: Vec<IncompleteRequest>,
    /// Streams whose requests were handed out.
    streams: OpenStreams,
    /// How much content its requests may have at once.
    uploads: ConnectionUploads,
    /// Parts of files that must be read from the disk first.
    cold: Vec<(Arc<StreamLink>, ColdStretch)>,
    /// Content that must be written to the disk.
    spools: Vec<Arc<Spool>>,
    /// Streams that exchanges answer.
    pub exchanges: Vec<StreamExchange>,
    /// Streams that wait for a seat, are with one, or are answered by an exchange.
    pub out: usize,
    /// Requests received.
    requests: u64,
    /// Bytes received when content was last looked for.
    looked_at_bytes: u64,
    /// When the session began, or the last stream ended, in ms.
    idle_since_ms: u64,
    /// When the socket last took bytes, or needed none, in ms.
    flowing_ms: u64,
    /// When the client was notified that the connection ends, in ms.
    goaway_ms: Option<u64>,
}

enum State {
    /// The preface is missing.
    Beginning(Box<Handshake<LinkIo, Piece>>),
    Open(Box<Connection<LinkIo, Piece>>),
    Ended,
}

impl Session {
    /// A session on a link, with the bytes of `inbox` received already. `waker` is called when a seat has given a
    /// stream something to send.
    pub fn begin(session_context: &SessionContext<'_>, inbox: Vec<u8>, waker: Waker) -> Session {
        let rules = &session_context.rules.http2;
        let allowance = Allowance::new(rules.control_frames_max, rules.resets_max, session_context.now_ms);
        let io = Arc::new(Mutex::new(Io::new(inbox, allowance)));
        let mut builder = h2::server::Builder::new();
        if rules.permits_tunnels {
            builder.enable_connect_protocol();
        }
        let handshake = builder
            .max_concurrent_streams(rules.max_concurrent_streams)
            .initial_window_size(rules.initial_window_bytes)
            .initial_connection_window_size(rules.connection_window_bytes)
            .max_frame_size(rules.max_frame_bytes)
            .max_header_list_size(rules.max_header_list_bytes)
            .max_pending_accept_reset_streams(rules.resets_max as usize)
            .max_concurrent_reset_streams(rules.resets_max as usize)
            .max_send_buffer_size(STREAM_BUFFER_BYTES)
            .max_local_error_reset_streams(Some(rules.resets_max as usize))
            .handshake(LinkIo::new(Arc::clone(session_context.link), Arc::clone(&io)));
        Session {
            state: State::Beginning(Box::new(handshake)),
            io,
            streams: OpenStreams::new(waker.clone()),
            waker,
            incoming: Vec::new(),
            uploads: session_context.rules.spool.budget.of_connection(),
            cold: Vec::new(),
            spools: Vec::new(),
            exchanges: Vec::new(),
            out: 0,
            requests: 0,
            looked_at_bytes: 0,
            idle_since_ms: session_context.now_ms,
            flowing_ms: session_context.now_ms,
            goaway_ms: None,
        }
    }

    /// An event came for the socket.
    pub fn note(&self, readable: bool, ended: bool) {
        let mut io = lock(&self.io);
        io.readable |= readable;
        io.ended |= ended;
    }

    /// Advances the session as far as possible now. Complete requests are added to `arrivals`.
    pub fn drive(&mut self, session_context: &SessionContext<'_>, arrivals: &mut VecDeque<Arrival>) -> Driven {
        lock(&self.io).begin_turn(session_context.now_ms);
        if !self.unblock(session_context) {
            return self.end();
        }
        let mut driven = self.exchange(session_context, arrivals);
        if !lock(&self.io).end_turn(session_context.link) && driven != Driven::Ended {
            driven = self.end();
        }
        if self.is_idle() {
            self.let_go_of_room();
        }
        self.streams.queued.set_full(self.is_full());
        driven
    }

    /// Reads what came, and passes the connection what it takes, for one turn.
    fn exchange(&mut self, session_context: &SessionContext<'_>, arrivals: &mut VecDeque<Arrival>) -> Driven {
        let mut turn_bytes = SEND_TURN_BYTES;
        loop {
            let driven = match self.poll(session_context, arrivals) {
                Driven::Ended => return self.end(),
                driven => driven,
            };
            if !self.feed(session_context, &mut turn_bytes) {
                return driven;
            }
            if turn_bytes == 0 {
                return Driven::More;
            }
        }
    }

    /// The seat that has answered a stream returns it.
    pub fn take_back(&mut self, stream: &Arc<StreamLink>, now_ms: u64) {
        self.out = self.out.saturating_sub(1);
        self.idle_since_ms = now_ms;
        // Content that was not read is no longer wanted.
        self.incoming.retain(|incoming| !Arc::ptr_eq(&incoming.stream, stream));
        self.streams.take_back(stream, now_ms);
    }

    /// What must be read from the disk before more of a stream can be sent.
    pub fn take_cold(&mut self) -> Vec<(Arc<StreamLink>, ColdStretch)> {
        std::mem::take(&mut self.cold)
    }

    /// Content that has arrived and must be written to the disk.
    pub fn take_spools(&mut self) -> Vec<Arc<Spool>> {
        std::mem::take(&mut self.spools)
    }

    /// How many requests the `h2` crate has refused by itself since the last call.
    pub fn take_malformed(&mut self) -> u32 {
        std::mem::take(&mut lock(&self.io).malformed)
    }

    /// Notifies the client that the connection ends with the streams that are open.
    pub fn send_goaway(&mut self, now_ms: u64) {
        if self.goaway_ms.is_none() {
            self.goaway_ms = Some(now_ms);
            match &mut self.state {
                State::Open(connection) => connection.graceful_shutdown(),
                State::Beginning(_) | State::Ended => {}
            }
        }
    }

    /// Drops everything at once.
    pub fn abandon(&mut self) {
        let state = std::mem::replace(&mut self.state, State::Ended);
        let incoming = std::mem::take(&mut self.incoming);
        // After a panic, dropping may find a poisoned lock.
        let _ = catch_unwind(AssertUnwindSafe(|| drop((state, incoming))));
        self.streams.give_up();
    }

    /// Whether it has ended.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Whether only streams are left whose calls are not waited for.
    pub fn awaits_only_given_up_calls(&self) -> bool {
        self.out > 0 && self.incoming.is_empty() && self.streams.are_given_up()
    }

    /// Whether the socket takes nothing more for now.
    pub fn is_full(&self) -> bool {
        lock(&self.io).is_full
    }

    /// When the session must be checked even if nothing happens, in ms.
    pub fn deadline_ms(&self, rules: &Rules) -> u64 {
        // While streams are with seats nothing is due, and a check now and then is cheap.
        let mut deadline_ms = self.flowing_ms + rules.keepalive_ms.max(1000);
        let mut at = |ms: u64| deadline_ms = deadline_ms.min(ms);
        if let State::Beginning(_) = self.state {
            at(self.idle_since_ms + rules.header_timeout_ms);
        }
        if self.is_full() {
            at(self.flowing_ms + rules.write_timeout_ms);
        }
        self.incoming.iter().for_each(|incoming| at(incoming.deadline_ms(rules)));
        let exchanges = self.exchanges.iter().filter_map(|exchange| exchange.deadline_ms(rules.response_pace()));
        exchanges.for_each(&mut at);
        if let Some(pace_ms) = self.streams.deadline_ms(rules.response_pace()) {
            at(pace_ms);
        }
        if self.is_idle() {
            at(match self.goaway_ms {
                Some(goaway_ms) => goaway_ms.max(self.idle_since_ms) + GOAWAY_PATIENCE_MS,
                None => self.idle_since_ms + rules.keepalive_ms,
            });
        }
        deadline_ms
    }

    /// Ends what has waited for too long. Requests refused for that are added to `arrivals`. False: the session must
    /// not be driven any more.
    pub fn expire(&mut self, session_context: &SessionContext<'_>, arrivals: &mut VecDeque<Arrival>) -> bool {
        let (rules, now_ms) = (session_context.rules, session_context.now_ms);
        if self.is_full() && self.flowing_ms + rules.write_timeout_ms <= now_ms {
            return false;
        }
        if let State::Beginning(_) = self.state
            && self.idle_since_ms + rules.header_timeout_ms <= now_ms
        {
            return false;
        }
        for index in (0..self.incoming.len()).rev() {
            if self.incoming[index].deadline_ms(rules) <= now_ms
                && let Some((stream, incoming)) = self.incoming.swap_remove(index).expire()
            {
                self.hand_out(session_context, arrivals, stream, incoming);
            }
        }
        self.streams.expire(rules.response_pace(), now_ms);
        self.exchanges.iter_mut().for_each(|exchange| exchange.expire(rules.response_pace(), now_ms));
        if self.is_idle() {
            let idle_ms = now_ms.saturating_sub(self.idle_since_ms);
            match self.goaway_ms {
                Some(goaway_ms) if goaway_ms.max(self.idle_since_ms) + GOAWAY_PATIENCE_MS <= now_ms => return false,
                None if idle_ms >= rules.keepalive_ms => self.send_goaway(now_ms),
                _ => {}
            }
        }
        true
    }

    /// No stream is open.
    fn is_idle(&self) -> bool {
        self.out == 0 && self.incoming.is_empty() && self.streams.is_empty()
    }

    /// Writes what the socket did not take before. False: the client has left.
    fn unblock(&mut self, session_context: &SessionContext<'_>) -> bool {
        use farrier_transport::link::Sent;
        let mut io = lock(&self.io);
        if io.is_full {
            match session_context.link.flush() {
                Sent::All => io.is_full = false,
                Sent::Unsent(_) => {}
                Sent::Broken => return false,
            }
        }
        if !io.is_full {
            self.flowing_ms = session_context.now_ms;
        }
        true
    }

    fn poll(&mut self, session_context: &SessionContext<'_>, arrivals: &mut VecDeque<Arrival>) -> Driven {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        if let State::Beginning(handshake) = &mut self.state {
            match Pin::new(handshake.as_mut()).poll(&mut context) {
                Poll::Pending => return Driven::Open,
                Poll::Ready(Ok(connection)) => {
                    self.state = State::Open(Box::new(connection));
                    if self.goaway_ms.take().is_some() {
                        self.send_goaway(session_context.now_ms);
                    }
                }
                Poll::Ready(Err(_)) => return Driven::Ended,
            }
        }
        let State::Open(connection) = &mut self.state else { return Driven::Ended };
        let mut accepted = Vec::new();
        let ended = loop {
            match connection.poll_accept(&mut context) {
                Poll::Pending => break false,
                Poll::Ready(Some(Ok((head, respond)))) => {
                    self.requests += 1;
                    let stream = Arc::new(StreamLink::new(respond, &self.streams.queued));
                    accepted.push((head, stream));
                }
                Poll::Ready(Some(Err(_)) | None) => break true,
            }
        };
        for (head, stream) in accepted {
            if head.body().is_end_stream() {
                let incoming = Incoming::Head(Box::new(head.map(drop)));
                self.hand_out(session_context, arrivals, stream, incoming);
            } else {
                self.begin_content(session_context, arrivals, head, stream);
            }
        }
        self.take_content(session_context, arrivals);
        if ended {
            return Driven::Ended;
        }
        let (is_flooded, has_more) = {
            let io = lock(&self.io);
            (io.is_flooded, io.has_more())
        };
        if is_flooded && let State::Open(connection) = &mut self.state {
            connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            // GOAWAY is written, or the client takes nothing.
            let _ = connection.poll_closed(&mut context);
            return Driven::Ended;
        }
        let rules = session_context.rules;
        if rules.keepalive_requests > 0 && self.requests >= rules.keepalive_requests {
            self.send_goaway(session_context.now_ms);
        }
        if has_more { Driven::More } else { Driven::Open }
    }

    fn begin_content(
        &mut self,
        session_context: &SessionContext<'_>,
        arrivals: &mut VecDeque<Arrival>,
        head: http::Request<RecvStream>,
        stream: Arc<StreamLink>,
    ) {
        match IncompleteRequest::begin(
            head,
            stream,
            session_context.origin.scheme,
            &self.uploads,
            session_context.rules,
            session_context.now_ms,
        ) {
            Ok(incoming) => self.plan_content(session_context, arrivals, incoming),
            Err((stream, error, request)) => {
                self.hand_out(session_context, arrivals, stream, Incoming::Refused(error, request));
            }
        }
    }

    /// Asks how the handler wants the content of a request.
    fn plan_content(
        &mut self,
        session_context: &SessionContext<'_>,
        arrivals: &mut VecDeque<Arrival>,
        mut incoming: IncompleteRequest,
    ) {
        let rules = session_context.rules;
        let stream = Arc::clone(&incoming.stream);
        // Half of a stream's window, so that the client can send while the other half waits.
        let high_bytes = rules.request_buffer_bytes.min(u64::from(rules.http2.initial_window_bytes / 2));
        let marks = Marks::with_high(usize::try_from(high_bytes).unwrap_or(usize::MAX));
        let given = match (session_context.planner)(incoming.request_mut()) {
            Err(error) => {
                let incoming = incoming.refused(error);
                return self.hand_out(session_context, arrivals, stream, incoming);
            }
            Ok(Plan::Seat(BodyMode::Streamed)) => {
                let (source, drain) = pipe(marks, End::Engine(self.waker.clone()), End::Seat);
                let mut request = incoming.stream_into(source, false, rules);
                let length_bytes = match request.head.framing {
                    BodyFraming::Length(length) => Some(length),
                    _ => None,
                };
                let fault = Arc::default();
                request.content_fault = Some(Arc::clone(&fault));
                request.body = Body::Streamed(Box::new(PipedBody::new(drain, length_bytes, fault, rules)));
                Some(Incoming::Planned(request, Plan::Seat(BodyMode::Streamed)))
            }
            Ok(Plan::Exchange(exchange, BodyMode::Streamed)) => {
                let (source, mut content) = exchanging::arriving(&self.waker, marks, BodyFraming::Chunked);
                let request = incoming.stream_into(source, true, rules);
                // Without a length the end of the stream is the end of the content.
                if let BodyFraming::Length(bytes) = request.head.framing {
                    content.bytes = Some(bytes);
                }
                Some(Incoming::Exchange(request, exchange, content))
            }
            Ok(plan) => {
                incoming.collect(plan, rules);
                None
            }
        };
        self.incoming.push(incoming);
        self.looked_at_bytes = u64::MAX;
        if let Some(given) = given {
            self.hand_out(session_context, arrivals, stream, given);
        }
    }

    /// Takes content of all requests, if any bytes have arrived or were written to the disk.
    fn take_content(&mut self, session_context: &SessionContext<'_>, arrivals: &mut VecDeque<Arrival>) {
        let received_bytes = lock(&self.io).received_bytes;
        let awaits_others = self.incoming.iter().any(|incoming| incoming.awaits_disk() || incoming.is_streamed());
        if self.incoming.is_empty() || (self.looked_at_bytes == received_bytes && !awaits_others) {
            return;
        }
        self.looked_at_bytes = received_bytes;
        for index in (0..self.incoming.len()).rev() {
            if self.incoming[index].is_streamed() {
                if self.incoming[index].take_streamed(session_context.now_ms) {
                    self.incoming.swap_remove(index);
                }
                continue;
            }
            match self.incoming[index].take(session_context.rules, session_context.now_ms) {
                Poll::Pending => self.spools.extend(self.incoming[index].take_load()),
                Poll::Ready(None) => {
                    self.incoming.swap_remove(index);
                }
                Poll::Ready(Some(incoming)) => {
                    let stream = self.incoming.swap_remove(index).stream;
                    self.hand_out(session_context, arrivals, stream, incoming);
                }
            }
        }
    }

    fn hand_out(
        &mut self,
        session_context: &SessionContext<'_>,
        arrivals: &mut VecDeque<Arrival>,
        stream: Arc<StreamLink>,
        incoming: Incoming,
    ) {
        let SessionContext { token, link, origin, .. } = session_context;
        let (token, link, origin) = (*token, Arc::clone(link), *origin);
        self.streams.add(Arc::clone(&stream));
        arrivals.push_back(Arrival { token, link, origin, stream, incoming });
        self.out += 1;
    }

    /// Passes the connection what flow control admits of each stream. True when something was passed.
    fn feed(&mut self, session_context: &SessionContext<'_>, turn_bytes: &mut usize) -> bool {
        // What the socket does not take stays in the streams, where it is counted.
        if self.is_full() {
            return false;
        }
        let had_leaving = self.streams.has_leaving();
        let has_fed = self.streams.feed(turn_bytes, &mut self.cold);
        if had_leaving && !self.streams.has_leaving() {
            self.idle_since_ms = session_context.now_ms;
        }
        has_fed
    }

    /// An idle connection keeps no large buffer.
    fn let_go_of_room(&mut self) {
        lock(&self.io).let_go_of_room();
        self.streams.let_go_of_room();
        self.incoming.shrink_to(REQUESTS_KEPT);
        self.cold = Vec::new();
    }

    fn end(&mut self) -> Driven {
        self.state = State::Ended;
        self.incoming.clear();
        self.streams.give_up();
        Driven::Ended
    }
}
