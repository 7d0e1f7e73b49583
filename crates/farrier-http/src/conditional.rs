//! Conditional requests (RFC 9110 §13): whether a client's copy is still valid, evaluated in the order of §13.2.2.

use crate::field::{KnownField, Seen};
use crate::http_date;
use crate::request::Request;

/// The validators of the representation that would be sent.
#[derive(Debug, Clone, Copy)]
pub struct Validators<'a> {
    /// The entity tag with its quotes, and `W/` if it is weak; empty for none.
    pub etag: &'a [u8],
    /// The last modification in seconds since 1970, if it may be sent.
    pub modified_s: Option<i64>,
}

/// The result of evaluating a request's conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Perform the method.
    Proceed {
        /// Whether a Range field applies.
        range: bool,
    },
    /// 304: the client's copy is valid.
    NotModified,
    /// 412: the representation that the client expects does not exist any more.
    PreconditionFailed,
}

const CONDITIONS: Seen = Seen::of(KnownField::IfMatch)
    .with(Seen::of(KnownField::IfNoneMatch))
    .with(Seen::of(KnownField::IfModifiedSince))
    .with(Seen::of(KnownField::IfUnmodifiedSince))
    .with(Seen::of(KnownField::IfRange));

/// Evaluates the conditions of a GET or HEAD for a representation that exists.
pub fn judge(request: &Request, present: Validators<'_>) -> Verdict {
    let seen = request.head.seen;
    if !seen.has_any(CONDITIONS) {
        return Verdict::Proceed { range: true };
    }
    // Steps 1 and 2: a date counts only without a tag.
    if seen.has_any(Seen::of(KnownField::IfMatch)) {
        // §13.1.1: compared strongly.
        if !any_tag_matches(request, KnownField::IfMatch, present.etag, Comparison::Strong) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(since) = date(request, KnownField::IfUnmodifiedSince)
        && present.modified_s.is_none_or(|modified| modified > since)
    {
        return Verdict::PreconditionFailed;
    }
    // Steps 3 and 4.
    if seen.has_any(Seen::of(KnownField::IfNoneMatch)) {
        if any_tag_matches(request, KnownField::IfNoneMatch, present.etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(request, KnownField::IfModifiedSince)
        && present.modified_s.is_some_and(|modified| modified <= since)
    {
        return Verdict::NotModified;
    }
    // Step 5.
    let range = match request.field(KnownField::IfRange) {
        Some(value) => if_range_holds(value, present),
        None => true,
    };
    Verdict::Proceed { range }
}

/// §13.1.5: the tag compared strongly, or exactly the same date.
fn if_range_holds(value: &[u8], present: Validators<'_>) -> bool {
    match value {
        [b'"', ..] => value == present.etag,
        [b'W', b'/', ..] => false,
        _ => http_date::parse(value).is_some_and(|date| present.modified_s == Some(date)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

fn any_tag_matches(request: &Request, field: KnownField, etag: &[u8], comparison: Comparison) -> bool {
    let mut lines = request.fields().filter(|(known, _, _)| *known == field);
    lines.any(|(_, _, value)| list_has(value, etag, comparison))
}

/// Whether a list of tags has one that matches, or is `*`. A syntax error ends the list.
fn list_has(list: &[u8], etag: &[u8], comparison: Comparison) -> bool {
    let mut rest = list.trim_ascii();
    if rest == b"*" {
        return true;
    }
    let (own_is_weak, own) = opaque(etag);
    loop {
        while let [b' ' | b'\t' | b',', after @ ..] = rest {
            rest = after;
        }
        let (is_weak, tag) = opaque(rest);
        let [b'"', after @ ..] = tag else { return false };
        let Some(end) = after.iter().position(|&byte| byte == b'"') else { return false };
        let strong_enough = comparison == Comparison::Weak || !(is_weak || own_is_weak);
        if strong_enough && !own.is_empty() && tag[..end + 2] == *own {
            return true;
        }
        rest = &after[end + 1..];
    }
}

/// Whether the tag is weak, and its quoted part.
fn opaque(tag: &[u8]) -> (bool, &[u8]) {
    match tag {
        [b'W', b'/', rest @ ..] => (true, rest),
        _ => (false, tag),
    }
}

fn date(request: &Request, field: KnownField) -> Option<i64> {
    if !request.head.seen.has_any(Seen::of(field)) {
        return None;
    }
    request.field(field).and_then(http_date::parse)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::wire::h1::HeadDecoder;

    const WHOLE: Verdict = Verdict::Proceed { range: false };
    const PROCEED: Verdict = Verdict::Proceed { range: true };

    /// The representation has the tag `"a"` and was last modified on 6 November 1994, 08:49:37.
    #[track_caller]
    fn check(fields: &str, expected: Verdict) {
        let mut request = Request::with_room(4096);
        request.arena.append(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        let complete = HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
        assert_eq!(complete, Ok(true), "{fields}");
        let present = Validators { etag: b"\"a\"", modified_s: Some(784_111_777) };
        assert_eq!(judge(&request, present), expected, "{fields}");
    }

    #[test]
    fn without_conditions_all_goes_on() {
        check("", PROCEED);
        check("Range: bytes=0-1\r\n", PROCEED);
    }

    #[test]
    fn if_match_compares_strongly() {
        check("If-Match: \"a\"\r\n", PROCEED);
        check("If-Match: *\r\n", PROCEED);
        check("If-Match: \"x\", \"a\"\r\n", PROCEED);
        check("If-Match: \"x\"\r\nIf-Match: \"a\"\r\n", PROCEED);
        check("If-Match: \"x,\\\", \"a\"\r\n", PROCEED);
        check("If-Match: W/\"a\"\r\n", Verdict::PreconditionFailed);
        check("If-Match: \"b\"\r\n", Verdict::PreconditionFailed);
        check("If-Match: a\r\n", Verdict::PreconditionFailed);
        check("If-Match:\r\n", Verdict::PreconditionFailed);
    }

    #[test]
    fn if_none_match_compares_weakly() {
        check("If-None-Match: \"a\"\r\n", Verdict::NotModified);
        check("If-None-Match: W/\"a\"\r\n", Verdict::NotModified);
        check("If-None-Match: *\r\n", Verdict::NotModified);
        check("If-None-Match: \"b\",,\"a\"\r\n", Verdict::NotModified);
        check("If-None-Match: \"b\"\r\n", PROCEED);
        check("If-None-Match: \"A\"\r\n", PROCEED);
        check("If-None-Match: \"a\r\n", PROCEED);
    }

    #[test]
    fn dates_are_compared_by_the_second() {
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", Verdict::NotModified);
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:38 GMT\r\n", Verdict::NotModified);
        check("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", PROCEED);
        check("If-Modified-Since: yesterday\r\n", PROCEED);
        check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", PROCEED);
        check("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", Verdict::PreconditionFailed);
        check("If-Unmodified-Since: yesterday\r\n", PROCEED);
    }

    #[test]
    fn tags_go_before_dates_and_preconditions_before_copies() {
        check("If-None-Match: \"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n", PROCEED);
        check("If-Match: \"a\"\r\nIf-Unmodified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n", PROCEED);
        check("If-Match: \"b\"\r\nIf-None-Match: \"a\"\r\n", Verdict::PreconditionFailed);
        check("If-Match: \"a\"\r\nIf-None-Match: \"a\"\r\n", Verdict::NotModified);
    }

    #[test]
    fn if_range_needs_the_very_validator() {
        check("If-Range: \"a\"\r\n", PROCEED);
        check("If-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n", PROCEED);
        for value in ["W/\"a\"", "\"b\"", "Sun, 06 Nov 1994 08:49:38 GMT", "a", "*", ""] {
            check(&format!("If-Range: {value}\r\n"), WHOLE);
        }
    }
}
