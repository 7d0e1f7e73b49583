//! A row of the table: everything about one setting.

use crate::tables::Key;
use crate::value::{Completes, Shape};

/// One row: everything that the flags, the variables, the files and the documents need.
#[derive(Debug)]
pub struct Setting {
    /// The name: the field of `Config`, the key in `farrier.toml`, and in capitals the variable's name.
    pub name: &'static str,
    /// The section that it belongs to.
    pub section: &'static str,
    /// The documentation as written in the table: a sentence, then perhaps paragraphs.
    pub docs: &'static str,
    /// The default as a user would write it; `none` for a setting that has no value.
    pub default: &'static str,
    /// Other spellings, bounds, and names in other servers.
    pub attributes: &'static [Attribute],
    /// What the type accepts; completes the sentence "expected …".
    pub expected: &'static str,
    /// Whether the flag takes a value, takes several, or is a switch.
    pub shape: Shape,
    /// The keys of its tables in a file; empty where it is no table.
    pub keys: &'static [Key],
    /// What a shell can offer as completions of the value.
    pub completes: Completes,
    /// The placeholder for the value in `--help`.
    pub metavar: &'static str,
}

/// What a row has besides its name, type and default. The table uses the lower-case functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// More flags, besides `--` and the name. The documents show the first long one.
    Cli(&'static [&'static str]),
    /// A variable that hosting platforms set, read below every other layer.
    Env {
        /// The variable's name.
        variable: &'static str,
        /// The setting's value; `{}` stands for the variable's text.
        template: &'static str,
    },
    /// The setting's name in Gunicorn.
    Gunicorn(&'static str),
    /// The option's name in uWSGI.
    Uwsgi(&'static str),
    /// The lowest value.
    AtLeast(&'static str),
    /// The highest value.
    AtMost(&'static str),
    /// The placeholder for the value in `--help`.
    Takes(&'static str),
    /// The setting is the positional argument, with this placeholder.
    Positional(&'static str),
}

impl Setting {
    /// The first sentence of the documentation, as `--help` shows it.
    pub fn summary(&self) -> &'static str {
        self.docs.lines().next().unwrap_or_default().trim()
    }

    /// The paragraphs after the first sentence, each on its lines without the leading blank; empty if there are none.
    pub fn details(&self) -> String {
        let mut lines = self.docs.lines().skip(1).map(|line| line.strip_prefix(' ').unwrap_or(line));
        let text: Vec<&str> = lines.by_ref().collect();
        text.join("\n").trim().to_string()
    }

    /// Every spelling on the command line without `--no-`: those of the table, then `--` and the name with dashes.
    pub fn flags(&self) -> Vec<String> {
        let mut flags: Vec<String> = self.table_flags().map(str::to_string).collect();
        let derived = format!("--{}", self.name.replace('_', "-"));
        if !flags.contains(&derived) {
            flags.push(derived);
        }
        flags
    }

    /// The long spelling that the documents show.
    pub fn long_flag(&self) -> String {
        let named = self.table_flags().find(|flag| flag.starts_with("--")).map(str::to_string);
        named.unwrap_or_else(|| format!("--{}", self.name.replace('_', "-")))
    }

    /// The one-letter spelling, if there is one.
    pub fn short_flag(&self) -> Option<&'static str> {
        self.table_flags().find(|flag| !flag.starts_with("--"))
    }

    /// The variable that sets it.
    pub fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// The placeholder of the positional argument, if this setting is that.
    pub fn positional(&self) -> Option<&'static str> {
        self.attributes.iter().find_map(|a| if let Attribute::Positional(word) = a { Some(*word) } else { None })
    }

    /// The variables that hosting platforms set for it, each with its template.
    pub fn platform_variables(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.attributes.iter().filter_map(|a| match a {
            Attribute::Env { variable, template } => Some((*variable, *template)),
            _ => None,
        })
    }

    /// The row's own placeholder for the value in `--help`.
    pub fn takes(&self) -> Option<&'static str> {
        self.attributes.iter().find_map(|a| if let Attribute::Takes(word) = a { Some(*word) } else { None })
    }

    /// The lowest value as written in the table.
    pub fn at_least(&self) -> Option<&'static str> {
        self.attributes.iter().find_map(|a| if let Attribute::AtLeast(bound) = a { Some(*bound) } else { None })
    }

    /// The highest value as written in the table.
    pub fn at_most(&self) -> Option<&'static str> {
        self.attributes.iter().find_map(|a| if let Attribute::AtMost(bound) = a { Some(*bound) } else { None })
    }

    /// The names it has in Gunicorn and uWSGI.
    pub fn foreign_names(&self) -> impl Iterator<Item = &'static str> {
        self.attributes.iter().filter_map(|a| match a {
            Attribute::Gunicorn(name) | Attribute::Uwsgi(name) => Some(*name),
            _ => None,
        })
    }

    /// The uWSGI options that become it.
    pub fn uwsgi_names(&self) -> impl Iterator<Item = &'static str> {
        self.attributes.iter().filter_map(|a| if let Attribute::Uwsgi(name) = a { Some(*name) } else { None })
    }

    /// What is accepted, bounds included; completes the sentence "expected …".
    pub fn accepts(&self) -> String {
        let bounds = match (self.at_least(), self.at_most()) {
            (Some(least), Some(most)) => format!(" from {least} to {most}"),
            (Some(least), None) => format!(" of at least {least}"),
            (None, Some(most)) => format!(" of at most {most}"),
            (None, None) => String::new(),
        };
        // The examples after "such as" may lie out of bounds.
        match self.expected.split_once(" such as ") {
            Some((noun, _)) if !bounds.is_empty() => format!("{noun}{bounds}"),
            _ => format!("{}{bounds}", self.expected),
        }
    }

    fn table_flags(&self) -> impl Iterator<Item = &'static str> {
        self.attributes.iter().flat_map(|a| if let Attribute::Cli(flags) = a { *flags } else { &[] }).copied()
    }
}

/// The prefix of every variable of Farrier.
pub(crate) const VARIABLE_PREFIX: &str = "FARRIER_";

/// The attributes that the table can use. Any other word does not compile.
impl Attribute {
    pub(crate) const fn cli(spellings: &'static [&'static str]) -> Attribute {
        Attribute::Cli(spellings)
    }

    pub(crate) const fn env(words: &'static [&'static str]) -> Attribute {
        match words {
            [variable, template] => Attribute::Env { variable, template },
            _ => Attribute::Env { variable: words[0], template: "{}" },
        }
    }

    pub(crate) const fn gunicorn(words: &'static [&'static str]) -> Attribute {
        Attribute::Gunicorn(words[0])
    }

    pub(crate) const fn uwsgi(words: &'static [&'static str]) -> Attribute {
        Attribute::Uwsgi(words[0])
    }

    pub(crate) const fn at_least(words: &'static [&'static str]) -> Attribute {
        Attribute::AtLeast(words[0])
    }

    pub(crate) const fn at_most(words: &'static [&'static str]) -> Attribute {
        Attribute::AtMost(words[0])
    }

    pub(crate) const fn takes(words: &'static [&'static str]) -> Attribute {
        Attribute::Takes(words[0])
    }

    pub(crate) const fn positional(words: &'static [&'static str]) -> Attribute {
        Attribute::Positional(words[0])
    }
}
