//! Reads the YAML and JSON forms: a mapping of sections, each a mapping of options, where a list repeats its option.
//!
//! JSON is read as YAML, of which it is a subset, so that line numbers are known for both. The reader is
//! `saphyr-parser`: among the YAML crates it is the maintained one that gives positions, and it accepts the repeated
//! keys that uWSGI's users write.

use saphyr_parser::{Event, Parser, Span};

use super::ini::Line;
use super::read::Entry;
use farrier_config::Problem;
use farrier_config::Source;

/// Replaces `%` while YAML is read: YAML refuses it at the beginning of a value, where uWSGI has its placeholders.
const PERCENT: char = '\u{e025}';

/// The sections and options of `text`, the content of the file `path`.
///
/// # Errors Text that is no YAML, or that has not the form of options.
pub(super) fn lines(path: &str, text: &str) -> Result<Vec<Line>, Problem> {
    let text = text.replace('%', &PERCENT.to_string());
    let problem = |line: usize, message: String| Problem::at(Source::File { path: path.to_string(), line }, message);
    let mut lines = Vec::new();
    let mut place = Place::Top;
    for next in Parser::new_from_str(&text) {
        let (event, span) = next.map_err(|error| problem(error.marker().line(), error.info().to_string()))?;
        let line = line_of(&span);
        place = match (place, event) {
            (place, Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_)) => place,
            (place, Event::DocumentEnd) => place,
            (Place::Top, Event::MappingStart(..)) => Place::Sections,
            (Place::Sections, Event::Scalar(name, ..)) => {
                lines.push(Line::Section(plain(&name), line));
                Place::Section
            }
            (Place::Sections, Event::MappingEnd) => Place::Top,
            (Place::Section, Event::MappingStart(..)) => Place::Options,
            // A section may be empty.
            (Place::Section, Event::Scalar(..)) => Place::Sections,
            (Place::Options, Event::Scalar(name, ..)) => Place::Value { name: plain(&name), line, is_list: false },
            (Place::Options, Event::MappingEnd) => Place::Sections,
            (Place::Value { name, is_list, line: at }, Event::Scalar(value, ..)) => {
                lines.push(Line::Option(Entry::new(&name, &written(&value), path, line)));
                if is_list { Place::Value { name, line: at, is_list } } else { Place::Options }
            }
            (Place::Value { name, is_list: false, line }, Event::SequenceStart(..)) => {
                Place::Value { name, line, is_list: true }
            }
            (Place::Value { is_list: true, .. }, Event::SequenceEnd) => Place::Options,
            (Place::Value { name, .. }, _) => {
                return Err(problem(line, format!("`{name}` is neither a value nor a list of values")));
            }
            _ => {
                let expected = "expected a mapping of sections (`uwsgi:`) to options, as uWSGI reads it";
                return Err(problem(line, expected.to_string()));
            }
        };
    }
    Ok(lines)
}

/// The nesting depth of the reader.
enum Place {
    Top,
    Sections,
    Section,
    Options,
    Value { name: String, line: usize, is_list: bool },
}

fn line_of(span: &Span) -> usize {
    span.start.line().max(1)
}

fn plain(text: &str) -> String {
    text.replace(PERCENT, "%")
}

/// A value as the ini form would write it. An empty value is a switch that is on.
fn written(text: &str) -> String {
    match text {
        "~" | "null" => String::new(),
        text => plain(text),
    }
}
