//! The layers of the environment: `FARRIER_*`, and the variables that hosting platforms set for any server.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::answer::{Answer, Layer, Raw, Source};
use crate::error::Problem;
use crate::setting::{VARIABLE_PREFIX, by_name};
use crate::suggest::nearest;
use crate::table::SETTINGS;

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Answers of `WEB_CONCURRENCY`, `PORT` and their like.
    pub(crate) platform: Layer,
    /// Answers of `FARRIER_*`.
    pub(crate) own: Layer,
    /// The file that `FARRIER_CONFIG` names.
    pub(crate) config_file: Option<(String, Source)>,
}

/// Variables that begin like a setting and are none.
const CONFIG_FILE: &str = "FARRIER_CONFIG";

/// Reads the variables. An unknown `FARRIER_*` name is a problem, since a misspelt one would be silently without effect.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    problems: &mut Vec<Problem>,
) -> Environment {
    // Sorted, so that the problems come in the same order at every start.
    let variables: BTreeMap<String, OsString> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
        .collect();
    let mut environment = Environment::default();

    for (name, value) in &variables {
        let Some(word) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
        let source = Source::Environment(name.clone());
        let Some(text) = value.to_str().map(str::to_string) else {
            problems.push(Problem::at(source, "the value is not UTF-8"));
            continue;
        };
        if name == CONFIG_FILE {
            environment.config_file = Some((text, source)).filter(|(text, _)| !text.is_empty());
        } else if let Some(setting) = by_name(&word.to_ascii_lowercase()).filter(|setting| setting.variable() == *name)
        {
            environment.own.insert(setting.name, Answer { raw: Raw::Text(text), source });
        } else if !names_a_service(word) {
            problems.push(unknown(name, word, source));
        }
    }

    for setting in SETTINGS {
        for (variable, template) in setting.platform_variables() {
            let Some(value) = variables.get(variable).and_then(|value| value.to_str()) else { continue };
            // Platforms leave such variables empty to say nothing.
            if !value.trim().is_empty() {
                let raw = Raw::Text(template.replace("{}", value.trim()));
                let source = Source::Environment(variable.to_string());
                environment.platform.insert(setting.name, Answer { raw, source });
            }
        }
    }
    environment
}

fn unknown(name: &str, word: &str, source: Source) -> Problem {
    let known = SETTINGS.iter().map(|setting| setting.name).chain(["config"]);
    let meant = nearest(&word.to_ascii_lowercase(), known);
    let hint = meant
        .map_or(String::new(), |meant| format!("; did you mean `{VARIABLE_PREFIX}{}`?", meant.to_ascii_uppercase()));
    Problem::at(source, format!("unknown setting `{name}`{hint}"))
}

/// Kubernetes tells every pod of the services beside it: a service called `farrier` gives `FARRIER_SERVICE_HOST`,
/// `FARRIER_PORT`, `FARRIER_PORT_8000_TCP_ADDR`. Nobody wrote those, so they are not mistakes.
fn names_a_service(word: &str) -> bool {
    let is_port = |rest: &str| {
        let mut parts = rest.split('_');
        parts.next().is_some_and(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
            && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
    };
    matches!(word, "SERVICE_HOST" | "SERVICE_PORT" | "PORT")
        || word.starts_with("SERVICE_PORT_")
        || word.strip_prefix("PORT_").is_some_and(is_port)
}
