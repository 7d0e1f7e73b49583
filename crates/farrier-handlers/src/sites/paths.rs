//! Finds the mount for a path: the one with the longest prefix that ends where a segment ends.
//!
//! The decoded path decides, which an application sees as `PATH_INFO`. Other software also resolves `.` and `..` and
//! reads `//` as `/`. A path that leads to another mount when it is read like this is refused. So an attacker cannot
//! exploit the difference.

use std::cell::RefCell;

use farrier_http::percent;

/// The prefixes of a site's mounts.
pub(super) struct Prefixes(
    /// The prefixes, the longest first, with the numbers of their mounts.
    Vec<(Box<[u8]>, usize)>,
);

/// The path can be read in two ways, which lead to different mounts or out of the root.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

thread_local! {
    /// Buffers for a decoded path and for the resolved one, kept between requests to save allocations.
    static READINGS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// The most memory that a buffer keeps between requests.
const READING_BYTES_KEPT: usize = 64 * 1024;

impl Prefixes {
    /// The prefixes of the mounts in their order, without a slash at the end. The root's is empty.
    pub(super) fn new<'a>(prefixes: impl Iterator<Item = &'a str>) -> Prefixes {
        let mut prefixes: Vec<(Box<[u8]>, usize)> =
            prefixes.enumerate().map(|(mount, prefix)| (prefix.as_bytes().into(), mount)).collect();
        prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        Prefixes(prefixes)
    }

    /// Whether there is one mount, which serves every path.
    pub(super) fn is_root_alone(&self) -> bool {
        matches!(self.0.as_slice(), [(prefix, _)] if prefix.is_empty())
    }

    /// The mount for a request's path. `base` is removed from the front of the path first, if the path begins with it.
    ///
    /// # Errors
    /// [`Ambiguous`].
    pub(super) fn mount_of(&self, path: &[u8], is_decoded: bool, base: &[u8]) -> Result<Option<usize>, Ambiguous> {
        if is_plain(path, is_decoded) {
            return Ok(self.find(path, base));
        }
        READINGS.with_borrow_mut(|(decoded, resolved)| {
            decoded.clear();
            match is_decoded {
                true => decoded.extend_from_slice(path),
                false => percent::decode(path, decoded),
            }
            let is_inside = resolve(decoded, resolved);
            let found = self.find(decoded, base);
            let agree = is_inside && self.find(resolved, base) == found;
            for reading in [decoded, resolved] {
                if reading.capacity() > READING_BYTES_KEPT {
                    *reading = Vec::new();
                }
            }
            if agree { Ok(found) } else { Err(Ambiguous) }
        })
    }

    fn find(&self, path: &[u8], base: &[u8]) -> Option<usize> {
        let below = if !base.is_empty() && begins_with(path, base) { &path[base.len()..] } else { path };
        // The prefix of a mount may include the base.
        let found = self.0.iter().find(|(prefix, _)| begins_with(path, prefix) || begins_with(below, prefix));
        found.map(|(_, mount)| *mount)
    }
}

/// How many bytes of the path, as the client sent it, make up the decoded prefix.
pub(super) fn sent_bytes_of(prefix: &[u8], path: &[u8], is_decoded: bool) -> usize {
    let (mut at, mut left) = (0, prefix.len());
    while left > 0 && at < path.len() {
        let is_escape =
            |rest: &[u8]| matches!(rest, [b'%', a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
        at += if !is_decoded && is_escape(&path[at..]) { 3 } else { 1 };
        left -= 1;
    }
    at
}

/// Whether the path can be read in one way only.
fn is_plain(path: &[u8], is_decoded: bool) -> bool {
    let mut after_slash = false;
    for &byte in path {
        match byte {
            b'%' if !is_decoded => return false,
            b'/' | b'.' if after_slash => return false,
            _ => after_slash = byte == b'/',
        }
    }
    true
}

/// Whether the prefix ends where a segment of the path ends.
fn begins_with(path: &[u8], prefix: &[u8]) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| prefix.is_empty() || rest.is_empty() || rest.starts_with(b"/"))
}

/// Writes the path with `.` and `..` resolved (RFC 3986 §5.2.4) and slashes merged, as file systems do. False if the
/// path leads out of the root.
fn resolve(path: &[u8], resolved: &mut Vec<u8>) -> bool {
    resolved.clear();
    let mut segments = path.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"" => {}
            b"." => {}
            b".." => match resolved.iter().rposition(|&byte| byte == b'/') {
                Some(slash) => resolved.truncate(slash),
                None => return false,
            },
            segment => {
                resolved.push(b'/');
                resolved.extend_from_slice(segment);
                continue;
            }
        }
        if is_last {
            resolved.push(b'/');
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixes() -> Prefixes {
        Prefixes::new(["", "/api", "/api/v2", "/secret", "/a b"].into_iter())
    }

    #[test]
    fn the_longest_prefix_wins_and_ends_where_a_segment_ends() {
        for (path, mount) in [
            ("/", 0),
            ("", 0),
            ("*", 0),
            ("/api", 1),
            ("/api/", 1),
            ("/api/x", 1),
            ("/apix", 0),
            ("/api;x", 0),
            ("/API", 0),
            ("/api/v2", 2),
            ("/api/v2/x", 2),
            ("/api/v22", 1),
            ("/%61pi/x", 1),
            ("/api%2Fv2/x", 2),
            ("/a%20b", 4),
            ("/api/.well-known", 1),
            ("/api/x/../y", 1),
            ("/api/x//y", 1),
            ("/./x", 0),
            ("/%2561pi", 0),
        ] {
            assert_eq!(prefixes().mount_of(path.as_bytes(), false, b""), Ok(Some(mount)), "{path}");
        }
    }

    #[test]
    fn a_path_that_leads_to_two_mounts_is_refused() {
        for path in [
            "/api/../secret",
            "/api/%2e%2e/secret",
            "/api/.%2E/secret/x",
            "/x/..%2fsecret",
            "//secret",
            "/x/%2e%2e%2f%2fsecret",
            "/./secret",
            "/secret/..",
            "/..",
            "/../secret",
            "/%2e%2e/",
            "/api//v2",
        ] {
            assert_eq!(prefixes().mount_of(path.as_bytes(), false, b""), Err(Ambiguous), "{path}");
        }
    }

    #[test]
    fn a_path_that_a_gateway_has_decoded_is_not_decoded_again() {
        assert_eq!(prefixes().mount_of(b"/%61pi", true, b""), Ok(Some(0)));
        assert_eq!(prefixes().mount_of(b"/a b/x", true, b""), Ok(Some(4)));
    }

    #[test]
    fn the_base_is_removed_if_the_path_begins_with_it() {
        assert_eq!(prefixes().mount_of(b"/base/api/x", false, b"/base"), Ok(Some(1)));
        assert_eq!(prefixes().mount_of(b"/api/x", false, b"/base"), Ok(Some(1)));
        assert_eq!(prefixes().mount_of(b"/basement/api", false, b"/base"), Ok(Some(0)));
        // A mount below the base is found by its whole path too.
        assert_eq!(prefixes().mount_of(b"/api/v2", false, b"/api"), Ok(Some(2)));
    }

    #[test]
    fn without_a_mount_at_the_root_some_paths_have_no_mount() {
        let prefixes = Prefixes::new(["/api"].into_iter());
        assert_eq!(prefixes.mount_of(b"/x", false, b""), Ok(None));
        assert!(!prefixes.is_root_alone() && Prefixes::new([""].into_iter()).is_root_alone());
    }

    #[test]
    fn a_decoded_prefix_is_measured_in_the_path_as_sent() {
        for (prefix, path, bytes) in
            [("/api", "/api/x", 4), ("/api", "/%61pi/x", 6), ("/a b", "/a%20b", 6), ("", "/x", 0)]
        {
            assert_eq!(sent_bytes_of(prefix.as_bytes(), path.as_bytes(), false), bytes, "{path}");
        }
    }

    proptest! {
        /// However a path is written, both ways to read it lead to the mount that was chosen.
        #[test]
        fn no_reading_of_a_path_leads_to_another_mount(
            path in proptest::collection::vec(
                prop_oneof![
                    Just("/"), Just("%2f"), Just("."), Just("%2e"), Just("api"), Just("secret"), Just("v2"), Just("x"),
                    Just("%"), Just("%61pi"), Just(";"), Just("\\"), Just("%00"),
                ],
                0..12,
            )
        ) {
            let path = format!("/{}", path.concat());
            if let Ok(found) = prefixes().mount_of(path.as_bytes(), false, b"") {
                let mut decoded = Vec::new();
                percent::decode(path.as_bytes(), &mut decoded);
                let mut stack: Vec<&[u8]> = Vec::new();
                for segment in decoded.split(|&byte| byte == b'/') {
                    match segment {
                        b"" | b"." => {}
                        b".." => prop_assert!(stack.pop().is_some(), "{} leads out", path),
                        name => stack.push(name),
                    }
                }
                let expected = match stack.as_slice() {
                    [b"api", b"v2", ..] => 2,
                    [b"api", ..] => 1,
                    [b"secret", ..] => 3,
                    _ => 0,
                };
                prop_assert_eq!(found, Some(expected), "{}", path);
            }
        }

        #[test]
        fn any_bytes_can_be_a_path(path in proptest::collection::vec(any::<u8>(), 0..200), is_decoded: bool) {
            let _ = prefixes().mount_of(&path, is_decoded, b"/api");
        }
    }
}
