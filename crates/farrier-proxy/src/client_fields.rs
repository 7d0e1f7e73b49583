//! What an upstream is told of the client: `X-Forwarded-*`, `X-Real-IP` and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use farrier_http::field_policy::tells_of_client;
use farrier_http::{KnownField, Peer, Request};

use crate::request::Facts;

/// Which fields tell of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedForm {
    /// `X-Forwarded-For`, `-Proto`, `-Host`, `-Port`, `-Prefix` and `X-Real-IP`.
    #[default]
    X,
    /// `Forwarded` (RFC 7239).
    Rfc7239,
    /// Both.
    Both,
    /// None is added. Those of a trusted proxy pass, those of others are removed.
    None,
}

impl ForwardedForm {
    fn has_x(self) -> bool {
        matches!(self, ForwardedForm::X | ForwardedForm::Both)
    }

    fn has_rfc7239(self) -> bool {
        matches!(self, ForwardedForm::Rfc7239 | ForwardedForm::Both)
    }

    /// Whether a field of the request must not pass as it is.
    pub(crate) fn replaces(self, known: KnownField, name: &[u8], facts: &Facts<'_>) -> bool {
        if !tells_of_client(known, name) {
            return false;
        }
        // What somebody else says of the client is no longer certain here. A trusted proxy may tell more than this server
        // understands (`X-Forwarded-User`), which passes.
        !facts.is_trusted || (self != ForwardedForm::None && known != KnownField::Other)
    }

    /// Gives the fields that are added.
    pub(crate) fn add(
        self,
        request: &Request,
        facts: &Facts<'_>,
        scratch: &mut Vec<u8>,
        put: &mut dyn FnMut(&[u8], &[u8]),
    ) {
        let host = client_host(request);
        if self.has_x() {
            list(scratch, request, facts, KnownField::XForwardedFor);
            if let Peer::Tcp(address) = facts.peer {
                append_item(scratch, |out| append_ip(out, address.ip()));
            }
            put_if(put, b"X-Forwarded-For", scratch);
            put(b"X-Forwarded-Proto", request.origin.scheme.as_str().as_bytes());
            put_if(put, b"X-Forwarded-Host", host);
            if let Some(port) = request.forwarded.port.or(facts.port) {
                put(b"X-Forwarded-Port", itoa::Buffer::new().format(port).as_bytes());
            }
            scratch.clear();
            scratch.extend_from_slice(request.arena.slice(request.forwarded.prefix));
            scratch.extend_from_slice(facts.stripped);
            put_if(put, b"X-Forwarded-Prefix", scratch);
            if let Peer::Tcp(address) = request.origin.peer {
                scratch.clear();
                append_ip(scratch, address.ip());
                put(b"X-Real-IP", scratch);
            }
        }
        if self.has_rfc7239() {
            list(scratch, request, facts, KnownField::Forwarded);
            append_item(scratch, |out| append_element(out, request, facts, host));
            put(b"Forwarded", scratch);
        }
    }
}

/// The host that the client asked for, as a trusted proxy says, or as its Host field says.
pub(crate) fn client_host(request: &Request) -> &[u8] {
    match request.arena.slice(request.forwarded.host) {
        [] => request.host(),
        told => told,
    }
}

/// Appends an address as it stands in text.
pub(crate) fn append_ip(out: &mut Vec<u8>, ip: IpAddr) {
    use std::io::Write;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{ip}");
}

/// Begins a list with the values of a trusted proxy.
fn list(out: &mut Vec<u8>, request: &Request, facts: &Facts<'_>, known: KnownField) {
    out.clear();
    if facts.is_trusted {
        for (.., value) in request.fields().filter(|(its, ..)| *its == known) {
            append_item(out, |out| out.extend_from_slice(value));
        }
    }
}

fn append_item(out: &mut Vec<u8>, append: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    if start > 0 {
        out.extend_from_slice(b", ");
    }
    let item = out.len();
    append(out);
    if out.len() == item {
        out.truncate(start);
    }
}

/// `for=…;proto=…;host=…` (RFC 7239 §4). IPv6 is quoted and in brackets (§6).
fn append_element(out: &mut Vec<u8>, request: &Request, facts: &Facts<'_>, host: &[u8]) {
    out.extend_from_slice(b"for=");
    match facts.peer {
        Peer::Tcp(address) if address.is_ipv6() && address.ip().to_canonical().is_ipv6() => {
            out.extend_from_slice(b"\"[");
            append_ip(out, address.ip());
            out.extend_from_slice(b"]\"");
        }
        Peer::Tcp(address) => append_ip(out, address.ip().to_canonical()),
        // RFC 7239 §6.2: there is no address to tell.
        Peer::Unix => out.extend_from_slice(b"unknown"),
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(request.origin.scheme.as_str().as_bytes());
    // A host contains neither quote nor backslash: its syntax was checked.
    if !host.is_empty() {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.push(b'"');
    }
}

fn put_if(put: &mut dyn FnMut(&[u8], &[u8]), name: &[u8], value: &[u8]) {
    if !value.is_empty() {
        put(name, value);
    }
}
