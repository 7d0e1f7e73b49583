//! Text, paths, and values that may be absent.

use std::cmp::Ordering;
use std::path::PathBuf;

use super::{Completes, Plain, Rejected, Shape, Value};
use crate::answer::{Raw, Source};
use crate::tables::Key;

impl Value for String {
    const EXPECTED: &'static str = "text";
    const METAVAR: &'static str = "TEXT";

    fn parse(text: &str) -> Result<Self, Rejected> {
        Ok(text.to_string())
    }

    fn text(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path";
    const METAVAR: &'static str = "PATH";
    const COMPLETES: Completes = Completes::Path;

    fn parse(text: &str) -> Result<Self, Rejected> {
        // A path with a NUL names no file. TOML can write one.
        let is_path = !text.is_empty() && !text.contains('\0');
        if is_path { Ok(PathBuf::from(text)) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        // Every path of a config was parsed from text.
        self.to_string_lossy().into_owned()
    }
}

/// A URL path that the server answers itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UrlPath(pub String);

impl Value for UrlPath {
    const EXPECTED: &'static str = "a path such as `/livez`";
    const METAVAR: &'static str = "PATH";

    fn parse(text: &str) -> Result<Self, Rejected> {
        // It is compared with the request target as received, so it must be a whole path without a query.
        let is_path = text.starts_with('/') && text.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#');
        if is_path { Ok(UrlPath(text.to_string())) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// The word for an absent value, since neither a flag nor TOML has one.
const NONE: &str = "none";

impl<T: Value> Value for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;
    const METAVAR: &'static str = T::METAVAR;
    const SHAPE: Shape = T::SHAPE;
    const COMPLETES: Completes = T::COMPLETES;
    const IS_NUMBER: bool = T::IS_NUMBER;
    const ENDS_AT_COMMA: bool = T::ENDS_AT_COMMA;
    const KEYS: &'static [Key] = T::KEYS;

    fn parse(text: &str) -> Result<Self, Rejected> {
        if text.is_empty() || text == NONE { Ok(None) } else { T::parse(text).map(Some) }
    }

    fn text(&self) -> String {
        self.as_ref().map_or(NONE.to_string(), T::text)
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Text(text) => Self::parse(text),
            other => T::read(other).map(Some),
        }
    }

    fn toml(&self) -> String {
        self.as_ref().map_or(super::quoted(NONE), T::toml)
    }

    fn plain(&self) -> Plain {
        self.as_ref().map_or(Plain::Nothing, T::plain)
    }

    fn placed(&mut self, source: &Source) {
        self.iter_mut().for_each(|value| value.placed(source));
    }

    fn order(&self, bound: &Self) -> Option<Ordering> {
        self.as_ref()?.order(bound.as_ref()?)
    }
}
