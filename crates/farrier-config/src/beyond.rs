//! Gunicorn's settings that are no rows of the table: those that only Python can hold, that have no effect, or that are
//! refused.

use std::collections::BTreeMap;

use crate::answer::{Answer, Layer, Raw};
use crate::error::Problem;
use crate::gunicorn::{self, Became};
use crate::resolve::Layers;

/// Answers to Gunicorn's settings that are no rows, and the warnings about them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Beyond {
    pub(crate) answers: BTreeMap<&'static str, Answer>,
    pub(crate) warnings: Vec<Problem>,
}

/// Takes the answers out of the layers; what is refused becomes a problem.
pub(crate) fn take(layers: &Layers, problems: &mut Vec<Problem>) -> Beyond {
    let mut beyond = Beyond::default();
    for setting in gunicorn::without_row() {
        let said = |layer: &Layer| layer.answer(setting.name).filter(|answer| answer.raw != Raw::Absent).cloned();
        let Some(answer) = layers.own.iter().rev().find_map(said) else { continue };
        let name = setting.name;
        let value = word(&answer.raw);
        let asks_for_nothing = |unless: &[&str]| {
            value.as_deref().is_some_and(|value| value == written(setting.default) || unless.contains(&value))
        };
        match setting.became {
            Became::Unused(why) if !asks_for_nothing(&[]) => {
                beyond.warnings.push(Problem::at(answer.source.clone(), format!("{name} has no effect: {why}")));
            }
            Became::Refused { unless, instead } if !asks_for_nothing(unless) => {
                problems.push(Problem::at(answer.source.clone(), format!("{name} is not supported: {instead}")));
            }
            Became::InPython if !matches!(answer.raw, Raw::Object(_)) => {
                let message = format!("{name} can only be given in Python: write it into farrier.conf.py");
                problems.push(Problem::at(answer.source.clone(), message));
            }
            _ => {}
        }
        beyond.answers.insert(name, answer);
    }
    // Without this error, the server would look for an application in the working directory and serve another than the
    // one in the PasteDeploy file.
    if let Some(answer) = beyond.answers.get("paste")
        && layers.own.iter().all(|layer| layer.answer("wsgi_app").is_none())
    {
        let message = "paste is not supported: name a module with `application = paste.deploy.loadapp(\"config:…\")`";
        problems.push(Problem::at(answer.source.clone(), message));
    }
    beyond
}

/// The value in lower case; `None` if it is more than one word.
fn word(raw: &Raw) -> Option<String> {
    match raw {
        Raw::Text(text) | Raw::Number(text) => Some(text.trim().to_ascii_lowercase()),
        Raw::Integer(number) => Some(number.to_string()),
        Raw::Switch(on) => Some(on.to_string()),
        // One flag that may be repeated, or an array of one.
        Raw::List(items) => match items.as_slice() {
            [] => Some(String::new()),
            [only] => word(&only.raw),
            _ => None,
        },
        Raw::Absent | Raw::Object(_) | Raw::Table(_) | Raw::Other(_) => None,
    }
}

/// A default as a word.
fn written(default: &str) -> String {
    match default {
        "None" | "[]" | "{}" => String::new(),
        default => default.trim_matches('\'').to_ascii_lowercase(),
    }
}
