//! Texts by name, such as the fields that a mount sets.

use super::{Plain, Rejected, Shape, Value, quoted};
use crate::answer::Raw;
use crate::tables::inline;

/// Texts by name, in the order in which they were written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TextMap(pub Vec<(String, String)>);

impl TextMap {
    fn insert(&mut self, name: &str, text: &str) -> Result<(), Rejected> {
        if self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            return Err(Rejected::because(format!("`{name}` is set twice")));
        }
        self.0.push((name.to_owned(), text.to_owned()));
        Ok(())
    }
}

impl Value for TextMap {
    const EXPECTED: &'static str = "a table such as `{ NAME = \"text\" }`";
    const METAVAR: &'static str = "NAME=TEXT";
    const SHAPE: Shape = Shape::List;
    const ENDS_AT_COMMA: bool = false;

    /// One of them.
    fn parse(text: &str) -> Result<Self, Rejected> {
        let mut map = TextMap::default();
        if !matches!(text.trim(), "" | "none") {
            let (name, value) = text.split_once('=').ok_or_else(|| Rejected::unexpected(text))?;
            map.insert(name, value)?;
        }
        Ok(map)
    }

    fn text(&self) -> String {
        let items: Vec<String> = self.0.iter().map(|(name, text)| format!("{name}={text}")).collect();
        items.join(",")
    }

    fn read(raw: &Raw) -> Result<Self, Rejected> {
        let mut map = TextMap::default();
        match raw {
            Raw::Text(text) => return Self::parse(text),
            Raw::Table(entries) => {
                for (name, answer) in entries {
                    let Raw::Text(text) = &answer.raw else {
                        return Err(Rejected::unexpected_raw(&answer.raw).or_at(&answer.source));
                    };
                    map.insert(name, text).map_err(|rejected| rejected.or_at(&answer.source))?;
                }
            }
            other => return Err(Rejected::unexpected_raw(other)),
        }
        Ok(map)
    }

    fn toml(&self) -> String {
        inline(self.0.iter().map(|(name, text)| (name.clone(), quoted(text))))
    }

    fn plain(&self) -> Plain {
        Plain::Table(self.0.iter().map(|(name, text)| (name.clone(), Plain::Text(text.clone()))).collect())
    }
}
