//! Reads `Forwarded` (RFC 7239) and `X-Forwarded-*` from the right, because only what the last trusted proxy added is
//! certain. [`crate::field_policy`] decides which peers and fields are trusted.

use std::net::{IpAddr, SocketAddr};

use crate::field::{KnownField, Seen, Span};
use crate::origin::{Peer, Scheme};
use crate::request::Request;
use crate::wire::h1::host::is_host;

/// The address that the client used, according to a trusted proxy. Spans are in the request's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// `host[:port]` that the client asked for; empty if unknown.
    pub host: Span,
    /// The port that the client connected to.
    pub port: Option<u16>,
    /// The path prefix that the proxy removed or routed by, without a slash at its end; empty if there is none.
    pub prefix: Span,
    /// The connection's own peer, if it is a proxy that is trusted to tell of the client. The request's origin has the client.
    pub proxy: Option<Peer>,
}

/// Applies the fields of a trusted proxy that are in `believed` to the request, and returns the scheme in `Forwarded`.
/// For the scheme in other fields see [`crate::field_policy`].
///
/// # Arguments
///
/// `has_older` means that the proxy sends `X-Forwarded-*`. Then `Forwarded` is not trusted: a proxy that sets the one
/// often passes on the other from the client.
pub(crate) fn apply(
    request: &mut Request,
    believed: Seen,
    has_older: bool,
    trusts: &impl Fn(IpAddr) -> bool,
) -> Option<Scheme> {
    let told = |known| request.head.seen.has_any(Seen::of(known)) && believed.has_any(Seen::of(known));
    let newer = if told(KnownField::Forwarded) { elements(request, trusts) } else { Told::default() };
    let item = |known| if told(known) { last_item(request, known) } else { None };
    let client = if told(KnownField::XForwardedFor) {
        addresses(request, trusts)
    } else if has_older || !told(KnownField::Forwarded) {
        // A proxy that adds its own behind the client's has added the last one.
        item(KnownField::XRealIp).and_then(|single| address(request.arena.slice(single)))
    } else {
        newer.client
    };
    let host = item(KnownField::XForwardedHost).or(newer.host.filter(|_| !has_older));
    let host = host.filter(|&host| is_host(request.arena.slice(host)));
    let port = item(KnownField::XForwardedPort)
        .and_then(|port| std::str::from_utf8(request.arena.slice(port)).ok()?.parse().ok())
        .filter(|&port| port > 0);
    let prefix = item(KnownField::XForwardedPrefix).and_then(|prefix| trimmed_prefix(request, prefix));
    let Forwarded { proxy, .. } = request.forwarded;
    request.forwarded = Forwarded { host: host.unwrap_or_default(), port, prefix: prefix.unwrap_or_default(), proxy };
    if let Some(client) = client {
        request.origin.peer = Peer::Tcp(client);
    }
    newer.scheme
}

/// The rightmost address of `X-Forwarded-For` that is not a trusted proxy's; the leftmost of all if every one is trusted.
fn addresses(request: &Request, trusts: &impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let mut found = None;
    let fields = request.head.fields.iter().rev().filter(|field| field.known == KnownField::XForwardedFor);
    let items = fields.flat_map(|field| request.arena.slice(field.value).rsplit(|&byte| byte == b','));
    for item in items {
        // An obfuscated or malformed item: nothing to its left can be trusted.
        let Some(address) = address(item.trim_ascii()) else { break };
        found = Some(address);
        if !trusts(address.ip()) {
            break;
        }
    }
    found
}

/// The data of the elements of `Forwarded` that trusted proxies have added.
#[derive(Default)]
struct Told {
    client: Option<SocketAddr>,
    host: Option<Span>,
    scheme: Option<Scheme>,
}

/// Reads elements from the right, as long as each was added by a trusted proxy. The peer added the first one; the proxy
/// that an element names added the next one to its left. The last element that was read describes the client, so its
/// values win.
fn elements(request: &Request, trusts: &impl Fn(IpAddr) -> bool) -> Told {
    let mut told = Told::default();
    for field in request.head.fields.iter().rev().filter(|field| field.known == KnownField::Forwarded) {
        let mut rest = request.arena.slice(field.value);
        let start = field.value.start as usize;
        let offset =
            |part: &[u8]| start + (part.as_ptr() as usize - request.arena.slice(field.value).as_ptr() as usize);
        while !rest.is_empty() {
            let element;
            (rest, element) = split_last(rest);
            if element.trim_ascii().is_empty() {
                continue;
            }
            let host = parameter(element, b"host");
            told.host = host.map(|host| Span::new(offset(host), offset(host) + host.len())).or(told.host);
            told.scheme = match parameter(element, b"proto") {
                Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
                Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
                _ => told.scheme,
            };
            // Without an address, or with an obfuscated one (RFC 7239 §6.3), it is unknown who added the elements to
            // its left.
            let Some(address) = parameter(element, b"for").and_then(address) else { return told };
            told.client = Some(address);
            if !trusts(address.ip()) {
                return told;
            }
        }
    }
    told
}

/// Splits at the last comma outside of quotes. It reads from the right, because the last element is the proxy's and
/// well-formed; an unclosed quote of the client cannot reach into it.
fn split_last(list: &[u8]) -> (&[u8], &[u8]) {
    let mut is_quoted = false;
    for at in (0..list.len()).rev() {
        match list[at] {
            b'"' => {
                let escapes = list[..at].iter().rev().take_while(|&&byte| byte == b'\\').count();
                is_quoted ^= escapes % 2 == 0;
            }
            b',' if !is_quoted => return (&list[..at], &list[at + 1..]),
            _ => {}
        }
    }
    (&[], list)
}

/// A parameter of an element, without its quotes. A parameter that appears twice, or contains escapes, is ignored.
fn parameter<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut is_quoted = false;
    let pairs = element.split(|&byte| {
        is_quoted ^= byte == b'"';
        byte == b';' && !is_quoted
    });
    let mut found = pairs.filter_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        pair[..equals].trim_ascii().eq_ignore_ascii_case(name).then(|| pair[equals + 1..].trim_ascii())
    });
    let value = found.next()?;
    if found.next().is_some() {
        return None;
    }
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    (!bare.is_empty() && !bare.contains(&b'"') && !bare.contains(&b'\\')).then_some(bare)
}

/// An address, perhaps with a port: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(item: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(item).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip.to_canonical(), 0))
}

/// The last item of the last field of that name.
fn last_item(request: &Request, known: KnownField) -> Option<Span> {
    let field = request.head.fields.iter().rev().find(|field| field.known == known)?;
    let value = request.arena.slice(field.value);
    let item = last_of_list(value);
    let offset = field.value.start as usize + item.as_ptr() as usize - value.as_ptr() as usize;
    (!item.is_empty()).then(|| Span::new(offset, offset + item.len()))
}

/// The text after the last comma.
pub(crate) fn last_of_list(value: &[u8]) -> &[u8] {
    value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

/// A path prefix without the slash at its end.
pub(crate) fn trimmed_prefix(request: &Request, span: Span) -> Option<Span> {
    let prefix = request.arena.slice(span);
    if prefix.first() != Some(&b'/') || prefix.starts_with(b"//") {
        return None;
    }
    let length = prefix.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = span.start as usize;
    Some(Span::new(start, start + length))
}
