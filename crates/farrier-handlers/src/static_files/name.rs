//! Maps a request's path to the name of a file below a folder. It decodes the path once, and refuses a name that could
//! lead elsewhere.

use std::borrow::Cow;

/// Why a path names no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoName {
    /// It cannot be decoded.
    Malformed,
    /// The name is not below the folder, or is hidden.
    Hidden,
}

/// The part of a path below `prefix`, which has no slash at its end. It is empty for the prefix itself, and begins with
/// a slash otherwise. It ends with a slash if the path does. Several slashes in a row count as one.
///
/// Names that begin with a dot are hidden, which includes `.` and `..`. The exception is `/.well-known` (RFC 8615). An
/// escaped slash is not a separator, and no name can contain it.
pub(crate) fn below<'a>(path: &'a [u8], is_decoded: bool, prefix: &str) -> Result<Cow<'a, [u8]>, NoName> {
    let decoded = if is_decoded { Cow::Borrowed(path) } else { decode(path)? };
    let decoded = match decoded {
        Cow::Borrowed(path) => one_slash_each(path),
        Cow::Owned(path) => Cow::Owned(one_slash_each(&path).into_owned()),
    };
    let begins = decoded.starts_with(prefix.as_bytes()) && matches!(decoded.get(prefix.len()), None | Some(b'/'));
    if !begins || decoded.contains(&0) || has_hidden(&decoded[prefix.len()..]) {
        return Err(NoName::Hidden);
    }
    Ok(match decoded {
        Cow::Borrowed(path) => Cow::Borrowed(&path[prefix.len()..]),
        Cow::Owned(mut path) => Cow::Owned(path.split_off(prefix.len())),
    })
}

/// Percent-encodes a decoded path for a URL (RFC 3986 §3.3).
pub(crate) fn encode(path: &[u8], into: &mut Vec<u8>) {
    for &byte in path {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte);
        if is_plain {
            into.push(byte);
        } else {
            let digit = |value: u8| b"0123456789ABCDEF"[usize::from(value & 15)];
            into.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
        }
    }
}

/// Percent-decodes a URL's path.
pub(crate) fn decode(path: &[u8]) -> Result<Cow<'_, [u8]>, NoName> {
    let Some(first) = path.iter().position(|&byte| byte == b'%') else { return Ok(Cow::Borrowed(path)) };
    let mut decoded = path[..first].to_vec();
    let mut rest = &path[first..];
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(NoName::Malformed) };
        let hex = |digit: u8| char::from(digit).to_digit(16).ok_or(NoName::Malformed);
        let byte = (hex(*high)? * 16 + hex(*low)?) as u8;
        if byte == b'/' {
            return Err(NoName::Hidden);
        }
        decoded.push(byte);
        rest = after;
    }
    Ok(Cow::Owned(decoded))
}

fn one_slash_each(path: &[u8]) -> Cow<'_, [u8]> {
    if !path.windows(2).any(|pair| pair == b"//") {
        return Cow::Borrowed(path);
    }
    let mut merged = path.to_vec();
    merged.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    Cow::Owned(merged)
}

fn has_hidden(below: &[u8]) -> bool {
    let below = match below.strip_prefix(b"/.well-known") {
        Some(rest) if rest.is_empty() || rest[0] == b'/' => rest,
        _ => below,
    };
    below.windows(2).any(|pair| pair == b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, prefix: &str, expected: Result<&str, NoName>) {
        let found = below(path.as_bytes(), false, prefix);
        assert_eq!(found.map(Cow::into_owned), expected.map(|name| name.as_bytes().to_vec()), "{path}");
    }

    #[test]
    fn a_path_is_decoded_once() {
        check("/static/a.css", "/static", Ok("/a.css"));
        check("/static/a%20b%C3%A9.css", "/static", Ok("/a b\u{e9}.css"));
        check("/%73tatic/%61.css", "/static", Ok("/a.css"));
        check("/static/a%252e.css", "/static", Ok("/a%2e.css"));
        check("/static//a///b", "/static", Ok("/a/b"));
        check("/static", "/static", Ok(""));
        check("/static/", "/static", Ok("/"));
        check("/a/", "", Ok("/a/"));
        check("//a", "", Ok("/a"));
        check("/static/.well-known/acme-challenge/x", "/static", Ok("/.well-known/acme-challenge/x"));
    }

    #[test]
    fn a_path_that_could_lead_elsewhere_is_refused() {
        for path in [
            "/static/../secret",
            "/static/%2e%2e/secret",
            "/static/.%2E/secret",
            "/static/a/..",
            "/static/./a",
            "/static/a%2f..%2fb",
            "/static/a%2Fb",
            "/static/.git/config",
            "/static/a/.env",
            "/static/.well-knownx",
            "/static/a/.well-known",
            "/static/.well-known/.x",
            "/static/a%00.css",
            "/staticx/a.css",
            "/other",
            "",
        ] {
            check(path, "/static", Err(NoName::Hidden));
        }
        for path in ["/static/%", "/static/%4", "/static/%zz", "/static/a%+1"] {
            check(path, "/static", Err(NoName::Malformed));
        }
    }

    #[test]
    fn an_encoded_path_is_decoded_unchanged() {
        let name = "/a b/\u{e9}%?#\"<>".as_bytes();
        let mut encoded = Vec::new();
        encode(name, &mut encoded);
        assert_eq!(encoded, b"/a%20b/%C3%A9%25%3F%23%22%3C%3E");
        assert_eq!(decode(&encoded).as_deref(), Ok(name));
    }
}
