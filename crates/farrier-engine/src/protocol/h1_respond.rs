//! The writing side of the fronts: one answer, framed as its protocol wants it, in as few system calls as its handler allows.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farrier_http::wire::h1::encode::{CHUNK_END, LAST_CHUNK, encode_chunk_size, encode_head, encode_interim};
use farrier_http::wire::h1::framing::response_framing;
use farrier_http::wire::h1::{RequestFacts, ResponseFraming};
use farrier_http::wire::uwsgi;
use farrier_http::{Error, Flush, Kind, Peer, Respond, ResponseHead, SendError, Side, Status, Version, Via};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::host::Host;
use crate::protocol::client_wait::ClientWait;
use crate::protocol::connection::AfterResponse;
use crate::protocol::file_names;
use crate::protocol::response_form::ResponseForm;
use crate::protocol::scratch::Scratch;
use crate::reactor::poller::Poller;
use crate::reactor::token::Token;
use crate::rescue;
use crate::rules::Rules;
use crate::transport::link::{Link, Sent, TakenOver};

/// Content up to this size is copied behind the head and leaves with it as one piece.
const COPIED_BYTES_MAX: usize = 4096;

/// Staged bytes that leave even when nothing asks for it.
const STAGED_BYTES_MAX: usize = 64 * 1024;

/// What a response came to.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) status: Status,
    /// Bytes of content given to the transport.
    pub(crate) content_bytes: u64,
    pub(crate) after: AfterResponse,
    /// Something is still to be written.
    pub(crate) unsent: bool,
    /// Why the response is not what the handler meant, for the log.
    pub(crate) fault: Option<Error>,
}

impl Outcome {
    /// The connection was taken from the seat during the call, and its client answered with `error` or cut off.
    pub(crate) fn take_over(&mut self, taken: &TakenOver, error: Error) {
        if *taken == TakenOver::Answered {
            self.status = rescue::logged_status_of(&error);
            self.content_bytes = 0;
        }
        self.after = AfterResponse::Close;
        self.unsent = false;
        // It was logged when it happened.
        self.fault = Some(error);
    }
}

/// What the answers of one connection have in common.
pub(crate) struct Channel<'a> {
    pub(crate) rules: &'a Rules,
    pub(crate) host: &'a dyn Host,
    /// Told when the response waits for its client.
    pub(crate) client_wait: &'a dyn ClientWait,
    pub(crate) poller: &'a Poller,
    pub(crate) link: &'a Arc<Link>,
    pub(crate) token: Token,
    /// Who is at the other end: perhaps a proxy.
    pub(crate) peer: Peer,
    /// No further request is wanted: responses say `Connection: close`.
    pub(crate) draining: &'a AtomicBool,
}

impl Channel<'_> {
    /// Whether the peer is a proxy that may be told which file to send. No client may.
    fn passes_file_names(&self) -> bool {
        match self.peer {
            Peer::Unix => true,
            Peer::Tcp(address) => self.rules.trusts(address.ip()),
        }
    }
}

/// Answers one request.
pub(crate) struct H1Respond<'a> {
    channel: Channel<'a>,
    scratch: &'a mut Scratch,
    facts: RequestFacts,
    /// What the request notes of its site, for the page of an error.
    choice: u32,
    form: ResponseForm,
    state: State,
    framing: ResponseFraming,
    remaining: u64,
    status: Status,
    content_bytes: u64,
    unsent: bool,
    fault: Option<Error>,
    /// The head names a version of the content, so that a file that is sent must not change meanwhile.
    is_version: bool,
    /// The head's field lines, where the access log asks for them.
    kept_lines: Option<Vec<u8>>,
    /// The client takes trailers.
    takes_trailers: bool,
    trailer_lines: Vec<u8>,
    /// Fields that every head gets.
    stamps: Vec<(Box<str>, Box<[u8]>)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No head yet.
    Waiting,
    /// The head is staged and can be replaced.
    Staged,
    /// The head has left.
    Sent,
    Finished,
    Broken,
}

impl<'a> H1Respond<'a> {
    pub(crate) fn new(
        channel: Channel<'a>,
        scratch: &'a mut Scratch,
        mut facts: RequestFacts,
        via: Via,
        choice: u32,
        keep_lines: bool,
    ) -> Self {
        scratch.out.clear();
        match via {
            Via::Http => {}
            // There is no chunked coding: content of unknown length ends with the connection.
            Via::Uwsgi => (facts.version, facts.keep_alive) = (Version::Http10, false),
            // Records delimit content of any length, whatever the client spoke.
            Via::FastCgi(_) => facts.version = Version::Http11,
        }
        H1Respond {
            channel,
            scratch,
            facts,
            choice,
            form: ResponseForm::of(via),
            state: State::Waiting,
            framing: ResponseFraming::UntilClose,
            remaining: 0,
            status: Status(0),
            content_bytes: 0,
            unsent: false,
            fault: None,
            is_version: false,
            kept_lines: keep_lines.then(Vec::new),
            takes_trailers: false,
            trailer_lines: Vec::new(),
            stamps: Vec::new(),
        }
    }

    /// Says that the client takes trailers.
    pub(crate) fn permit_trailers(&mut self) {
        self.takes_trailers = matches!(self.form, ResponseForm::Http);
    }

    /// Answers with an error: a whole response if nothing was sent yet, a visible break otherwise.
    pub(crate) fn fail(&mut self, error: Error) {
        self.form.note(&error);
        let (rules, choice) = (self.channel.rules, self.choice);
        if matches!(self.state, State::Waiting | State::Staged) {
            if let Some((head, content)) = rules.response_to(&error, choice) {
                self.scratch.out.clear();
                self.state = State::Waiting;
                self.remaining = 0;
                self.content_bytes = 0;
                self.head(&head, Some(content.len() as u64));
                // What cannot be sent is seen as broken by `outcome`.
                let _ = self.send(&content, Flush::Later);
                self.finish();
            } else {
                self.state = State::Broken;
            }
        } else if self.state == State::Sent {
            self.state = State::Broken;
        }
        self.fault = Some(error);
    }

    /// Ends the response, as far as the handler brought it, and says what it came to.
    pub(crate) fn outcome(mut self, lingers: bool) -> (Outcome, Option<Vec<u8>>) {
        match self.state {
            State::Finished | State::Broken => {}
            State::Waiting | State::Staged => {
                self.fail(Error::application("the handler ended without a complete response"));
            }
            // The handler saw that nobody is left who would read the rest.
            State::Sent if self.channel.link.is_gone() => {
                self.give_up(Kind::ClientGone, "the client left before its answer was complete");
            }
            State::Sent => {
                self.state = State::Broken;
                self.fault.get_or_insert(Error::application("the handler ended in the middle of its response"));
            }
        }
        let after = match self.state {
            State::Broken => {
                self.channel.link.set_incomplete();
                if self.framing == ResponseFraming::UntilClose
                    && !self.unsent
                    && !matches!(self.form, ResponseForm::FastCgi(_))
                {
                    // RFC 9112 §8: only a reset tells this client that the message is incomplete.
                    let _ = rustix::net::sockopt::set_socket_linger(self.channel.link, Some(std::time::Duration::ZERO));
                }
                AfterResponse::Close
            }
            _ if lingers => AfterResponse::Linger,
            _ if self.lives_on() => AfterResponse::KeepAlive,
            _ => AfterResponse::Close,
        };
        let status = match &self.fault {
            // Also where a head was sent: the client did not wait for the rest.
            Some(error) if self.status == Status(0) || error.side == Side::Client => rescue::logged_status_of(error),
            _ => self.status,
        };
        let outcome =
            Outcome { status, content_bytes: self.content_bytes, after, unsent: self.unsent, fault: self.fault };
        (outcome, self.kept_lines)
    }

    fn lives_on(&self) -> bool {
        self.facts.keep_alive && self.framing != ResponseFraming::UntilClose
    }

    /// Sends what is staged and the pieces behind it, in one system call; waits when too much is unsent.
    fn emit(&mut self, pieces: &[&[u8]], more: bool) -> Result<(), SendError> {
        let sent = match pieces {
            [] => self.channel.link.send(&[&self.scratch.out], more),
            [piece] => self.channel.link.send(&[&self.scratch.out, piece], more),
            [piece, end] => self.channel.link.send(&[&self.scratch.out, piece, end], more),
            _ => Sent::Broken,
        };
        self.scratch.out.clear();
        if self.state == State::Staged {
            self.state = State::Sent;
        }
        self.after_write(sent)
    }

    /// Sends content in FastCGI's records. With a length that is reached, nothing else can come but the end.
    fn send_records(&mut self, content: &[u8], flush: Flush) -> Result<(), SendError> {
        let mut rest = content;
        while !rest.is_empty() {
            let ResponseForm::FastCgi(stdout) = &mut self.form else { return Ok(()) };
            let room = stdout.room(&mut self.scratch.out);
            let piece;
            (piece, rest) = rest.split_at(rest.len().min(room));
            let staged = self.scratch.out.len() + piece.len();
            if piece.len() <= COPIED_BYTES_MAX && staged <= STAGED_BYTES_MAX {
                self.scratch.out.extend_from_slice(piece);
                if flush == Flush::Now && rest.is_empty() {
                    self.close_record(0);
                    self.emit(&[], false)?;
                }
            } else {
                self.close_record(piece.len());
                self.emit(&[piece], flush == Flush::Later || !rest.is_empty())?;
            }
        }
        Ok(())
    }

    fn close_record(&mut self, more: usize) {
        if let ResponseForm::FastCgi(stdout) = &mut self.form {
            stdout.close(&mut self.scratch.out, more);
        }
    }

    fn after_write(&mut self, sent: Sent) -> Result<(), SendError> {
        match sent {
            Sent::All => self.unsent = false,
            Sent::Unsent(bytes) => {
                self.unsent = true;
                self.channel.link.watch_writable(self.channel.poller, self.channel.token);
                if bytes > self.channel.rules.response_buffer_bytes && self.state == State::Sent {
                    return self.wait_for_room();
                }
            }
            Sent::Broken => {
                return Err(self.give_up(Kind::ClientGone, "the client left before its answer was complete"));
            }
        }
        Ok(())
    }

    /// Waits until the client has taken half of the high-water mark, detached from the interpreter.
    fn wait_for_room(&mut self) -> Result<(), SendError> {
        if !self.channel.client_wait.begins() {
            let cause = "too many threads wait for clients that read slowly (see threads_waiting_max)";
            return Err(self.give_up(Kind::WriteTimeout, cause));
        }
        let waited = self.wait_until_room();
        self.channel.client_wait.ended();
        waited
    }

    fn wait_until_room(&mut self) -> Result<(), SendError> {
        let Channel { rules, host, link, .. } = &self.channel;
        let low_water_bytes = rules.response_buffer_bytes / 2;
        let limit = Timespec {
            tv_sec: (rules.write_timeout_ms / 1000) as i64,
            tv_nsec: (rules.write_timeout_ms % 1000 * 1_000_000) as i64,
        };
        let mut result = Sent::Broken;
        let mut timed_out = false;
        host.detached(&mut || {
            loop {
                if let Some(cold) = link.take_cold() {
                    cold.warm();
                    link.fetched();
                }
                let mut watched = [PollFd::new(link, PollFlags::OUT)];
                match poll(&mut watched, Some(&limit)) {
                    Ok(0) => {
                        timed_out = true;
                        return;
                    }
                    Ok(_) | Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
                result = link.flush();
                match result {
                    Sent::Unsent(bytes) if bytes > low_water_bytes => continue,
                    _ => return,
                }
            }
        });
        match result {
            _ if timed_out => Err(self.give_up(Kind::WriteTimeout, "the client took no bytes for the write time-out")),
            Sent::Broken => Err(self.give_up(Kind::ClientGone, "the client left before its answer was complete")),
            Sent::All => {
                self.unsent = false;
                Ok(())
            }
            Sent::Unsent(_) => Ok(()),
        }
    }

    fn give_up(&mut self, kind: Kind, cause: &'static str) -> SendError {
        self.state = State::Broken;
        self.unsent = false;
        self.channel.link.set_gone();
        self.fault.get_or_insert(Error::client(kind, cause));
        SendError::Gone
    }
}

impl Respond for H1Respond<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if !matches!(self.state, State::Waiting | State::Staged) {
            return;
        }
        let hidden =
            (head.names_file() && !self.channel.passes_file_names()).then(|| file_names::hide(head, &mut self.fault));
        let head = hidden.as_ref().unwrap_or(head);
        let stamped = (!self.stamps.is_empty()).then(|| head.stamped(&self.stamps));
        let head = stamped.as_ref().unwrap_or(head);
        self.scratch.out.clear();
        // Looked at when the head is made: the drain may have begun during the call.
        self.facts.keep_alive &= !self.channel.draining.load(Ordering::Relaxed);
        self.framing = response_framing(self.facts, head, length);
        self.remaining = match self.framing {
            ResponseFraming::Length(length) => length,
            _ => 0,
        };
        self.status = head.status();
        self.is_version = head.has_etag();
        match &mut self.form {
            ResponseForm::Http => {
                let keep_alive = self.lives_on();
                let date = self.scratch.date.now();
                let server = &self.channel.rules.server_header;
                encode_head(&mut self.scratch.out, head, self.framing, self.facts, keep_alive, date.as_bytes(), server);
            }
            ResponseForm::Uwsgi => uwsgi::encode::encode_head(&mut self.scratch.out, head, self.framing),
            ResponseForm::FastCgi(stdout) => stdout.head(&mut self.scratch.out, head, self.framing),
        }
        if let Some(lines) = &mut self.kept_lines {
            lines.clear();
            lines.extend_from_slice(head.lines());
        }
        self.state = State::Staged;
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.stamps.push((name.into(), value.into()));
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        // Behind a gateway protocol the first head is the only one.
        let may = matches!(self.state, State::Waiting | State::Staged)
            && self.facts.version != Version::Http10
            && matches!(self.form, ResponseForm::Http);
        if !may {
            return Ok(());
        }
        // Beside the scratch: a staged head stays where it is.
        let mut bytes = Vec::new();
        encode_interim(&mut bytes, interim);
        let sent = self.channel.link.send_interim(&bytes);
        self.after_write(sent)
    }

    fn head_sent(&self) -> bool {
        !matches!(self.state, State::Waiting | State::Staged)
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        match self.state {
            State::Staged | State::Sent => {}
            State::Broken => return Err(SendError::Gone),
            State::Waiting | State::Finished => return Ok(()),
        }
        if chunk.is_empty() {
            return Ok(());
        }
        let (mut content, mut end, mut cut) = (chunk, &b""[..], false);
        match self.framing {
            ResponseFraming::NoContent(_) => {
                // The head is all there is to send; it leaves at the end.
                return Ok(());
            }
            ResponseFraming::Length(_) => {
                if chunk.len() as u64 > self.remaining {
                    content = &chunk[..self.remaining as usize];
                    cut = true;
                    self.fault.get_or_insert(Error::application("the application gave more than its Content-Length"));
                }
                self.remaining -= content.len() as u64;
            }
            ResponseFraming::Chunked if matches!(self.form, ResponseForm::Http) => {
                encode_chunk_size(&mut self.scratch.out, content.len());
                end = CHUNK_END;
            }
            ResponseFraming::Chunked | ResponseFraming::UntilClose => {}
        }
        self.content_bytes += content.len() as u64;
        if matches!(self.form, ResponseForm::FastCgi(_)) {
            self.send_records(content, flush)?;
            return if cut { Err(SendError::Full) } else { Ok(()) };
        }
        let staged = self.scratch.out.len() + content.len() + end.len();
        if content.len() <= COPIED_BYTES_MAX && staged <= STAGED_BYTES_MAX {
            self.scratch.out.extend_from_slice(content);
            self.scratch.out.extend_from_slice(end);
            // With the declared length reached nothing else can come: it may leave with or without a flush.
            if flush == Flush::Now {
                self.emit(&[], false)?;
            }
        } else {
            // Only where more is sure to follow: the kernel would hold the last piece back.
            let complete = matches!(self.framing, ResponseFraming::Length(_)) && self.remaining == 0;
            self.emit(&[content, end], flush == Flush::Later && !complete)?;
        }
        if cut { Err(SendError::Full) } else { Ok(()) }
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        let plain = matches!(self.framing, ResponseFraming::Length(_) | ResponseFraming::UntilClose)
            && !matches!(self.form, ResponseForm::FastCgi(_));
        if self.channel.rules.sendfile && plain && matches!(self.state, State::Staged | State::Sent) {
            let mut bytes = bytes;
            if let ResponseFraming::Length(_) = self.framing {
                bytes = bytes.min(self.remaining);
                self.remaining -= bytes;
            }
            if bytes == 0 {
                return Ok(());
            }
            self.content_bytes += bytes;
            if !self.scratch.out.is_empty() {
                self.emit(&[], true)?;
            }
            let sent = self.channel.link.send_file(file, offset, bytes, self.is_version);
            return match sent {
                // The poller writes the rest; a file costs no memory, so the seat need not wait.
                Sent::Unsent(_) => {
                    self.unsent = true;
                    self.channel.link.watch_writable(self.channel.poller, self.channel.token);
                    Ok(())
                }
                sent => self.after_write(sent),
            };
        }
        if let ResponseFraming::NoContent(_) = self.framing {
            return Ok(());
        }
        let mut piece = vec![0; STAGED_BYTES_MAX];
        let (mut offset, end) = (offset, offset.saturating_add(bytes));
        while offset < end {
            let wanted = piece.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            match file.read_at(&mut piece[..wanted], offset) {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    self.send(&piece[..count], Flush::Later)?;
                    offset += count as u64;
                }
            }
        }
        Ok(())
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        // RFC 9110 §6.5.1: only for a client that says it takes them, and only the chunked coding has a place for them.
        if self.takes_trailers {
            self.trailer_lines = trailers.lines().to_vec();
        }
    }

    fn finish(&mut self) {
        match self.state {
            State::Staged | State::Sent => {}
            State::Waiting | State::Finished | State::Broken => return,
        }
        if self.remaining > 0 {
            // Fewer bytes than declared: the connection closes, so that the client can tell.
            self.close_record(0);
            let _ = self.emit(&[], false);
            self.state = State::Broken;
            self.fault.get_or_insert(Error::application("the application gave fewer bytes than its Content-Length"));
            return;
        }
        match &mut self.form {
            ResponseForm::FastCgi(stdout) => {
                stdout.close(&mut self.scratch.out, 0);
                stdout.end(&mut self.scratch.out);
            }
            _ if self.framing == ResponseFraming::Chunked && !self.trailer_lines.is_empty() => {
                self.scratch.out.extend_from_slice(b"0\r\n");
                self.scratch.out.extend_from_slice(&self.trailer_lines);
                self.scratch.out.extend_from_slice(CHUNK_END);
            }
            _ if self.framing == ResponseFraming::Chunked => self.scratch.out.extend_from_slice(LAST_CHUNK),
            _ => {}
        }
        if !self.scratch.out.is_empty() && self.emit(&[], false).is_err() {
            return;
        }
        self.state = State::Finished;
    }

    fn client_gone(&self) -> bool {
        self.channel.link.is_gone()
    }
}
