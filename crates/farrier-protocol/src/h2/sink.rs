//! An answer on HTTP/2 from a producer that must not wait. Data that the client does not take is kept by its stream and
//! counted, and the producer learns when the limit is reached.

use std::fs::File;
use std::sync::Arc;

use bytes::Bytes;
use farrier_http::wire::ResponseAccount;
use farrier_http::wire::h1::RequestFacts;
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::{Accepted, AnswerSink, Error, Kind, ResponseHead};
use h2::Reason;
use http::{HeaderMap, Response};

use crate::after_response::AfterResponse;
use crate::answer_sink::Ended;
use crate::final_head::FinalHead;
use crate::h2::respond::{field_map, interim, response};
use crate::h2::stream::{StreamLink, Unsendable};
use crate::outlet::Outcome;
use crate::rules::Rules;
use crate::scratch::Scratch;
use farrier_transport::file_stretch::FileStretch;
use farrier_transport::link::Link;

/// Content of at least this size is shared rather than copied.
const SHARED_BYTES_MIN: usize = 16 * 1024;

/// One answer that is owned by its producer.
pub struct H2Sink {
    rules: Arc<Rules>,
    link: Arc<Link>,
    stream: Arc<StreamLink>,
    facts: RequestFacts,
    /// The request's site, for its error page.
    choice: u32,
    scratch: Scratch,
    state: State,
    account: ResponseAccount,
    staged: Option<Response<()>>,
    trailers: Option<HeaderMap>,
    head: FinalHead,
    /// What follows the head are bytes of another protocol.
    is_tunnel: bool,
    ended: Ended,
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
    Broken,
    /// Its outcome was reported.
    Closed,
}

impl H2Sink {
    /// The answer to a request that came on this stream.
    pub fn new(
        rules: Arc<Rules>,
        link: Arc<Link>,
        stream: Arc<StreamLink>,
        facts: RequestFacts,
        choice: u32,
        keep_lines: bool,
        ended: Ended,
    ) -> H2Sink {
        H2Sink {
            rules,
            link,
            stream,
            facts,
            choice,
            scratch: Scratch::new(),
            state: State::Waiting,
            account: ResponseAccount::default(),
            staged: None,
            trailers: None,
            head: FinalHead::new(keep_lines),
            is_tunnel: false,
            ended,
        }
    }

    fn give(&mut self, content: Bytes, is_end: bool) -> Result<(), Unsendable> {
        let keeping = self.rules.keeping();
        let head = self.staged.take();
        self.state = if is_end { State::Ended } else { State::Sent };
        if content.len() < SHARED_BYTES_MIN {
            return self.stream.send(head, content.to_vec(), &[], is_end, keeping);
        }
        if head.is_some() {
            self.stream.send(head, Vec::new(), &[], false, keeping)?;
        }
        self.stream.send_shared(content, is_end, keeping)
    }

    fn note(&mut self, given: Result<(), Unsendable>) -> bool {
        match given {
            Ok(()) => return true,
            Err(Unsendable::Gone) => {
                self.break_off(Reason::CANCEL);
                self.account.note(Error::client(Kind::ClientGone, "the client left before its answer was complete"));
            }
            Err(Unsendable::NoRoom(error)) => {
                self.break_off(Reason::INTERNAL_ERROR);
                let cause = format!("cannot keep a response for a slow client: {error}");
                self.account.note(Error::server(Kind::NoRoom, cause));
            }
        }
        false
    }

    fn break_off(&mut self, reason: Reason) {
        self.state = State::Broken;
        match reason {
            // What came before is sent.
            Reason::CANCEL if self.is_tunnel => self.stream.break_off(reason),
            Reason::INTERNAL_ERROR => self.stream.break_off(reason),
            reason => self.stream.give_up(reason),
        }
    }

    fn accepted(&self) -> Accepted {
        match self.state {
            State::Broken | State::Closed => Accepted::Gone,
            _ if self.room_bytes() == 0 => Accepted::Full,
            _ => Accepted::Room,
        }
    }

    fn fail(&mut self, error: Error) {
        match self.state {
            State::Waiting | State::Staged => match Arc::clone(&self.rules).response_to(&error, self.choice) {
                Some((head, content)) => {
                    self.state = State::Waiting;
                    self.trailers = None;
                    self.head(&head, Some(content.len() as u64));
                    self.data(Bytes::from(content.into_owned()));
                    self.finish();
                }
                None => self.break_off(Reason::CANCEL),
            },
            State::Sent | State::Ended => self.break_off(Reason::INTERNAL_ERROR),
            State::Broken | State::Closed => {}
        }
        self.account.fail(error);
    }

    fn finish(&mut self) {
        if !matches!(self.state, State::Staged | State::Sent) {
            return;
        }
        if !self.account.close() {
            // Fewer bytes than declared: the stream is reset, so that the client notices.
            let given = self.give(Bytes::new(), false);
            self.note(given);
            self.break_off(Reason::INTERNAL_ERROR);
            return;
        }
        let trailers = self.trailers.take().filter(|_| !self.account.is_without_content());
        let given = self.give(Bytes::new(), trailers.is_none());
        if let (true, Some(trailers)) = (self.note(given), trailers) {
            let given = self.stream.send_trailers(trailers);
            if self.note(given) {
                self.state = State::Ended;
            }
        }
    }

    /// Reports the outcome of the answer, as far as its producer made it.
    fn close(&mut self) {
        match self.state {
            State::Closed => return,
            State::Ended | State::Broken => {}
            // RFC 8441 §5: a tunnel that ends without END_STREAM is cancelled, as a connection would be reset.
            State::Sent if self.is_tunnel => self.break_off(Reason::CANCEL),
            State::Waiting | State::Staged | State::Sent if self.is_gone() => {
                self.note(Err(Unsendable::Gone));
            }
            State::Waiting | State::Staged => {
                self.fail(Error::application("the handler ended without a complete response"));
            }
            State::Sent => {
                self.break_off(Reason::INTERNAL_ERROR);
                self.account.note(Error::application("the handler ended in the middle of its response"));
            }
        }
        self.state = State::Closed;
        let account = std::mem::take(&mut self.account);
        // The stream does not decide whether the connection stays open.
        let outcome = Outcome::of(account, AfterResponse::KeepAlive, false);
        // Set once: the state says that it was not set before.
        let _ = self.ended.set((outcome, self.head.take_lines()));
    }
}

impl AnswerSink for H2Sink {
    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.head.stamp(name, value);
    }

    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if !matches!(self.state, State::Waiting | State::Staged) {
            return;
        }
        let head = match self.head.prepare(head, false, &mut self.account) {
            Ok(head) => head,
            Err(error) => return self.fail(error),
        };
        let framing = response_framing(self.facts, &head, length);
        self.account.begin(&head, framing);
        self.staged = Some(response(&head, framing, &mut self.scratch, &self.rules.server_header));
        self.state = State::Staged;
    }

    fn inform(&mut self, head: &ResponseHead) {
        self.account.note_dropped(head);
        let may = matches!(self.state, State::Waiting | State::Staged) && head.status().is_interim();
        if may && self.stream.inform(interim(head)).is_err() {
            self.note(Err(Unsendable::Gone));
        }
    }

    fn data(&mut self, piece: Bytes) -> Accepted {
        match self.state {
            State::Staged | State::Sent => {}
            State::Waiting | State::Ended => return Accepted::End,
            State::Broken | State::Closed => return Accepted::Gone,
        }
        let counted = self.account.count(piece.len() as u64);
        let content = piece.slice(..counted.bytes as usize);
        if !content.is_empty() {
            // Once the declared length is reached only trailers can come.
            let is_end = self.account.is_complete() && self.trailers.is_none();
            let given = self.give(content, is_end);
            self.note(given);
        }
        if counted.is_cut { Accepted::End } else { self.accepted() }
    }

    fn flush(&mut self) {
        if matches!(self.state, State::Staged) {
            self.state = State::Sent;
            let (head, keeping) = (self.staged.take(), self.rules.keeping());
            let given = self.stream.send(head, Vec::new(), &[], false, keeping);
            self.note(given);
        }
    }

    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Accepted {
        if !matches!(self.state, State::Staged | State::Sent) {
            return self.accepted();
        }
        let counted = self.account.count_up_to(bytes);
        if counted.bytes > 0 {
            let given = self.give(Bytes::new(), false);
            if self.note(given) {
                match FileStretch::new(file, offset, counted.bytes, self.account.names_version()) {
                    Ok(stretch) => {
                        let given = self.stream.send_file(stretch);
                        self.note(given);
                    }
                    Err(error) => {
                        self.break_off(Reason::INTERNAL_ERROR);
                        let cause = format!("a file cannot be read: {error}");
                        self.account.note(Error::server(Kind::Internal, cause));
                    }
                }
            }
        }
        self.accepted()
    }

    fn accept_connect(&mut self, head: &ResponseHead) -> bool {
        if !matches!(self.state, State::Waiting | State::Staged) {
            return false;
        }
        self.head(head, None);
        self.is_tunnel = self.state == State::Staged;
        self.flush();
        self.is_tunnel
    }

    fn end_direction(&mut self) -> bool {
        if self.state == State::Sent {
            let given = self.give(Bytes::new(), true);
            self.note(given);
        }
        true
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.account.note_dropped(trailers);
        self.trailers = Some(field_map(trailers, 0)).filter(|trailers| !trailers.is_empty());
    }

    fn end(&mut self) {
        if !self.is_tunnel {
            self.finish();
        }
        self.close();
    }

    fn note(&mut self, fault: Error) {
        self.account.note(fault);
    }

    fn abort(&mut self, error: Error) {
        self.fail(error);
        self.close();
    }

    fn room_bytes(&self) -> u64 {
        self.rules.response_buffer_bytes.saturating_sub(self.stream.meter.unsent_bytes())
    }

    fn is_gone(&self) -> bool {
        // A tunnel whose direction to the client has ended learns from its content how the other one ends.
        let has_ended = self.is_tunnel && self.state == State::Ended;
        self.link.is_gone() || (!has_ended && self.stream.is_gone())
    }
}

impl Drop for H2Sink {
    fn drop(&mut self) {
        self.close();
    }
}
