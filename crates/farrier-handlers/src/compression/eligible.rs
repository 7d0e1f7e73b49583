//! Decides which responses may be compressed, and makes the heads of compressed responses.

use farrier_http::{Coding, ResponseHead, Status};

/// A media type, or all media types that share a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaPattern {
    /// `type/subtype`, in lower case.
    Exact(String),
    /// `type/`: every subtype.
    Type(String),
    /// `+suffix`: every type with this structured syntax (RFC 6839).
    Suffix(String),
}

impl MediaPattern {
    fn matches(&self, media_type: &[u8]) -> bool {
        let same = |part: &[u8], text: &String| part.eq_ignore_ascii_case(text.as_bytes());
        match self {
            MediaPattern::Exact(exact) => same(media_type, exact),
            MediaPattern::Type(prefix) => media_type.get(..prefix.len()).is_some_and(|part| same(part, prefix)),
            MediaPattern::Suffix(suffix) => {
                let start = media_type.len().checked_sub(suffix.len());
                start.is_some_and(|start| same(&media_type[start..], suffix))
            }
        }
    }
}

/// Whether the response may be compressed for a client that accepts it.
///
/// # Arguments
///
/// `length` is the length of the content, if it is known. Content shorter than `least_bytes` is not compressed.
pub(super) fn is_eligible(head: &ResponseHead, length: Option<u64>, types: &[MediaPattern], least_bytes: u64) -> bool {
    if !is_status_eligible(head.status()) || length.is_some_and(|length| length < least_bytes) {
        return false;
    }
    let mut is_of_type = false;
    for (name, value) in head.fields() {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            6 if is("digest") => return false,
            10 if is("x-sendfile") => return false,
            // Digests of the unencoded content (RFC 9530): compression would make them wrong.
            11 if is("content-md5") || is("repr-digest") => return false,
            12 if is("content-type") => {
                let media_type = value.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
                // Each event must arrive at once, and an encoder would hold it back.
                is_of_type = !media_type.eq_ignore_ascii_case(b"text/event-stream")
                    && types.iter().any(|pattern| pattern.matches(media_type));
                if !is_of_type {
                    return false;
                }
            }
            13 if is("content-range") => return false,
            // RFC 9111 §5.2.2.6
            13 if is("cache-control") && has_item(value, b"no-transform") => return false,
            14 if is("content-digest") => return false,
            // Any value counts: content that is encoded already gains nothing from a second coding.
            16 if is("content-encoding") => return false,
            16 if is("x-accel-redirect") => return false,
            _ => {}
        }
    }
    is_of_type
}

fn is_status_eligible(Status(code): Status) -> bool {
    // Statuses without content, or with a part of it (RFC 9110 §15.3.5 to §15.3.7, §15.4.5).
    code >= 200 && !matches!(code, 204..=206 | 304)
}

/// A copy of the head for content in `coding`, or for unencoded content of a response that varies by client.
pub(super) fn varied(head: &ResponseHead, coding: Option<Coding>) -> ResponseHead {
    let mut copy = head.without_fields();
    for (name, value) in head.fields() {
        match name.len() {
            // RFC 9110 §8.8.3.3: the bytes differ, so a strong tag becomes weak.
            4 if coding.is_some() && is_strong_tag(name, value) => put(&mut copy, name, &weak(value)),
            // Ranges of content that is encoded here are not supported.
            13 if coding.is_some() && name.eq_ignore_ascii_case(b"accept-ranges") => {}
            _ => put(&mut copy, name, value),
        }
    }
    match coding {
        Some(coding) => put(&mut copy, b"Content-Encoding", coding.name().as_bytes()),
        None => {
            if let Some(length) = head.content_length() {
                put(&mut copy, b"Content-Length", length.to_string().as_bytes());
            }
        }
    }
    with_vary(copy)
}

/// A 304 for a client whose copy is encoded. The client knows the weak form of the tag, and a strong tag would match
/// none of its copies (RFC 9111 §4.3.4). `None` for any other client.
pub(super) fn not_modified(head: &ResponseHead, if_none_match: &[u8]) -> Option<ResponseHead> {
    let (_, tag) = head.fields().find(|&(name, value)| is_strong_tag(name, value))?;
    let weak = weak(tag);
    if !if_none_match.split(|&byte| byte == b',').any(|item| item.trim_ascii() == weak) {
        return None;
    }
    let mut copy = head.without_fields();
    for (name, value) in head.fields() {
        put(&mut copy, name, if is_strong_tag(name, value) { &weak } else { value });
    }
    Some(with_vary(copy))
}

fn is_strong_tag(name: &[u8], value: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"etag") && value.first() == Some(&b'"')
}

fn weak(tag: &[u8]) -> Vec<u8> {
    [b"W/", tag].concat()
}

/// The head with `Accept-Encoding` in its Vary field, once.
fn with_vary(head: ResponseHead) -> ResponseHead {
    let is_vary = |name: &[u8]| name.eq_ignore_ascii_case(b"vary");
    let says_it = |list: &[u8]| has_item(list, b"accept-encoding") || has_item(list, b"*");
    if head.fields().any(|(name, value)| is_vary(name) && says_it(value)) {
        return head;
    }
    let mut merged = head.without_fields();
    let mut is_named = false;
    for (name, value) in head.fields() {
        if is_vary(name) && !value.is_empty() && !std::mem::replace(&mut is_named, true) {
            put(&mut merged, name, &[value, b", Accept-Encoding"].concat());
        } else {
            put(&mut merged, name, value);
        }
    }
    if !is_named {
        put(&mut merged, b"Vary", b"Accept-Encoding");
    }
    if let Some(length) = head.content_length() {
        put(&mut merged, b"Content-Length", length.to_string().as_bytes());
    }
    merged
}

/// Whether the list has the item, in upper or lower case.
fn has_item(list: &[u8], item: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(item))
}

/// Adds a field. It cannot be refused: names and values come from a head, or are tokens.
fn put(head: &mut ResponseHead, name: &[u8], value: &[u8]) {
    let _ = head.add(name, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(status: u16, fields: &[(&str, &str)]) -> ResponseHead {
        let mut head = ResponseHead::new(Status(status));
        for (name, value) in fields {
            head.add(name.as_bytes(), value.as_bytes()).expect("a field");
        }
        head
    }

    fn text(head: &ResponseHead) -> String {
        String::from_utf8_lossy(head.lines()).replace("\r\n", "\n")
    }

    fn eligible(status: u16, fields: &[(&str, &str)], length: Option<u64>) -> bool {
        let types = [
            MediaPattern::Type("text/".into()),
            MediaPattern::Exact("application/json".into()),
            MediaPattern::Suffix("+xml".into()),
        ];
        is_eligible(&head(status, fields), length, &types, 1024)
    }

    #[test]
    fn content_of_the_listed_types_is_compressed_from_the_least_size_on() {
        for (media_type, expected) in [
            ("text/html", true),
            ("TEXT/Plain; charset=utf-8", true),
            ("application/json ;x=y", true),
            ("image/svg+xml", true),
            ("image/png", false),
            ("application/jsonp", false),
            ("text", false),
            ("", false),
            ("text/event-stream", false),
            ("text/event-stream; charset=utf-8", false),
        ] {
            assert_eq!(eligible(200, &[("Content-Type", media_type)], Some(1024)), expected, "{media_type}");
        }
        let html = [("Content-Type", "text/html")];
        assert!(eligible(200, &html, None) && !eligible(200, &html, Some(1023)) && !eligible(200, &[], None));
    }

    #[test]
    fn responses_that_must_not_be_changed_are_not_compressed() {
        for field in [
            ("Content-Encoding", "identity"),
            ("Content-Range", "bytes 0-1/2"),
            ("Cache-Control", "public, No-Transform"),
            ("Content-MD5", "x"),
            ("Digest", "x"),
            ("Content-Digest", "x"),
            ("Repr-Digest", "x"),
            ("X-Accel-Redirect", "/x"),
            ("X-Sendfile", "/x"),
        ] {
            assert!(!eligible(200, &[("Content-Type", "text/html"), field], None), "{field:?}");
        }
        for status in [101, 204, 205, 206, 304] {
            assert!(!eligible(status, &[("Content-Type", "text/html")], None), "{status}");
        }
        assert!(eligible(500, &[("Content-Type", "text/html"), ("Cache-Control", "no-store")], None));
    }

    #[test]
    fn the_head_describes_the_encoded_content() {
        let given =
            head(200, &[("ETag", "\"a\""), ("Accept-Ranges", "bytes"), ("Content-Length", "5000"), ("vary", "Cookie")]);
        let coded = varied(&given, Some(Coding::Brotli));
        assert_eq!(text(&coded), "ETag: W/\"a\"\nvary: Cookie, Accept-Encoding\nContent-Encoding: br\n");
        assert_eq!(coded.content_length(), None);
        let plain = varied(&given, None);
        assert_eq!(text(&plain), "ETag: \"a\"\nAccept-Ranges: bytes\nvary: Cookie, Accept-Encoding\n");
        assert_eq!(plain.content_length(), Some(5000));
    }

    #[test]
    fn vary_lists_accept_encoding_once() {
        for (value, expected) in [
            ("accept-encoding", "accept-encoding"),
            ("Cookie, Accept-Encoding", "Cookie, Accept-Encoding"),
            ("*", "*"),
            ("Accept, Cookie", "Accept, Cookie, Accept-Encoding"),
        ] {
            assert_eq!(text(&varied(&head(200, &[("Vary", value)]), None)), format!("Vary: {expected}\n"));
        }
        assert_eq!(text(&varied(&head(200, &[("Vary", "")]), None)), "Vary: \nVary: Accept-Encoding\n");
        let two = head(200, &[("Vary", "Cookie"), ("Vary", "Accept-Encoding")]);
        assert_eq!(text(&varied(&two, None)), "Vary: Cookie\nVary: Accept-Encoding\n");
        assert_eq!(text(&varied(&head(200, &[("ETag", "W/\"a\"")]), Some(Coding::Gzip))).matches("W/").count(), 1);
    }

    #[test]
    fn a_304_names_the_tag_that_the_client_has() {
        let given = head(304, &[("ETag", "\"a\""), ("Vary", "Cookie")]);
        let weak = not_modified(&given, b"\"b\", W/\"a\"").map(|head| text(&head));
        assert_eq!(weak.as_deref(), Some("ETag: W/\"a\"\nVary: Cookie, Accept-Encoding\n"));
        assert!(not_modified(&given, b"\"a\"").is_none());
        assert!(not_modified(&head(304, &[]), b"W/\"a\"").is_none());
    }
}
