//! Tables as TOML: the inline form, and the form with a heading that `--print-config` shows.

use super::Place;
use crate::value::quoted;

/// A value as written in a TOML file.
#[derive(Debug, Clone)]
pub enum Written {
    /// After a key, on its line.
    Inline(String),
    /// As tables of their own.
    Tables(Vec<TableText>),
}

/// One table: the keys whose values differ from their defaults.
#[derive(Debug, Clone)]
pub struct TableText {
    /// Where it was given.
    pub place: Place,
    /// Keys and values.
    pub entries: Vec<(&'static str, Written)>,
}

impl TableText {
    /// The table as text under its heading, such as `site` or `site.mount`, with its source beside it.
    pub(crate) fn under(&self, heading: &str) -> String {
        let source = self.place.to_string().replace(char::is_control, "?");
        let head = format!("[[{heading}]]");
        let mut text = format!("\n{head:<44}  # {source}\n");
        // A key after the heading of a nested table would belong to that table.
        for (key, value) in &self.entries {
            if let Written::Inline(value) = value {
                text.push_str(&format!("{key} = {value}\n"));
            }
        }
        for (key, value) in &self.entries {
            if let Written::Tables(tables) = value {
                tables.iter().for_each(|table| text.push_str(&table.under(&format!("{heading}.{key}"))));
            }
        }
        text
    }

    /// The table on one line.
    pub(crate) fn on_one_line(&self) -> String {
        let value = |value: &Written| match value {
            Written::Inline(text) => text.clone(),
            Written::Tables(tables) => {
                let tables: Vec<String> = tables.iter().map(TableText::on_one_line).collect();
                format!("[{}]", tables.join(", "))
            }
        };
        inline(self.entries.iter().map(|(key, written)| ((*key).to_string(), value(written))))
    }
}

/// A table on one line, of keys and values that are TOML.
pub(crate) fn inline(entries: impl Iterator<Item = (String, String)>) -> String {
    let is_bare = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    let key = |key: String| if is_bare(&key) { key } else { quoted(&key) };
    let entries: Vec<String> = entries.map(|(name, value)| format!("{} = {value}", key(name))).collect();
    if entries.is_empty() { "{}".to_string() } else { format!("{{ {} }}", entries.join(", ")) }
}
