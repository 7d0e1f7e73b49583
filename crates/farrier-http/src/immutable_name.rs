//! Recognizes files that never change under their name, because the name contains a hash of the content.

/// Whether a file's name is one that Django's `ManifestStaticFilesStorage` makes: `name.<12 hex digits>.ending`, or
/// without the ending. No other rule is certain enough to apply by default.
pub fn is_hashed(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let mut pieces = name.rsplit(|&byte| byte == b'.');
    let is_hash =
        |piece: &[u8]| piece.len() == 12 && piece.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let (last, before) = (pieces.next().unwrap_or_default(), pieces.next());
    match before {
        None => false,
        Some(before) => (is_hash(before) && pieces.next().is_some()) || is_hash(last),
    }
}

/// Whether a path matches a pattern: `?` is any one character, `*` any number of them inside a segment, `**` any number
/// including slashes. All other characters match themselves.
pub fn matches(pattern: &[u8], path: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // The positions of the last `*` and the last `**`, and how much of the path they have matched: on a mismatch they
    // match more.
    let mut star: Option<(usize, usize)> = None;
    let mut deep: Option<(usize, usize)> = None;
    loop {
        if pattern[at..].starts_with(b"**") {
            deep = Some((at + 2, next));
            star = None;
            at += 2;
            continue;
        }
        match (pattern.get(at), path.get(next)) {
            (Some(b'*'), _) => {
                star = Some((at + 1, next));
                at += 1;
                continue;
            }
            (None, None) => return true,
            (Some(b'?'), Some(byte)) if *byte != b'/' => {
                (at, next) = (at + 1, next + 1);
                continue;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                (at, next) = (at + 1, next + 1);
                continue;
            }
            _ => {}
        }
        if let Some((after, taken)) = star
            && path.get(taken).is_some_and(|&byte| byte != b'/')
        {
            star = Some((after, taken + 1));
            (at, next) = (after, taken + 1);
        } else if let Some((after, taken)) = deep
            && taken < path.len()
        {
            deep = Some((after, taken + 1));
            star = None;
            (at, next) = (after, taken + 1);
        } else {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twelve_hexadecimal_digits_before_the_ending_are_a_hash() {
        for name in ["a.0123456789ab.css", "css/a.min.0123456789ab.css", "a.0123456789ab", "x/.0123456789ab.css"] {
            assert!(is_hashed(name.as_bytes()), "{name}");
        }
        for name in [
            "a.css",
            "0123456789ab.css",
            "a.0123456789AB.css",
            "a.0123456789a.css",
            "a.0123456789abc.css",
            "a-0123456789ab.css",
            "a.0123456789ab.min.css",
            "a.0123456789ab/b.css",
            "",
        ] {
            assert!(!is_hashed(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_pattern_says_which_other_names_do() {
        for (pattern, path, expected) in [
            ("assets/*", "assets/index-BX2k1.js", true),
            ("assets/*", "assets/fonts/a.woff2", false),
            ("assets/**", "assets/fonts/a.woff2", true),
            ("**/*.????????.js", "a/b/main.1a2b3c4d.js", true),
            ("**/*.????????.js", "main.1a2b3c4d.js", false),
            ("**.????????.js", "main.1a2b3c4d.js", true),
            ("*.js", "main.js", true),
            ("*.js", "a/main.js", false),
            ("*.js", "main.js.map", false),
            ("**", "", true),
            ("", "", true),
            ("", "a", false),
            ("a*b*c", "aXbXbc", true),
            ("a**b/c", "a/x/b/b/c", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), path.as_bytes()), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        assert!(!matches("a*".repeat(30).as_bytes(), format!("{}/", "a".repeat(5000)).as_bytes()));
        assert!(!matches("**a".repeat(30).as_bytes(), "b".repeat(5000).as_bytes()));
    }
}
