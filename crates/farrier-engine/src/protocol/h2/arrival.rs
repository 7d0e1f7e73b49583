//! A request that came by a stream: its head as the `h2` crate gives it, and its content on its way in.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use farrier_http::wire::h2::{Pseudo, read_head};
use farrier_http::{Body, BodyFraming, Error, Kind, Origin, Request, Scheme};
use h2::RecvStream;

use crate::protocol::h2::stream::StreamLink;
use crate::protocol::spool::Sink;
use crate::protocol::spool_file::Spool;
use crate::protocol::upload_budget::ConnectionUploads;
use crate::reactor::token::Token;
use crate::rules::Rules;
use crate::transport::link::Link;

/// Room of a request's arena while its content comes.
const PARTIAL_ROOM_BYTES: usize = 1024;

/// A request that waits for the leader.
pub(crate) struct Arrival {
    /// The connection.
    pub(crate) token: Token,
    pub(crate) link: Arc<Link>,
    pub(crate) origin: Origin,
    pub(crate) stream: Arc<StreamLink>,
    pub(crate) incoming: Incoming,
}

/// How far a request has come.
pub(crate) enum Incoming {
    /// The head of a request without content, to be decoded.
    Head(Box<http::Request<()>>),
    /// Complete.
    Complete(Box<Request>),
    /// The client broke a rule; the request as far as it was understood.
    Refused(Error, Box<Request>),
}

/// Decodes a head into an empty request.
///
/// # Errors
/// The request is refused.
pub(crate) fn decode<T>(
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
    };
    let fields = head.headers().iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    read_head(request, pseudo, fields, scheme, ended, &rules.limits, |request| rules.body_bytes_max(request))
}

/// A request whose content is incomplete.
pub(crate) struct IncompleteRequest {
    pub(crate) stream: Arc<StreamLink>,
    request: Box<Request>,
    content: RecvStream,
    sink: Sink,
    body_bytes_max: u64,
    /// When the head came, in ms.
    since_ms: u64,
    /// When content came at last, in ms.
    moved_ms: u64,
    received_bytes: u64,
    /// Bytes that the client may send again.
    released_bytes: u64,
    /// All of it has come.
    is_complete: bool,
    /// Since when it waits for the disk and not for the client, in ms.
    disk_since_ms: Option<u64>,
}

impl IncompleteRequest {
    /// A request whose head is decoded; whoever waits for it is told to go on.
    ///
    /// # Errors
    /// The request is refused.
    pub(crate) fn begin(
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
        if request.head.expect_continue {
            let mut interim = http::Response::new(());
            *interim.status_mut() = http::StatusCode::CONTINUE;
            // Who is gone is found gone when the content is looked for.
            let _ = stream.inform(interim);
        }
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
        })
    }

    /// Takes what content has come. `Ready` when the request is complete, refused, or broken off (`None`).
    pub(crate) fn take(&mut self, rules: &Rules, now_ms: u64) -> Poll<Option<Incoming>> {
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
        // Nobody needs to be told: content is looked for whenever bytes have come.
        let context = &mut Context::from_waker(Waker::noop());
        loop {
            match self.content.poll_data(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(piece))) => {
                    self.moved_ms = now_ms;
                    self.received_bytes += piece.len() as u64;
                    if self.received_bytes > self.body_bytes_max {
                        let error = Error::client(Kind::BodyTooLarge, "the content is above its bound");
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
        // Trailers are read and dropped, as those of HTTP/1.1 are.
        match self.content.poll_trailers(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(None),
            Poll::Ready(Ok(_)) => {
                self.is_complete = true;
                Poll::Pending
            }
        }
    }

    /// Opens the client's windows by what has found its place, in counted memory or in the file: never before. (Content that
    /// the application reads as it comes finds its place when it is read.)
    fn release(&mut self, now_ms: u64) {
        let waiting_bytes = self.sink.waiting_bytes() as u64;
        let placed_bytes = self.received_bytes.saturating_sub(waiting_bytes);
        if let Some(bytes) = placed_bytes.checked_sub(self.released_bytes).filter(|&bytes| bytes > 0) {
            self.released_bytes = placed_bytes;
            // Who is gone needs no window.
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

    /// What the disk thread has to write of it.
    pub(crate) fn take_load(&self) -> Option<Arc<Spool>> {
        self.sink.take_load()
    }

    /// Whether it waits for the disk.
    pub(crate) fn awaits_disk(&self) -> bool {
        self.disk_since_ms.is_some()
    }

    /// When waiting for content ends in a time-out, in ms.
    pub(crate) fn deadline_ms(&self, rules: &Rules) -> u64 {
        if self.awaits_disk() {
            return u64::MAX;
        }
        let idle_ms = self.moved_ms + rules.body_timeout_ms;
        if rules.body_rate_min == 0 {
            return idle_ms;
        }
        // Until then what has come is enough for the least rate.
        let earned_ms = (self.received_bytes + 1).saturating_mul(1000) / rules.body_rate_min;
        idle_ms.min(self.since_ms + rules.body_timeout_ms.max(earned_ms))
    }

    /// The refusal when that time has come.
    pub(crate) fn expire(mut self) -> (Arc<StreamLink>, Incoming) {
        let incoming = self.refused(Error::client(Kind::RequestTimeout, "the content came too slowly"));
        (self.stream, incoming)
    }

    fn complete(&mut self, rules: &Rules) -> Incoming {
        let mut request = self.take_request();
        // RFC 9113 §8.1.1; the `h2` crate has looked at it too.
        if let BodyFraming::Length(length) = request.head.framing
            && length != self.received_bytes
        {
            return Incoming::Refused(Error::bad_request("the content is not as long as its Content-Length"), request);
        }
        match std::mem::take(&mut self.sink).into_body(&rules.spool) {
            Ok(body) => {
                request.body = if self.received_bytes == 0 { Body::Empty } else { body };
                Incoming::Complete(request)
            }
            Err(error) => Incoming::Refused(error, request),
        }
    }

    fn refused(&mut self, error: Error) -> Incoming {
        Incoming::Refused(error, self.take_request())
    }

    fn take_request(&mut self) -> Box<Request> {
        std::mem::replace(&mut self.request, Box::new(Request::with_room(0)))
    }
}
