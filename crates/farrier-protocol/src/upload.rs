//! Content that a seat takes as it arrives, on the leader's side: reads and decodes what the socket gives, up to the pipe's
//! high mark, and discards what nobody takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use farrier_http::pipe::{PipeSource, Pushed};
use farrier_http::wire::h1::encode::CONTINUE;
use farrier_http::{Arena, Error, Kind, Limits, Request};

use crate::reader::ContentReader;
use crate::rules::Rules;
use farrier_transport::link::{Link, Received};

/// Room that content is read into.
const ROOM_BYTES: usize = 64 * 1024;

/// Content read from one connection before others get their turn.
const TURN_BYTES: usize = 256 * 1024;

/// What the leader and the seat both have to know of an upload.
#[derive(Debug)]
pub struct UploadStatus {
    /// The client waits for `100 Continue`, and nobody has said so yet.
    is_uninvited: AtomicBool,
    /// No more can be read from the connection.
    is_broken: AtomicBool,
    /// Why the content failed, once the seat knows.
    pub fault: Arc<OnceLock<Error>>,
}

impl UploadStatus {
    /// Whether the connection can carry another request. RFC 9110 §10.1.1: without `100 Continue` the client may send the
    /// content or not, so nobody could tell it from the next request.
    pub fn can_live_on(&self) -> bool {
        let is_doubtful = self.is_uninvited.load(Ordering::Relaxed) || self.is_broken.load(Ordering::Relaxed);
        !is_doubtful && self.fault.get().is_none()
    }
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It waits for the client, for the seat, or for the answer.
    Waits,
    /// There is more: others get their turn before.
    Over,
}

/// What is known of a connection's receiving side.
#[derive(Debug, Clone, Copy)]
pub struct Inlet {
    /// There may be bytes to read that no event will announce again.
    pub is_readable: bool,
    /// The client has ended its direction.
    pub has_ended: bool,
}

/// The content of a request that a seat or an exchange answers.
pub struct Upload {
    reader: ContentReader,
    limits: Option<Box<Limits>>,
    /// Input that is not decoded yet; once the content is complete, the beginning of the next request.
    input: Arena,
    /// Where content goes; `None` once it is complete, refused, or wanted no more.
    source: Option<PipeSource>,
    status: Arc<UploadStatus>,
    state: State,
    received_bytes: u64,
    /// Bytes that were discarded.
    discarded_bytes: u64,
    /// The answer, once it was given.
    pub answer: Option<Answer>,
}

/// What the answer means for the connection.
#[derive(Debug, Clone, Copy)]
pub struct Answer {
    /// Another request may follow.
    pub lives_on: bool,
    /// When it was given, in ms.
    pub at_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Content is missing.
    Incomplete,
    Complete,
    /// No more can be read from this connection.
    Broken,
}

impl Upload {
    /// The rest of what stands behind a request's head, which leaves its arena.
    pub fn begin(
        request: &mut Request,
        reader: ContentReader,
        limits: Option<Box<Limits>>,
        source: PipeSource,
    ) -> Upload {
        let head_bytes = request.head.bytes;
        let rest = request.arena.filled().get(head_bytes..).unwrap_or_default();
        let mut input = Arena::with_room(rest.len());
        input.append(rest);
        let count = rest.len();
        request.arena.remove(head_bytes, count);
        let is_uninvited = AtomicBool::new(request.head.expect_continue && count == 0);
        Upload {
            reader,
            limits,
            input,
            source: Some(source),
            status: Arc::new(UploadStatus { is_uninvited, is_broken: AtomicBool::new(false), fault: Arc::default() }),
            state: State::Incomplete,
            received_bytes: count as u64,
            discarded_bytes: 0,
            answer: None,
        }
    }

    /// What the seat has to know of it.
    pub fn status(&self) -> Arc<UploadStatus> {
        Arc::clone(&self.status)
    }

    /// Reads as much as there is room for.
    pub fn advance(&mut self, link: &Link, inlet: &mut Inlet, rules: &Rules) -> Turn {
        self.invite(link);
        let mut turn_bytes = TURN_BYTES;
        loop {
            if self.state != State::Incomplete || self.is_full() {
                return Turn::Waits;
            }
            if let Err(error) = self.decode(link, rules) {
                self.fail(error);
                return Turn::Waits;
            }
            if self.state != State::Incomplete || self.is_full() || !inlet.is_readable {
                return Turn::Waits;
            }
            if turn_bytes == 0 {
                return Turn::Over;
            }
            if self.input.spare().is_empty() {
                self.input.grow(ROOM_BYTES.max(self.input.filled().len() + 4096));
            }
            match self.fill(link, inlet) {
                Received::Bytes(count) => {
                    self.status.is_uninvited.store(false, Ordering::Relaxed);
                    self.received_bytes += count as u64;
                    turn_bytes = turn_bytes.saturating_sub(count);
                }
                Received::Nothing => return Turn::Waits,
                Received::End | Received::Plain(_) | Received::Broken => {
                    link.set_ended();
                    self.fail(Error::client(Kind::ClientGone, "the client broke off its request's content"));
                    return Turn::Waits;
                }
            }
        }
    }

    /// The answer was given: nobody wants more of the content.
    pub fn let_go(&mut self, answer: Answer) {
        self.source = None;
        self.answer = Some(answer);
    }

    /// Whether all content has been read, so that another request may follow.
    pub fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether the rest can be discarded, so that another request may follow.
    pub fn is_worth_discarding(&self, bytes_max: u64) -> bool {
        self.state == State::Incomplete && self.status.can_live_on() && self.discarded_bytes <= bytes_max
    }

    /// Bytes of the connection that were read for it.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// Whether it waits for the client, and not for its consumer, which has no room or does not want the content yet.
    pub fn awaits_client(&self) -> bool {
        self.state == State::Incomplete && !self.is_full() && !self.status.is_uninvited.load(Ordering::Relaxed)
    }

    /// What was read beyond the content.
    pub fn leftover(&self) -> &[u8] {
        self.input.filled()
    }

    /// Tells a client that waits for it to send its content, once the seat wants it.
    fn invite(&mut self, link: &Link) {
        let is_wanted = self.source.as_ref().is_some_and(PipeSource::is_wanted);
        if is_wanted && self.status.is_uninvited.load(Ordering::Relaxed) && link.send_unless_begun(CONTINUE) {
            self.status.is_uninvited.store(false, Ordering::Relaxed);
        }
    }

    fn is_full(&self) -> bool {
        self.source.as_ref().is_some_and(|source| !source.has_room())
    }

    /// Decodes what was read. All of one read becomes one piece, however many chunks it came in.
    fn decode(&mut self, link: &Link, rules: &Rules) -> Result<(), Error> {
        let limits = self.limits.as_deref().unwrap_or(&rules.limits);
        let mut used = 0;
        let mut piece = Vec::new();
        let outcome = loop {
            let input = &self.input.filled()[used..];
            let decoded = match self.reader.read(input, limits, link) {
                Ok(decoded) => decoded,
                Err(error) => break Err(error),
            };
            match &self.source {
                Some(_) => piece.extend_from_slice(&input[decoded.content]),
                None => self.discarded_bytes += decoded.content.len() as u64,
            }
            used += decoded.consumed;
            if decoded.done || decoded.consumed == 0 {
                break Ok(decoded.done);
            }
        };
        self.input.consume(used);
        let is_taken = match &self.source {
            Some(source) if !piece.is_empty() => source.push(Bytes::from(piece)) != Pushed::Abandoned,
            _ => true,
        };
        if !is_taken {
            self.source = None;
        }
        if outcome? {
            self.state = State::Complete;
            if let Some(source) = self.source.take() {
                source.finish();
            }
        }
        Ok(())
    }

    /// Reads once. A read that does not fill the room has emptied the socket, unless the end has been announced already.
    fn fill(&mut self, link: &Link, inlet: &mut Inlet) -> Received {
        let room = self.input.spare();
        let room_bytes = room.len();
        let received = link.receive(room);
        match received {
            Received::Bytes(count) => {
                inlet.is_readable = count == room_bytes || inlet.has_ended;
                self.input.advance(count);
            }
            Received::Nothing => inlet.is_readable = false,
            Received::Plain(_) | Received::End | Received::Broken => {}
        }
        received
    }

    /// Reads no more, and says why.
    pub fn fail(&mut self, error: Error) {
        self.state = State::Broken;
        self.status.is_broken.store(true, Ordering::Relaxed);
        if let Some(source) = self.source.take() {
            source.abort(error);
        }
    }
}
