//! Changes of protocol (RFC 9110 §7.8): which may be asked of the upstream, and whether its answer agrees.

use farrier_http::wire::client::{Fault, FaultKind, ReceivedHead};
use farrier_http::{BodyFraming, KnownField, Request, ResponseHead, Version};

use crate::connection::Named;
use crate::websocket;

/// The protocols that may be switched to. `h2c` never is: its requests would pass all rules of this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Upgrades {
    /// These, in lower case; none if it is empty.
    Only(Vec<Box<[u8]>>),
    /// All but `h2c`.
    All,
}

impl Default for Upgrades {
    fn default() -> Self {
        Upgrades::Only(vec![websocket::PROTOCOL.into()])
    }
}

impl Upgrades {
    /// The protocol that a request asks for and that may be forwarded, for [`crate::Facts::upgrade`]. `None`: it is an ordinary
    /// request, and its Upgrade field is not forwarded.
    ///
    /// A request to switch is a GET of HTTP/1.1 without content, or an extended CONNECT of HTTP/2. One for WebSocket has a valid
    /// handshake.
    pub fn asked<'a>(&self, request: &'a Request) -> Option<&'a [u8]> {
        let head = &request.head;
        if let Some(protocol) = request.protocol() {
            return (self.allows(protocol) && websocket::is_extended_connect(request, protocol)).then_some(protocol);
        }
        let is_empty = matches!(head.framing, BodyFraming::None | BodyFraming::Length(0));
        if request.method() != b"GET" || head.version != Version::Http11 || !is_empty {
            return None;
        }
        let values = |known| request.fields().filter(move |(its, ..)| *its == known).map(|(.., value)| value);
        if !Named::read(values(KnownField::Connection)).is_some_and(|named| named.has_upgrade()) {
            return None;
        }
        let asked = values(KnownField::Upgrade).flat_map(|value| value.split(|&byte| byte == b','));
        let protocol = asked.map(<[u8]>::trim_ascii).find(|protocol| self.allows(protocol))?;
        let is_sound = !protocol.eq_ignore_ascii_case(websocket::PROTOCOL) || websocket::key_of(request).is_some();
        is_sound.then_some(protocol)
    }

    /// Whether a protocol may be switched to: `name`, or `name/version`.
    fn allows(&self, protocol: &[u8]) -> bool {
        let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
        let is_protocol = protocol.splitn(2, |&byte| byte == b'/').all(farrier_http::field::is_token);
        let is_h2c = [&b"h2c"[..], b"h2", b"http"].iter().any(|never| name.eq_ignore_ascii_case(never));
        is_protocol
            && !is_h2c
            && match self {
                Upgrades::All => true,
                Upgrades::Only(names) => names.iter().any(|its| its.eq_ignore_ascii_case(protocol)),
            }
    }
}

/// Checks the head of a 101. Only then is the connection a tunnel; until then no byte behind the request may be forwarded.
/// `key` is the value of Sec-WebSocket-Key that was sent, where the protocol is WebSocket.
///
/// # Errors
/// The upstream switches to another protocol than was asked for, or its handshake is wrong.
pub fn check_switch(received: &ReceivedHead, asked: &[u8], key: Option<&[u8]>) -> Result<(), Fault> {
    let refused = |cause| Err(Fault::new(FaultKind::Upgrade, cause));
    if received.status().0 != 101 {
        return refused("the upstream did not switch protocols");
    }
    if !received.has_connection_option(b"upgrade") {
        return refused("a 101 without Connection: Upgrade");
    }
    let mut protocols = received.fields().elements("upgrade");
    match (protocols.next(), protocols.next()) {
        (Some(protocol), None) if protocol.eq_ignore_ascii_case(asked) => {}
        _ => return refused("a 101 whose Upgrade is not the protocol that was asked for"),
    }
    let Some(key) = key else { return Ok(()) };
    let mut accepts = received.fields().values("sec-websocket-accept");
    match (accepts.next(), accepts.next()) {
        // RFC 6455 §4.1: a wrong value shows that the answer is not to this request, or that a cache gave it.
        (Some(accept), None) if *accept == websocket::accept_of(key) => Ok(()),
        _ => refused("a 101 whose Sec-WebSocket-Accept is missing or wrong"),
    }
}

/// Appends the 101 for an HTTP/1.1 client. `head` is the upstream's, as [`crate::ResponsePolicy::fill`] has filled it, so its
/// fields of the connection are not among it.
pub fn encode_switched(out: &mut Vec<u8>, head: &ResponseHead, protocol: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ");
    out.extend_from_slice(protocol);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.lines());
    out.extend_from_slice(b"\r\n");
}
