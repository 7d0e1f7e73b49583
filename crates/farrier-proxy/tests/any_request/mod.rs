//! Forwards any bytes that the front takes for a request, and checks what upstreams of all protocols get. Shared by the property
//! test and the fuzz target.

use std::collections::BTreeSet;

use farrier_http::field::{is_hop_by_hop, is_value};
use farrier_http::wire::{h1, uwsgi};
use farrier_http::{BodyFraming, KnownField, Limits, Peer, Request, RequestHead};
use farrier_proxy::gateway::encode_uwsgi;
use farrier_proxy::request::HostRule;
use farrier_proxy::target::PathRule;
use farrier_proxy::variables::{Params, Variables};
use farrier_proxy::{Facts, ForwardedForm, RequestPolicy, Template, Upgrades, http1};

/// Forwards a request in a way that the flags choose.
///
/// # Panics
/// An upstream would get something other than one well-formed request.
pub(crate) fn check(flags: u16, bytes: &[u8]) {
    let mut request = Request::with_room(64);
    request.arena.append(bytes);
    let decoded = h1::HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
    if decoded != Ok(true) {
        return;
    }
    request.origin.peer = Peer::Tcp(([192, 0, 2, 7], 4711).into());
    let flag = |bit: u16| flags & 1 << bit != 0;
    let policy = policy(flags);
    let content_length = match flags >> 8 & 3 {
        0 => Some(0),
        1 => Some(5),
        2 => Some(u64::from(u32::MAX) + 1),
        _ => None,
    };
    let mounted = request.path().strip_prefix(b"/a").filter(|below| matches!(below, [] | [b'/', ..])).map_or(0, |_| 2);
    let facts = Facts {
        is_trusted: flag(0),
        is_last: flag(1),
        takes_trailers: flag(2),
        port: flag(3).then_some(443),
        expect_continue: flag(4),
        content_length,
        upgrade: Upgrades::All.asked(&request),
        ..Facts::new(&request, b"up:8000", content_length)
    };
    let facts = facts.stripping(&request, &policy.path, mounted);
    let mut out = b"before".to_vec();
    match http1::encode_head(&mut out, &request, &policy, &facts, &mut Vec::new()) {
        Ok(()) => check_http1(&out[6..], &request, &facts),
        Err(_) => assert_eq!(out, b"before"),
    }
    check_variables(&request, &policy, &facts);
}

fn policy(flags: u16) -> RequestPolicy {
    let put: &[u8] = if flags >> 10 & 1 == 1 { b"/v2" } else { b"" };
    let mut policy = RequestPolicy {
        host: if flags >> 11 & 1 == 1 { HostRule::Upstream } else { HostRule::Client },
        path: PathRule { strip: flags >> 12 & 1 == 1, put: put.into() },
        forwarded: match flags >> 13 & 3 {
            0 => ForwardedForm::X,
            1 => ForwardedForm::Rfc7239,
            2 => ForwardedForm::Both,
            _ => ForwardedForm::None,
        },
        via: if flags >> 15 == 1 { b"farrier"[..].into() } else { Box::default() },
        ..RequestPolicy::default()
    };
    let template = Template::parse("$scheme://$host$path?$query").expect("is valid");
    policy.edits.set("X-Url", template).expect("may be set");
    policy
}

/// The limits of an upstream that takes whatever this server may send.
fn generous() -> Limits {
    let most = 1 << 20;
    Limits {
        request_line_bytes_max: most,
        field_bytes_max: most,
        fields_max: 1000,
        head_bytes_max: most,
        body_bytes_max: u64::MAX,
        permit_unconventional_method: true,
        ..Limits::default()
    }
}

fn check_http1(out: &[u8], request: &Request, facts: &Facts<'_>) {
    let mut head = RequestHead::default();
    let decoded = h1::HeadDecoder::default().decode(out, &generous(), &mut head);
    assert_eq!(decoded, Ok(true), "{}", out.escape_ascii());
    assert_eq!(head.bytes, out.len(), "nothing stands behind the head");
    let of = |span: farrier_http::Span| &out[span.range()];
    assert_eq!(of(head.method), request.method());
    assert!(matches!(of(head.target), [b'/', ..] | b"*"));
    assert_eq!(of(head.query), request.query());
    let is_switch = facts.upgrade.is_some();
    let framing = match facts.content_length {
        _ if is_switch => BodyFraming::None,
        None => BodyFraming::Chunked,
        Some(0) if !matches!(request.method(), b"POST" | b"PUT" | b"PATCH") => BodyFraming::None,
        Some(length) => BodyFraming::Length(length),
    };
    assert_eq!(head.framing, framing);
    assert_eq!(head.keep_alive, !facts.is_last || is_switch);
    let mut counts = [0; 3];
    for field in &head.fields {
        let name = of(field.name);
        counts[0] += usize::from(field.known == KnownField::Host);
        counts[1] += usize::from(field.known == KnownField::Connection);
        counts[2] += usize::from(name.eq_ignore_ascii_case(b"x-url"));
        let is_own = matches!(
            field.known,
            KnownField::Connection | KnownField::Te | KnownField::TransferEncoding | KnownField::Upgrade
        );
        assert!(is_own || !is_hop_by_hop(name), "{}", out.escape_ascii());
        let lower = name.to_ascii_lowercase();
        assert!(
            !lower.starts_with(b"x-accel-")
                && lower != b"proxy"
                && lower != b"x-sendfile"
                && lower != b"http2-settings"
        );
        assert!(field.known != KnownField::Upgrade || is_switch);
    }
    assert!(counts[0] == 1 && counts[1] <= 1 && counts[2] == 1, "{}", out.escape_ascii());
}

fn check_variables(request: &Request, policy: &RequestPolicy, facts: &Facts<'_>) {
    let mut variables = Variables::default();
    let mut names = BTreeSet::new();
    let mut put = |name: &[u8], value: &[u8]| {
        assert!(names.insert(name.to_vec()), "{} is given once", name.escape_ascii());
        let is_name = |byte: &u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_';
        assert!(name.iter().all(is_name) && !name.starts_with(b"UWSGI_"));
        assert!(name == b"PATH_INFO" || name == b"SCRIPT_NAME" || is_value(value));
        assert!(!value.contains(&0));
        Ok(())
    };
    let given = variables.give(request, policy, &Params::default(), facts, None, &mut put);
    let never: [&[u8]; 4] = [b"HTTP_PROXY", b"HTTP_TRANSFER_ENCODING", b"HTTP_EXPECT", b"HTTP_CONTENT_LENGTH"];
    assert!(!never.iter().any(|name| names.contains(*name)));
    let mut out = Vec::new();
    let encoded = encode_uwsgi(&mut out, request, policy, &Params::default(), facts, &mut variables);
    if encoded.is_err() {
        assert!(out.is_empty());
        return;
    }
    assert_eq!(given, Ok(()));
    let mut head = RequestHead::default();
    let decoded = uwsgi::HeadDecoder::default().decode(&mut out, &generous(), &mut head);
    assert_eq!(decoded, Ok(Some(uwsgi::PacketKind::Request)));
    assert_eq!(&out[head.method.range()], request.method());
    let length = match facts.content_length {
        Some(0) | None if !matches!(request.method(), b"POST" | b"PUT" | b"PATCH") => BodyFraming::None,
        length => BodyFraming::Length(length.unwrap_or_default()),
    };
    assert_eq!(head.framing, length);
}
