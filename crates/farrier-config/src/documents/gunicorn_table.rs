//! The table of Gunicorn's settings in docs/coming-from-gunicorn.md, and how Farrier handles each.

use crate::gunicorn::{Became, GUNICORN, Gunicorn};
use crate::setting::Setting;
use crate::table::{ACTIONS, SETTINGS};

/// The comments before and after the table on its page.
pub const GUNICORN_TABLE_MARKS: (&str, &str) =
    ("<!-- made from crates/farrier-config/src/gunicorn.rs: begin -->\n", "<!-- end of what is made -->\n");

/// The table, by section.
pub fn gunicorn_table_markdown() -> String {
    let mut text = String::new();
    for (section, settings) in GUNICORN {
        text.push_str(&format!("\n### {section}\n\n| setting | flags | default there | here |\n|---|---|---|---|\n"));
        for setting in *settings {
            let flags: Vec<String> = setting.flags.split_whitespace().map(|flag| format!("`{flag}`")).collect();
            let flags = if flags.is_empty() { "config file".to_string() } else { flags.join(" ") };
            text.push_str(&format!("| `{}` | {flags} | `{}` | {} |\n", setting.name, setting.default, here(setting)));
        }
    }
    text.push('\n');
    text
}

fn here(setting: &Gunicorn) -> String {
    match setting.became {
        Became::Row => match SETTINGS.iter().find(|row| row.name == setting.name) {
            Some(row) => of_row(setting, row),
            // Invariant: a test asks for the row of each.
            None => unreachable!("{} is no row", setting.name),
        },
        Became::Action => {
            let action = ACTIONS.iter().find(|row| row.name == setting.name);
            format!("works, on the command line: `{}`", action.map(Setting::long_flag).unwrap_or_default())
        }
        Became::InPython => "works, in Python files".to_string(),
        Became::Unused(why) => format!("accepted with a warning: {why}"),
        Became::Refused { instead, .. } => format!("refused: {instead}"),
    }
}

fn of_row(setting: &Gunicorn, row: &Setting) -> String {
    let link = format!("[works](reference/settings.md#{})", row.name);
    if is_same_default(setting.default, row) {
        link
    } else {
        let default = if row.default.is_empty() { "empty" } else { row.default };
        format!("{link}; the default is `{default}`")
    }
}

/// Whether both defaults mean the same.
fn is_same_default(there: &str, row: &Setting) -> bool {
    let there = there.trim_matches(|c: char| matches!(c, '\'' | '[' | ']'));
    let same_word = there.eq_ignore_ascii_case(row.default) || format!("{there}s") == row.default;
    // Different spellings of the same value.
    same_word
        || there.is_empty() && row.default == "none"
        || matches!(row.name, "cert_reqs" | "chdir" | "sendfile" | "umask" | "secure_scheme_headers" | "logger_class")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_that_differs_is_named() {
        let table = gunicorn_table_markdown();
        for line in [
            "| `keepalive` | `--keep-alive` | `2` | [works](reference/settings.md#keepalive); the default is `75s` |",
            "| `backlog` | `--backlog` | `2048` | [works](reference/settings.md#backlog) |",
            "| `bind` | `-b` `--bind` | `['127.0.0.1:8000']` | [works](reference/settings.md#bind) |",
            "| `timeout` | `-t` `--timeout` | `30` | [works](reference/settings.md#timeout) |",
            "| `post_fork` | config file | `None` | works, in Python files |",
        ] {
            assert!(table.contains(line), "{line}\n{table}");
        }
    }
}
