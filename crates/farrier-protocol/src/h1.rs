//! The reading side of the fronts: passes bytes from the socket to a codec until a request is complete.

use farrier_http::wire::h1::encode::CONTINUE;
use farrier_http::{Body, BodyFraming, Error, Kind, Plan, Request, Span};

use crate::admission::Opening;
use crate::after_response::AfterResponse;
use crate::connection::{Connection, PartialContent, PartialHead, Phase};
use crate::h1_content::{content_begins, continue_content};
use crate::reader::{ContentReader, HeadReader, Read, whole_stdin};
use crate::rules::Rules;
use crate::scratch::{ARENA_ROOM_BYTES, Scratch};
use farrier_transport::link::{Link, Received};

/// Size of a connection's own arena while a head is incomplete.
const PARTIAL_ROOM_BYTES: usize = 1024;

/// Content read from one connection in one turn, before other connections get their turn.
const CONTENT_TURN_BYTES: usize = 256 * 1024;

/// The result of reading.
pub enum Step {
    /// A complete request, and where in its arena it ends: the bytes behind it belong to the next one. The handler's
    /// plan comes with it, if the handler was asked already.
    Request(Box<Request>, usize, Option<Plan>),
    /// A head is complete and its content is not: the handler must be asked how it wants the content.
    Head,
    /// The connection speaks HTTP/2, and begins with the bytes of this request's arena.
    Http2(Box<Request>),
    /// The connection waits for its client, or for the disk.
    Wait,
    /// There is more to be read: other connections get their turn first.
    More,
    /// Something else must be done with the connection, as its phase says.
    Again,
    /// The client broke a rule; the request as far as it was understood.
    Refused(Error, Box<Request>),
    /// The client closed between requests, or in the middle of one.
    Closed,
}

/// Reads and decodes until a request is complete or the socket has no more.
pub fn advance(connection: &mut Connection, scratch: &mut Scratch, rules: &Rules, now_ms: u64) -> Step {
    let mut turn_bytes = CONTENT_TURN_BYTES;
    loop {
        let step = match std::mem::replace(&mut connection.phase, Phase::Idle) {
            Phase::Idle => begin(connection, scratch, rules, now_ms),
            Phase::Head(partial) => continue_head(connection, partial, scratch, rules, now_ms),
            Phase::Content(partial) => continue_content(connection, partial, scratch, rules, now_ms, &mut turn_bytes),
            phase @ (Phase::Flushing { .. }
            | Phase::Lingering { .. }
            | Phase::Http2(_)
            | Phase::Streaming(_)
            | Phase::Exchange(_)) => {
                connection.phase = phase;
                Progress::Wait
            }
        };
        match step {
            Progress::Again => continue,
            Progress::Wait => return Step::Wait,
            Progress::More => return Step::More,
            Progress::Answered => return Step::Again,
            Progress::Request(request, end, plan) => return Step::Request(request, end, plan),
            Progress::HeadAlone => return Step::Head,
            Progress::Refused(error, request) => return Step::Refused(error, request),
            Progress::Http2(request) => return Step::Http2(request),
            Progress::Closed => return Step::Closed,
        }
    }
}

/// The bytes behind the request in its arena become the beginning of the next one. If there are none, the request goes
/// back to the scratch.
pub fn leftover(
    mut request: Box<Request>,
    end: usize,
    opening: &Opening,
    scratch: &mut Scratch,
    now_ms: u64,
) -> Option<Box<PartialHead>> {
    if request.arena.filled().len() <= end {
        scratch.give_back(request);
        return None;
    }
    request.arena.consume(end);
    request.clear_for_next();
    Some(Box::new(PartialHead { request, reader: HeadReader::of(opening), since_ms: now_ms }))
}

pub(crate) enum Progress {
    Again,
    Wait,
    More,
    Answered,
    Request(Box<Request>, usize, Option<Plan>),
    HeadAlone,
    Refused(Error, Box<Request>),
    Http2(Box<Request>),
    Closed,
}

fn begin(connection: &mut Connection, scratch: &mut Scratch, rules: &Rules, now_ms: u64) -> Progress {
    if !connection.readable {
        return Progress::Wait;
    }
    let mut request = scratch.take_request();
    match fill(connection, &mut request) {
        Received::Bytes(_) => {}
        Received::Nothing => {
            scratch.give_back(request);
            if connection.link.take_just_secured() {
                connection.deadline_ms = now_ms + rules.keepalive_ms.max(rules.header_timeout_ms);
            }
            return Progress::Wait;
        }
        Received::Plain(_) => {
            let error = Error::bad_request("the request was sent without TLS to a port that speaks TLS; use https://");
            return Progress::Refused(error, request);
        }
        Received::End | Received::Broken => {
            scratch.give_back(request);
            return Progress::Closed;
        }
    }
    let mut reader = HeadReader::of(&connection.opening);
    match read(&mut reader, connection, &mut request, rules) {
        Ok(Read::Head) => head_complete(connection, request, rules, now_ms),
        Ok(Read::Partial) => {
            // Only now does the connection get a buffer of its own, no larger than its content needs.
            let mut own = Box::new(Request::with_room(request.arena.filled().len() + PARTIAL_ROOM_BYTES));
            own.arena.append(request.arena.filled());
            scratch.give_back(request);
            connection.phase = Phase::Head(Box::new(PartialHead { request: own, reader, since_ms: now_ms }));
            connection.deadline_ms = now_ms + rules.header_timeout_ms;
            again_if(connection.readable)
        }
        Ok(Read::Nothing) => {
            scratch.give_back(request);
            again_if(connection.readable)
        }
        Ok(Read::Http2) => Progress::Http2(request),
        Ok(Read::Tls) => {
            scratch.give_back(request);
            tls_begins(connection, rules, now_ms)
        }
        Ok(Read::Question(answer)) => {
            scratch.give_back(request);
            answer_question(connection, answer, rules, now_ms)
        }
        Err(error) => Progress::Refused(error, request),
    }
}

fn read(
    reader: &mut HeadReader,
    connection: &mut Connection,
    request: &mut Request,
    rules: &Rules,
) -> Result<Read, Error> {
    let Connection { opening, origin, link, .. } = connection;
    reader.read(request, &rules.limits, opening, origin, link)
}

/// Continues with TLS. No event announces again the bytes of it that have come.
fn tls_begins(connection: &mut Connection, rules: &Rules, now_ms: u64) -> Progress {
    connection.readable = true;
    connection.deadline_ms = now_ms + rules.handshake_timeout_ms;
    Progress::Again
}

/// Answers input that is no request, and ends the connection.
fn answer_question(connection: &mut Connection, answer: &[u8], rules: &Rules, now_ms: u64) -> Progress {
    // A client that has left is noticed when the rest is flushed.
    let _ = connection.link.send(&[answer], false);
    connection.phase = Phase::Flushing { then: AfterResponse::Linger, next: None };
    connection.deadline_ms = now_ms + rules.write_timeout_ms;
    Progress::Answered
}

fn continue_head(
    connection: &mut Connection,
    mut partial: Box<PartialHead>,
    scratch: &mut Scratch,
    rules: &Rules,
    now_ms: u64,
) -> Progress {
    match read(&mut partial.reader, connection, &mut partial.request, rules) {
        Ok(Read::Head) => return head_complete(connection, partial.request, rules, now_ms),
        Ok(Read::Partial) => {}
        Ok(Read::Nothing) => {
            // The connection is idle again, and owns no buffer.
            connection.deadline_ms = now_ms + rules.keepalive_ms.max(rules.header_timeout_ms);
            return again_if(connection.readable);
        }
        Ok(Read::Http2) => return Progress::Http2(partial.request),
        Ok(Read::Tls) => return tls_begins(connection, rules, now_ms),
        Ok(Read::Question(answer)) => return answer_question(connection, answer, rules, now_ms),
        Err(error) => return Progress::Refused(error, partial.request),
    }
    connection.deadline_ms = partial.since_ms + rules.header_timeout_ms;
    if !connection.readable {
        connection.phase = Phase::Head(partial);
        return Progress::Wait;
    }
    if partial.request.arena.spare().is_empty() {
        // The decoder refuses a head above its limit before the arena needs more than that.
        partial.request.arena.grow(rules.limits.head_bytes_max + ARENA_ROOM_BYTES);
    }
    match fill(connection, &mut partial.request) {
        Received::Bytes(_) => {
            connection.phase = Phase::Head(partial);
            Progress::Again
        }
        Received::Nothing => {
            connection.phase = Phase::Head(partial);
            Progress::Wait
        }
        Received::End | Received::Plain(_) | Received::Broken => {
            scratch.give_back(partial.request);
            Progress::Closed
        }
    }
}

fn head_complete(connection: &mut Connection, mut request: Box<Request>, rules: &Rules, now_ms: u64) -> Progress {
    let head_bytes = request.head.bytes;
    let own_limits = rules.limits_for(&mut request);
    let limits = own_limits.as_ref().unwrap_or(&rules.limits);
    let reader =
        connection.opening.judge(request.head.gateway.via).and_then(|()| ContentReader::of(&request.head, limits));
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => return Progress::Refused(error, request),
    };
    if let ContentReader::Stdin(decoder) = &reader {
        if let Some((content, bytes)) = whole_stdin(decoder, &request.arena.filled()[head_bytes..], limits) {
            request.body = match content.len() {
                0 => Body::Empty,
                _ => Body::InArena(Span::new(head_bytes + content.start, head_bytes + content.end)),
            };
            return Progress::Request(request, head_bytes + bytes, None);
        }
        return content_begins(connection, request, reader, own_limits, rules, now_ms);
    }
    match request.head.framing {
        BodyFraming::None => {
            request.body = Body::Empty;
            return Progress::Request(request, head_bytes, None);
        }
        BodyFraming::Length(length) => {
            let end = head_bytes as u64 + length;
            if end <= request.arena.filled().len() as u64 {
                let end = end as usize;
                request.body = Body::InArena(Span::new(head_bytes, end));
                return Progress::Request(request, end, None);
            }
        }
        BodyFraming::Chunked => {}
    }
    content_begins(connection, request, reader, own_limits, rules, now_ms)
}

/// Sends `100 Continue`, if the client waits for it.
pub fn invite(partial: &PartialContent, link: &Link) {
    let request = &partial.request;
    if request.head.expect_continue && request.arena.filled().len() == request.head.bytes {
        // A client that has left is noticed when the content is read.
        let _ = link.send(&[CONTINUE], false);
    }
}

/// Reads once into the arena. A read that does not fill the buffer has emptied the socket, so the next edge will report
/// more, unless the end was announced already.
fn fill(connection: &mut Connection, request: &mut Request) -> Received {
    let room = request.arena.spare();
    let room_bytes = room.len();
    let received = connection.link.receive(room);
    match received {
        Received::Bytes(count) => {
            connection.readable = count == room_bytes || connection.ended;
            request.arena.advance(count);
        }
        Received::Nothing => connection.readable = false,
        Received::Plain(_) | Received::End | Received::Broken => {}
    }
    received
}

fn again_if(more: bool) -> Progress {
    if more { Progress::Again } else { Progress::Wait }
}

/// What the expiry of a connection's deadline means.
pub enum Expired {
    /// The deadline was moved.
    NotYet,
    /// Close without an answer.
    Close,
    /// Answer and close.
    Refuse(Error, Box<Request>),
}

/// Checks a connection whose deadline may have come.
pub fn expire(connection: &mut Connection, rules: &Rules, now_ms: u64) -> Expired {
    if let Phase::Content(partial) = &connection.phase
        && partial.disk_since_ms.is_none()
    {
        let elapsed_ms = now_ms.saturating_sub(partial.since_ms);
        let owed = rules.body_rate_min.saturating_mul(elapsed_ms) / 1000;
        if elapsed_ms >= rules.body_timeout_ms && partial.received_bytes < owed {
            connection.deadline_ms = now_ms;
        }
    }
    if connection.deadline_ms > now_ms {
        return Expired::NotYet;
    }
    match std::mem::replace(&mut connection.phase, Phase::Idle) {
        Phase::Head(mut partial) => {
            let Some(via) = partial.reader.via() else { return Expired::Close };
            partial.request.head.gateway.via = via;
            Expired::Refuse(Error::client(Kind::RequestTimeout, "the head was not complete in time"), partial.request)
        }
        Phase::Content(partial) => {
            Expired::Refuse(Error::client(Kind::RequestTimeout, "the content came too slowly"), partial.request)
        }
        Phase::Idle
        | Phase::Flushing { .. }
        | Phase::Lingering { .. }
        | Phase::Http2(_)
        | Phase::Streaming(_)
        | Phase::Exchange(_) => Expired::Close,
    }
}
