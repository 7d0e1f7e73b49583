//! Sends a file as the response: conditional requests, ranges, content from memory or from the open file.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_http::conditional::{self, Verdict};
use farrier_http::ranges::{self, Asked, ByteRange, Multipart, Ranges};
use farrier_http::{Error, Flush, KnownField, Request, Respond, ResponseHead, Seen, SendError, Status};

use super::found::{Content, Representation};

/// The response to a request for an existing file.
pub(crate) enum Plan {
    /// 200 with the whole content.
    Whole,
    /// 206 with one range.
    Part(ByteRange),
    /// 206 with several ranges.
    Parts(Ranges),
    /// 304.
    NotModified,
    /// 412.
    PreconditionFailed,
    /// 416.
    NotSatisfiable,
}

/// Chooses the response from the request's conditions and ranges.
pub(crate) fn plan(request: &Request, representation: &Representation) -> Plan {
    match conditional::judge(request, representation.validators()) {
        Verdict::NotModified => Plan::NotModified,
        Verdict::PreconditionFailed => Plan::PreconditionFailed,
        Verdict::Proceed { range } => {
            let names_range = range && request.head.seen.has_any(Seen::of(KnownField::Range));
            // RFC 9110 §14.2: ranges are defined only for GET.
            if !names_range || request.method() != b"GET" {
                return Plan::Whole;
            }
            match ranges::read(request.field(KnownField::Range).unwrap_or_default(), representation.bytes) {
                Asked::Whole => Plan::Whole,
                Asked::Nothing => Plan::NotSatisfiable,
                Asked::Parts(parts) => match parts.as_slice() {
                    [only] => Plan::Part(*only),
                    _ => Plan::Parts(parts),
                },
            }
        }
    }
}

/// Makes the response head for a status. A given Content-Type replaces the file's own.
pub(crate) type MakeHead<'a> = dyn Fn(Status, Option<&str>) -> Result<ResponseHead, Error> + 'a;

/// Sends the chosen response. `head` makes its head.
///
/// # Errors
/// A field could not be added.
pub(crate) fn carry_out(
    plan: &Plan,
    request: &Request,
    representation: &Representation,
    respond: &mut dyn Respond,
    head: &MakeHead<'_>,
) -> Result<(), Error> {
    let whole_bytes = representation.bytes;
    let wants_content = request.method() != b"HEAD";
    match plan {
        Plan::Whole => {
            respond.head(&head(Status::OK, None)?, Some(whole_bytes));
            if wants_content {
                // An error means that the client has disconnected: nothing is left to do.
                let _ = send(respond, representation, ByteRange { start: 0, end: whole_bytes });
            }
        }
        Plan::Part(range) => {
            let mut head = head(Status::PARTIAL_CONTENT, None)?;
            head.add(b"Content-Range", range.content_range(whole_bytes).as_bytes())?;
            respond.head(&head, Some(range.bytes()));
            let _ = send(respond, representation, *range);
        }
        Plan::Parts(parts) => {
            let boundary = boundary();
            let media_type = head(Status::OK, None)?;
            let media_type = media_type
                .fields()
                .find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
                .map(|(_, value)| value.to_vec())
                .unwrap_or_default();
            let frame = Multipart::new(&boundary, &media_type, whole_bytes);
            let head = head(Status::PARTIAL_CONTENT, Some(&frame.content_type()))?;
            respond.head(&head, Some(frame.content_bytes(parts)));
            let _ = send_parts(respond, representation, parts, &frame);
        }
        Plan::NotModified => respond.head(&head(Status::NOT_MODIFIED, None)?, None),
        Plan::PreconditionFailed => return refuse(respond, Status::PRECONDITION_FAILED, &[]),
        Plan::NotSatisfiable => {
            let unsatisfied = ranges::unsatisfied(whole_bytes);
            return refuse(respond, Status::RANGE_NOT_SATISFIABLE, &[(b"Content-Range", unsatisfied.as_bytes())]);
        }
    }
    respond.finish();
    Ok(())
}

/// Answers with a status and a line of text. Without `fields`, the site's error page is used if it has one.
///
/// # Errors
/// A field could not be added.
pub(crate) fn refuse(respond: &mut dyn Respond, status: Status, fields: &[(&[u8], &[u8])]) -> Result<(), Error> {
    if fields.is_empty() {
        // The caller turns the error into a response, with the site's page for the status if it has one.
        return Err(Error::answer(status));
    }
    let mut head = ResponseHead::new(status);
    for (name, value) in fields {
        head.add(name, value)?;
    }
    let content = format!("{} {}\n", status.0, status.reason());
    let content = if status.has_no_content() { "" } else { &content };
    if !content.is_empty() {
        head.add(b"Content-Type", b"text/plain; charset=utf-8")?;
        head.add(b"X-Content-Type-Options", b"nosniff")?;
    }
    respond.head(&head, Some(content.len() as u64));
    let _ = respond.send(content.as_bytes(), Flush::Later);
    respond.finish();
    Ok(())
}

/// Sends a range of the content.
pub(crate) fn send(
    respond: &mut dyn Respond,
    representation: &Representation,
    range: ByteRange,
) -> Result<(), SendError> {
    match &representation.content {
        Content::Memory(content) => {
            let stretch = content.get(range.start as usize..range.end as usize).unwrap_or_default();
            respond.send(stretch, Flush::Later)
        }
        Content::Open(file) => respond.send_file(Arc::clone(file), range.start, range.bytes()),
    }
}

fn send_parts(
    respond: &mut dyn Respond,
    representation: &Representation,
    parts: &Ranges,
    frame: &Multipart<'_>,
) -> Result<(), SendError> {
    for &range in parts.as_slice() {
        respond.send(&frame.before(range), Flush::Later)?;
        send(respond, representation, range)?;
    }
    respond.send(&frame.end(), Flush::Later)
}

/// A random boundary, so that nobody can predict it and no two responses share it.
fn boundary() -> String {
    static SECRET: OnceLock<RandomState> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let mut hasher = SECRET.get_or_init(RandomState::new).build_hasher();
    hasher.write_u64(COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{:016x}", hasher.finish())
}
