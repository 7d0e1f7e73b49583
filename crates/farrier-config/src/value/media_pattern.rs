//! Media types, single or as patterns.

use super::{Rejected, Value};

/// A media type: `text/html`, `text/*`, or `*+json` for all types with this structured suffix (RFC 6839).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MediaPattern(String);

impl MediaPattern {
    /// In lower case, with the `*` where it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for MediaPattern {
    const EXPECTED: &'static str = "a media type such as `text/html`, `text/*` or `*+json`";
    const METAVAR: &'static str = "TYPES";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let pattern = text.trim().to_ascii_lowercase();
        let is_token = |part: &str| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
        };
        let is_well = match (pattern.split_once('/'), pattern.strip_prefix("*+")) {
            (Some((kind, "*")), _) => is_token(kind),
            (Some((kind, subtype)), _) => is_token(kind) && is_token(subtype),
            (None, Some(suffix)) => is_token(suffix),
            (None, None) => false,
        };
        if is_well { Ok(MediaPattern(pattern)) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_and_anything_else_is_refused() {
        for text in ["text/html", "text/*", "*+json", "application/vnd.a+json", "Image/SVG+xml"] {
            assert_eq!(MediaPattern::parse(text).map(|pattern| pattern.text()), Ok(text.to_ascii_lowercase()));
        }
        for text in ["", "text", "*", "*/*", "text/", "/html", "text/html; charset=utf-8", "*+", "te xt/html", "a/b/c"]
        {
            assert!(MediaPattern::parse(text).is_err(), "{text}");
        }
    }
}
