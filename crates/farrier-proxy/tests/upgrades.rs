//! Tests of changes of protocol: what is asked of the upstream, and which answers make a tunnel (RFC 9110 §7.8, RFC 6455 §4,
//! RFC 8441).

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod forwarding;

use farrier_http::wire::client::{Asked, Event, FaultKind, ReceivedHead, ResponseLimits, ResponseReader};
use farrier_http::{Request, ResponseHead, Version};
use farrier_proxy::upgrade::{check_switch, encode_switched};
use farrier_proxy::{Facts, ForwardedForm, RequestPolicy, Upgrades, websocket};
use forwarding::{facts, forwarded, lines, request};

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake() -> String {
    format!(
        "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n"
    )
}

fn asking(line: &str, fields: &str) -> Request {
    request(&format!("{line}\r\nHost: a.test\r\n{fields}\r\n"))
}

fn bare() -> RequestPolicy {
    RequestPolicy { forwarded: ForwardedForm::None, ..RequestPolicy::default() }
}

#[test]
fn a_valid_handshake_is_forwarded_with_fields_of_this_connection() {
    let request = asking("GET /chat HTTP/1.1", &format!("{}Sec-WebSocket-Protocol: x\r\n", handshake()));
    let upgrade = Upgrades::default().asked(&request);
    assert_eq!(upgrade, Some(&b"WebSocket"[..]));
    let sent = forwarded(&request, &bare(), &Facts { upgrade, is_last: true, ..facts(&request) }).unwrap();
    assert_eq!(
        sent,
        format!(
            "GET /chat HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Protocol: x\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"
        )
    );
}

#[test]
fn whatever_is_not_a_valid_handshake_is_an_ordinary_request() {
    let whole = handshake();
    for (line, fields) in [
        ("POST / HTTP/1.1", whole.clone()),
        ("GET / HTTP/1.0", whole.clone()),
        ("GET / HTTP/1.1", format!("{whole}Content-Length: 5\r\n")),
        ("GET / HTTP/1.1", format!("{whole}Transfer-Encoding: chunked\r\n")),
        ("GET / HTTP/1.1", whole.replace("keep-alive, Upgrade", "keep-alive")),
        ("GET / HTTP/1.1", whole.replace("WebSocket\r\n", "h2c\r\n")),
        ("GET / HTTP/1.1", whole.replace("13", "8")),
        ("GET / HTTP/1.1", whole.replace(KEY, "short==")),
        ("GET / HTTP/1.1", format!("{whole}Sec-WebSocket-Key: {KEY}\r\n")),
        ("GET / HTTP/1.1", format!("{whole}Sec-WebSocket-Version: 13\r\n")),
    ] {
        let request = asking(line, &fields);
        assert_eq!(Upgrades::default().asked(&request), None, "{line} {fields}");
        let sent = forwarded(&request, &bare(), &facts(&request)).unwrap();
        assert!(!sent.contains("Upgrade:") && !sent.contains("Connection:"), "{sent}");
    }
    let mut over_http2 = asking("GET / HTTP/1.1", &whole);
    over_http2.head.version = Version::Http2;
    assert_eq!(Upgrades::default().asked(&over_http2), None);
}

#[test]
fn h2c_is_never_forwarded() {
    for protocol in ["h2c", "H2C", "h2", "HTTP/2.0", "h2c/1"] {
        let request = asking(
            "GET / HTTP/1.1",
            &format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: x\r\n"),
        );
        assert_eq!(Upgrades::All.asked(&request), None, "{protocol}");
        let named = Upgrades::Only(vec![protocol.to_lowercase().into_bytes().into()]);
        assert_eq!(named.asked(&request), None, "{protocol}");
    }
}

#[test]
fn the_first_protocol_that_is_allowed_is_asked_for() {
    let of = |upgrades: &Upgrades, value: &str| {
        let fields = format!("Connection: upgrade\r\nUpgrade: {value}\r\n");
        let request = asking("GET / HTTP/1.1", &fields);
        upgrades.asked(&request).map(|protocol| String::from_utf8_lossy(protocol).into_owned())
    };
    assert_eq!(of(&Upgrades::All, "h2c, IRC/6.9, RTA"), Some("IRC/6.9".to_owned()));
    assert_eq!(of(&Upgrades::Only(vec![b"rta"[..].into()]), "IRC/6.9,, RTA"), Some("RTA".to_owned()));
    assert_eq!(of(&Upgrades::All, "a b"), None);
    assert_eq!(of(&Upgrades::Only(Vec::new()), "websocket"), None);
}

fn received(fields: &str) -> ReceivedHead {
    let mut reader = ResponseReader::default();
    reader.restart(Asked { upgrade: true, ..Asked::default() });
    let bytes = format!("HTTP/1.1 101 S\r\n{fields}\r\n");
    assert_eq!(reader.read(bytes.as_bytes(), &ResponseLimits::default()).unwrap().event, Event::Switched);
    reader.head().clone()
}

#[test]
fn only_the_right_answer_makes_a_tunnel() {
    let good = format!("Connection: x, upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n");
    let key = Some(KEY.as_bytes());
    assert_eq!(check_switch(&received(&good), b"WebSocket", key), Ok(()));
    for (from, to) in [
        ("x, upgrade", "x"),
        ("Upgrade: websocket", "Upgrade: other"),
        ("Upgrade: websocket", "Upgrade: websocket, other"),
        ("Upgrade: websocket", "X: y"),
        (ACCEPT, KEY),
        (ACCEPT, "s3ppLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("Sec-WebSocket-Accept", "X"),
        ("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: x\r\nSec-WebSocket-Accept"),
    ] {
        let fault = check_switch(&received(&good.replacen(from, to, 1)), b"websocket", key).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Upgrade, "{to}");
    }
    assert_eq!(check_switch(&received("Connection: upgrade\r\nUpgrade: rta\r\n"), b"RTA", None), Ok(()));
}

#[test]
fn an_http1_client_gets_the_101() {
    let mut head = ResponseHead::default();
    head.add(b"Sec-WebSocket-Accept", ACCEPT.as_bytes()).unwrap();
    let mut out = Vec::new();
    encode_switched(&mut out, &head, b"websocket");
    assert_eq!(
        String::from_utf8_lossy(&out),
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
    );
}

#[test]
fn an_extended_connect_becomes_an_http1_handshake_and_its_101_a_200() {
    let mut request = asking("OPTIONS /chat?x HTTP/1.1", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p\r\n");
    request.head.version = Version::Http2;
    assert!(websocket::is_extended_connect(&request, b"websocket"));
    assert!(!websocket::is_extended_connect(&request, b"webtransport"));
    let key = websocket::key_from(*b"the sample nonce");
    let facts = Facts {
        upgrade: Some(websocket::PROTOCOL),
        websocket_key: Some(&key),
        content_length: None,
        ..facts(&request)
    };
    let sent = forwarded(&request, &bare(), &facts).unwrap();
    assert_eq!(
        sent,
        format!(
            "GET /chat?x HTTP/1.1\r\nHost: a.test\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: p\r\n\
             Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        )
    );
    let mut head = ResponseHead::default();
    head.add(b"Sec-WebSocket-Accept", ACCEPT.as_bytes()).unwrap();
    head.add(b"Sec-WebSocket-Protocol", b"p").unwrap();
    let answer = websocket::accepted_for_http2(&head);
    assert_eq!((answer.status().0, lines(&answer).as_str()), (200, "Sec-WebSocket-Protocol: p\r\n"));
}

#[test]
fn an_extended_connect_asks_for_a_protocol_that_its_mount_allows() {
    let sound = "Sec-WebSocket-Version: 13\r\n";
    for (protocol, fields, upgrades, is_asked) in [
        ("websocket", sound, Upgrades::default(), true),
        ("websocket", sound, Upgrades::All, true),
        ("websocket", sound, Upgrades::Only(Vec::new()), false),
        ("websocket", "Sec-WebSocket-Version: 8\r\n", Upgrades::default(), false),
        // RFC 8441 §5: HTTP/2 has no use for a key.
        ("websocket", &handshake(), Upgrades::default(), false),
        ("connect-udp", sound, Upgrades::All, false),
    ] {
        let mut request = asking("OPTIONS / HTTP/1.1", &format!("{fields}X: {protocol}\r\n"));
        request.head.version = Version::Http2;
        request.head.protocol = request.head.fields.last().expect("fields").value;
        let asked = upgrades.asked(&request);
        assert_eq!(asked, is_asked.then_some(protocol.as_bytes()), "{protocol} {fields}");
    }
}

#[test]
fn a_200_of_an_http2_upstream_becomes_a_101_with_the_clients_key() {
    let mut head = ResponseHead::default();
    head.add(b"sec-websocket-accept", b"wrong").unwrap();
    head.add(b"sec-websocket-protocol", b"p").unwrap();
    let answer = websocket::accepted_for_http1(&head, KEY.as_bytes());
    assert_eq!(answer.status().0, 101);
    assert_eq!(lines(&answer), format!("sec-websocket-protocol: p\r\nSec-WebSocket-Accept: {ACCEPT}\r\n"));
}
