//! Reads the content of a request that is the only one on its connection. Content is read into the leader's scratch
//! memory and decoded into the request's own memory or towards a file. A waiting connection holds its head and a few
//! bytes that are not decoded yet.

use farrier_http::{Error, Kind, Limits, Request};

use crate::connection::{Connection, PartialContent, Phase};
use crate::h1::Progress;
use crate::reader::ContentReader;
use crate::rules::Rules;
use crate::scratch::Scratch;
use farrier_transport::link::{Link, Received};
use farrier_transport::spool::Sink;

/// Content that is read at a time, also while the beginning of a chunk's line waits for its end.
const CONTENT_ROOM_BYTES: usize = 64 * 1024;
const LINE_ROOM_BYTES: usize = 4 * 1024;

/// A head is complete, and its content is not.
pub(crate) fn content_begins(
    connection: &mut Connection,
    request: Box<Request>,
    reader: ContentReader,
    limits: Option<Limits>,
    rules: &Rules,
    now_ms: u64,
) -> Progress {
    let received_bytes = (request.arena.filled().len() - request.head.bytes) as u64;
    let (sink, limits) = (Sink::expecting(request.head.framing, None), limits.map(Box::new));
    connection.phase = Phase::Content(Box::new(PartialContent {
        request,
        plan: None,
        reader,
        limits,
        sink,
        since_ms: now_ms,
        received_bytes,
        is_complete: false,
        disk_since_ms: None,
    }));
    connection.deadline_ms = now_ms + rules.body_timeout_ms;
    Progress::HeadAlone
}

/// Reads content until the socket has no more or the turn is over.
pub(crate) fn continue_content(
    connection: &mut Connection,
    mut partial: Box<PartialContent>,
    scratch: &mut Scratch,
    rules: &Rules,
    now_ms: u64,
    turn_bytes: &mut usize,
) -> Progress {
    if let Err(error) = partial.sink.check(&rules.spool) {
        return Progress::Refused(error, partial.request);
    }
    if let Some(since_ms) = partial.disk_since_ms.take() {
        // The client was not waited for meanwhile.
        partial.since_ms += now_ms.saturating_sub(since_ms);
        connection.deadline_ms = now_ms + rules.body_timeout_ms;
    }
    if let Err(error) = decode_arena(&mut partial, &connection.link, rules) {
        return Progress::Refused(error, partial.request);
    }
    if partial.is_complete {
        if partial.sink.waiting_bytes() > 0 {
            return wait_for_disk(connection, partial, now_ms);
        }
        let PartialContent { mut request, plan, sink, .. } = *partial;
        let end = request.head.bytes;
        return match sink.into_body(&rules.spool) {
            Ok(body) => {
                request.body = body;
                Progress::Request(request, end, plan)
            }
            Err(error) => Progress::Refused(error, request),
        };
    }
    if !connection.readable {
        return wait_for_content(connection, partial);
    }
    if *turn_bytes == 0 {
        connection.phase = Phase::Content(partial);
        return Progress::More;
    }
    let has_rest = partial.request.arena.filled().len() > partial.request.head.bytes;
    let usual = if has_rest { LINE_ROOM_BYTES } else { CONTENT_ROOM_BYTES };
    let room_bytes = partial.sink.room_bytes(usual.min(*turn_bytes), &rules.spool);
    if room_bytes == 0 {
        return wait_for_disk(connection, partial, now_ms);
    }
    let room = scratch.content_room(room_bytes);
    match connection.link.receive(room) {
        Received::Bytes(count) => {
            // As in `fill`.
            connection.readable = count == room_bytes || connection.ended;
            *turn_bytes -= count;
            partial.received_bytes += count as u64;
            connection.deadline_ms = now_ms + rules.body_timeout_ms;
            if let Err(error) = take_input(&mut partial, &room[..count], has_rest, &connection.link, rules) {
                return Progress::Refused(error, partial.request);
            }
            connection.phase = Phase::Content(partial);
            Progress::Again
        }
        Received::Nothing => {
            connection.readable = false;
            wait_for_content(connection, partial)
        }
        Received::End => {
            let error = Error::client(Kind::ClientGone, "the client broke off its request's content");
            Progress::Refused(error, partial.request)
        }
        Received::Plain(_) | Received::Broken => {
            scratch.give_back(partial.request);
            Progress::Closed
        }
    }
}

/// Shrinks the connection's buffer to what its head needs.
fn wait_for_content(connection: &mut Connection, mut partial: Box<PartialContent>) -> Progress {
    partial.request.release_room(0);
    connection.phase = Phase::Content(partial);
    Progress::Wait
}

/// The disk thread must write before more can be read. No event of the socket reports that it has.
fn wait_for_disk(connection: &mut Connection, mut partial: Box<PartialContent>, now_ms: u64) -> Progress {
    partial.request.release_room(0);
    partial.disk_since_ms = Some(now_ms);
    connection.deadline_ms = u64::MAX;
    connection.phase = Phase::Content(partial);
    Progress::Wait
}

/// Decodes what was read: in place, or behind the bytes left from an earlier read.
fn take_input(
    partial: &mut PartialContent,
    input: &[u8],
    has_rest: bool,
    link: &Link,
    rules: &Rules,
) -> Result<(), Error> {
    if has_rest {
        partial.request.arena.append(input);
        return Ok(());
    }
    let PartialContent { reader, sink, limits, request, is_complete, .. } = partial;
    let limits = limits.as_deref().unwrap_or(&rules.limits);
    let (used, done) = decode(reader, sink, input, limits, link, rules)?;
    *is_complete = done;
    if used < input.len() {
        request.arena.append(&input[used..]);
    }
    Ok(())
}

/// Decodes the bytes behind the head into the sink, if there are any.
fn decode_arena(partial: &mut PartialContent, link: &Link, rules: &Rules) -> Result<(), Error> {
    let PartialContent { reader, sink, limits, request, is_complete, .. } = partial;
    let head_bytes = request.head.bytes;
    let input = &request.arena.filled()[head_bytes..];
    if *is_complete {
        return Ok(());
    }
    let (used, done) = decode(reader, sink, input, limits.as_deref().unwrap_or(&rules.limits), link, rules)?;
    *is_complete = done;
    request.arena.remove(head_bytes, used);
    Ok(())
}

/// Decodes input into the sink. Returns how much of it was used, and whether the content is complete.
fn decode(
    reader: &mut ContentReader,
    sink: &mut Sink,
    input: &[u8],
    limits: &Limits,
    link: &Link,
    rules: &Rules,
) -> Result<(usize, bool), Error> {
    let mut used = 0;
    loop {
        let rest = &input[used..];
        let decoded = reader.read(rest, limits, link)?;
        if !decoded.content.is_empty() {
            sink.take(&rest[decoded.content], &rules.spool)?;
        }
        used += decoded.consumed;
        if decoded.done || decoded.consumed == 0 {
            return Ok((used, decoded.done));
        }
    }
}
