//! A request, independent of its front: an arena of bytes, and spans into it.

use std::any::Any;
use std::sync::{Arc, OnceLock};

use crate::body::Body;
use crate::error::Error;
use crate::field::{Field, KnownField, Seen, Span};
use crate::forwarded::Forwarded;
use crate::gateway::Gateway;
use crate::origin::{ListenerId, Origin, Peer, Scheme};
use crate::secure::Secure;

/// A growable buffer that sockets read into and spans point into.
///
/// `bytes[..filled]` holds the received bytes. The rest is zeroed spare room, so reading needs no unsafe code. Beyond
/// the largest possible position is an annex for values that the server itself adds to the request.
#[derive(Debug, Default)]
pub struct Arena {
    bytes: Vec<u8>,
    filled: usize,
    annex: Vec<u8>,
}

/// Where spans of the annex begin. Received bytes are bounded far below (see [`Span::new`]).
const ANNEX_START: usize = 1 << 31;

impl Arena {
    /// An arena with `room` bytes to read into.
    pub fn with_room(room: usize) -> Self {
        Arena { bytes: vec![0; room], filled: 0, annex: Vec::new() }
    }

    /// The received bytes.
    pub fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }

    /// The received bytes, mutable.
    pub fn filled_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.filled]
    }

    /// The room for the next read. Empty when the arena is full: call [`Arena::grow`].
    pub fn spare(&mut self) -> &mut [u8] {
        &mut self.bytes[self.filled..]
    }

    /// Marks the first `count` bytes of [`Arena::spare`] as received.
    pub fn advance(&mut self, count: usize) {
        self.filled = (self.filled + count).min(self.bytes.len());
    }

    /// Doubles the room, up to `room_max` bytes in all. False if it cannot grow.
    pub fn grow(&mut self, room_max: usize) -> bool {
        let room = (self.bytes.len() * 2).max(4096).min(room_max);
        if room <= self.bytes.len() {
            return false;
        }
        self.bytes.resize(room, 0);
        true
    }

    /// Moves the received bytes into memory of just their size, and returns the memory that they were in.
    pub fn compact(&mut self) -> Vec<u8> {
        let compact = self.filled().to_vec();
        std::mem::replace(&mut self.bytes, compact)
    }

    /// Appends a copy, growing as needed.
    pub fn append(&mut self, bytes: &[u8]) {
        let end = self.filled + bytes.len();
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.filled..end].copy_from_slice(bytes);
        self.filled = end;
    }

    /// Bytes it can hold without growing.
    pub fn room(&self) -> usize {
        self.bytes.len()
    }

    /// Drops the first `count` received bytes and moves the rest to the front.
    pub fn consume(&mut self, count: usize) {
        self.remove(0, count);
    }

    /// Drops `count` received bytes from `start` on, and moves the following bytes there.
    pub fn remove(&mut self, start: usize, count: usize) {
        let end = (start + count).min(self.filled);
        if end > start {
            self.bytes.copy_within(end..self.filled, start);
            self.filled -= end - start;
        }
    }

    /// Clears all received bytes. Room beyond `room_kept` is freed.
    pub fn clear(&mut self, room_kept: usize) {
        self.filled = 0;
        if self.bytes.len() > room_kept {
            self.bytes.truncate(room_kept);
            self.bytes.shrink_to_fit();
        }
    }

    /// Replaces each line end of a span, with the white space around it, by as many spaces (RFC 9112 §5.2).
    pub fn unfold(&mut self, span: Span) {
        let bytes = self.bytes.get_mut(span.range()).unwrap_or_default();
        for run in bytes.split_mut(|byte| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n')) {
            if run.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
                run.fill(b' ');
            }
        }
    }

    /// The bytes of a span; empty if the span is not inside the arena.
    pub fn slice(&self, span: Span) -> &[u8] {
        self.bytes.get(span.range()).unwrap_or_else(|| self.annexed(span))
    }

    #[cold]
    fn annexed(&self, span: Span) -> &[u8] {
        let start = (span.start as usize).checked_sub(ANNEX_START);
        start.and_then(|start| self.annex.get(start..start + span.len as usize)).unwrap_or_default()
    }

    /// Stores bytes of the server's own, until the next request.
    pub fn annex(&mut self, bytes: &[u8]) -> Span {
        let start = ANNEX_START + self.annex.len();
        self.annex.extend_from_slice(bytes);
        Span::new(start, start + bytes.len())
    }
}

/// HTTP version of a message as the server treats it: 1.2 and above count as 1.1 (RFC 9110 §6.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

impl Version {
    /// The name in `SERVER_PROTOCOL`.
    pub fn as_str(self) -> &'static str {
        match self {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
            Version::Http2 => "HTTP/2",
        }
    }
}

/// The forms of a request target (RFC 9112 §3.2). The fourth, `host:port`, belongs to CONNECT alone, which is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://authority/path?query`
    Absolute,
    /// `*`, with OPTIONS
    Asterisk,
}

/// How a request's content is delimited on the wire (RFC 9112 §6.3). Decided in one place, `wire::h1::framing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyFraming {
    /// No content.
    #[default]
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// The chunked coding.
    Chunked,
}

/// The head of a request: spans into the arena, and their meaning.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method token.
    pub method: Span,
    /// The request target as received.
    pub target: Span,
    /// Its form.
    pub form: TargetForm,
    /// The path inside the target, percent-encoded as received; `*` for the asterisk form. An
    /// absolute-form target without a path gives an empty span.
    pub path: Span,
    /// The part after the first `?` of the target; empty if there is none.
    pub query: Span,
    /// The version.
    pub version: Version,
    /// The field lines in the order received.
    pub fields: Vec<Field>,
    /// The kinds of fields that it has.
    pub seen: Seen,
    /// `host[:port]` of the request: the checked value of the Host field (RFC 9112 §3.2). If an HTTP/1.0 request has
    /// none, it is the authority of an absolute-form target, otherwise empty.
    pub host: Span,
    /// The scheme of an absolute-form target, or of `:scheme` if it is not the connection's. With it goes [`Seen::SCHEME`].
    pub told_scheme: Option<Scheme>,
    /// How the content is delimited.
    pub framing: BodyFraming,
    /// Whether the client allows the connection to be kept alive (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` (RFC 9110 §10.1.1).
    pub expect_continue: bool,
    /// Bytes of the head in the arena, final CRLF included; content begins here.
    pub bytes: usize,
    /// The protocol that an extended CONNECT asks for (RFC 8441 §4); empty for every other request.
    pub protocol: Span,
    /// The data from a web server, if the request came by a gateway protocol.
    pub gateway: Gateway,
}

impl RequestHead {
    /// Clears the head and keeps its memory.
    pub fn clear(&mut self) {
        // Cleared field by field, because the gateway's part is large and usually empty already.
        let RequestHead {
            method,
            target,
            form,
            path,
            query,
            version,
            fields,
            seen,
            host,
            told_scheme,
            framing,
            keep_alive,
            expect_continue,
            bytes,
            protocol,
            gateway,
        } = self;
        for span in [method, target, path, query, host, protocol] {
            *span = Span::default();
        }
        (*form, *version, *seen, *told_scheme, *framing) = Default::default();
        (*keep_alive, *expect_continue, *bytes) = Default::default();
        fields.clear();
        gateway.clear();
    }
}

/// A request. Its owner reuses it for the next one, so that serving allocates nothing for it.
pub struct Request {
    /// The bytes.
    pub arena: Arena,
    /// Their meaning.
    pub head: RequestHead,
    /// The content.
    pub body: Body,
    /// Where it came from.
    pub origin: Origin,
    /// The address that the client used, according to a trusted proxy.
    pub forwarded: Forwarded,
    /// Whether it came from a trusted proxy, if the field policy records that.
    pub is_from_proxy: bool,
    /// Additional values of the handler for the access log: names in lower case, and values.
    pub notes: Vec<(String, String)>,
    /// The connection's security, if TLS ended here.
    pub secure: Option<Arc<Secure>>,
    /// The part that a handler of several parts has chosen for this request.
    pub choice: u32,
    /// What a handler has found for this request when it was asked for its plan.
    pub found: Option<Arc<dyn Any + Send + Sync>>,
    /// Why its streamed content failed, once its reader knows.
    pub content_fault: Option<Arc<OnceLock<Error>>>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Request { arena, head, body, origin, choice, .. } = self;
        f.debug_struct("Request")
            .field("arena", arena)
            .field("head", head)
            .field("body", body)
            .field("origin", origin)
            .field("choice", choice)
            .finish_non_exhaustive()
    }
}

impl Request {
    /// An empty request with `room` bytes of arena.
    pub fn with_room(room: usize) -> Self {
        Request {
            arena: Arena::with_room(room),
            head: RequestHead::default(),
            body: Body::Empty,
            origin: Origin { peer: Peer::Unix, listener: ListenerId(0), scheme: Scheme::Http },
            forwarded: Forwarded::default(),
            is_from_proxy: false,
            notes: Vec::new(),
            secure: None,
            choice: 0,
            found: None,
            content_fault: None,
        }
    }

    /// An empty request that reads into this memory.
    pub fn with_memory(bytes: Vec<u8>) -> Self {
        Request { arena: Arena { bytes, ..Arena::default() }, ..Request::with_room(0) }
    }

    /// Clears everything. Room of the arena beyond `room_kept` bytes is freed.
    pub fn clear(&mut self, room_kept: usize) {
        self.arena.clear(room_kept);
        self.clear_for_next();
    }

    /// Gives back the room of the arena beyond what was received and `room_kept` bytes.
    pub fn release_room(&mut self, room_kept: usize) {
        let Arena { bytes, filled, .. } = &mut self.arena;
        if bytes.len() > *filled + room_kept {
            bytes.truncate(*filled + room_kept);
            bytes.shrink_to_fit();
        }
    }

    /// Clears everything except the arena's bytes, which belong to the next request.
    pub fn clear_for_next(&mut self) {
        self.head.clear();
        self.arena.annex.clear();
        self.body = Body::Empty;
        self.secure = None;
        self.choice = 0;
        self.found = None;
        self.content_fault = None;
    }

    /// The method (RFC 9110 §9).
    pub fn method(&self) -> &[u8] {
        self.arena.slice(self.head.method)
    }

    /// The protocol that an extended CONNECT asks for (RFC 8441 §4); `None` for every other request.
    pub fn protocol(&self) -> Option<&[u8]> {
        (!self.head.protocol.is_empty()).then(|| self.arena.slice(self.head.protocol))
    }

    /// The request target as received.
    pub fn target(&self) -> &[u8] {
        self.arena.slice(self.head.target)
    }

    /// The path, percent-encoded as received; decoded if [`Gateway::path_is_decoded`].
    pub fn path(&self) -> &[u8] {
        self.arena.slice(self.head.path)
    }

    /// The query without its `?`; empty when there is none.
    pub fn query(&self) -> &[u8] {
        self.arena.slice(self.head.query)
    }

    /// `host[:port]`, or empty.
    pub fn host(&self) -> &[u8] {
        self.arena.slice(self.head.host)
    }

    /// All field lines in the order received.
    pub fn fields(&self) -> impl Iterator<Item = (KnownField, &[u8], &[u8])> {
        self.head.fields.iter().map(|f| (f.known, self.arena.slice(f.name), self.arena.slice(f.value)))
    }

    /// The first value of a well-known field.
    pub fn field(&self, known: KnownField) -> Option<&[u8]> {
        self.head.fields.iter().find(|f| f.known == known).map(|f| self.arena.slice(f.value))
    }

    /// All values of the fields of that name, which is in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let known = KnownField::of(name.as_bytes());
        let is_it = move |&(its, spelt, _): &(KnownField, &[u8], &[u8])| {
            its == known && (known != KnownField::Other || spelt.eq_ignore_ascii_case(name.as_bytes()))
        };
        self.fields().filter(is_it).map(|(.., value)| value)
    }

    /// Replaces all fields of that name with one of the server's own.
    ///
    /// # Arguments
    ///
    /// `name` is a token in lower case, `value` a valid field value.
    pub fn replace_field(&mut self, name: &str, value: &[u8]) {
        let known = KnownField::of(name.as_bytes());
        let Request { arena, head, .. } = self;
        head.fields.retain(|field| {
            let is_it = known != KnownField::Other || arena.slice(field.name).eq_ignore_ascii_case(name.as_bytes());
            field.known != known || !is_it
        });
        let (name, value) = (arena.annex(name.as_bytes()), arena.annex(value));
        head.fields.push(Field { known, name, value });
        head.seen = head.seen.with(Seen::of(known));
    }

    /// Whether the client accepts trailers (RFC 9110 §10.1.4). With HTTP/2 they can always be sent.
    pub fn takes_trailers(&self) -> bool {
        let asks = || {
            let values = self.fields().filter(|(known, ..)| *known == KnownField::Te).map(|(.., value)| value);
            values
                .flat_map(|value| value.split(|&byte| byte == b','))
                .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
        };
        self.head.version == Version::Http2 || (self.head.seen.has_any(Seen::of(KnownField::Te)) && asks())
    }

    /// The content, if it is in memory; `None` for a body that is spooled or streamed.
    pub fn body_in_memory(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Empty => Some(&[]),
            Body::InArena(span) => Some(self.arena.slice(*span)),
            Body::Memory(content) => Some(content),
            Body::Spooled { .. } | Body::Streamed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_the_servers_own_takes_the_place_of_others_and_goes_with_the_request() {
        let mut request = Request::with_room(64);
        request.arena.append(b"X-Request-IDone");
        let field = |name, value| Field { known: KnownField::Other, name, value };
        request.head.fields.push(field(Span::new(0, 12), Span::new(12, 15)));
        request.replace_field("x-request-id", b"two");
        request.replace_field("accept", b"text/html");
        assert_eq!(request.values("x-request-id").collect::<Vec<_>>(), [b"two"]);
        assert_eq!(request.field(KnownField::Accept), Some(&b"text/html"[..]));
        assert_eq!(request.arena.filled(), b"X-Request-IDone");
        let span = request.head.fields[0].value;
        request.clear_for_next();
        assert_eq!(request.arena.slice(span), b"");
    }

    #[test]
    fn room_beyond_what_was_received_is_given_back() {
        let mut request = Request::with_room(4096);
        request.arena.append(b"head");
        request.release_room(8);
        assert_eq!((request.arena.filled(), request.arena.room()), (&b"head"[..], 12));
        request.release_room(16);
        assert_eq!(request.arena.room(), 12);
    }
}
