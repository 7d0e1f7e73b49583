//! A format of the access log, compiled once: text with `%(atom)s`, as Python's `%` reads it, or JSON.

use super::atom::Atom;
use super::exchange::Exchange;
use super::json::write_json;
use crate::moment::Moment;

/// The common log format's preset.
pub const COMMON: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s"#;

/// The combined log format's preset; Gunicorn's default.
pub const COMBINED: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// One JSON object per line.
    Json,
    /// Text with atoms.
    Text(Vec<Part>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Atom(Atom, Shape),
}

/// How a value is padded and cut off: the part between `%(atom)` and the letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Shape {
    left: bool,
    zeros: bool,
    width: usize,
    /// The most characters that are shown.
    most: Option<usize>,
}

/// The names of environ entries that a format shows, as `%({NAME}e)s` writes them, in lower case.
pub fn environ_names(format: &str) -> Vec<String> {
    match Format::of(format) {
        Format::Json => Vec::new(),
        Format::Text(parts) => parts
            .into_iter()
            .filter_map(|part| match part {
                Part::Atom(Atom::EnvironEntry(name), _) => Some(name),
                _ => None,
            })
            .collect(),
    }
}

impl Format {
    pub(super) fn of(format: &str) -> Format {
        let text = match format {
            "json" => return Format::Json,
            "common" => COMMON,
            "combined" => COMBINED,
            text => text,
        };
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(start) = rest.find('%') {
            literal.push_str(&rest[..start]);
            rest = &rest[start..];
            if let Some(after) = rest.strip_prefix("%%") {
                literal.push('%');
                rest = after;
                continue;
            }
            let named = rest.strip_prefix("%(").and_then(|named| named.split_once(')'));
            match named {
                Some((name, after)) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal)));
                    }
                    let (shape, after) = Shape::read(after);
                    parts.push(Part::Atom(Atom::of(name), shape));
                    rest = after;
                }
                None => {
                    literal.push('%');
                    rest = &rest[1..];
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Format::Text(parts)
    }

    pub(super) fn wants_response_fields(&self) -> bool {
        matches!(self, Format::Text(parts)
            if parts.iter().any(|part| matches!(part, Part::Atom(Atom::ResponseField(_), _))))
    }

    pub(super) fn write(&self, exchange: &Exchange<'_>, now: &Moment, line: &mut String) {
        match self {
            Format::Json => write_json(exchange, now, line),
            Format::Text(parts) => {
                for part in parts {
                    match part {
                        Part::Literal(text) => line.push_str(text),
                        Part::Atom(atom, shape) => {
                            let start = line.len();
                            atom.write(exchange, now, line);
                            shape.fit(line, start);
                        }
                    }
                }
            }
        }
    }
}

impl Shape {
    /// Reads flags, width, precision and the letter. Returns the text after them.
    fn read(text: &str) -> (Shape, &str) {
        let mut shape = Shape::default();
        let flags = text.trim_start_matches(['-', '0', '+', ' ', '#']);
        for flag in text[..text.len() - flags.len()].bytes() {
            match flag {
                b'-' => shape.left = true,
                b'0' => shape.zeros = true,
                _ => {}
            }
        }
        let (width, rest) = digits(flags);
        // The limit keeps a mistyped width from making every line huge.
        shape.width = width.unwrap_or(0).min(1000);
        let (most, rest) = match rest.strip_prefix('.') {
            Some(precision) => digits(precision),
            None => (None, rest),
        };
        match rest.as_bytes().first() {
            Some(b's' | b'r' | b'a') => {
                shape.most = most;
                shape.zeros = false;
                (shape, &rest[1..])
            }
            Some(b'd' | b'i' | b'u') => (shape, &rest[1..]),
            // There is no conversion letter: the text is literal.
            _ => (Shape::default(), text),
        }
    }

    fn fit(self, line: &mut String, start: usize) {
        if self.width == 0 && self.most.is_none() {
            return;
        }
        if let Some(most) = self.most
            && let Some((cut, _)) = line[start..].char_indices().nth(most)
        {
            line.truncate(start + cut);
        }
        let missing = self.width.saturating_sub(line[start..].chars().count());
        if missing == 0 {
            return;
        }
        if self.left {
            line.extend(std::iter::repeat_n(' ', missing));
        } else {
            let filler = if self.zeros { "0" } else { " " };
            line.insert_str(start, &filler.repeat(missing));
        }
    }
}

fn digits(text: &str) -> (Option<usize>, &str) {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    (text[..text.len() - rest.len()].parse().ok(), rest)
}
