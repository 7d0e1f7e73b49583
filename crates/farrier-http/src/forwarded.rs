//! What proxies say of the client: `Forwarded` (RFC 7239) and `X-Forwarded-*`, read from the right, because only what the
//! last trusted proxy added is certain. Who is believed, and in what, is decided in [`crate::field_policy`].

use std::net::{IpAddr, SocketAddr};

use crate::field::{KnownField, Seen, Span};
use crate::origin::{Peer, Scheme};
use crate::request::Request;
use crate::wire::h1::host::is_host;

/// What a trusted proxy says of the address that the client used. Spans lie in the request's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forwarded {
    /// `host[:port]` that the client asked for; empty when nothing was said.
    pub host: Span,
    /// The port that the client connected to.
    pub port: Option<u16>,
    /// The path prefix that the proxy took away or routed by, without a slash at its end; empty when nothing was said.
    pub prefix: Span,
}

/// Applies what a trusted proxy says to the request, as far as the field is in `believed`. The scheme is not among it: see
/// [`crate::field_policy`].
pub(crate) fn apply(request: &mut Request, believed: Seen, trusts: &impl Fn(IpAddr) -> bool) {
    if let Some(client) = client(request, believed, trusts) {
        request.origin.peer = Peer::Tcp(client);
    }
    let told = |known| believed.has_any(Seen::of(known)).then(|| last_item(request, known)).flatten();
    let parameter =
        |name| believed.has_any(Seen::of(KnownField::Forwarded)).then(|| parameter(request, name)).flatten();
    let host = told(KnownField::XForwardedHost).or_else(|| parameter(b"host"));
    let host = host.filter(|&host| is_host(request.arena.slice(host)));
    let port = told(KnownField::XForwardedPort)
        .and_then(|port| std::str::from_utf8(request.arena.slice(port)).ok()?.parse().ok())
        .filter(|&port| port > 0);
    let prefix = told(KnownField::XForwardedPrefix).and_then(|prefix| trimmed_prefix(request, prefix));
    let scheme = parameter(b"proto").and_then(|scheme| match request.arena.slice(scheme) {
        scheme if scheme.eq_ignore_ascii_case(b"https") => Some(Scheme::Https),
        scheme if scheme.eq_ignore_ascii_case(b"http") => Some(Scheme::Http),
        _ => None,
    });
    request.forwarded = Forwarded { host: host.unwrap_or_default(), port, prefix: prefix.unwrap_or_default() };
    request.origin.scheme = scheme.unwrap_or(request.origin.scheme);
}

/// The rightmost address that is not a trusted proxy's; the leftmost of all if every one is trusted.
fn client(request: &Request, believed: Seen, trusts: &impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
    let mut found = None;
    let mut judge = |item: &[u8]| -> bool {
        match address(item) {
            Some(address) => {
                found = Some(address);
                trusts(address.ip())
            }
            // An obfuscated or broken item: what stands before it cannot be believed.
            None => false,
        }
    };
    let lists = |known| {
        let values = request.head.fields.iter().rev().filter(move |field| field.known == known);
        values.flat_map(|field| request.arena.slice(field.value).rsplit(|&byte| byte == b',').map(<[u8]>::trim_ascii))
    };
    let told = |known| request.field(known).filter(|_| believed.has_any(Seen::of(known)));
    if told(KnownField::XForwardedFor).is_some() {
        lists(KnownField::XForwardedFor).take_while(|item| judge(item)).for_each(drop);
    } else if told(KnownField::Forwarded).is_some() {
        lists(KnownField::Forwarded)
            .filter_map(|element| parameter_of(element, b"for"))
            .take_while(|item| judge(item))
            .for_each(drop);
    } else if let Some(address) = told(KnownField::XRealIp) {
        judge(address);
    }
    found
}

/// An address, perhaps with a port, perhaps in quotes: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `"[2001:db8::1]:80"`.
fn address(item: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(item).ok()?;
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(SocketAddr::new(ip.to_canonical(), 0));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(SocketAddr::new(address.ip().to_canonical(), address.port()));
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

/// The last item of the last field of that name.
fn last_item(request: &Request, known: KnownField) -> Option<Span> {
    let field = request.head.fields.iter().rev().find(|field| field.known == known)?;
    let value = request.arena.slice(field.value);
    let item = last_of_list(value);
    let offset = field.value.start as usize + item.as_ptr() as usize - value.as_ptr() as usize;
    (!item.is_empty()).then(|| Span::new(offset, offset + item.len()))
}

/// What stands behind the last comma.
pub(crate) fn last_of_list(value: &[u8]) -> &[u8] {
    value.rsplit(|&byte| byte == b',').next().unwrap_or_default().trim_ascii()
}

/// A parameter of the last element of the last `Forwarded` field, unquoted.
fn parameter(request: &Request, name: &[u8]) -> Option<Span> {
    let element = last_item(request, KnownField::Forwarded)?;
    let value = parameter_of(request.arena.slice(element), name)?;
    // The value is a part of the element: find where.
    let bytes = request.arena.slice(element);
    let at = bytes.windows(value.len().max(1)).position(|window| window.as_ptr() == value.as_ptr())?;
    let start = element.start as usize + at;
    (!value.is_empty()).then(|| Span::new(start, start + value.len()))
}

fn parameter_of<'a>(element: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    element.split(|&byte| byte == b';').find_map(|pair| {
        let equals = pair.iter().position(|&byte| byte == b'=')?;
        let is_it = pair[..equals].trim_ascii().eq_ignore_ascii_case(name);
        let value = pair[equals + 1..].trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        is_it.then_some(unquoted)
    })
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
