//! Makes a request's head from HTTP/2's pseudo-fields and fields (RFC 9113 §8.3), which are checked as the HTTP/1.1
//! codec checks a request line and field lines.
//!
//! The `h2` crate handles frames, HPACK and the states of streams; this module interprets heads.

use super::h1::{framing, host, request_line, semantics, target};
use crate::error::{Error, Kind};
use crate::field::{Field, KnownField, Seen, Span, is_token, is_value};
use crate::limits::Limits;
use crate::origin::Scheme;
use crate::request::{BodyFraming, Request, TargetForm, Version};

/// The pseudo-fields of a request (RFC 9113 §8.3.1).
#[derive(Debug, Clone, Copy)]
pub struct Pseudo<'a> {
    /// `:method`
    pub method: &'a [u8],
    /// `:scheme`, if it was sent.
    pub scheme: Option<&'a [u8]>,
    /// `:authority`, if it was sent.
    pub authority: Option<&'a [u8]>,
    /// `:path`
    pub path: &'a [u8],
    /// `:protocol` of an extended CONNECT (RFC 8441 §4), if it was sent.
    pub protocol: Option<&'a [u8]>,
}

/// Fills an empty request's arena and head. `scheme` is the connection's. `ended` means that no content follows.
/// `body_bytes_max` is the limit of this request's content.
///
/// Errors are checked in this order: method, path, length of both, the fields one by one, host, framing, Expect, the
/// content's length.
///
/// # Errors The request is refused (RFC 9113 §8.1.1; `Limits`). Other streams of the connection are not affected.
pub fn read_head<'a>(
    request: &mut Request,
    pseudo: Pseudo<'_>,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    scheme: Scheme,
    ended: bool,
    limits: &Limits,
    body_bytes_max: impl FnOnce(&mut Request) -> u64,
) -> Result<(), Error> {
    request.head.version = Version::Http2;
    request.head.keep_alive = true;
    read_request_line(request, pseudo, limits)?;
    request.head.told_scheme = read_scheme(pseudo.scheme, scheme)?;
    if request.head.told_scheme.is_some() {
        request.head.seen = request.head.seen.with(Seen::SCHEME);
    }
    let authority = pseudo.authority.filter(|authority| !authority.is_empty());
    if let Some(authority) = authority {
        if !host::is_host(authority) {
            return Err(Error::bad_request(":authority is not a valid host"));
        }
        let name = append(request, b"host");
        let value = append(request, authority);
        request.head.host = value;
        push(request, Field { known: KnownField::Host, name, value }, limits)?;
    }
    read_fields(request, fields, authority, scheme, limits)?;
    let Request { arena, head, .. } = request;
    if head.host.is_empty() {
        return Err(Error::bad_request("neither :authority nor the Host field is given"));
    }
    head.framing = framing::request_framing(arena.filled(), head.version, &head.fields)?;
    match head.framing {
        // RFC 9113 §8.2.2
        BodyFraming::Chunked => return Err(Error::bad_request("a field that belongs to HTTP/1.1 connections")),
        BodyFraming::Length(1..) if ended => {
            return Err(Error::bad_request("the content is shorter than its Content-Length"));
        }
        _ => {}
    }
    semantics::understand_expectation(arena.filled(), head)?;
    head.expect_continue &= !ended;
    head.bytes = arena.filled().len();
    if let BodyFraming::Length(length) = head.framing
        && length > body_bytes_max(request)
    {
        return Err(Error::client(Kind::BodyTooLarge, "the content is above its bound (see limit_request_body)"));
    }
    Ok(())
}

/// What is kept of a path that is too long.
const REFUSED_PATH_BYTES_MAX: usize = 256;

fn read_request_line(request: &mut Request, pseudo: Pseudo<'_>, limits: &Limits) -> Result<(), Error> {
    let Pseudo { method, path, protocol, .. } = pseudo;
    if !is_token(method) {
        return Err(Error::bad_request(":method is not a token"));
    }
    match protocol {
        // RFC 8441 §4: with a path it asks for a resource of this server.
        Some(protocol) if method == b"CONNECT" && is_token(protocol) => {
            request.head.protocol = append(request, protocol);
        }
        Some(_) => return Err(Error::bad_request(":protocol is no token, or belongs to another method than CONNECT")),
        None => request_line::check_method(method, limits)?,
    }
    request.head.method = append(request, method);
    // As long as an HTTP/1.1 request line would be, with two spaces and a version.
    if method.len() + path.len() + 10 > limits.request_line_bytes_max {
        // The beginning is kept for the log.
        let end = path.iter().position(|&byte| byte == b'?').unwrap_or(path.len());
        request.head.path = append(request, &path[..end.min(REFUSED_PATH_BYTES_MAX)]);
        return Err(Error::client(Kind::TargetTooLong, "the request line is above its bound (see limit_request_line)"));
    }
    let (target_bytes, question) = target::prefix(path);
    if target_bytes == 0 || target_bytes < path.len() {
        return Err(Error::bad_request(":path is empty or contains a byte that may not stand in it"));
    }
    let parts = target::parse(method, path, question)?;
    if !matches!(parts.form, TargetForm::Origin | TargetForm::Asterisk) {
        return Err(Error::bad_request(":path does not begin with a slash"));
    }
    let target = append(request, path);
    let start = target.start as usize;
    let head = &mut request.head;
    head.target = target;
    head.form = parts.form;
    head.path = Span::new(start + parts.path.start, start + parts.path.end);
    head.query = Span::new(start + parts.query.start, start + parts.query.end);
    Ok(())
}

/// The scheme that was told, if the field policy must decide about it. Without TLS every peer is a trusted proxy, and those
/// that forward requests of their own TLS connections say https.
fn read_scheme(told: Option<&[u8]>, connection: Scheme) -> Result<Option<Scheme>, Error> {
    match told {
        None => Ok(None),
        Some(told) if told.eq_ignore_ascii_case(b"https") => Ok(None),
        Some(told) if told.eq_ignore_ascii_case(b"http") => {
            Ok(Some(Scheme::Http).filter(|_| connection == Scheme::Https))
        }
        Some(_) => Err(Error::bad_request(":scheme is neither http nor https")),
    }
}

fn read_fields<'a>(
    request: &mut Request,
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    authority: Option<&[u8]>,
    scheme: Scheme,
    limits: &Limits,
) -> Result<(), Error> {
    // RFC 9113 §8.2.3: split cookie fields must be joined.
    let mut cookie: Option<Vec<u8>> = None;
    let mut hosts = 0;
    for (name, value) in fields {
        let known = KnownField::of(name);
        // RFC 9113 §8.2.1
        if name.iter().any(u8::is_ascii_uppercase) || !is_token(name) {
            return Err(Error::bad_request("a field's name is not a token in lower case"));
        }
        if !is_value(value) || is_padded(value) {
            return Err(Error::bad_request(
                "a field's value contains a control character or begins or ends with a space",
            ));
        }
        match known {
            KnownField::Connection | KnownField::KeepAlive | KnownField::ProxyConnection | KnownField::Upgrade => {
                return Err(Error::bad_request("a field that belongs to HTTP/1.1 connections"));
            }
            KnownField::Te if !value.eq_ignore_ascii_case(b"trailers") => {
                return Err(Error::bad_request("TE names something other than trailers"));
            }
            KnownField::ContentType if request.head.seen.has_any(Seen::of(KnownField::ContentType)) => {
                return Err(Error::bad_request(semantics::TYPE_GIVEN_TWICE));
            }
            KnownField::Cookie => {
                match &mut cookie {
                    None => cookie = Some(value.to_vec()),
                    Some(joined) => {
                        joined.extend_from_slice(b"; ");
                        joined.extend_from_slice(value);
                    }
                }
                continue;
            }
            KnownField::Host => {
                hosts += 1;
                if hosts > 1 {
                    return Err(Error::bad_request("the Host field is given twice"));
                }
                if !host::is_host(value) {
                    return Err(Error::bad_request("the Host field is not a valid host"));
                }
                match authority {
                    // It was added already.
                    Some(authority) if host::same_authority(authority, value, scheme) => continue,
                    Some(_) => return Err(Error::bad_request(":authority differs from the Host field")),
                    None => {}
                }
            }
            _ => {}
        }
        add(request, known, name, value, limits)?;
    }
    match cookie {
        Some(cookie) => add(request, KnownField::Cookie, b"cookie", &cookie, limits),
        None => Ok(()),
    }
}

fn is_padded(value: &[u8]) -> bool {
    matches!(value, [b' ' | b'\t', ..] | [.., b' ' | b'\t'])
}

fn add(request: &mut Request, known: KnownField, name: &[u8], value: &[u8], limits: &Limits) -> Result<(), Error> {
    // As long as an HTTP/1.1 field line would be.
    if name.len() + value.len() + 2 > limits.field_bytes_max {
        return Err(Error::client(Kind::HeadTooLarge, "a field is above its bound (see limit_request_field_size)"));
    }
    let name = append(request, name);
    let value = append(request, value);
    if known == KnownField::Host {
        request.head.host = value;
    }
    push(request, Field { known, name, value }, limits)
}

fn push(request: &mut Request, field: Field, limits: &Limits) -> Result<(), Error> {
    let Request { arena, head, .. } = request;
    if head.fields.len() >= limits.fields_max {
        return Err(Error::client(Kind::HeadTooLarge, "the head has too many fields (see limit_request_fields)"));
    }
    if arena.filled().len() > limits.head_bytes_max {
        return Err(Error::client(Kind::HeadTooLarge, "the head is above its bound (see limit_request_head)"));
    }
    head.seen = head.seen.with(Seen::of(field.known));
    if field.known == KnownField::Other && arena.slice(field.name).contains(&b'_') {
        head.seen = head.seen.with(Seen::UNDERSCORE);
    }
    head.fields.push(field);
    Ok(())
}

fn append(request: &mut Request, bytes: &[u8]) -> Span {
    let start = request.arena.filled().len();
    request.arena.append(bytes);
    Span::new(start, start + bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GET: Pseudo<'static> =
        Pseudo { method: b"GET", scheme: Some(b"https"), authority: Some(b"a.example"), path: b"/p?q", protocol: None };

    fn read(pseudo: Pseudo<'_>, fields: &[(&str, &str)], ended: bool) -> Result<Request, Error> {
        let mut request = Request::with_room(64);
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        let limits = Limits::default();
        read_head(&mut request, pseudo, fields, Scheme::Https, ended, &limits, |_| limits.body_bytes_max)
            .map(|()| request)
    }

    fn refused(pseudo: Pseudo<'_>, fields: &[(&str, &str)]) -> Kind {
        read(pseudo, fields, true).expect_err("refused").kind
    }

    #[test]
    fn pseudo_fields_become_the_request_line_and_host() {
        let request = read(GET, &[("accept", "x"), ("cookie", "a=1"), ("cookie", "b=2")], true).expect("valid");
        assert_eq!((request.method(), request.path(), request.query()), (&b"GET"[..], &b"/p"[..], &b"q"[..]));
        assert_eq!(request.host(), b"a.example");
        let fields: Vec<_> = request.fields().map(|(_, name, value)| (name, value)).collect();
        let expected: [(&[u8], &[u8]); 3] = [(b"host", b"a.example"), (b"accept", b"x"), (b"cookie", b"a=1; b=2")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_host_field_stands_in_for_an_authority_and_may_not_contradict_it() {
        let none = Pseudo { authority: None, ..GET };
        assert_eq!(read(none, &[("host", "b.example")], true).expect("valid").host(), b"b.example");
        assert_eq!(refused(none, &[]), Kind::BadRequest);
        assert_eq!(read(GET, &[("host", "A.example:443")], true).expect("valid").head.fields.len(), 1);
        assert_eq!(refused(GET, &[("host", "b.example")]), Kind::BadRequest);
        assert_eq!(refused(none, &[("host", "b.example"), ("host", "b.example")]), Kind::BadRequest);
        assert_eq!(refused(Pseudo { authority: Some(b"user@a.example"), ..GET }, &[]), Kind::BadRequest);
    }

    #[test]
    fn malformed_requests_are_refused() {
        for pseudo in [
            Pseudo { method: b"get", ..GET },
            Pseudo { method: b"G T", ..GET },
            Pseudo { path: b"", ..GET },
            Pseudo { path: b"p", ..GET },
            Pseudo { path: b"*", ..GET },
            Pseudo { path: b"https://a.example/", ..GET },
            Pseudo { path: b"/a b", ..GET },
            Pseudo { path: b"/a\0", ..GET },
            Pseudo { scheme: Some(b"ftp"), ..GET },
        ] {
            assert_eq!(refused(pseudo, &[]), Kind::BadRequest, "{pseudo:?}");
        }
        for field in [
            ("Accept", "x"),
            ("a b", "x"),
            ("", "x"),
            ("a", "x\r\ny"),
            ("a", " x"),
            ("a", "x "),
            ("connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("content-length", "+5"),
            ("content-length", "5"),
        ] {
            assert_eq!(refused(GET, &[field]), Kind::BadRequest, "{field:?}");
        }
        assert_eq!(refused(GET, &[("content-type", "a/b"), ("content-type", "a/b")]), Kind::BadRequest);
        assert_eq!(refused(GET, &[("expect", "magic")]), Kind::ExpectationFailed);
        assert_eq!(refused(Pseudo { method: b"CONNECT", path: b"", ..GET }, &[]), Kind::UnknownMethod);
        // RFC 8441 §4: `:protocol` belongs to CONNECT, with a path.
        let websocket = Pseudo { method: b"CONNECT", protocol: Some(b"websocket"), ..GET };
        for wrong in [
            Pseudo { method: b"GET", ..websocket },
            Pseudo { protocol: Some(b"web socket"), ..websocket },
            Pseudo { path: b"", ..websocket },
        ] {
            assert_eq!(refused(wrong, &[]), Kind::BadRequest, "{wrong:?}");
        }
        assert!(read(Pseudo { method: b"OPTIONS", path: b"*", ..GET }, &[("te", "trailers")], true).is_ok());
    }

    #[test]
    fn a_scheme_that_is_not_the_connections_is_left_to_the_field_policy() {
        let told = |scheme: &'static str| {
            let request = read(Pseudo { scheme: Some(scheme.as_bytes()), ..GET }, &[], true).expect("valid");
            (request.head.told_scheme, request.head.seen.has_any(Seen::SCHEME))
        };
        assert_eq!(told("https"), (None, false));
        assert_eq!(told("HTTP"), (Some(Scheme::Http), true));
    }

    #[test]
    fn the_bounds_are_those_of_http_1() {
        let long = format!("/{}", "x".repeat(9000));
        assert_eq!(refused(Pseudo { path: long.as_bytes(), ..GET }, &[]), Kind::TargetTooLong);
        assert_eq!(refused(GET, &[("a", &long)]), Kind::HeadTooLarge);
        assert_eq!(refused(GET, &[("a", "x"); 101]), Kind::HeadTooLarge);
        assert_eq!(refused(GET, &[("cookie", &long[..5000]); 2]), Kind::HeadTooLarge);
        let large = [("content-length", "99999999999")];
        assert_eq!(read(GET, &large, false).expect_err("refused").kind, Kind::BodyTooLarge);
    }
}
