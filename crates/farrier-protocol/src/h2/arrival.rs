//! A request that came on a stream: its head as the `h2` crate gives it, and its content as it arrives.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use farrier_http::pipe::PipeSource;
use farrier_http::wire::h2::{Pseudo, read_head};
use farrier_http::{Body, BodyFraming, Error, Exchange, Kind, Origin, Plan, Request, Scheme};
use h2::RecvStream;

use crate::content_pace::{ContentPace, LeastPace};
use crate::exchange::Content;
use crate::h2::stream::StreamLink;
use crate::rules::Rules;
use farrier_transport::link::Link;
use farrier_transport::reactor::token::Token;
use farrier_transport::spool::Sink;
use farrier_transport::spool_file::Spool;
use farrier_transport::upload_budget::ConnectionUploads;

/// Size of a request's arena while its content arrives.
const PARTIAL_ROOM_BYTES: usize = 1024;

/// A request that waits for the leader.
pub struct Arrival {
    /// The connection.
    pub token: Token,
    /// Its socket and what is unsent.
    pub link: Arc<Link>,
    /// Peer and listener.
    pub origin: Origin,
    /// The answering side of its stream.
    pub stream: Arc<StreamLink>,
    /// The request, or why it is refused.
    pub incoming: Incoming,
}

/// The state of a request.
pub enum Incoming {
    /// The head of a request without content, to be decoded.
    Head(Box<http::Request<()>>),
    /// Complete, or to be answered while its content arrives; with the handler's plan.
    Planned(Box<Request>, Plan),
    /// An exchange answers it, and its content goes through this pipe.
    Exchange(Box<Request>, Box<dyn Exchange>, Content),
    /// The client broke a rule; the request as far as it was understood.
    Refused(Error, Box<Request>),
}

/// Decodes a head into an empty request.
///
/// # Errors
/// The request is refused.
pub fn decode<T>(
    head: &http::Request<T>,
    request: &mut Request,
    scheme: Scheme,
    ended: bool,
    rules: &Rules,
) -> Result<(), Error> {
    let uri = head.uri();
    let pseudo = Pseudo {
        method: head.method().as_str().as_bytes(),
        scheme: uri.scheme_str().map(str::as_bytes),
        authority: uri.authority().map(|authority| authority.as_str().as_bytes()),
        path: uri.path_and_query().map(|path| path.as_str().as_bytes()).unwrap_or_default(),
        protocol: head.extensions().get::<h2::ext::Protocol>().map(|protocol| protocol.as_str().as_bytes()),
    };
    let fields = head.headers().iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    read_head(request, pseudo, fields, scheme, ended, &rules.limits, |request| rules.body_bytes_max(request))
}

/// A request whose content is incomplete.
pub struct IncompleteRequest {
    pub(crate) stream: Arc<StreamLink>,
    request: Box<Request>,
    content: RecvStream,
    sink: Sink,
    body_bytes_max: u64,
    /// When the head came, in ms.
    since_ms: u64,
    /// When content last came, in ms.
    moved_ms: u64,
    received_bytes: u64,
    /// Bytes that the client may send again.
    released_bytes: u64,
    /// All of it has come.
    is_complete: bool,
    /// Since when it waits for the disk rather than for the client, in ms.
    disk_since_ms: Option<u64>,
    /// The handler's plan, once the handler was asked.
    plan: Option<Plan>,
    /// The pipe for streamed content.
    source: Option<PipeSource>,
    /// How fast the client sends content for the pipe. `None` if another thread checks that.
    pace: Option<ContentPace>,
    /// The client waits for `100 Continue`, or has got it.
    expects_continue: bool,
    is_invited: bool,
}

impl IncompleteRequest {
    /// A request whose head is decoded.
    ///
    /// # Errors
    /// The request is refused.
    pub fn begin(
        head: http::Request<RecvStream>,
        stream: Arc<StreamLink>,
        scheme: Scheme,
        uploads: &ConnectionUploads,
        rules: &Rules,
        now_ms: u64,
    ) -> Result<IncompleteRequest, (Arc<StreamLink>, Error, Box<Request>)> {
        let mut request = Box::new(Request::with_room(PARTIAL_ROOM_BYTES));
        if let Err(error) = decode(&head, &mut request, scheme, false, rules) {
            return Err((stream, error, request));
        }
        let expects_continue = request.head.expect_continue;
        let content = head.into_body();
        let sink = Sink::expecting(request.head.framing, Some(uploads.begin()));
        let body_bytes_max = rules.body_bytes_max(&mut request);
        let (since_ms, moved_ms) = (now_ms, now_ms);
        Ok(IncompleteRequest {
            stream,
            request,
            content,
            sink,
            body_bytes_max,
            since_ms,
            moved_ms,
            received_bytes: 0,
            released_bytes: 0,
            is_complete: false,
            disk_since_ms: None,
            plan: None,
            source: None,
            pace: None,
            expects_continue,
            is_invited: false,
        })
    }

    /// The request, to ask how its content is wanted.
    pub fn request_mut(&mut self) -> &mut Request {
        &mut self.request
    }

    /// Collects the content until it is complete, as the handler's plan says.
    pub fn collect(&mut self, plan: Plan, rules: &Rules) {
        self.plan = Some(plan);
        // The host or path from a proxy may lead to another mount than the head alone.
        self.body_bytes_max = rules.body_bytes_max(&mut self.request);
        self.invite();
    }

    /// Passes the content to a pipe as it arrives, and gives the request away.
    ///
    /// # Arguments
    ///
    /// `is_paced`: no other code checks how fast the client sends.
    pub fn stream_into(&mut self, source: PipeSource, is_paced: bool, rules: &Rules) -> Box<Request> {
        let is_tunnel = self.request.protocol().is_some();
        // A tunnel has bounds of its own.
        self.body_bytes_max = if is_tunnel { u64::MAX } else { rules.body_bytes_max(&mut self.request) };
        // Every content that is taken must open the windows, however little it is.
        source.tell_when_empty();
        self.source = Some(source);
        self.pace = (is_paced && !is_tunnel).then(|| ContentPace::new(self.moved_ms));
        self.take_request()
    }

    /// Whether its content goes to a pipe: then the request was given away.
    pub fn is_streamed(&self) -> bool {
        self.source.is_some()
    }

    /// Sends `100 Continue` to a client that waits for it.
    fn invite(&mut self) {
        if self.expects_continue && !std::mem::replace(&mut self.is_invited, true) {
            let mut interim = http::Response::new(());
            *interim.status_mut() = http::StatusCode::CONTINUE;
            // A client that has left is noticed when the content is looked for.
            let _ = self.stream.inform(interim);
        }
    }

    /// Passes new content to the pipe, as far as it has room. True: nothing more is to be read.
    pub fn take_streamed(&mut self, now_ms: u64) -> bool {
        if self.source.as_ref().is_some_and(PipeSource::is_wanted) {
            self.invite();
        }
        let Some(source) = &self.source else { return true };
        let before_bytes = self.received_bytes;
        let context = &mut Context::from_waker(Waker::noop());
        while source.has_room() && !source.is_abandoned() {
            match self.content.poll_data(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(piece))) => {
                    self.received_bytes += piece.len() as u64;
                    if self.received_bytes > self.body_bytes_max {
                        source.abort(Error::client(
                            Kind::BodyTooLarge,
                            "the content is above its bound (see limit_request_body)",
                        ));
                        return true;
                    }
                    source.push(piece);
                }
                Poll::Ready(Some(Err(_))) => {
                    source.abort(Error::client(Kind::ClientGone, "the client broke off its request's content"));
                    return true;
                }
                Poll::Ready(None) => {
                    source.finish();
                    return true;
                }
            }
        }
        if let Some(pace) = &mut self.pace {
            let is_uninvited = self.expects_continue && !self.is_invited;
            pace.note(self.received_bytes != before_bytes, source.has_room() && !is_uninvited, now_ms);
        }
        // The windows open by as much as was taken from the pipe.
        let taken_bytes = source.taken_bytes();
        let bytes = taken_bytes.saturating_sub(self.released_bytes);
        if bytes > 0 {
            self.released_bytes = taken_bytes;
            // A client that has left needs no window.
            let _ = self.content.flow_control().release_capacity(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        false
    }

    /// Takes the content that has arrived. `Ready` when the request is complete, refused, or broken off (`None`).
    pub fn take(&mut self, rules: &Rules, now_ms: u64) -> Poll<Option<Incoming>> {
        if let Err(error) = self.sink.check(&rules.spool) {
            return Poll::Ready(Some(self.refused(error)));
        }
        let taken = if self.is_complete { Poll::Pending } else { self.take_pieces(rules, now_ms) };
        if taken.is_ready() {
            return taken;
        }
        self.release(now_ms);
        if self.is_complete && self.sink.waiting_bytes() == 0 {
            return Poll::Ready(Some(self.complete(rules)));
        }
        Poll::Pending
    }

    fn take_pieces(&mut self, rules: &Rules, now_ms: u64) -> Poll<Option<Incoming>> {
        // No wake-up is needed: content is looked for whenever bytes have come.
        let context = &mut Context::from_waker(Waker::noop());
        loop {
            match self.content.poll_data(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    self.moved_ms = now_ms;
                    self.received_bytes += piece.len() as u64;
                    if self.received_bytes > self.body_bytes_max {
                        let error = Error::client(
                            Kind::BodyTooLarge,
                            "the content is above its bound (see limit_request_body)",
                        );
                        return Poll::Ready(Some(self.refused(error)));
                    }
                    if let Err(error) = self.sink.take(&piece, &rules.spool) {
                        return Poll::Ready(Some(self.refused(error)));
                    }
                }
                Poll::Ready(Some(Err(_))) => return Poll::Ready(None),
                Poll::Ready(None) => break,
            }
        }
        // Trailers are read and dropped, as in HTTP/1.1.
        match self.content.poll_trailers(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(_)) => {
                self.is_complete = true;
                Poll::Pending
            }
        }
    }

    /// Opens the client's windows by as much as was stored in counted memory or in the file: never before. (Content
    /// that the application reads as it arrives counts as stored when it is read.)
    fn release(&mut self, now_ms: u64) {
        let waiting_bytes = self.sink.waiting_bytes() as u64;
        let placed_bytes = self.received_bytes.saturating_sub(waiting_bytes);
        if let Some(bytes) = placed_bytes.checked_sub(self.released_bytes).filter(|&bytes| bytes > 0) {
            self.released_bytes = placed_bytes;
            // A client that has left needs no window.
            let _ = self.content.flow_control().release_capacity(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        match (waiting_bytes, self.disk_since_ms) {
            (0, Some(since_ms)) => {
                // The client could not send meanwhile.
                self.disk_since_ms = None;
                self.since_ms += now_ms.saturating_sub(since_ms);
                self.moved_ms = now_ms;
            }
            (1.., None) => self.disk_since_ms = Some(now_ms),
            _ => {}
        }
    }

    /// Content that the disk thread must write.
    pub fn take_load(&self) -> Option<Arc<Spool>> {
        self.sink.take_load()
    }

    /// Whether it waits for the disk.
    pub fn awaits_disk(&self) -> bool {
        self.disk_since_ms.is_some()
    }

    /// When waiting for content ends in a time-out, in ms.
    pub fn deadline_ms(&self, rules: &Rules) -> u64 {
        if self.is_streamed() {
            return self.pace.map_or(u64::MAX, |pace| pace.deadline_ms(self.received_bytes, LeastPace::of(rules)));
        }
        if self.awaits_disk() {
            return u64::MAX;
        }
        let idle_ms = self.moved_ms + rules.body_timeout_ms;
        if rules.body_rate_min == 0 {
            return idle_ms;
        }
        // Until then the received content satisfies the minimum rate.
        let earned_ms = (self.received_bytes + 1).saturating_mul(1000) / rules.body_rate_min;
        idle_ms.min(self.since_ms + rules.body_timeout_ms.max(earned_ms))
    }

    /// The refusal when that time has come. `None` if the request was given away: its owner learns it through the pipe.
    pub fn expire(mut self) -> Option<(Arc<StreamLink>, Incoming)> {
        let error = Error::client(Kind::RequestTimeout, "the content came too slowly");
        if let Some(source) = &self.source {
            source.abort(error);
            return None;
        }
        let incoming = self.refused(error);
        Some((self.stream, incoming))
    }

    fn complete(&mut self, rules: &Rules) -> Incoming {
        let mut request = self.take_request();
        // RFC 9113 §8.1.1; the `h2` crate has checked it too.
        if let BodyFraming::Length(length) = request.head.framing
            && length != self.received_bytes
        {
            return Incoming::Refused(Error::bad_request("the content is not as long as its Content-Length"), request);
        }
        match std::mem::take(&mut self.sink).into_body(&rules.spool) {
            Ok(body) => {
                request.body = if self.received_bytes == 0 { Body::Empty } else { body };
                Incoming::Planned(request, self.plan.take().unwrap_or(Plan::Now))
            }
            Err(error) => Incoming::Refused(error, request),
        }
    }

    pub(crate) fn refused(&mut self, error: Error) -> Incoming {
        Incoming::Refused(error, self.take_request())
    }

    fn take_request(&mut self) -> Box<Request> {
        std::mem::replace(&mut self.request, Box::new(Request::with_room(0)))
    }
}
