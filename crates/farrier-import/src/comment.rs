//! The comments of a written `farrier.toml`.

use std::fmt::Write;

/// The width of comments.
const WIDTH: usize = 110;

/// Begins a part of the file.
pub(crate) fn heading(text: &mut String, title: &str) {
    let _ = write!(text, "\n# --- {title} ---\n\n");
}

/// The text as a sentence: with a capital letter and a full stop.
pub(crate) fn sentence(says: &str) -> String {
    let mut letters = says.chars();
    let begun = match letters.next() {
        // A name is never broken.
        Some(first) if first.is_ascii_lowercase() => format!("{}{}", first.to_ascii_uppercase(), letters.as_str()),
        _ => says.to_string(),
    };
    if begun.ends_with('.') { begun } else { format!("{begun}.") }
}

/// Writes a comment, broken between words. Text from a file must not end the comment.
pub(crate) fn comment(text: &mut String, margin: &str, says: &str) {
    let says = says.replace(char::is_control, "?");
    let mut line = format!("# {margin}");
    let empty = line.len();
    for word in says.split(' ') {
        if line.len() > empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = format!("# {}", " ".repeat(margin.len()));
        } else if line.len() > empty {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{}", line.trim_end());
}
