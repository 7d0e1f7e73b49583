//! The path of a mount.

use super::{Rejected, Value};

/// A path that a mount begins at, decoded, without the slash at its end: `/static`, and nothing for the root.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct UrlPrefix(String);

impl UrlPrefix {
    /// The root of a site.
    pub fn root() -> UrlPrefix {
        UrlPrefix::default()
    }

    /// The prefix as it stands before a path: empty for the root.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the whole site.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl Value for UrlPrefix {
    const EXPECTED: &'static str = "a path such as `/static/`";
    const METAVAR: &'static str = "PATH";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let Some(inner) = text.strip_prefix('/') else {
            return match text {
                "" => Err(Rejected::unexpected(text)),
                _ => Err(Rejected::because(format!("`{text}` must begin with a slash: `/{text}`"))),
            };
        };
        if text.contains('%') {
            return Err(Rejected::because(format!("`{text}` is compared with decoded paths: write it without `%`")));
        }
        let prefix = inner.strip_suffix('/').unwrap_or(inner);
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        let is_path = prefix.is_empty() && inner.is_empty() || prefix.split('/').all(is_segment);
        if !is_path || text.contains(|c: char| c.is_control() || matches!(c, '?' | '#' | '\\')) {
            return Err(Rejected::unexpected(text));
        }
        Ok(UrlPrefix(if prefix.is_empty() { String::new() } else { format!("/{prefix}") }))
    }

    fn text(&self) -> String {
        if self.0.is_empty() { "/".to_string() } else { self.0.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_no_slash_at_its_end() {
        for (text, prefix) in [("/", ""), ("/static/", "/static"), ("/a/b", "/a/b"), ("/ü b", "/ü b")] {
            assert_eq!(UrlPrefix::parse(text).map(|p| p.0), Ok(prefix.to_string()), "{text}");
            assert_eq!(UrlPrefix::parse(text).and_then(|p| UrlPrefix::parse(&p.text())), UrlPrefix::parse(text));
        }
    }

    #[test]
    fn what_no_normal_path_can_be_is_refused() {
        for text in ["", "api", "//", "/a//b", "/./a", "/a/..", "/a?b", "/a#b", "/a%20b", "/a\\b", "/a\n"] {
            assert!(UrlPrefix::parse(text).is_err(), "{text:?}");
        }
        let said = Rejected::because("`api` must begin with a slash: `/api`");
        assert_eq!(UrlPrefix::parse("api"), Err(said));
    }
}
