//! The answers of a layer: a setting's name, its raw value, and where that was given.

use std::collections::BTreeMap;
use std::fmt;

/// A value as it was written, before its setting's type has read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Raw {
    /// Text from a flag, a variable or a TOML string.
    Text(String),
    /// A TOML number as the file spells it, with its `0o` or `0x`, so that a file mode can be read as octal.
    Number(String),
    /// A TOML boolean, or a switch on the command line.
    Switch(bool),
    /// A TOML array, or a flag that was repeated; each item knows its own place.
    List(Vec<Answer>),
    /// A table of TOML or a dictionary of Python's, in the order in which it was written; each value knows its key's place.
    Table(Vec<(String, Answer)>),
    /// A whole number that a Python file computed; how it was written is unknown.
    Integer(i128),
    /// Python's `None`: no value for a setting that may have none, otherwise no answer.
    Absent,
    /// An object that only Python can hold, by a name for messages.
    Object(String),
    /// A value that no setting accepts; the text names its kind, as in "a date".
    Other(&'static str),
}

/// One raw value and where it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The value as written.
    pub raw: Raw,
    /// Where it was given.
    pub source: Source,
}

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// The table's own default.
    #[default]
    Default,
    /// It follows from another setting, of this name.
    Setting(&'static str),
    /// The variable of this name.
    Environment(String),
    /// A line of a file; lines count from 1.
    File {
        /// The path as it was given.
        path: String,
        /// The line of the key or of the list's item.
        line: usize,
    },
    /// A flag in the variable of this name, which holds a command line.
    Flags {
        /// The variable.
        variable: &'static str,
        /// The flag as it was spelt.
        flag: String,
    },
    /// A flag as it was spelt, or `APP` for the positional argument.
    CommandLine(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Default => f.write_str("default"),
            Source::Setting(name) => write!(f, "from {name}"),
            Source::Environment(variable) => write!(f, "environment {variable}"),
            Source::File { path, line } => write!(f, "{path}:{line}"),
            Source::Flags { variable, flag } => write!(f, "{variable} {flag}"),
            Source::CommandLine(flag) => write!(f, "command line {flag}"),
        }
    }
}

/// The answers of one source, by the setting's name. Every source, such as a Python file or the flags in a variable, is
/// turned into a layer.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    answers: BTreeMap<&'static str, Answer>,
}

impl Layer {
    /// The answer for the setting `name`.
    pub fn answer(&self, name: &str) -> Option<&Answer> {
        self.answers.get(name)
    }

    /// Sets the answer for `name`; returns the previous one.
    pub fn insert(&mut self, name: &'static str, answer: Answer) -> Option<Answer> {
        self.answers.insert(name, answer)
    }

    /// Adds one more item to the list for `name`, as each repetition of a flag does.
    pub fn append(&mut self, name: &'static str, item: Answer) {
        match self.answers.get_mut(name) {
            Some(Answer { raw: Raw::List(items), .. }) => items.push(item),
            _ => {
                let source = item.source.clone();
                self.answers.insert(name, Answer { raw: Raw::List(vec![item]), source });
            }
        }
    }
}
