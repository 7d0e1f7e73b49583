//! A uWSGI configuration during its translation: the settings so far, and the fate of every option.

use std::collections::BTreeMap;

use super::options::Role;
use super::read::Entry;
use farrier_config::Problem;
use farrier_config::SETTINGS;
use farrier_config::value::Shape;
use farrier_config::{Answer, Layer, Raw, Source};

/// Settings and fates while options are translated.
#[derive(Debug)]
pub(super) struct Draft {
    /// The options, in order.
    pub(super) entries: Vec<Entry>,
    /// How each is handled, in the same order.
    pub(super) fates: Vec<Fate>,
    /// The settings, by name.
    pub(super) given: BTreeMap<&'static str, Given>,
    /// Remarks that belong to no single option.
    pub(super) notes: Vec<String>,
    /// Errors: options that change what the server does and cannot be translated.
    pub(super) problems: Vec<Problem>,
    /// The options that are translated together.
    pub(super) parts: Vec<(Role, usize)>,
    /// The place to report for settings that follow from an option's absence.
    pub(super) section: Source,
}

/// How one option is handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is part of the value of these settings.
    Became(Vec<&'static str>),
    /// It is not needed, for this reason.
    Needless(String),
    /// It has no counterpart; the text says what to do instead.
    Without(String),
    /// It is unknown; the text says which option may have been meant.
    Unknown(String),
}

/// One setting's value.
#[derive(Debug, Default)]
pub(super) struct Given {
    /// The value, or the items of a list, each with its place.
    pub(super) items: Vec<(String, Source)>,
    /// The options that it comes from.
    pub(super) from: Vec<usize>,
    /// Remarks about it.
    pub(super) remarks: Vec<String>,
}

impl Draft {
    pub(super) fn new(entries: Vec<Entry>, section: Source) -> Draft {
        let fates = vec![Fate::Became(Vec::new()); entries.len()];
        let (given, notes, problems, parts) = Default::default();
        Draft { entries, fates, given, notes, problems, parts, section }
    }

    /// Sets a setting from the option at `index`. It replaces the value of an earlier option.
    pub(super) fn set(&mut self, setting: &'static str, value: impl Into<String>, index: usize) {
        let line = self.entries[index].line;
        for earlier in self.given.remove(setting).map(|given| given.from).unwrap_or_default() {
            self.needless(earlier, format!("line {line} sets it again, and the last one counts"));
        }
        self.add(setting, value, index);
    }

    /// Adds an item to a list from the option at `index`.
    pub(super) fn add(&mut self, setting: &'static str, value: impl Into<String>, index: usize) {
        let given = self.given.entry(setting).or_default();
        given.items.push((value.into(), self.entries[index].source()));
        self.comes_from(setting, index);
    }

    /// Records that the option at `index` is part of the setting's value.
    pub(super) fn comes_from(&mut self, setting: &'static str, index: usize) {
        let given = self.given.entry(setting).or_default();
        if !given.from.contains(&index) {
            given.from.push(index);
        }
        match &mut self.fates[index] {
            Fate::Became(settings) if settings.contains(&setting) => {}
            Fate::Became(settings) => settings.push(setting),
            fate => *fate = Fate::Became(vec![setting]),
        }
    }

    /// Sets a setting that follows from an option's absence.
    pub(super) fn imply(&mut self, setting: &'static str, value: &str, remark: &str) {
        let source = self.section.clone();
        let given = self.given.entry(setting).or_default();
        given.items.push((value.to_string(), source));
        given.remarks.push(remark.to_string());
    }

    pub(super) fn remark(&mut self, setting: &'static str, remark: impl Into<String>) {
        let remark = remark.into();
        let given = self.given.entry(setting).or_default();
        if !given.remarks.contains(&remark) {
            given.remarks.push(remark);
        }
    }

    pub(super) fn needless(&mut self, index: usize, why: impl Into<String>) {
        self.fates[index] = Fate::Needless(why.into());
    }

    pub(super) fn without(&mut self, index: usize, instead: impl Into<String>) {
        self.fates[index] = Fate::Without(instead.into());
    }

    /// Refuses the whole configuration because of the option at `index`.
    pub(super) fn problem(&mut self, index: usize, message: impl Into<String>) {
        let entry = &self.entries[index];
        self.problems.push(Problem::at(entry.source(), format!("{}: {}", entry.name, message.into())));
    }

    /// The options of this role, in order.
    pub(super) fn of(&self, role: Role) -> Vec<usize> {
        self.parts.iter().filter(|(part, _)| *part == role).map(|(_, index)| *index).collect()
    }

    /// The option of this role that counts, which is the last; earlier ones have no effect.
    pub(super) fn last(&mut self, role: Role) -> Option<usize> {
        let mut indices = self.of(role);
        let last = indices.pop()?;
        let line = self.entries[last].line;
        for index in indices {
            self.needless(index, format!("line {line} sets it again, and the last one counts"));
        }
        Some(last)
    }

    pub(super) fn value(&self, index: usize) -> String {
        self.entries[index].value.clone()
    }

    /// The number that the value of the option at `index` begins with, as uWSGI reads numbers.
    pub(super) fn number(&mut self, index: usize) -> Option<u64> {
        let value = self.value(index);
        let digits: &str = &value[..value.bytes().take_while(u8::is_ascii_digit).count()];
        let number = digits.parse().ok();
        if number.is_none() {
            self.problem(index, format!("expected a number, got `{value}`"));
        }
        number
    }

    /// The settings as a layer, each answer with its place.
    pub(super) fn layer(&self) -> Layer {
        let mut layer = Layer::default();
        for row in SETTINGS {
            for (text, source) in self.given.get(row.name).map(|given| given.items.as_slice()).unwrap_or_default() {
                let answer = Answer { raw: Raw::Text(text.clone()), source: source.clone() };
                if row.shape == Shape::List {
                    layer.append(row.name, answer);
                } else {
                    layer.insert(row.name, answer);
                }
            }
        }
        layer
    }
}
