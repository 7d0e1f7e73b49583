//! The table of uWSGI's options for the documentation, made from the rows of `options.rs`.

use super::options::{Becomes, OPTIONS, UwsgiOption};

/// A Markdown table of the options, and how each is handled.
pub fn options_markdown() -> String {
    let mut page = "| uWSGI | Farrier | |\n|---|---|---|\n".to_string();
    for option in OPTIONS {
        let names: Vec<String> = option.names().map(|name| format!("`{name}`")).collect();
        page.push_str(&format!("| {} | {} | {} |\n", names.join(", "), became(option), option.says));
    }
    page
}

fn became(option: &UwsgiOption) -> String {
    let settings: Vec<String> = option.settings().iter().map(|name| format!("`{name}`")).collect();
    match option.becomes {
        Becomes::Needless => "not needed".to_string(),
        Becomes::Without => "no counterpart".to_string(),
        Becomes::Placeholder => "a placeholder".to_string(),
        Becomes::Setting(..) => settings.join(", "),
        Becomes::Part(..) if settings.is_empty() => "none".to_string(),
        Becomes::Part(..) => settings.join(", "),
    }
}
