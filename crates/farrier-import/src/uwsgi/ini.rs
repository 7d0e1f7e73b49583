//! Reads the ini form as uWSGI does. A comment is a line of its own. A key may have no value, or appear many times.
//! Everything after the first `=` is the value.

use super::read::Entry;

/// One line that is no comment.
#[derive(Debug)]
pub(super) enum Line {
    /// `[NAME]` and its line.
    Section(String, usize),
    /// An option of the section above it.
    Option(Entry),
}

/// The sections and options of `text`, the content of the file `path`.
pub(super) fn lines(path: &str, text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            let name = name.split(']').next().unwrap_or_default();
            lines.push(Line::Section(name.trim().to_string(), index + 1));
        } else {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            lines.push(Line::Option(Entry::new(name.trim(), value.trim(), path, index + 1)));
        }
    }
    lines
}
