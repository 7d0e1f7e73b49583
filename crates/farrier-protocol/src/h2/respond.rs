//! The writing side of the HTTP/2 front: one answer, passed to its stream in as few frames as its handler allows. The
//! leader writes the data of all streams of a connection.

use std::fs::File;
use std::sync::Arc;

use farrier_http::wire::ResponseAccount;
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::h1::{RequestFacts, ResponseFraming};
use farrier_http::{Bytes, Error, Flush, Kind, Respond, ResponseHead, SendError};
use h2::Reason;
use http::header::{CONTENT_LENGTH, DATE, SERVER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::after_response::AfterResponse;
use crate::client_wait::ClientWait;
use crate::final_head::FinalHead;
use crate::h2::exit::Gone;
use crate::h2::stream::{Keeping, StreamLink, Unsendable};
use crate::host::Host;
use crate::outlet::Outcome;
use crate::rules::Rules;
use crate::scratch::Scratch;
use farrier_transport::file_stretch::FileStretch;
use farrier_transport::link::Link;

/// Content that is gathered before it is passed to the stream, unless it must be sent earlier: a frame's usual limit.
const STAGED_BYTES_MAX: usize = 16 * 1024;

/// Content of at least this size is shared with its owner rather than copied.
const SHARED_BYTES_MIN: usize = 128 * 1024;

/// The destination of an answer.
pub struct StreamChannel<'a> {
    /// The settings that apply.
    pub rules: &'a Rules,
    /// The interpreter.
    pub host: &'a dyn Host,
    /// Notified when the response waits for its client.
    pub client_wait: &'a dyn ClientWait,
    /// Its socket and what is unsent.
    pub link: &'a Link,
    /// The answering side of its stream.
    pub stream: &'a StreamLink,
    /// The caller may wait for the client: a handler that occupies a seat.
    pub may_wait: bool,
}

impl<'a> StreamChannel<'a> {
    /// How content is kept that flow control does not admit.
    fn keeping(&self) -> Keeping<'a> {
        Keeping { seat: self.may_wait.then_some((self.client_wait, self.host)), ..self.rules.keeping() }
    }
}

/// Answers one stream.
pub struct H2Respond<'a> {
    channel: StreamChannel<'a>,
    scratch: &'a mut Scratch,
    facts: RequestFacts,
    /// The request's site, for its error page.
    choice: u32,
    state: State,
    account: ResponseAccount,
    staged: Option<Response<()>>,
    trailers: Option<HeaderMap>,
    /// The client must take more before the next piece is sent.
    must_wait: bool,
    head: FinalHead,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head yet.
    Waiting,
    /// The head is staged and can be replaced.
    Staged,
    /// The head has left.
    Sent,
    /// The last frame was given.
    Ended,
    Finished,
    Broken,
}

impl<'a> H2Respond<'a> {
    /// The answer to one stream.
    pub fn new(
        channel: StreamChannel<'a>,
        scratch: &'a mut Scratch,
        facts: RequestFacts,
        choice: u32,
        keep_lines: bool,
    ) -> Self {
        scratch.out.clear();
        H2Respond {
            channel,
            scratch,
            facts,
            choice,
            state: State::Waiting,
            account: ResponseAccount::default(),
            staged: None,
            trailers: None,
            must_wait: false,
            head: FinalHead::new(keep_lines),
        }
    }

    /// Answers with an error: a whole response if nothing was sent yet, otherwise the stream visibly breaks off.
    pub fn fail(&mut self, error: Error) {
        let rules = self.channel.rules;
        if matches!(self.state, State::Waiting | State::Staged) {
            if let Some((head, content)) = rules.response_to(&error, self.choice) {
                self.scratch.out.clear();
                self.state = State::Waiting;
                self.trailers = None;
                self.head(&head, Some(content.len() as u64));
                // If it cannot be sent, `outcome` notices that.
                let _ = self.send(&content, Flush::Later);
                self.finish();
            } else {
                self.break_off(Reason::CANCEL);
            }
        } else if matches!(self.state, State::Sent | State::Ended) {
            self.break_off(Reason::INTERNAL_ERROR);
        }
        self.account.fail(error);
    }

    /// Ends the response, as far as the handler produced it, and returns its outcome.
    pub fn outcome(mut self) -> (Outcome, Option<Vec<u8>>) {
        match self.state {
            State::Finished | State::Broken => {}
            State::Waiting | State::Staged => {
                self.fail(Error::application("the handler ended without a complete response"));
            }
            State::Sent | State::Ended if self.client_gone() => {
                self.give_up(Kind::ClientGone, "the client left before its answer was complete");
            }
            State::Sent | State::Ended => {
                self.break_off(Reason::INTERNAL_ERROR);
                self.account.note(Error::application("the handler ended in the middle of its response"));
            }
        }
        // The stream does not decide whether the connection stays open.
        let outcome = Outcome::of(self.account, AfterResponse::KeepAlive, false);
        (outcome, self.head.into_lines())
    }

    /// Adds a piece of content; `keep` can make it outlive the call.
    fn give(&mut self, chunk: &[u8], flush: Flush, keep: Option<&mut dyn FnMut() -> Bytes>) -> Result<(), SendError> {
        match self.state {
            State::Staged | State::Sent => {}
            State::Broken => return Err(SendError::Gone),
            State::Waiting | State::Ended | State::Finished => return Ok(()),
        }
        if chunk.is_empty() {
            return Ok(());
        }
        self.settle()?;
        let counted = self.account.count(chunk.len() as u64);
        let content = &chunk[..counted.bytes as usize];
        // Once the declared length is reached only trailers can come.
        let is_end = self.account.is_complete() && self.trailers.is_none();
        match keep {
            // Without content there is only the head to send; it is sent at the end.
            _ if content.is_empty() => {}
            Some(keep) if content.len() >= SHARED_BYTES_MIN => {
                self.emit(&[], false)?;
                self.state = if is_end { State::Ended } else { State::Sent };
                let content = keep().slice(..content.len());
                let sent = self.channel.stream.send_shared(content, is_end, self.channel.keeping());
                sent.map_err(|why| self.unsendable(why))?;
                self.must_wait = flush == Flush::Now;
            }
            _ if flush == Flush::Later && self.scratch.out.len() + content.len() <= STAGED_BYTES_MAX => {
                self.scratch.out.extend_from_slice(content);
            }
            _ => {
                self.emit(content, is_end)?;
                self.must_wait = flush == Flush::Now;
            }
        }
        if counted.is_cut { Err(SendError::Full) } else { Ok(()) }
    }

    /// Waits until the client has taken enough for more to be sent. A handler that has made its last piece does not
    /// wait.
    fn settle(&mut self) -> Result<(), SendError> {
        if std::mem::take(&mut self.must_wait) { self.wait_for_room() } else { Ok(()) }
    }

    /// Passes the staged bytes and the content behind them to the stream. Never waits for the client.
    fn emit(&mut self, content: &[u8], end: bool) -> Result<(), SendError> {
        let first = std::mem::take(&mut self.scratch.out);
        let head = self.staged.take();
        self.state = if end { State::Ended } else { State::Sent };
        let sent = self.channel.stream.send(head, first, content, end, self.channel.keeping());
        sent.map_err(|why| self.unsendable(why))
    }

    fn unsendable(&mut self, why: Unsendable) -> SendError {
        match why {
            Unsendable::Gone => self.give_up(Kind::ClientGone, "the client left before its answer was complete"),
            Unsendable::NoRoom(error) => {
                self.break_off(Reason::INTERNAL_ERROR);
                let cause = format!("cannot keep a response for a slow client: {error}");
                self.account.note(Error::server(Kind::NoRoom, cause));
                SendError::Gone
            }
        }
    }

    /// Waits, detached from the interpreter, if too much is unsent: for a handler that makes its content while it is
    /// sent.
    fn wait_for_room(&mut self) -> Result<(), SendError> {
        let StreamChannel { rules, host, stream, may_wait, .. } = &self.channel;
        // A complete response occupies no seat.
        if !may_wait || self.state == State::Ended || stream.meter.unsent_bytes() < rules.response_buffer_bytes {
            return Ok(());
        }
        if !self.channel.client_wait.begins() {
            let cause = "too many threads wait for clients that read slowly (see threads_waiting_max)";
            return Err(self.give_up(Kind::WriteTimeout, cause));
        }
        let mut waited = Err(Gone);
        host.detached(&mut || waited = stream.wait_for_room(rules.response_buffer_bytes / 2, rules.response_pace()));
        self.channel.client_wait.ended();
        match waited {
            Ok(true) => Ok(()),
            Ok(false) => {
                Err(self.give_up(Kind::WriteTimeout, "the client took too few bytes within the write time-out"))
            }
            Err(Gone) => Err(self.unsendable(Unsendable::Gone)),
        }
    }

    fn is_without_content(&self) -> bool {
        self.account.is_without_content()
    }

    fn give_up(&mut self, kind: Kind, cause: &'static str) -> SendError {
        self.break_off(Reason::CANCEL);
        self.account.note(Error::client(kind, cause));
        SendError::Gone
    }

    fn break_off(&mut self, reason: Reason) {
        self.state = State::Broken;
        match reason {
            Reason::INTERNAL_ERROR => self.channel.stream.break_off(reason),
            reason => self.channel.stream.abandon(reason),
        }
    }
}

/// A whole answer to a request whose own seat cannot give it; `None` for an error for which no answer can be sent.
pub fn whole_answer(error: &Error, facts: RequestFacts, choice: u32, rules: &Rules) -> Option<(Response<()>, Vec<u8>)> {
    let (head, content) = rules.response_to(error, choice)?;
    let framing = response_framing(facts, &head, Some(content.len() as u64));
    let response = response(&head, framing, &mut Scratch::new(), &rules.server_header);
    Some((response, if facts.is_head { Vec::new() } else { content.into_owned() }))
}

/// The head of a response in the form of the `h2` crate.
pub(super) fn response(
    head: &ResponseHead,
    framing: ResponseFraming,
    scratch: &mut Scratch,
    server_header: &[u8],
) -> Response<()> {
    let mut response = interim(head);
    let fields = response.headers_mut();
    if !server_header.is_empty()
        && !head.has_server()
        && let Some(server) = scratch.server_value(server_header)
    {
        fields.insert(SERVER, server);
    }
    if !head.has_date()
        && let Some(date) = scratch.date_value()
    {
        fields.insert(DATE, date);
    }
    if let ResponseFraming::Length(length) | ResponseFraming::NoContent(Some(length)) = framing {
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

pub(super) fn interim(head: &ResponseHead) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::from_u16(head.status().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    *response.headers_mut() = field_map(head, 3);
    response
}

/// The fields, with room for some more. Names and values were checked when they were added to the head.
pub(super) fn field_map(head: &ResponseHead, more: usize) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(head.fields().size_hint().0 + more);
    for (name, value) in head.fields() {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            fields.append(name, value);
        }
    }
    fields
}

impl Respond for H2Respond<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if !matches!(self.state, State::Waiting | State::Staged) {
            return;
        }
        let head = match self.head.prepare(head, false, &mut self.account) {
            Ok(head) => head,
            Err(error) => return self.fail(error),
        };
        self.scratch.out.clear();
        let framing = response_framing(self.facts, &head, length);
        self.account.begin(&head, framing);
        self.staged = Some(response(&head, framing, self.scratch, &self.channel.rules.server_header));
        self.state = State::Staged;
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.head.stamp(name, value);
    }

    fn inform(&mut self, head: &ResponseHead) -> Result<(), SendError> {
        self.account.note_dropped(head);
        if !matches!(self.state, State::Waiting | State::Staged) || !head.status().is_interim() {
            return Ok(());
        }
        match self.channel.stream.inform(interim(head)) {
            Ok(()) => Ok(()),
            Err(Gone) => Err(self.unsendable(Unsendable::Gone)),
        }
    }

    fn head_sent(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Staged)
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        self.give(chunk, flush, None)
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        self.give(chunk, flush, Some(keep))
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        if !matches!(self.state, State::Staged | State::Sent) {
            return Ok(());
        }
        self.settle()?;
        let bytes = self.account.count_up_to(bytes).bytes;
        if bytes == 0 {
            return Ok(());
        }
        // Only a head, or content that goes before the file.
        if self.staged.is_some() || !self.scratch.out.is_empty() {
            self.emit(&[], false)?;
        }
        // The leader reads the file as the client takes it, so the seat need not wait.
        match FileStretch::new(file, offset, bytes, self.account.names_version()) {
            Ok(stretch) => self.channel.stream.send_file(stretch).map_err(|why| self.unsendable(why)),
            Err(error) => {
                self.break_off(Reason::INTERNAL_ERROR);
                self.account.note(Error::server(Kind::Internal, format!("a file cannot be read: {error}")));
                Err(SendError::Gone)
            }
        }
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.account.note_dropped(trailers);
        self.trailers = Some(field_map(trailers, 0)).filter(|trailers| !trailers.is_empty());
    }

    fn finish(&mut self) {
        match self.state {
            State::Staged | State::Sent => {}
            State::Ended => {
                self.state = State::Finished;
                return;
            }
            State::Waiting | State::Finished | State::Broken => return,
        }
        if !self.account.close() {
            // Fewer bytes than declared: the stream is reset, so that the client notices.
            let _ = self.emit(&[], false);
            self.break_off(Reason::INTERNAL_ERROR);
            return;
        }
        let ended = match self.trailers.take().filter(|_| !self.is_without_content()) {
            None => self.emit(&[], true),
            Some(trailers) => self.emit(&[], false).and_then(|()| {
                let sent = self.channel.stream.send_trailers(trailers);
                sent.map_err(|why| self.unsendable(why))
            }),
        };
        if ended.is_ok() {
            self.state = State::Finished;
        }
    }

    fn client_gone(&self) -> bool {
        self.channel.link.is_gone() || self.channel.stream.is_gone()
    }
}
