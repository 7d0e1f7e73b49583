//! Any bytes, as the fields behind a request line: what the edge reads from them (codings, conditions, ranges, what proxies
//! say) keeps its promises, and nothing panics.

#![no_main]

use std::net::SocketAddr;

use farrier_http::accept_encoding::{AcceptEncoding, Coding};
use farrier_http::conditional::{self, Validators};
use farrier_http::ranges::{self, Asked};
use farrier_http::wire::h1::HeadDecoder;
use farrier_http::{FieldPolicy, KnownField, Limits, Peer, Request, SchemeField, Underscores};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|fields: &[u8]| {
    let mut request = Request::with_room(256);
    request.arena.append(b"GET /a HTTP/1.1\r\nHost: h\r\n");
    request.arena.append(fields);
    request.arena.append(b"\r\n\r\n");
    let decoded = HeadDecoder::default().decode(request.arena.filled(), &Limits::default(), &mut request.head);
    if decoded != Ok(true) {
        return;
    }
    let accepted = AcceptEncoding::of_request(&request);
    if let Some(best) = accepted.best(Coding::ALL) {
        assert!(accepted.accepts(best));
    }
    for modified_s in [None, Some(784_111_777)] {
        let _ = conditional::judge(&request, Validators { etag: b"\"a\"", modified_s });
    }
    for whole_bytes in [0, 1, 1000, u64::MAX >> 1] {
        let Some(range) = request.field(KnownField::Range) else { break };
        let Asked::Parts(parts) = ranges::read(range, whole_bytes) else { continue };
        assert!(!parts.as_slice().is_empty());
        for (at, part) in parts.as_slice().iter().enumerate() {
            assert!(part.start < part.end && part.end <= whole_bytes);
            let apart = |other: &ranges::ByteRange| part.end < other.start || other.end < part.start;
            assert!(parts.as_slice()[at + 1..].iter().all(apart));
        }
    }
    let peer = SocketAddr::from(([192, 0, 2, 7], 4711));
    for believed in [&BELIEVED[..], &[]] {
        for underscores in [Underscores::Drop, Underscores::Keep, Underscores::Refuse] {
            let scheme = vec![SchemeField::new("x-forwarded-proto", "https")];
            let policy = FieldPolicy::new(underscores, ["X_Y"], scheme, believed.iter().copied());
            for is_trusted in [true, false] {
                // The second time there is less to decide: what was dropped stays so.
                request.origin.peer = Peer::Tcp(peer);
                if policy.apply(&mut request, |_| is_trusted, |_, _| {}).is_err() {
                    return;
                }
                let bytes = request.arena.filled().len();
                assert!(request.fields().all(|(_, name, value)| !name.is_empty() && value.len() <= bytes));
                let told = request.fields().any(|(known, ..)| known == KnownField::XForwardedFor);
                assert!(is_trusted || believed.is_empty() || !told);
            }
        }
    }
});

const BELIEVED: [&str; 6] =
    ["Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Real-IP"];
