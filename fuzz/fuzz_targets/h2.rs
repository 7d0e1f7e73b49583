//! Any pseudo-fields and fields, as the head of an HTTP/2 request: what is let through is what HTTP/1.1 would let through, and
//! nothing panics.

#![no_main]

use farrier_http::wire::h2::{Pseudo, read_head};
use farrier_http::{KnownField, Limits, Request, Scheme, TargetForm};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let mut parts = input.split(|&byte| byte == b'\n');
    let mut part = || parts.next().unwrap_or_default();
    let (flags, method, scheme, authority, path) = (part(), part(), part(), part(), part());
    let flag = |bit: u8| flags.first().is_some_and(|flags| flags & bit != 0);
    let (scheme, authority) = (flag(1).then_some(scheme), flag(2).then_some(authority));
    let protocol = flag(8).then_some(&b"websocket"[..]);
    let pseudo = Pseudo { method, scheme, authority, path, protocol };
    let fields: Vec<(&[u8], &[u8])> = parts
        .map(|line| {
            let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
            (&line[..colon], line.get(colon + 1..).unwrap_or_default())
        })
        .collect();
    let mut request = Request::with_room(64);
    let limits = Limits::default();
    let read = read_head(&mut request, pseudo, fields.iter().copied(), Scheme::Https, flag(4), &limits, |_| 10);
    if read.is_err() {
        return;
    }
    assert!(!request.host().is_empty());
    assert!(matches!(request.head.form, TargetForm::Origin | TargetForm::Asterisk));
    assert!(request.head.fields.len() <= limits.fields_max);
    assert_eq!(request.fields().filter(|(known, ..)| *known == KnownField::Host).count(), 1);
    assert!(request.fields().filter(|(known, ..)| *known == KnownField::Cookie).count() <= 1);
    for (_, name, value) in request.fields() {
        assert!(!name.iter().any(|byte| byte.is_ascii_uppercase() || byte.is_ascii_control()));
        assert!(!value.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
    }
});
