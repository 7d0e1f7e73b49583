//! The layer of `farrier.toml`: top-level keys are settings, and every answer knows its line.

use std::io;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::answer::{Answer, Layer, Raw, Source};
use crate::error::Problem;
use crate::lookup::{by_name, meant_by_name};
use crate::table::ACTIONS;

/// The file that is read without being named, if it exists.
pub(crate) const DEFAULT_PATH: &str = "farrier.toml";

/// Reads the file that was `named` (and where), or else the default one if it is there.
pub(crate) fn read(
    named: Option<(String, Source)>,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
    problems: &mut Vec<Problem>,
) -> Layer {
    let path = named.as_ref().map_or(DEFAULT_PATH, |(path, _)| path);
    if path.ends_with(".py") || path.starts_with("python:") {
        let source = named.as_ref().map(|(_, source)| source.clone());
        let message = format!("`{path}` is Python, and only TOML files are read");
        problems.push(Problem { source, message });
        return Layer::default();
    }
    match read_file(Path::new(path)) {
        Ok(text) => parse(path, &text, problems),
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => Layer::default(),
        Err(error) => {
            let source = named.as_ref().map(|(_, source)| source.clone());
            problems.push(Problem { source, message: format!("cannot read `{path}`: {error}") });
            Layer::default()
        }
    }
}

fn parse(path: &str, text: &str, problems: &mut Vec<Problem>) -> Layer {
    let place = |offset: usize| Source::File { path: path.to_string(), line: line_of(text, offset) };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let offset = error.span().map_or(0, |span| span.start);
            problems.push(Problem::at(place(offset), error.message().to_string()));
            return Layer::default();
        }
    };
    let mut keys: Vec<_> = table.iter().collect();
    keys.sort_by_key(|(key, _)| key.span().start);

    let mut layer = Layer::default();
    for (key, value) in keys {
        let source = place(key.span().start);
        let Some(setting) = by_name(key.get_ref()) else {
            problems.push(Problem::at(source, unknown(key.get_ref(), value.get_ref())));
            continue;
        };
        let raw = raw(value.get_ref(), &place);
        if layer.insert(setting.name, Answer { raw, source: source.clone() }).is_some() {
            problems.push(Problem::at(source, format!("{}: set twice, with `-` and with `_`", setting.name)));
        }
    }
    layer
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
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

fn unknown(key: &str, value: &DeValue<'_>) -> String {
    let word = key.replace('-', "_");
    if let DeValue::Table(_) = value {
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
