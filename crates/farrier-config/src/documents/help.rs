//! The text of `--help`: a list that fits a terminal, and everything about one setting.

use crate::documents::facts::{Fact, facts};
use crate::setting::Setting;
use crate::table::{ACTIONS, SETTINGS};
use crate::value::Shape;

const WIDTH: usize = 100;

/// The column in which the sentences begin.
const COLUMN: usize = 36;

const USAGE: &str = "\
Farrier serves WSGI applications and their files over HTTP and HTTPS.

Usage: farrier [FLAGS] APP

  farrier app:app                        Serve `app` of app.py on http://127.0.0.1:8000
  farrier -b :80 -w auto mysite.wsgi     On all addresses, with one worker for each core
  farrier --static auto mysite.wsgi      A Django project with the files that its settings name
  farrier --dev-tls mysite.wsgi          On https://127.0.0.1:8000, with a certificate made for it
  farrier import-uwsgi uwsgi.ini         Write uWSGI's configuration as a farrier.toml
  farrier gunicorn-compat install        Let programs of this environment import gunicorn's names
";

/// What every setting has in common, and where to read more.
const MORE: &str = concat!(
    "
A setting is also a key of farrier.toml (keepalive = \"75s\"), a name in farrier.conf.py or
gunicorn.conf.py (keepalive = 75) and a variable (FARRIER_KEEPALIVE=75s).
A flag wins over a variable, and a variable over the file.

farrier --help NAME tells more about one setting, this page about all:
",
    env!("CARGO_PKG_REPOSITORY"),
    "/blob/main/docs/reference/settings.md
"
);

/// All settings by section, a sentence each.
pub(crate) fn overview() -> String {
    let mut text = USAGE.to_string();
    let mut section = "";
    for row in SETTINGS.iter().chain(ACTIONS) {
        if row.section != section {
            section = row.section;
            text.push_str(&format!("\n{section}\n"));
        }
        text.push_str(&entry(row));
    }
    text.push_str(MORE);
    text
}

/// Everything about one setting.
pub(crate) fn on(row: &Setting) -> String {
    let mut text = format!("{}\n\n", row.summary());
    // The table's Markdown is readable in a terminal.
    for paragraph in row.details().split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let lines = wrapped(&paragraph.replace('\n', " "), WIDTH);
        text.push_str(&format!("{}\n\n", lines.join("\n")));
    }
    for Fact { label, values, .. } in facts(row) {
        text.push_str(&format!("  {label:<14}{}\n", values.join(", ")));
    }
    if !row.keys.is_empty() {
        text.push_str(&format!("\nKeys of [[{}]] in farrier.toml:\n", row.name));
    }
    for key in row.keys {
        text.push_str(&format!("\n  {} [{}]\n", key.name, key.default));
        for line in wrapped(&key.text(), WIDTH - 6) {
            text.push_str(&format!("      {line}\n"));
        }
    }
    text
}

fn entry(row: &Setting) -> String {
    let flags = match row.positional() {
        Some(word) => format!("  {word}"),
        None => {
            let short = row.short_flag().map_or("    ".to_string(), |short| format!("{short}, "));
            format!("  {short}{}", invocation(row))
        }
    };
    // A terminal has no font for code, so the backticks are dropped.
    let mut sentence = row.summary().replace('`', "");
    if let Some(default) = shown_default(row) {
        sentence.push_str(&format!(" [{default}]"));
    }
    let mut text = String::new();
    let mut line = if flags.len() + 2 > COLUMN {
        text.push_str(&format!("{flags}\n"));
        " ".repeat(COLUMN)
    } else {
        format!("{flags:<COLUMN$}")
    };
    for piece in wrapped(&sentence, WIDTH - COLUMN) {
        text.push_str(&format!("{line}{piece}\n"));
        line = " ".repeat(COLUMN);
    }
    text
}

/// The long flag with the word for its value; a switch that is on by default shows how it is turned off.
fn invocation(row: &Setting) -> String {
    let metavar = metavar(row);
    let long = row.long_flag();
    if row.shape == Shape::Switch && row.default == "true" {
        format!("--[no-]{}", long.trim_start_matches("--"))
    } else if metavar.is_empty() {
        long
    } else {
        format!("{long} {metavar}")
    }
}

/// The word for the value, the row's own or its type's; empty for a switch.
pub(super) fn metavar(row: &Setting) -> String {
    row.takes().unwrap_or(row.metavar).to_string()
}

/// The default, if it is worth showing: no absent values, no switches that are off, no long patterns.
fn shown_default(row: &Setting) -> Option<&'static str> {
    let is_told = match row.default {
        "none" | "false" => false,
        "true" => return Some("on"),
        default => default.len() <= 40,
    };
    is_told.then_some(row.default)
}

/// Breaks a sentence between words.
fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_string()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_fits_a_hundred_columns() {
        for line in overview().lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
            assert_eq!(line, line.trim_end(), "{line:?}");
        }
    }

    #[test]
    fn the_prose_of_every_row_fits_a_hundred_columns() {
        for row in SETTINGS.iter().chain(ACTIONS) {
            let text = on(row);
            let prose = text.lines().filter(|line| !line.starts_with("  "));
            assert!(prose.clone().all(|line| line.chars().count() <= WIDTH), "{text}");
        }
    }

    #[test]
    fn the_list_names_every_row_and_section() {
        let text = overview();
        for row in SETTINGS.iter().chain(ACTIONS) {
            let long = row.long_flag();
            let shown = row.positional().map_or(long.trim_start_matches("--"), |word| word);
            assert!(text.contains(shown), "{}", row.name);
            assert!(text.contains(&format!("\n{}\n", row.section)), "{}", row.section);
        }
    }

    #[test]
    fn a_sentence_breaks_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("incomprehensible word", 7), ["incomprehensible", "word"]);
    }
}
