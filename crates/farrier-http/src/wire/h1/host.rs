//! The syntax of `host[:port]` (RFC 9110 §7.2, RFC 3986 §3.2.2), and whether two of them are the same.

use std::net::Ipv6Addr;

use crate::origin::Scheme;

/// Whether the bytes are a host and perhaps a port. The host may not be empty; the port may (RFC 3986 §3.2.3).
pub(crate) fn is_host(authority: &[u8]) -> bool {
    split(authority).is_some()
}

/// Whether both name the same host and port. The scheme's default port may be left out (RFC 9110 §4.2.3).
pub(crate) fn same_authority(a: &[u8], b: &[u8], scheme: Scheme) -> bool {
    let default = match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    };
    match (split(a), split(b)) {
        (Some((host_a, port_a)), Some((host_b, port_b))) => {
            host_a.eq_ignore_ascii_case(host_b) && port_a.unwrap_or(default) == port_b.unwrap_or(default)
        }
        _ => false,
    }
}

/// Host and port; `None` on a syntax error.
fn split(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let end = match authority.first()? {
        b'[' => literal(authority)?,
        _ => name(authority)?,
    };
    let (host, rest) = authority.split_at(end);
    Some((host, port(rest)?))
}

/// The end of an IPv6 address in brackets. Other literals (IPvFuture) are not accepted.
fn literal(authority: &[u8]) -> Option<usize> {
    let close = authority.iter().position(|&b| b == b']')?;
    let address = str::from_utf8(&authority[1..close]).ok()?;
    address.parse::<Ipv6Addr>().ok()?;
    Some(close + 1)
}

/// The longest registered name: that of DNS, with every dot (RFC 1035 §3.1).
const NAME_BYTES_MAX: usize = 255;

/// The end of a registered name; an IPv4 address is one by its letters. An empty label (`..`) names no host, except for the
/// last one.
fn name(authority: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let rest = &authority[at..];
        at += rest.iter().position(|&b| !NAME[b as usize]).unwrap_or(rest.len());
        match &authority[at..] {
            [] | [b':', ..] => {
                let name = &authority[..at];
                let is_valid = !matches!(name, [] | [b'.', ..])
                    && at <= NAME_BYTES_MAX
                    && !name.windows(2).any(|pair| pair == b"..");
                return is_valid.then_some(at);
            }
            [b'%', high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => at += 3,
            _ => return None,
        }
    }
}

/// The port after the host: `Some(None)` for none or an empty one.
fn port(rest: &[u8]) -> Option<Option<u16>> {
    match rest {
        [] | [b':'] => Some(None),
        [b':', digits @ ..] if digits.len() <= 5 => {
            let mut port: u32 = 0;
            for &digit in digits {
                if !digit.is_ascii_digit() {
                    return None;
                }
                port = port * 10 + u32::from(digit - b'0');
            }
            u16::try_from(port).ok().map(Some)
        }
        _ => None,
    }
}

/// RFC 3986 §2.3 unreserved and §2.2 sub-delims, except for the comma: no host has one, and it joins two fields into one.
const fn name_table() -> [bool; 256] {
    const PUNCTUATION: &[u8] = b"-._~!$&'()*+;=";
    let mut table = [false; 256];
    let mut at = 0;
    while at < PUNCTUATION.len() {
        table[PUNCTUATION[at] as usize] = true;
        at += 1;
    }
    let mut byte = 0u8;
    while byte < 128 {
        table[byte as usize] |= byte.is_ascii_alphanumeric();
        byte += 1;
    }
    table
}

static NAME: [bool; 256] = name_table();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for (authority, valid) in [
            ("example.com", true),
            ("example.com:80", true),
            ("example.com:", true),
            ("example.com:65535", true),
            ("example.com:65536", false),
            ("example.com:000080", false),
            ("example.com:8o", false),
            ("example.com:+8", false),
            ("example.com:80:80", false),
            ("127.0.0.1:8000", true),
            ("my_host", true),
            ("b%C3%BCcher.example", true),
            ("b%C3%B", false),
            ("b%zz", false),
            ("[::1]", true),
            ("[::1]:8000", true),
            ("[2001:db8::192.0.2.1]:443", true),
            ("[::1", false),
            ("[::1]8000", false),
            ("[::1%25lo]", false),
            ("[v1.x]", false),
            ("[]", false),
            ("::1", false),
            ("", false),
            (":80", false),
            ("a.example.", true),
            (".", false),
            ("..", false),
            ("a..b", false),
            (".a", false),
            ("a..", false),
            (",", false),
            ("a,b", false),
            ("a.example,a.example", false),
            ("a b", false),
            ("user@example.com", false),
            ("example.com/", false),
            ("example.com?", false),
            ("a\\b", false),
            ("a\"b", false),
            ("a<b", false),
            ("b\u{fc}cher.example", false),
        ] {
            assert_eq!(is_host(authority.as_bytes()), valid, "{authority}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_one_of_dns_at_most() {
        let long = |bytes: usize| "a23456789.".repeat(26)[..bytes].to_owned() + ":8000";
        assert!(is_host(long(255).as_bytes()));
        assert!(!is_host(long(256).as_bytes()));
    }

    #[test]
    fn authorities_are_compared_without_case_and_with_the_default_port() {
        for (a, b, scheme, same) in [
            ("a.example", "A.Example", Scheme::Http, true),
            ("a.example", "a.example:80", Scheme::Http, true),
            ("a.example:", "a.example:80", Scheme::Http, true),
            ("a.example", "a.example:443", Scheme::Https, true),
            ("a.example", "a.example:443", Scheme::Http, false),
            ("a.example:8000", "a.example", Scheme::Http, false),
            ("a.example", "b.example", Scheme::Http, false),
            ("a.example.", "a.example", Scheme::Http, false),
            ("", "", Scheme::Http, false),
        ] {
            assert_eq!(same_authority(a.as_bytes(), b.as_bytes(), scheme), same, "{a} {b}");
        }
    }
}
