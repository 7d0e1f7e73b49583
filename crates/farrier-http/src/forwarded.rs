//! What proxies say of the client: `Forwarded` (RFC 7239) and `X-Forwarded-*`. Believed from trusted peers, read from the
//! right, because only what the last trusted proxy added is certain; removed from everybody else.

use std::net::{IpAddr, SocketAddr};

use crate::field::{KnownField, Span};
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

const FIELDS: [KnownField; 7] = [
    KnownField::Forwarded,
    KnownField::XForwardedFor,
    KnownField::XForwardedHost,
    KnownField::XForwardedPort,
    KnownField::XForwardedPrefix,
    KnownField::XForwardedProto,
    KnownField::XRealIp,
];

/// Applies the forwarding fields of a request to its origin. `trusts` says whether an address is a trusted proxy's; a peer
/// on a unix socket is one.
pub fn apply(request: &mut Request, trusts: impl Fn(IpAddr) -> bool) {
    request.forwarded = Forwarded::default();
    if !request.head.fields.iter().any(|field| FIELDS.contains(&field.known)) {
        return;
    }
    let is_trusted = match request.origin.peer {
        Peer::Unix => true,
        Peer::Tcp(address) => trusts(address.ip()),
    };
    if !is_trusted {
        request.head.fields.retain(|field| !FIELDS.contains(&field.known));
        return;
    }
    if let Some(client) = client(request, &trusts) {
        request.origin.peer = Peer::Tcp(client);
    }
    let scheme = last_item(request, KnownField::XForwardedProto).or_else(|| parameter(request, b"proto"));
    match scheme.map(|span| request.arena.slice(span)) {
        Some(scheme) if scheme.eq_ignore_ascii_case(b"https") => request.origin.scheme = Scheme::Https,
        Some(scheme) if scheme.eq_ignore_ascii_case(b"http") => request.origin.scheme = Scheme::Http,
        _ => {}
    }
    let host = last_item(request, KnownField::XForwardedHost).or_else(|| parameter(request, b"host"));
    request.forwarded.host = host.filter(|&host| is_host(request.arena.slice(host))).unwrap_or_default();
    request.forwarded.port = last_item(request, KnownField::XForwardedPort)
        .and_then(|port| std::str::from_utf8(request.arena.slice(port)).ok()?.parse().ok())
        .filter(|&port| port > 0);
    request.forwarded.prefix = last_item(request, KnownField::XForwardedPrefix)
        .and_then(|prefix| trimmed_prefix(request, prefix))
        .unwrap_or_default();
}

/// The rightmost address that is not a trusted proxy's; the leftmost of all if every one is trusted.
fn client(request: &Request, trusts: &impl Fn(IpAddr) -> bool) -> Option<SocketAddr> {
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
    if request.field(KnownField::XForwardedFor).is_some() {
        lists(KnownField::XForwardedFor).take_while(|item| judge(item)).for_each(drop);
    } else if request.field(KnownField::Forwarded).is_some() {
        lists(KnownField::Forwarded)
            .filter_map(|element| parameter_of(element, b"for"))
            .take_while(|item| judge(item))
            .for_each(drop);
    } else if let Some(address) = request.field(KnownField::XRealIp) {
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
    let start = value.iter().rposition(|&byte| byte == b',').map_or(0, |comma| comma + 1);
    let item = value[start..].trim_ascii_start();
    let offset = field.value.start as usize + value.len() - item.len();
    let length = item.trim_ascii_end().len();
    (length > 0).then(|| Span::new(offset, offset + length))
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

fn trimmed_prefix(request: &Request, span: Span) -> Option<Span> {
    let prefix = request.arena.slice(span);
    if prefix.first() != Some(&b'/') || prefix.starts_with(b"//") {
        return None;
    }
    let length = prefix.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    let start = span.start as usize;
    Some(Span::new(start, start + length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::wire::h1::HeadDecoder;

    fn origin_of(fields: &str) -> (String, Scheme, String) {
        let mut request = Request::with_room(4096);
        request.arena.append(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        let complete = HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
        assert_eq!(complete, Ok(true));
        request.origin.peer = Peer::Tcp(SocketAddr::from(([10, 0, 0, 1], 1)));
        apply(&mut request, |ip| ip.to_string().starts_with("10."));
        let peer = match request.origin.peer {
            Peer::Tcp(address) => address.to_string(),
            Peer::Unix => "unix".to_owned(),
        };
        let host = String::from_utf8_lossy(request.arena.slice(request.forwarded.host)).into_owned();
        (peer, request.origin.scheme, host)
    }

    #[test]
    fn forwarded_is_read_from_the_right_like_the_older_fields() {
        let cases = [
            ("Forwarded: for=192.0.2.9;proto=http, for=192.0.2.1;proto=https;host=a.test\r\n", "192.0.2.1:0", "a.test"),
            ("Forwarded: for=\"[2001:db8::1]:44\";Proto=HTTPS\r\n", "[2001:db8::1]:44", ""),
            ("Forwarded: for=192.0.2.1;proto=https\r\nForwarded: for=10.2.2.2;proto=https\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=192.0.2.1, for=_hidden;proto=https\r\n", "10.0.0.1:1", ""),
        ];
        for (fields, peer, host) in cases {
            assert_eq!(origin_of(fields), (peer.to_owned(), Scheme::Https, host.to_owned()), "{fields}");
        }
    }

    #[test]
    fn the_older_fields_win_over_forwarded() {
        let fields = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.1\r\n";
        assert_eq!(origin_of(fields).0, "192.0.2.7:0");
    }
}
