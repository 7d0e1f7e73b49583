//! Turns layers into typed values: the highest layer that answers wins, and every answer is checked.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::answer::{Answer, Layer, Raw, Source};
use crate::error::Problem;
use crate::setting::Setting;
use crate::value::{Reason, Rejected, Value};

/// The layers of one start, lowest first.
#[derive(Debug, Default)]
pub struct Layers {
    /// Variables that the hosting platform sets for any server. A value that another layer overrides is not checked.
    pub platform: Layer,
    /// The layers that were written for Farrier, lowest first. Every answer in them is checked, even if a higher layer
    /// overrides it; otherwise an error would show only when that layer changes.
    pub own: Vec<Layer>,
}

/// Takes the values out of the layers, setting by setting, and collects the errors.
pub(crate) struct Resolver<'a> {
    layers: &'a Layers,
    pub(crate) sources: BTreeMap<&'static str, Source>,
    pub(crate) problems: Vec<Problem>,
}

impl<'a> Resolver<'a> {
    pub(crate) fn new(layers: &'a Layers) -> Resolver<'a> {
        Resolver { layers, sources: BTreeMap::new(), problems: Vec::new() }
    }

    /// The value of `setting`. It is the default if no layer answers, or if the answer is wrong; then a problem is
    /// recorded and the config is not used.
    pub(crate) fn take<T: Value>(&mut self, setting: &'static Setting) -> T {
        let mut winner = None;
        for layer in &self.layers.own {
            if let Some(answer) = layer.answer(setting.name).filter(|answer| is_answer(setting, answer)) {
                winner = Some((self.checked(setting, answer), answer.source.clone()));
            }
        }
        if winner.is_none()
            && let Some(answer) = self.layers.platform.answer(setting.name)
        {
            winner = Some((self.checked(setting, answer), answer.source.clone()));
        }
        let (value, source) = winner.unwrap_or((None, Source::Default));
        self.sources.insert(setting.name, source);
        value.unwrap_or_else(|| default_of(setting))
    }

    fn checked<T: Value>(&mut self, setting: &'static Setting, answer: &Answer) -> Option<T> {
        let read = match &answer.raw {
            Raw::Absent => T::parse(setting.default),
            raw => T::read(raw),
        };
        let read = match read {
            Ok(value) if !is_within_bounds(setting, &value) => Err(Rejected::unexpected_raw(&answer.raw)),
            read => read,
        };
        match read {
            Ok(mut value) => {
                value.placed(&answer.source);
                Some(value)
            }
            Err(rejected) => {
                self.reject(setting, rejected.or_at(&answer.source));
                None
            }
        }
    }

    fn reject(&mut self, setting: &'static Setting, rejected: Rejected) {
        let message = match rejected.reason {
            Reason::Unexpected { got } => format!("expected {}, got {got}", setting.accepts()),
            Reason::Because(sentence) => sentence,
            Reason::Several(found) => {
                found.into_iter().for_each(|each| self.reject(setting, each));
                return;
            }
        };
        let source = rejected.source.unwrap_or_default();
        let message = if names_setting(&source, setting) { message } else { format!("{}: {message}", setting.name) };
        self.problems.push(Problem::at(source, message));
    }
}

/// For a setting that always has a value, Python's `None` is no answer.
fn is_answer(setting: &Setting, answer: &Answer) -> bool {
    answer.raw != Raw::Absent || setting.default == "none"
}

fn is_within_bounds<T: Value>(setting: &Setting, value: &T) -> bool {
    let bound = |text: Option<&str>| text.and_then(|text| T::parse(text).ok());
    let is_too_small = bound(setting.at_least()).is_some_and(|least| value.order(&least).is_some_and(Ordering::is_lt));
    let is_too_great = bound(setting.at_most()).is_some_and(|most| value.order(&most).is_some_and(Ordering::is_gt));
    !is_too_small && !is_too_great
}

/// Whether the place names the setting: a flag and the setting's own variable do, a line of a file and a platform's
/// variable do not.
fn names_setting(source: &Source, setting: &Setting) -> bool {
    match source {
        Source::CommandLine(_) | Source::Flags { .. } => true,
        Source::Environment(variable) => *variable == setting.variable(),
        Source::File { .. } | Source::Setting(_) | Source::Default => false,
    }
}

fn default_of<T: Value>(setting: &Setting) -> T {
    match T::parse(setting.default) {
        Ok(value) => value,
        // Invariant: a test walks the table and parses every default.
        Err(_) => unreachable!("the default of `{}` is not a value of its type", setting.name),
    }
}
