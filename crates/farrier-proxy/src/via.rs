//! The Via field (RFC 9110 §7.6.3), and loops that it shows.

use farrier_http::Version;

/// How often a request may have passed a proxy of the same pseudonym. A chain of several is legitimate, an endless one is not.
pub const PASSAGES_MAX: usize = 10;

/// How often the pseudonym stands in the Via fields: `1.1 name`, `HTTP/1.1 name (comment)`.
pub fn passages<'a>(values: impl Iterator<Item = &'a [u8]>, pseudonym: &[u8]) -> usize {
    let mut found = 0;
    for value in values {
        for element in elements(value) {
            let mut words = element.split(|&byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            found += usize::from(words.nth(1).is_some_and(|by| by.eq_ignore_ascii_case(pseudonym)));
        }
    }
    found
}

/// Appends this proxy's element behind a list.
pub fn append(out: &mut Vec<u8>, received: Version, pseudonym: &[u8]) {
    if !out.is_empty() {
        out.extend_from_slice(b", ");
    }
    let version: &[u8] = match received {
        Version::Http10 => b"1.0 ",
        Version::Http11 => b"1.1 ",
        Version::Http2 => b"2 ",
    };
    out.extend_from_slice(version);
    out.extend_from_slice(pseudonym);
}

/// The elements of a list in which a comment may contain commas.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut depth = 0_usize;
    value
        .split(move |&byte| {
            match byte {
                b'(' => depth += 1,
                b')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            byte == b',' && depth == 0
        })
        .map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pseudonym_is_counted_where_the_proxy_is_named() {
        for (value, expected) in [
            ("1.1 farrier", 1),
            ("1.0 fred, 1.1 Farrier (1.1 farrier, x), HTTP/2 farrier", 2),
            ("1.1 farrier-2, 1.1 farrier:80, farrier", 0),
            ("1.1  \tfarrier", 1),
            ("", 0),
            (",, 1.1 farrier", 1),
        ] {
            assert_eq!(passages([value.as_bytes()].into_iter(), b"farrier"), expected, "{value}");
        }
        assert_eq!(passages([&b"1.1 a"[..], b"1.1 a"].into_iter(), b"a"), 2);
    }
}
