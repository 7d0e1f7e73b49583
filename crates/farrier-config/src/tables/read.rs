//! Reads a table key by key, and collects the errors.

use super::Key;
use crate::answer::{Answer, Raw};
use crate::suggest::{is_same_word, nearest};
use crate::value::{Reason, Rejected, Value};

/// Takes the values out of a table.
pub(super) struct TableReader<'a> {
    entries: &'a [(String, Answer)],
    rejected: Vec<Rejected>,
}

impl<'a> TableReader<'a> {
    /// Begins with a table that may have these keys.
    pub(super) fn new(entries: &'a [(String, Answer)], keys: &'static [Key]) -> TableReader<'a> {
        let mut reader = TableReader { entries, rejected: Vec::new() };
        for (index, (name, answer)) in entries.iter().enumerate() {
            let sentence = if !keys.iter().any(|key| is_same_word(key.name, name)) {
                unknown(name, keys)
            } else if entries[..index].iter().any(|(before, _)| is_same_word(before, name)) {
                format!("`{name}` is set twice, with `-` and with `_`")
            } else {
                continue;
            };
            reader.rejected.push(Rejected::because(sentence).or_at(&answer.source));
        }
        reader
    }

    /// The value of a key, or its default; `None` if it is missing or wrong, and then [`Self::done`] returns the error.
    pub(super) fn take<T: Value>(&mut self, key: &'static Key) -> Option<T> {
        let said = self.entries.iter().find(|(name, _)| is_same_word(key.name, name)).map(|(_, answer)| answer);
        let Some(answer) = said.filter(|answer| answer.raw != Raw::Absent) else {
            if key.is_required() {
                self.rejected.push(Rejected::because(format!("`{}` is missing: {}", key.name, key.expected)));
            }
            return T::parse(key.default).ok().filter(|_| !key.is_required());
        };
        match T::read(&answer.raw) {
            Ok(mut value) => {
                value.placed(&answer.source);
                Some(value)
            }
            Err(rejected) => {
                self.rejected.push(of_key(key, rejected).or_at(&answer.source));
                None
            }
        }
    }

    /// The table, if nothing was wrong.
    pub(super) fn done<T>(self, table: Option<T>) -> Result<T, Rejected> {
        Rejected::all(self.rejected)?;
        match table {
            Some(table) => Ok(table),
            // Invariant: a value that could not be taken was recorded as an error.
            None => Err(Rejected::because("this table cannot be read")),
        }
    }
}

/// The error of a value, with the name of its key.
fn of_key(key: &'static Key, rejected: Rejected) -> Rejected {
    let reason = match rejected.reason {
        Reason::Unexpected { got } => Reason::Because(format!("{}: expected {}, got {got}", key.name, key.expected)),
        Reason::Because(sentence) => Reason::Because(format!("{}: {sentence}", key.name)),
        Reason::Several(found) => Reason::Several(found.into_iter().map(|each| of_key(key, each)).collect()),
    };
    Rejected { reason, source: rejected.source }
}

fn unknown(name: &str, keys: &'static [Key]) -> String {
    let word = name.to_ascii_lowercase().replace('-', "_");
    match nearest(&word, keys.iter().map(|key| key.name)) {
        Some(meant) => format!("unknown key `{name}`; did you mean `{meant}`?"),
        None => {
            let known: Vec<String> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
            format!("unknown key `{name}`; there are {}", known.join(", "))
        }
    }
}
