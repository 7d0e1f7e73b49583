//! Writes a translated uWSGI configuration as a commented `farrier.toml`.

use std::fmt::Write;

use super::draft::{Draft, Fate};
use super::read::Entry;
use crate::comment::{comment, heading, sentence};
use farrier_config::Config;

/// The text of the file; `config` holds the values of the draft's settings.
pub(super) fn toml(draft: &Draft, config: &Config, from: &str) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "",
        &format!(
            "Made from {from} by `farrier import-uwsgi`. Each of its options stands here: above the setting that it became, \
             or below with the reason why there is none."
        ),
    );
    settings(&mut text, draft, config);
    let parts = [
        ("Without a counterpart", Fate::Without as fn(String) -> Fate),
        ("Unknown", Fate::Unknown),
        ("Not needed", Fate::Needless),
    ];
    for (heading, fate) in parts {
        list(&mut text, draft, heading, fate);
    }
    if !draft.notes.is_empty() {
        heading(&mut text, "What else differs");
        for note in &draft.notes {
            comment(&mut text, "- ", note);
        }
    }
    text
}

fn settings(text: &mut String, draft: &Draft, config: &Config) {
    let mut section = "";
    for (row, value) in config.values() {
        let Some(given) = draft.given.get(row.name) else { continue };
        if row.section != section {
            section = row.section;
            heading(text, section);
        } else {
            text.push('\n');
        }
        for index in &given.from {
            comment(text, "", &option(&draft.entries[*index]));
        }
        for remark in &given.remarks {
            comment(text, "", &sentence(remark));
        }
        // Writing to a String does not fail.
        let _ = writeln!(text, "{} = {value}", row.name);
    }
}

fn list(text: &mut String, draft: &Draft, title: &str, fate: fn(String) -> Fate) {
    let mut is_first = true;
    for (entry, became) in draft.entries.iter().zip(&draft.fates) {
        let says = match became {
            Fate::Without(says) | Fate::Unknown(says) | Fate::Needless(says) => says,
            Fate::Became(_) => continue,
        };
        if fate(says.clone()) != *became {
            continue;
        }
        if std::mem::take(&mut is_first) {
            heading(text, title);
        }
        comment(text, "", &option(entry));
        comment(text, "  ", &sentence(says));
    }
}

/// An option as it is written in its file.
fn option(entry: &Entry) -> String {
    let value = if entry.written.is_empty() { String::new() } else { format!(" = {}", entry.written) };
    format!("{}:{}: {}{value}", entry.path, entry.line, entry.name)
}
