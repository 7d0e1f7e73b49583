//! Requests and heads of responses for the tests, from their bytes.

#![allow(clippy::expect_used, dead_code, reason = "each test file uses its own part")]

use farrier_http::wire::client::{Asked, Event, ResponseLimits, ResponseReader};
use farrier_http::wire::h1::HeadDecoder;
use farrier_http::{Limits, Peer, Request, ResponseHead};
use farrier_proxy::{Facts, Refused, RequestPolicy, ResponsePolicy, Signals, http1};

/// The address of the connection's peer.
pub(crate) const PEER: &str = "192.0.2.7:4711";

/// A request as the front decodes it.
pub(crate) fn request(head: &str) -> Request {
    let mut request = Request::with_room(64);
    request.arena.append(head.as_bytes());
    let limits = Limits { fields_max: 1000, ..Limits::default() };
    let decoded = HeadDecoder::default().decode(request.arena.filled(), &limits, &mut request.head);
    assert_eq!(decoded, Ok(true), "{head:?}");
    request.origin.peer = Peer::Tcp(PEER.parse().expect("an address"));
    request
}

/// The facts of a request without content.
pub(crate) fn facts(request: &Request) -> Facts<'static> {
    Facts { port: Some(443), ..Facts::new(request, b"up:8000", Some(0)) }
}

/// The head that the upstream gets.
pub(crate) fn forwarded(request: &Request, policy: &RequestPolicy, facts: &Facts<'_>) -> Result<String, Refused> {
    let mut out = b"before".to_vec();
    let outcome = http1::encode_head(&mut out, request, policy, facts, &mut Vec::new());
    if outcome.is_err() {
        assert_eq!(out, b"before", "a refused request leaves nothing behind");
    }
    outcome.map(|()| String::from_utf8_lossy(&out[6..]).into_owned())
}

/// The head that the client gets, without status line, and what the upstream says to the server.
pub(crate) fn answered(
    fields: &str,
    request: &Request,
    policy: &ResponsePolicy,
    facts: &Facts<'_>,
) -> (ResponseHead, Signals) {
    answered_with("200 Fine", fields, request, policy, facts)
}

/// The same with another status.
pub(crate) fn answered_with(
    status: &str,
    fields: &str,
    request: &Request,
    policy: &ResponsePolicy,
    facts: &Facts<'_>,
) -> (ResponseHead, Signals) {
    let mut reader = ResponseReader::default();
    reader.restart(Asked::of(request.method()));
    let bytes = format!("HTTP/1.1 {status}\r\n{fields}\r\n");
    let step = reader.read(bytes.as_bytes(), &ResponseLimits::default()).expect("a head");
    assert_eq!(step.event, Event::Head);
    let mut head = ResponseHead::default();
    let signals = policy.fill(reader.head(), request, facts, &mut head, &mut Vec::new()).expect("is passed on");
    (head, signals)
}

/// The field lines of a head.
pub(crate) fn lines(head: &ResponseHead) -> String {
    String::from_utf8_lossy(head.lines()).into_owned()
}
