//! Fills uWSGI's placeholders: `%n` and its like from the file's name and the machine, `$(NAME)` from the environment,
//! `%(name)` from other options. A placeholder that only a running uWSGI could fill is reported as an obstacle.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::read::Entry;

/// The facts about the machine that placeholders may need.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// The folder in which the command runs.
    pub folder: PathBuf,
    /// Its host name (`%h`).
    pub hostname: String,
    /// Cores that may be used (`%k`).
    pub cores: u32,
    /// Number and name of the user (`%u`, `%U`).
    pub user: (u32, String),
    /// Number and name of the group (`%g`, `%G`).
    pub group: (u32, String),
    /// The environment (`$(NAME)`).
    pub variables: BTreeMap<String, String>,
    /// The folder of the Python environment that Farrier runs in, to compare it with the one that a file names.
    pub python_prefix: PathBuf,
}

/// The parts of a file's name, for placeholders.
#[derive(Debug, Clone)]
pub(super) struct FileNames {
    /// As it was named.
    named: String,
    /// With its folders from the root.
    path: PathBuf,
    section: String,
}

/// A `%(name)` may lead to another; a longer chain is taken for a loop.
const NAMES_DEEP_MAX: usize = 16;

impl Machine {
    pub(super) fn names_of(&self, path: &str, section: &str) -> FileNames {
        let mut whole = PathBuf::new();
        for part in self.folder.join(path).components() {
            match part {
                Component::CurDir => {}
                Component::ParentDir => {
                    whole.pop();
                }
                part => whole.push(part),
            }
        }
        FileNames { named: path.to_string(), path: whole, section: section.to_string() }
    }
}

impl FileNames {
    /// The text with its letters filled in, and the obstacle if one cannot be filled. Capital letters are about
    /// `first`, the file that was named on the command line.
    pub(super) fn filled(&self, text: &str, first: &FileNames, machine: &Machine) -> (String, Option<String>) {
        let (mut filled, mut obstacle) = (String::new(), None);
        let mut letters = text.chars().peekable();
        while let Some(letter) = letters.next() {
            let Some(next) = letters.peek().copied().filter(|_| letter == '%') else {
                filled.push(letter);
                continue;
            };
            let names = if next.is_ascii_uppercase() { first } else { self };
            if let Some(value) = names.letter(next.to_ascii_lowercase()).or_else(|| of_machine(next, machine)) {
                filled.push_str(&value);
                letters.next();
            } else {
                if "tTiIjJV".contains(next) {
                    obstacle = Some(format!("`%{next}` is only known while uWSGI runs: write the value that you need"));
                }
                filled.push(letter);
            }
        }
        (filled, obstacle)
    }

    fn letter(&self, letter: char) -> Option<String> {
        let text = |part: Option<&std::ffi::OsStr>| Some(part.unwrap_or_default().to_string_lossy().into_owned());
        let folder = self.path.parent().unwrap_or(Path::new("/"));
        match letter {
            'o' => Some(self.named.clone()),
            'p' => Some(self.path.to_string_lossy().into_owned()),
            's' => text(self.path.file_name()),
            'n' => text(self.path.file_stem()),
            'e' => text(self.path.extension()),
            'd' => Some(format!("{}/", folder.to_string_lossy().trim_end_matches('/'))),
            'c' => text(folder.file_name()),
            'x' => Some(self.section.clone()),
            '0'..='9' => {
                let index = letter.to_digit(10)? as usize;
                text(folder.components().nth(index + 1).map(Component::as_os_str))
            }
            _ => None,
        }
    }
}

/// Letters that stand for the machine. Unlike with those of the file, a capital letter means something else than the
/// small one.
fn of_machine(letter: char, machine: &Machine) -> Option<String> {
    match letter {
        'v' => Some(machine.folder.to_string_lossy().into_owned()),
        'h' => Some(machine.hostname.clone()),
        'k' => Some(machine.cores.to_string()),
        'u' => Some(machine.user.0.to_string()),
        'U' => Some(machine.user.1.clone()),
        'g' => Some(machine.group.0.to_string()),
        'G' => Some(machine.group.1.clone()),
        // An escape for colours in uWSGI's output.
        '[' => Some(String::new()),
        _ => None,
    }
}

/// The text with `$(NAME)` and `%(name)` filled in. A `%(name)` that is no option stays as it is, since it may be an
/// atom of a log format.
pub(super) fn named(text: &str, entries: &[Entry], machine: &Machine) -> (String, Option<String>) {
    Named { entries, machine }.filled(text, 0)
}

struct Named<'a> {
    entries: &'a [Entry],
    machine: &'a Machine,
}

impl Named<'_> {
    fn filled(&self, text: &str, depth: usize) -> (String, Option<String>) {
        let (mut filled, mut obstacle, mut rest) = (String::new(), None, text);
        if depth > NAMES_DEEP_MAX {
            return (text.to_string(), Some(format!("`{text}` leads back to itself")));
        }
        while let Some((before, kind, name, after)) = next(rest) {
            filled.push_str(before);
            let whole = &rest[before.len()..rest.len() - after.len()];
            let (value, why) = self.value(kind, name, whole, depth);
            filled.push_str(&value);
            obstacle = obstacle.or(why);
            rest = after;
        }
        filled.push_str(rest);
        (filled, obstacle)
    }

    fn value(&self, kind: char, name: &str, whole: &str, depth: usize) -> (String, Option<String>) {
        let left = whole.to_string();
        match kind {
            '$' => match self.machine.variables.get(name) {
                Some(value) => (value.clone(), None),
                None => (left, Some(format!("the variable `{name}` is not set: run it as `{name}=… farrier …`"))),
            },
            '@' => (left, Some(format!("`{whole}` inserts what a file holds: write it out"))),
            _ => match self.entries.iter().find(|entry| is_bearer(entry, name)) {
                Some(entry) => self.filled(placeholder(entry).map_or(&entry.value, |(_, value)| value), depth + 1),
                None if name.contains([' ', '+', '*', '/']) => {
                    (left, Some(format!("`{whole}` is a calculation: write its result")))
                }
                None => (left, None),
            },
        }
    }
}

fn is_bearer(entry: &Entry, name: &str) -> bool {
    match placeholder(entry) {
        Some((given, _)) => given == name,
        None => entry.name == name,
    }
}

/// Name and value of a placeholder that is set by `set = NAME=VALUE`.
pub(super) fn placeholder(entry: &Entry) -> Option<(&str, &str)> {
    let is_setter = matches!(entry.name.as_str(), "set" | "set-placeholder" | "set-ph");
    let (name, value) = entry.value.split_once('=').filter(|_| is_setter)?;
    Some((name.trim(), value.trim()))
}

/// The names that `text` uses as `%(name)`.
pub(super) fn names_in(text: &str) -> Vec<&str> {
    let (mut names, mut rest) = (Vec::new(), text);
    while let Some((_, kind, name, after)) = next(rest) {
        if kind == '%' {
            names.push(name);
        }
        rest = after;
    }
    names
}

/// The first placeholder with parentheses: what stands before it, its sign, its name, what follows.
fn next(text: &str) -> Option<(&str, char, &str, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find('(') {
        let open = from + found;
        let sign = text[..open].chars().next_back().filter(|sign| "$%@".contains(*sign));
        if let (Some(sign), Some(length)) = (sign, text[open..].find(')')) {
            let name = &text[open + 1..open + length];
            return Some((&text[..open - 1], sign, name, &text[open + length + 1..]));
        }
        from = open + 1;
    }
    None
}
