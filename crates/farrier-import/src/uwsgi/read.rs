//! Reads a uWSGI configuration with all files that it includes: the options in the order in which uWSGI would see them.

use std::io;
use std::path::Path;

use super::ini::{self, Line};
use super::placeholders::{FileNames, Machine};
use super::tree;
use farrier_config::Problem;
use farrier_config::Source;

/// One option as it stands in a file, its placeholders filled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The option's name.
    pub(super) name: String,
    /// Its value; empty where only the name stands.
    pub(super) value: String,
    /// The value as the file has it.
    pub(super) written: String,
    /// Why the value cannot be known: a placeholder that only a running uWSGI fills.
    pub(super) obstacle: Option<String>,
    /// The file, as it was named.
    pub(super) path: String,
    /// The line, from 1.
    pub(super) line: usize,
}

impl Entry {
    pub(super) fn new(name: &str, value: &str, path: &str, line: usize) -> Entry {
        Entry {
            name: name.to_string(),
            value: value.to_string(),
            written: value.to_string(),
            obstacle: None,
            path: path.to_string(),
            line,
        }
    }

    /// Its place.
    pub(super) fn source(&self) -> Source {
        Source::File { path: self.path.clone(), line: self.line }
    }

    /// Whether a switch is on, as uWSGI reads one.
    pub(super) fn is_on(&self) -> bool {
        !["false", "off", "no", "0"].contains(&self.value.to_ascii_lowercase().as_str())
    }
}

/// The parts of a configuration.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The options of the section in use, in order; those of an included file at the place of the include.
    pub(super) entries: Vec<Entry>,
    /// Names of options that only include another file.
    pub(super) includes: Vec<Entry>,
    /// The line on which the section begins, for settings that follow from an option's absence.
    pub(super) section: Option<Source>,
}

/// Files may include each other; a deeper chain is taken for a loop.
const INCLUDES_DEEP_MAX: usize = 16;

/// Options that read another file, and the form they expect; without one, the file name's ending decides.
const INCLUDES: &[(&str, Option<Form>)] = &[
    ("ini", Some(Form::Ini)),
    ("yaml", Some(Form::Tree)),
    ("yml", Some(Form::Tree)),
    ("json", Some(Form::Tree)),
    ("js", Some(Form::Tree)),
    ("xml", Some(Form::Xml)),
    ("include", None),
    ("inherit", None),
    ("config", None),
];

/// Names that begin like this choose options while uWSGI starts.
const CONDITIONS: &[&str] = &["if-", "for-", "for", "endif", "end-if", "endfor", "end-for", "if", "else"];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Ini,
    Tree,
    Xml,
}

/// Reads `file`, which is `PATH` or `PATH:SECTION`.
///
/// # Errors
/// A file that cannot be read, XML, a section that is not there, conditions and loops: each with its line.
pub(super) fn read(
    file: &str,
    machine: &Machine,
    open: &mut dyn FnMut(&Path) -> io::Result<String>,
) -> Result<Read, Vec<Problem>> {
    let (path, _) = split(file);
    let mut reader =
        Reader { machine, open, first: machine.names_of(path, ""), read: Read::default(), problems: vec![] };
    reader.file(file, None, None, 0);
    if reader.problems.is_empty() { Ok(reader.read) } else { Err(reader.problems) }
}

struct Reader<'a> {
    machine: &'a Machine,
    open: &'a mut dyn FnMut(&Path) -> io::Result<String>,
    /// The names of the file that was named first, for `%P` and similar placeholders.
    first: FileNames,
    read: Read,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Reads one file; `by` is the option that includes it.
    fn file(&mut self, file: &str, form: Option<Form>, by: Option<&Entry>, depth: usize) {
        let fail = |reader: &mut Self, message: String| {
            reader.problems.push(Problem { source: by.map(Entry::source), message });
        };
        if depth > INCLUDES_DEEP_MAX {
            return fail(self, format!("`{file}` includes itself"));
        }
        let (path, section) = split(file);
        let path = if path.is_empty() { by.map_or("", |by| by.path.as_str()) } else { path };
        let form = form.unwrap_or_else(|| form_of(path));
        if form == Form::Xml {
            let message =
                format!("`{path}` is XML, which is not read: write its options as `name = value` under `[uwsgi]`");
            return fail(self, message);
        }
        let text = match (self.open)(Path::new(path)) {
            Ok(text) => text,
            Err(error) => return fail(self, format!("cannot read `{path}`: {error}")),
        };
        let lines = match form {
            Form::Tree => match tree::lines(path, &text) {
                Ok(lines) => lines,
                Err(problem) => return self.problems.push(problem),
            },
            _ => ini::lines(path, &text),
        };
        self.section(path, section.unwrap_or("uwsgi"), section.unwrap_or_default(), lines, depth, by);
    }

    fn section(&mut self, path: &str, wanted: &str, named: &str, lines: Vec<Line>, depth: usize, by: Option<&Entry>) {
        let names = self.machine.names_of(path, named);
        let (mut is_wanted, mut is_found, mut others) = (false, false, Vec::new());
        for line in lines {
            match line {
                Line::Section(name, line) => {
                    let name = names.filled(&name, &self.first, self.machine).0;
                    is_wanted = name == wanted;
                    is_found |= is_wanted;
                    if is_wanted && self.read.section.is_none() {
                        self.read.section = Some(Source::File { path: path.to_string(), line });
                    }
                    others.push(name);
                }
                Line::Option(entry) if is_wanted => self.option(entry, &names, depth),
                Line::Option(_) => {}
            }
        }
        if !is_found {
            let there = match others.as_slice() {
                [] => "there is none".to_string(),
                names => format!("there are `{}`", names.join("`, `")),
            };
            let message = format!("`{path}` has no section `{wanted}`; {there}");
            self.problems.push(Problem { source: by.map(Entry::source), message });
        }
    }

    fn option(&mut self, mut entry: Entry, names: &FileNames, depth: usize) {
        entry.name = names.filled(&entry.name, &self.first, self.machine).0;
        if CONDITIONS.iter().any(|word| entry.name == *word || (word.ends_with('-') && entry.name.starts_with(word))) {
            let message = format!(
                "`{}` chooses options while uWSGI starts, which a file of settings cannot: write the case that you use \
                 and take the condition away",
                entry.name
            );
            return self.problems.push(Problem::at(entry.source(), message));
        }
        (entry.value, entry.obstacle) = names.filled(&entry.value, &self.first, self.machine);
        match INCLUDES.iter().find(|(name, _)| *name == entry.name) {
            Some((_, form)) => {
                let (value, obstacle) = super::placeholders::named(&entry.value, &self.read.entries, self.machine);
                if let Some(obstacle) = obstacle {
                    return self.problems.push(Problem::at(entry.source(), obstacle));
                }
                self.file(&value, *form, Some(&entry), depth + 1);
                self.read.includes.push(entry);
            }
            None => self.read.entries.push(entry),
        }
    }
}

/// A file's name, and the section after the colon.
fn split(file: &str) -> (&str, Option<&str>) {
    match file.rsplit_once(':') {
        Some((path, section)) if !section.contains('/') => (path, Some(section).filter(|name| !name.is_empty())),
        _ => (file, None),
    }
}

fn form_of(path: &str) -> Form {
    let lower = path.to_ascii_lowercase();
    match Path::new(&lower).extension().and_then(|end| end.to_str()) {
        Some("xml") => Form::Xml,
        Some("yaml" | "yml" | "json" | "js") => Form::Tree,
        _ => Form::Ini,
    }
}
