//! The table of nginx's directives for the documentation, made from the rows of `directives.rs`.

use super::directives::{Becomes, DIRECTIVES};

/// A Markdown table of the directives, and how each is handled.
pub fn directives_markdown() -> String {
    let mut page = "| nginx | Farrier | |\n|---|---|---|\n".to_string();
    for known in DIRECTIVES {
        let names: Vec<String> = known.written_names().map(|name| format!("`{}`", name.replace('|', "\\|"))).collect();
        let became = match known.becomes {
            Becomes::Part("") => "not needed",
            Becomes::Part(target) => target,
            Becomes::Access("") | Becomes::Without => "no counterpart",
            Becomes::Access(target) => target,
            Becomes::Needless => "not needed",
        };
        page.push_str(&format!("| {} | {became} | {} |\n", names.join(", "), known.says));
    }
    page
}
