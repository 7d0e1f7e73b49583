//! The facts of a row beside its documentation, for `--help SETTING` and the reference page.

use crate::lookup::is_action;
use crate::setting::{Attribute, Setting};
use crate::value::Shape;

/// One fact of a row.
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) values: Vec<String>,
    /// Whether the values are words to type, which a page formats as code.
    pub(super) is_code: bool,
}

/// The facts of a row, in the order in which they are shown.
pub(super) fn facts(row: &Setting) -> Vec<Fact> {
    let code = |label, values| Fact { label, values, is_code: true };
    let mut facts = vec![code("Command line", spellings(row))];
    if !is_action(row) {
        let platform = row.platform_variables().map(|(variable, _)| variable.to_string());
        facts.push(code("Environment", [row.variable()].into_iter().chain(platform).collect()));
        facts.push(code("farrier.toml", vec![row.name.to_string()]));
        let several = if row.shape == Shape::List { "one or several, each " } else { "" };
        facts.push(Fact { label: "Accepts", values: vec![format!("{several}{}", row.accepts())], is_code: false });
        facts.push(code("Default", vec![row.default.to_string()]));
    }
    for (label, name) in row.attributes.iter().filter_map(elsewhere) {
        facts.push(code(label, vec![name.to_string()]));
    }
    facts
}

/// A program and the row's name there.
pub(super) fn elsewhere(attribute: &Attribute) -> Option<(&'static str, &'static str)> {
    match attribute {
        Attribute::Gunicorn(name) => Some(("Gunicorn", name)),
        Attribute::Uwsgi(name) => Some(("uWSGI", name)),
        _ => None,
    }
}

fn spellings(row: &Setting) -> Vec<String> {
    let positional = row.positional().map(str::to_string);
    let mut spellings: Vec<String> = positional.into_iter().chain(row.flags()).collect();
    if row.shape == Shape::Switch {
        spellings.push(format!("--no-{}", row.long_flag().trim_start_matches("--")));
    }
    spellings
}
