//! Patterns of file names, each a whole name or an ending.

use super::{Rejected, Value};

/// A file's name: `settings.py`, or `*.key` for all names with this ending. Case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern(String);

impl NamePattern {
    /// In lower case, with the `*` where it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Value for NamePattern {
    const EXPECTED: &'static str = "a file's name such as `settings.py`, or an ending such as `*.key`";
    const METAVAR: &'static str = "NAMES";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let pattern = text.trim().to_ascii_lowercase();
        // One star at the front, so that a comparison of the ending is enough.
        let literal = pattern.strip_prefix('*').unwrap_or(&pattern);
        let is_name = !literal.is_empty() && !literal.contains(|c: char| c.is_control() || "*?[/,".contains(c));
        if is_name { Ok(NamePattern(pattern)) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_endings_are_read_and_anything_else_is_refused() {
        for text in ["settings.py", "*.key", "*~", "*.SQL", " a b "] {
            let expected = Ok(text.trim().to_ascii_lowercase());
            assert_eq!(NamePattern::parse(text).map(|pattern| pattern.text()), expected);
        }
        for text in ["", "*", "**.py", "a*b", "*.py*", "a/b", "?.py", "[ab].py", "a\0"] {
            assert!(NamePattern::parse(text).is_err(), "{text}");
        }
    }
}
