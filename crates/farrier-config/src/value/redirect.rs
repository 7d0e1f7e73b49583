//! The target and the status of a redirect.

use super::{Rejected, Value};

/// The URL of a redirect, with placeholders that the request fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedirectTarget(pub Vec<Piece>);

/// A piece of a redirect's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// This text.
    Text(String),
    /// `$path`: the request's path, as the client sent it.
    Path,
    /// `$rest`: the part of the path below the mount.
    Rest,
    /// `$query`: the query with its `?`, or nothing.
    Query,
    /// `$host`: the request's host, with its port.
    Host,
    /// `$scheme`: `http` or `https`, as the client sees it.
    Scheme,
}

const WORDS: &[(&str, Piece)] = &[
    ("path", Piece::Path),
    ("rest", Piece::Rest),
    ("query", Piece::Query),
    ("host", Piece::Host),
    ("scheme", Piece::Scheme),
];

impl Value for RedirectTarget {
    const EXPECTED: &'static str = "a URL or a path such as `https://www.example.org$path$query`";
    const METAVAR: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let is_absolute = ["http://", "https://", "$scheme://"].iter().any(|scheme| text.starts_with(scheme));
        let is_path = (text.starts_with('/') && !text.starts_with("//")) || text.starts_with("$path");
        if !(is_absolute || is_path) || !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Rejected::unexpected(text));
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            plain.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                plain.push('$');
                rest = after;
                continue;
            }
            let Some((word, piece)) = WORDS.iter().find(|(word, _)| after.starts_with(word)) else {
                let known = "`$path`, `$rest`, `$query`, `$host`, `$scheme` and `$$`";
                return Err(Rejected::because(format!("`{text}`: after `$` there may stand only {known}")));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(piece.clone());
            rest = &after[word.len()..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(RedirectTarget(pieces))
    }

    fn text(&self) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.replace('$', "$$"),
            other => {
                WORDS.iter().find(|(_, known)| known == other).map(|(word, _)| format!("${word}")).unwrap_or_default()
            }
        };
        self.0.iter().map(piece).collect()
    }
}

/// A status that a mount answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseStatus(pub u16);

impl Value for ResponseStatus {
    const EXPECTED: &'static str = "a status from 200 to 599";
    const METAVAR: &'static str = "STATUS";
    const IS_NUMBER: bool = true;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.parse() {
            Ok(status @ 200..=599) => Ok(ResponseStatus(status)),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        self.0.to_string()
    }

    fn toml(&self) -> String {
        self.text()
    }

    fn plain(&self) -> super::Plain {
        super::Plain::Whole(self.0.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_text_and_places() {
        let text = |text: &str| Piece::Text(text.to_string());
        for (target, pieces) in [
            ("https://www.example.org$path$query", vec![text("https://www.example.org"), Piece::Path, Piece::Query]),
            ("$scheme://$host/new$rest", vec![Piece::Scheme, text("://"), Piece::Host, text("/new"), Piece::Rest]),
            ("/a$$b", vec![text("/a$b")]),
        ] {
            assert_eq!(RedirectTarget::parse(target), Ok(RedirectTarget(pieces)), "{target}");
            assert_eq!(RedirectTarget::parse(target).map(|parsed| parsed.text()), Ok(target.to_string()));
        }
        for target in ["", "www.example.org", "//example.org", "/a b", "/ü", "/a\r\nX: y", "/$uri", "$host"] {
            assert!(RedirectTarget::parse(target).is_err(), "{target}");
        }
    }
}
