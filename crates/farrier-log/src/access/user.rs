//! The user's name in a request's credentials.

use farrier_http::{KnownField, Request};

/// The user of Basic authentication (RFC 7617).
pub(super) fn user_of(request: &Request) -> Option<Vec<u8>> {
    let value = request.field(KnownField::Authorization)?;
    let (scheme, credentials) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let decoded = decode_base64(credentials.trim_ascii())?;
    let end = decoded.iter().position(|&byte| byte == b':')?;
    Some(decoded[..end].to_vec())
}

fn decode_base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            decoded.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(decoded)
}
