//! One server that is asked: its connection, the request on its way there, and how long that may take.

use std::io;
use std::sync::Arc;

use farrier_http::upstream::UpstreamStream;
use farrier_http::wire::client::{Event, Fault, FaultKind};
use farrier_http::{ExchangeIo, Request};

use super::content::Outgoing;
use super::scratch::{Scratch, TURN_BYTES};
use super::stop::{Stop, of_content};
use super::wire::{self, Wire};
use crate::failure::Failure;
use crate::group::{GroupPolicy, Lease};
use crate::mount::Mount;
use crate::request::{Facts, Refused};
use crate::server::{Protocol, Server};
use crate::target;

/// What the attempt does now, which decides how long it may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Sending,
    AwaitsHead,
    Content,
}

/// A server that is asked.
pub(super) struct Attempt {
    pub(super) lease: Lease,
    pub(super) stream: Box<dyn UpstreamStream>,
    pub(super) wire: Wire,
    /// Bytes of the answer that were received and not read yet.
    pub(super) rest: Vec<u8>,
    /// `rest` is the beginning of something: more must be received first.
    pub(super) needs_more: bool,
    phase: Phase,
    deadline_ms: u64,
    has_sent: bool,
    /// Since when the client is awaited: everything that has come of the request's content was sent, and more follows.
    awaits_content_ms: Option<u64>,
    /// The final head has come.
    has_head: bool,
    /// The server takes no more of the request. Its answer may be there already.
    pub(super) is_send_broken: bool,
    /// When the request was sent, in ms.
    sent_ms: u64,
}

/// Why an attempt did not begin.
pub(super) enum NotBegun {
    /// The server was not reached.
    Failed(Failure),
    /// The server's unix socket has no room for another connection. No event tells when it has.
    Full,
    /// The request is not forwarded.
    Refused(Refused),
}

impl From<NotBegun> for Stop {
    fn from(not_begun: NotBegun) -> Stop {
        match not_begun {
            NotBegun::Failed(failure) => Stop::Failed(failure),
            NotBegun::Refused(refused) => refused.into(),
            NotBegun::Full => Stop::Failed(Failure::ConnectTimeout),
        }
    }
}

/// How a server is asked.
#[derive(Clone, Copy)]
pub(super) struct Asking<'a> {
    /// On a new connection.
    pub(super) wants_fresh: bool,
    /// The key of a WebSocket handshake whose client has none.
    pub(super) key: Option<&'a [u8; 24]>,
}

/// What the policies must know of a request to this server.
pub(super) fn facts<'a>(
    mount: &'a Mount,
    request: &'a Request,
    server: &'a Server,
    length: Option<u64>,
    key: Option<&'a [u8; 24]>,
) -> Facts<'a> {
    let facts = Facts {
        takes_trailers: request.takes_trailers(),
        hidden_cookie: mount.group.sticky.as_ref().map_or(b"", |sticky| sticky.hidden()),
        upgrade: if server.protocol == Protocol::Http1 { mount.upgrades.asked(request) } else { None },
        websocket_key: key.map(|key| &key[..]),
        ..Facts::new(request, &server.authority, length)
    };
    facts.stripping(request, &mount.request.path, target::mounted_bytes(request, &mount.path))
}

impl Attempt {
    /// Takes a connection, and makes the head of the request.
    pub(super) fn begin(
        lease: Lease,
        mount: &Mount,
        asked: Asking<'_>,
        outgoing: &mut Outgoing,
        now_ms: u64,
        io: &mut ExchangeIo<'_>,
        scratch: &mut Scratch,
    ) -> Result<Attempt, NotBegun> {
        let server = Arc::clone(lease.server());
        let facts = facts(mount, io.request, &server, outgoing.length, asked.key);
        let before = &mut outgoing.before;
        if before.capacity() == 0 {
            *before = scratch.take_buffer();
        }
        let begun = wire::begin(before, io.request, mount, &facts, server.protocol, scratch);
        let (framing, wire) = begun.map_err(NotBegun::Refused)?;
        outgoing.framing = framing;
        let reused = if asked.wants_fresh { None } else { io.upstreams.reuse(&server.target) };
        let stream = match reused {
            Some(stream) => stream,
            None => io.upstreams.connect(&server.target).map_err(|error| match error.kind() {
                io::ErrorKind::WouldBlock => NotBegun::Full,
                _ => NotBegun::Failed(connect_failure(&error)),
            })?,
        };
        Ok(Attempt {
            lease,
            stream,
            wire,
            rest: Vec::new(),
            needs_more: true,
            phase: Phase::Connecting,
            deadline_ms: now_ms + mount.group.policy.connect_timeout_ms,
            has_sent: false,
            awaits_content_ms: None,
            has_head: false,
            is_send_broken: false,
            sent_ms: now_ms,
        })
    }

    /// The server.
    pub(super) fn server(&self) -> &Arc<Server> {
        self.lease.server()
    }

    pub(super) fn is_reused(&self) -> bool {
        self.stream.is_reused()
    }

    /// Whether the kernel has taken a byte of the request.
    pub(super) fn has_sent(&self) -> bool {
        self.has_sent
    }

    pub(super) fn went_stale(&self) {
        self.lease.server().went_stale(self.stream.idle_ms());
    }

    /// Whether the connection is there.
    pub(super) fn is_connected(&mut self, now_ms: u64, policy: &GroupPolicy) -> Result<bool, Failure> {
        if self.phase != Phase::Connecting {
            return Ok(true);
        }
        if !self.stream.is_ready().map_err(|error| connect_failure(&error))? {
            return Ok(false);
        }
        self.phase = Phase::Sending;
        self.deadline_ms = now_ms + policy.send_timeout_ms;
        Ok(true)
    }

    /// Sends what is there of the request. True: there is more, and others get their turn.
    pub(super) fn send(
        &mut self,
        outgoing: &mut Outgoing,
        now_ms: u64,
        policy: &GroupPolicy,
        io: &ExchangeIo<'_>,
    ) -> Result<bool, Stop> {
        if self.phase != Phase::Sending || self.is_send_broken {
            return Ok(false);
        }
        if let Some(since_ms) = self.awaits_content_ms.take() {
            outgoing.awaited_ms += now_ms.saturating_sub(since_ms);
            self.deadline_ms = now_ms + policy.send_timeout_ms;
        }
        let mut turn = 0;
        while outgoing.refill(io.content).map_err(of_content)? {
            let before = &outgoing.before[outgoing.before_sent..];
            let given = before.len() + outgoing.piece.len() + outgoing.after.len();
            let more = outgoing.has_more();
            let sent = match (before, &*outgoing.piece, outgoing.after) {
                (before, [], []) => self.stream.send(&[before], more),
                ([], piece, []) => self.stream.send(&[piece], more),
                (before, piece, []) => self.stream.send(&[before, piece], more),
                (before, piece, after) => self.stream.send(&[before, piece, after], more),
            };
            let Ok(sent) = sent else {
                // What came back is read: an answer such as 413 is often there already.
                self.is_send_broken = true;
                self.awaits_head(now_ms, policy);
                return Ok(false);
            };
            outgoing.sent(sent);
            if sent > 0 {
                self.has_sent = true;
                self.deadline_ms = now_ms + policy.send_timeout_ms;
            }
            if sent < given {
                return Ok(false);
            }
            turn += sent;
            if turn >= TURN_BYTES {
                return Ok(true);
            }
        }
        if outgoing.is_complete() {
            self.awaits_head(now_ms, policy);
        } else {
            // The client is slow, not the server. How slow it may be is for its own connection to decide.
            self.awaits_content_ms = Some(now_ms);
            self.deadline_ms = u64::MAX;
        }
        Ok(false)
    }

    fn awaits_head(&mut self, now_ms: u64, policy: &GroupPolicy) {
        if self.has_head {
            self.phase = Phase::Content;
            self.deadline_ms = now_ms + policy.read_timeout_ms;
            return;
        }
        self.phase = Phase::AwaitsHead;
        self.sent_ms = now_ms;
        self.deadline_ms = now_ms + policy.first_byte_timeout_ms;
    }

    /// How long ago the request was sent, in µs.
    pub(super) fn waited_us(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.sent_ms) * 1000
    }

    /// The final head has come.
    pub(super) fn head_came(&mut self, now_ms: u64, policy: &GroupPolicy) {
        let status = self.wire.head().status().0;
        self.lease.answered(status, self.waited_us(now_ms), now_ms);
        self.has_head = true;
        // While the request is still sent, its own time counts.
        if self.phase == Phase::AwaitsHead {
            self.phase = Phase::Content;
        }
        self.moved(now_ms, policy);
    }

    /// Content has come.
    pub(super) fn moved(&mut self, now_ms: u64, policy: &GroupPolicy) {
        if self.phase == Phase::Content {
            self.deadline_ms = now_ms + policy.read_timeout_ms;
        }
    }

    /// Whether it is the client that is waited for.
    pub(super) fn awaits_client(&self) -> bool {
        self.awaits_content_ms.is_some() && self.phase == Phase::Sending
    }

    /// When it is looked at even if nothing happens. The time in which the client is slow does not count.
    pub(super) fn deadline_ms(&self, is_sink_full: bool) -> u64 {
        if is_sink_full && self.phase == Phase::Content { u64::MAX } else { self.deadline_ms }
    }

    pub(super) fn overdue(&self, now_ms: u64, is_sink_full: bool) -> Option<Failure> {
        if self.deadline_ms(is_sink_full) > now_ms {
            return None;
        }
        Some(match self.phase {
            Phase::Connecting => Failure::ConnectTimeout,
            Phase::Sending => Failure::SendTimeout,
            Phase::AwaitsHead => Failure::HeadTimeout,
            Phase::Content => Failure::ContentTimeout,
        })
    }

    /// The failure that the end of the connection means: what was sent and not taken is one of sending.
    ///
    /// `error` is what broke it, if its end was not orderly.
    pub(super) fn closed(&mut self, error: Option<&io::Error>) -> Result<Event, Failure> {
        let reason = error.filter(|error| error.get_ref().is_some());
        self.wire
            .closed(&self.rest, error.is_none())
            .map_err(|failure| match (failure, reason) {
                // TLS says more than the end: a server of TLS 1.3 refuses a certificate only after the handshake.
                (Failure::Answer(fault), Some(reason)) => {
                    Failure::Answer(Fault { cause: format!("{}: {reason}", fault.cause).into(), ..fault })
                }
                (failure, _) => failure,
            })
            .map_err(|failure| match failure {
                Failure::Answer(Fault { kind: FaultKind::Unanswered, .. }) if self.is_send_broken => {
                    Failure::SendBroken
                }
                failure => failure,
            })
    }
}

/// What a failed connect means.
pub(super) fn connect_failure(error: &io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::ConnectTimeout,
        io::ErrorKind::InvalidData => Failure::Handshake(error.to_string().into()),
        // Without a reason it is the kernel's.
        io::ErrorKind::PermissionDenied if error.get_ref().is_some() => Failure::Certificate(error.to_string().into()),
        _ => Failure::Refused,
    }
}
