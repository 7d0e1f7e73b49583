//! The settings that an nginx configuration becomes, each with the directives that it comes from.

use super::tree::Directive;
use farrier_config::value::quoted;

/// A key with its value, as a file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) key: &'static str,
    /// The value in TOML.
    pub(super) value: String,
    /// The numbers of the directives that it comes from.
    pub(super) from: Vec<usize>,
    pub(super) remarks: Vec<String>,
}

/// Keys in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Items(pub(super) Vec<Item>);

impl Items {
    /// Sets a key; a later value replaces an earlier one.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<String>, from: &[&Directive]) {
        let item = self.entry(key);
        item.value = value.into();
        for directive in from {
            if !item.from.contains(&directive.index) {
                item.from.push(directive.index);
            }
        }
    }

    /// Adds a remark to a key.
    pub(super) fn remark(&mut self, key: &'static str, remark: impl Into<String>) {
        let remark = remark.into();
        let item = self.entry(key);
        if !item.remarks.contains(&remark) {
            item.remarks.push(remark);
        }
    }

    /// The value of a key.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|item| item.key == key).map(|item| item.value.as_str())
    }

    fn entry(&mut self, key: &'static str) -> &mut Item {
        let at = match self.0.iter().position(|item| item.key == key) {
            Some(at) => at,
            None => {
                self.0.push(Item { key, value: String::new(), from: Vec::new(), remarks: Vec::new() });
                self.0.len() - 1
            }
        };
        &mut self.0[at]
    }
}

/// A table, such as `[[site.mount]]`.
#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    pub(super) header: &'static str,
    /// The numbers of the directives that it comes from.
    pub(super) from: Vec<usize>,
    pub(super) remarks: Vec<String>,
    pub(super) items: Items,
    /// Why the table is only a comment, and requests below its path are refused.
    pub(super) closed: Option<String>,
}

impl Table {
    pub(super) fn new(header: &'static str, from: &[&Directive]) -> Table {
        Table { header, from: from.iter().map(|directive| directive.index).collect(), ..Table::default() }
    }

    pub(super) fn set(&mut self, key: &'static str, value: impl Into<String>, from: &[&Directive]) {
        self.items.set(key, value, from);
    }

    pub(super) fn text(&mut self, key: &'static str, value: &str, from: &[&Directive]) {
        self.items.set(key, quoted(value), from);
    }

    pub(super) fn says(&mut self, remark: impl Into<String>) {
        let remark = remark.into();
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// The path of a mount.
    pub(super) fn path(&self) -> &str {
        self.items.value("path").or(self.items.value("url")).unwrap_or_default()
    }
}

/// An array of texts in TOML.
pub(super) fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| quoted(text.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// An inline table of texts in TOML.
pub(super) fn map(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, text)| format!("{} = {}", name_of(name), quoted(text))).collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn name_of(name: &str) -> String {
    let is_bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_bare { name.to_owned() } else { quoted(name) }
}
