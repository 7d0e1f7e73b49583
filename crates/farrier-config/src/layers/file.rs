//! Reads the layer of the file: chooses the file, and reads TOML, where every answer knows its line.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::answer::{Answer, Layer, Raw, Source};
use crate::error::{ConfigError, Problem};
use crate::gather::{Files, PythonFile, Ran};
use crate::lookup::{meant_by_name, setting_name};
use crate::table::ACTIONS;

/// The files that are read by default, if they exist: Farrier's own, then Gunicorn's.
const TOML: &str = "farrier.toml";
const PYTHON: &str = "farrier.conf.py";
const GUNICORNS: &str = "gunicorn.conf.py";

/// The prefix of the name of a uWSGI file.
pub(crate) const UWSGI: &str = "uwsgi:";

/// Reads the file that was `named` (and where), or otherwise the default file if there is one. Runs it if it is Python.
///
/// # Errors The exception of a Python file that fails.
pub(crate) fn read(
    named: Option<(String, Source)>,
    files: &mut impl Files,
    problems: &mut Vec<Problem>,
) -> Result<Ran, ConfigError> {
    let Some((name, source)) = named else { return default(files, problems) };
    if let Some(module) = name.strip_prefix("python:") {
        return files.run(&PythonFile::Module(module.to_string()));
    }
    if let Some(file) = name.strip_prefix(UWSGI) {
        return files.import_uwsgi(file);
    }
    let path = name.strip_prefix("file:").unwrap_or(&name);
    // Python reads the file itself: it may have another encoding, and a pipe can be read only once.
    if !path.ends_with(".toml") && files.is_file(Path::new(path)) {
        return files.run(&PythonFile::Path(path.to_string()));
    }
    match files.read(Path::new(path)) {
        Ok(text) if path.ends_with(".toml") => Ok(toml(path, &text, problems)),
        Ok(_) => files.run(&PythonFile::Path(path.to_string())),
        Err(error) => {
            problems.push(Problem::at(source, format!("cannot read `{path}`: {error}")));
            Ok(Ran::default())
        }
    }
}

/// Farrier's file wins over Gunicorn's, so that a user can keep the latter to switch back. Two files of Farrier's own
/// are an error.
fn default(files: &mut impl Files, problems: &mut Vec<Problem>) -> Result<Ran, ConfigError> {
    let text = files.read(Path::new(TOML));
    let has_toml = !matches!(&text, Err(error) if error.kind() == io::ErrorKind::NotFound);
    let has_python = files.is_file(Path::new(PYTHON));
    let has_gunicorns = files.is_file(Path::new(GUNICORNS));
    let mut ran = match (text, has_python) {
        (_, true) if has_toml => {
            let message = format!("there are both `{TOML}` and `{PYTHON}`: keep one, or name one with `--config`");
            problems.push(Problem { source: None, message });
            return Ok(Ran::default());
        }
        (_, true) => files.run(&PythonFile::Path(PYTHON.to_string()))?,
        (Ok(text), _) => toml(TOML, &text, problems),
        (Err(error), _) if has_toml => {
            problems.push(Problem { source: None, message: format!("cannot read `{TOML}`: {error}") });
            return Ok(Ran::default());
        }
        _ if has_gunicorns => return files.run(&PythonFile::Path(GUNICORNS.to_string())),
        _ => return Ok(Ran::default()),
    };
    if has_gunicorns {
        let read = if has_python { PYTHON } else { TOML };
        let message = format!("`{GUNICORNS}` is not read, because `{read}` is here");
        ran.warnings.insert(0, Problem { source: None, message });
    }
    Ok(ran)
}

fn toml(path: &str, text: &str, problems: &mut Vec<Problem>) -> Ran {
    Ran { layer: parse(path, text, problems), warnings: Vec::new() }
}

fn parse(path: &str, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let place = |offset: usize| Source::File { path: path.to_string(), line: line_of(text, offset) };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            let (offset, message) = explained(text, offset, error.message());
            problems.push(Problem::at(place(offset), message));
            return Layer::default();
        }
    };
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);

    let mut layer = Layer::default();
    for (key, value) in keys {
        let source = place(key.span().start);
        let Some(setting) = setting_name(key.get_ref()) else {
            problems.push(Problem::at(source, unknown(key.get_ref(), value.get_ref())));
            continue;
        };
        let raw = raw(value.get_ref(), &place);
        if layer.insert(setting, Answer { raw, source: source.clone() }).is_some() {
            problems.push(Problem::at(source, format!("{setting}: set twice, with `-` and with `_`")));
        }
    }
    layer
}

/// What is wrong with a file that is no TOML, with the key that it is about if there is one: the parser names none, and does
/// not know that a value is missing.
fn explained(text: &str, offset: usize, message: &str) -> (usize, String) {
    let offset = offset.min(text.len());
    let end_of = |start: usize| text[start..].find('\n').map_or(text.len(), |length| start + length);
    let start = text[..offset].rfind('\n').map_or(0, |newline| newline + 1);
    // A value that is missing at the end of a line may be noticed behind it.
    let before = text[..start.saturating_sub(1)].rfind('\n').map_or(0, |newline| newline + 1);
    for begin in [start, before] {
        if let Some((key, value)) = assignment(&text[begin..end_of(begin)])
            && value.is_empty()
        {
            return (begin, format!("{key}: a value is missing behind `=`"));
        }
    }
    match assignment(&text[start..end_of(start)]) {
        Some((key, _)) => (offset, format!("{key}: {message}")),
        None => (offset, message.to_string()),
    }
}

/// The key and the value of a line, without a comment that is all there is behind the `=`.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once('=')?;
    let (key, value) = (key.trim(), value.trim());
    let is_key = !key.is_empty() && key.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
    is_key.then_some((key, if value.starts_with('#') { "" } else { value }))
}

fn raw(value: &DeValue<'_>, place: &impl Fn(usize) -> Source) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Number(number.to_string()),
        DeValue::Float(number) => Raw::Number(number.to_string()),
        DeValue::Boolean(on) => Raw::Switch(*on),
        DeValue::Array(items) => {
            let answer = |item: &toml::Spanned<DeValue<'_>>| Answer {
                raw: raw(item.get_ref(), place),
                source: place(item.span().start),
            };
            Raw::List(items.iter().map(answer).collect())
        }
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(table) => {
            let mut keys: Vec<_> = table.iter().collect();
            keys.sort_by_key(|(key, _)| key.span().start);
            let entry = |(key, value): (&toml::Spanned<_>, &toml::Spanned<DeValue<'_>>)| {
                let key_text: &std::borrow::Cow<'_, str> = key.get_ref();
                let source = place(key.span().start);
                (key_text.to_string(), Answer { raw: raw(value.get_ref(), place), source })
            };
            Raw::Table(keys.into_iter().map(entry).collect())
        }
    }
}

fn unknown(key: &str, value: &DeValue<'_>) -> String {
    let word = key.replace('-', "_");
    let is_table = |value: &DeValue<'_>| matches!(value, DeValue::Table(_));
    let has_tables = matches!(value, DeValue::Array(items) if items.iter().any(|item| is_table(item.get_ref())));
    if is_table(value) || has_tables {
        if let Some(setting) = meant_by_name(&word).filter(|setting| !setting.keys.is_empty()) {
            return format!("unknown table `{key}`; did you mean `[[{}]]`?", setting.name);
        }
        return format!("unknown table `{key}`; every setting is a key at the top level");
    }
    if let Some(action) = ACTIONS.iter().find(|action| action.name == word) {
        return format!("`{word}` is for the command line only (`{}`)", action.long_flag());
    }
    match meant_by_name(&word) {
        Some(setting) => format!("unknown setting `{key}`; did you mean `{}`?", setting.name),
        None => format!("unknown setting `{key}`"),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|byte| **byte == b'\n').count()
}
