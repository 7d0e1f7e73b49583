//! Writes a translated nginx configuration as a commented `farrier.toml`.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::account::{Account, Fate, Line};
use super::output::{Item, Table};
use super::work::Work;
use crate::comment::{comment, heading, sentence};
use farrier_config::SETTINGS;

/// What a fate says, if it is one of a kind.
type Says = fn(&Fate) -> Option<&String>;

/// The text of the file.
pub(super) fn toml(work: &Work<'_, '_>, from: &str) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        "",
        &format!(
            "Made from {from} by `farrier import-nginx`. Each of its directives stands here: above the setting that it became, \
             or below with the reason why there is none."
        ),
    );
    dropped(&mut text, &work.account);
    let mut section = "";
    for row in SETTINGS {
        let Some(item) = work.settings.0.iter().find(|item| item.key == row.name) else { continue };
        if row.section != section {
            section = row.section;
            heading(&mut text, section);
        } else {
            text.push('\n');
        }
        key(&mut text, &work.account, item, "", &[]);
    }
    if !work.upstreams.is_empty() {
        heading(&mut text, "Servers behind this one");
        tables_of(&mut text, &work.account, &work.upstreams);
    }
    if !work.internals.is_empty() {
        heading(&mut text, "Files that an application names");
        tables_of(&mut text, &work.account, &work.internals);
    }
    if !work.sites.is_empty() {
        heading(&mut text, "Sites");
    }
    for (index, site) in work.sites.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        table(&mut text, &work.account, &site.table);
        text.push('\n');
        tables_of(&mut text, &work.account, &site.mounts);
    }
    let parts: [(&str, Says); 3] = [
        ("Without a counterpart", |fate| match fate {
            Fate::Without(says) => Some(says),
            _ => None,
        }),
        ("Unknown", |fate| match fate {
            Fate::Unknown(says) => Some(says),
            _ => None,
        }),
        ("Not needed", |fate| match fate {
            Fate::Needless(says) => Some(says),
            _ => None,
        }),
    ];
    for (title, says) in parts {
        list(&mut text, &work.account, title, says);
    }
    merged(&mut text, work);
    if !work.notes.is_empty() {
        heading(&mut text, "What else differs");
        for note in &work.notes {
            comment(&mut text, "- ", note);
        }
    }
    text
}

/// The rules of access that have no counterpart come first.
fn dropped(text: &mut String, account: &Account) {
    let says = |fate: &Fate| match fate {
        Fate::Dropped(says) => Some(says.clone()),
        _ => None,
    };
    if account.entries().any(|(_, fate)| says(fate).is_some()) {
        list(text, account, "Rules of access without a counterpart: decide about each of them", |fate| match fate {
            Fate::Dropped(says) => Some(says),
            _ => None,
        });
    }
}

/// Directives that became a part of something without standing above it.
fn merged(text: &mut String, work: &Work<'_, '_>) {
    let mut shown: BTreeSet<usize> = BTreeSet::new();
    let items = work.settings.0.iter().chain(tables(work).flat_map(|table| &table.items.0));
    shown.extend(items.flat_map(|item| &item.from));
    shown.extend(tables(work).flat_map(|table| &table.from));
    let missing: Vec<(usize, &Line)> = work
        .account
        .lines
        .iter()
        .enumerate()
        .filter(|(index, _)| !shown.contains(index) && work.account.fate(*index) == Some(&Fate::Became))
        .collect();
    if missing.is_empty() {
        return;
    }
    heading(text, "Part of the settings above");
    for (_, line) in missing {
        comment(text, "", &named(line));
    }
}

fn tables<'a>(work: &'a Work<'_, '_>) -> impl Iterator<Item = &'a Table> {
    let sites = work.sites.iter().flat_map(|site| std::iter::once(&site.table).chain(&site.mounts));
    work.upstreams.iter().chain(&work.internals).chain(sites)
}

fn tables_of(text: &mut String, account: &Account, tables: &[Table]) {
    for (index, each) in tables.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        table(text, account, each);
    }
}

fn table(text: &mut String, account: &Account, table: &Table) {
    for index in &table.from {
        comment(text, "", &directive(account, *index));
    }
    for remark in &table.remarks {
        comment(text, "", remark);
    }
    let mut margin = "";
    if let Some(reason) = &table.closed {
        comment(text, "", reason);
        // Writing to a String does not fail.
        let _ = writeln!(text, "[[site.mount]]\npath = {}\nstatus = 403", table.path());
        margin = "# ";
    }
    let _ = writeln!(text, "{margin}{}", table.header);
    let mut last: &[usize] = &[];
    for item in &table.items.0 {
        key(text, account, item, margin, last);
        last = &item.from;
    }
}

/// A key with its value; `margin` makes a comment of it. The directives of the key before it are not repeated.
fn key(text: &mut String, account: &Account, item: &Item, margin: &str, last: &[usize]) {
    for index in item.from.iter().filter(|_| item.from != last) {
        comment(text, margin.trim_start_matches('#').trim_start(), &directive(account, *index));
    }
    for remark in &item.remarks {
        comment(text, "", remark);
    }
    let value = item.value.replace('\n', &format!("\n{margin}"));
    let _ = writeln!(text, "{margin}{} = {value}", item.key);
}

/// The directives with a fate. Those of one file that are alike are one entry.
fn list(text: &mut String, account: &Account, title: &str, says: fn(&Fate) -> Option<&String>) {
    let mut is_first = true;
    let mut last: Option<(&Line, &Line, &String, usize)> = None;
    let mut flush = |text: &mut String, last: Option<(&Line, &Line, &String, usize)>| {
        let Some((first, end, says, count)) = last else { return };
        if std::mem::take(&mut is_first) {
            heading(text, title);
        }
        let shown = match count {
            1 => named(first),
            _ if is_block(first) => format!("{}:{}-{}: {}", first.path, first.line, end.line, first.written),
            _ => format!("{}:{}-{}: {} ({count} times)", first.path, first.line, end.line, first.name),
        };
        comment(text, "", &shown);
        comment(text, "  ", &sentence(says));
    };
    for (line, fate) in account.entries() {
        let Some(says) = says(fate) else { continue };
        last = match last {
            Some((first, _, known, count)) if is_alike(first, line) && known == says => {
                Some((first, line, known, count + 1))
            }
            other => {
                flush(text, other);
                Some((line, line, says, 1))
            }
        };
    }
    flush(text, last);
}

/// Whether a directive is told of together with the one before it: one like it, or the block that it is in.
fn is_alike(first: &Line, line: &Line) -> bool {
    first.path == line.path && (first.name == line.name || is_block(first))
}

fn is_block(line: &Line) -> bool {
    line.written.ends_with("{ … }")
}

fn directive(account: &Account, index: usize) -> String {
    account.lines.get(index).map(named).unwrap_or_default()
}

fn named(line: &Line) -> String {
    format!("{}:{}: {}", line.path, line.line, line.written)
}
