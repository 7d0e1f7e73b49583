//! Reads the layers of the environment: `FARRIER_*`, and the variables that hosting platforms set for any server.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::answer::{Answer, Layer, Raw, Source};
use crate::error::Problem;
use crate::lookup::{meant_by_name, setting_name};
use crate::setting::{Setting, VARIABLE_PREFIX};
use crate::suggest::nearest;
use crate::table::SETTINGS;

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Answers of `WEB_CONCURRENCY`, `PORT` and similar variables.
    pub(crate) platform: Layer,
    /// Answers of `FARRIER_*`.
    pub(crate) own: Layer,
    /// The command line in `GUNICORN_CMD_ARGS`.
    pub(crate) flags: Option<OsString>,
    /// The file that `FARRIER_CONFIG` names.
    pub(crate) config_file: Option<(String, Source)>,
}

/// The variable that names the file; it has the prefix of a setting's variable but is not one.
const CONFIG_FILE: &str = "FARRIER_CONFIG";

/// The variable that holds a command line, in Gunicorn and here.
pub(crate) const FLAGS: &str = "GUNICORN_CMD_ARGS";

/// Reads the variables. An unknown `FARRIER_*` name is a problem, since a misspelt one would silently have no effect.
pub(crate) fn read(
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    problems: &mut Vec<Problem>,
) -> Environment {
    // Sorted, so that the problems come in the same order at every start.
    let variables: BTreeMap<String, OsString> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into().into_string().ok()?, value.into())))
        .collect();
    let mut environment = Environment { flags: variables.get(FLAGS).cloned(), ..Environment::default() };

    for (name, value) in &variables {
        let Some(word) = name.strip_prefix(VARIABLE_PREFIX) else { continue };
        let source = Source::Environment(name.clone());
        let Some(text) = value.to_str().map(str::to_string) else {
            problems.push(Problem::at(source, "the value is not UTF-8"));
            continue;
        };
        if name == CONFIG_FILE {
            environment.config_file = Some((text, source)).filter(|(text, _)| !text.is_empty());
        } else if let Some(setting) = setting_name(&word.to_ascii_lowercase()).filter(|name| is_written(name, word)) {
            environment.own.insert(setting, Answer { raw: Raw::Text(text), source });
        } else if !names_a_service(word, &text) {
            problems.push(unknown(word, source));
        }
    }

    for setting in SETTINGS {
        for (variable, template) in setting.platform_variables() {
            let Some(value) = variables.get(variable).and_then(|value| value.to_str()) else { continue };
            // Platforms leave such variables empty if they have no value. An empty `FORWARDED_ALLOW_IPS` is a value: it
            // trusts nobody.
            if !value.trim().is_empty() || setting.name == "forwarded_allow_ips" {
                let raw = Raw::Text(template.replace("{}", value.trim()));
                let source = Source::Environment(variable.to_string());
                environment.platform.insert(setting.name, Answer { raw, source });
            }
        }
    }
    environment
}

/// Whether the rest of the variable's name is exactly the setting's name in capitals.
fn is_written(setting: &str, word: &str) -> bool {
    setting.to_ascii_uppercase() == *word
}

fn unknown(word: &str, source: Source) -> Problem {
    let meant = match nearest(&word.to_ascii_lowercase(), ["config"]) {
        Some(_) => Some(CONFIG_FILE.to_string()),
        None => meant_by_name(word).map(Setting::variable),
    };
    let hint = meant.map_or(String::new(), |meant| format!("; did you mean `{meant}`?"));
    Problem::at(source, format!("unknown setting{hint}"))
}

/// Kubernetes sets variables for every service in a pod's namespace: a service called `farrier` gives
/// `FARRIER_SERVICE_HOST`, `FARRIER_PORT=tcp://…` and `FARRIER_PORT_8000_TCP_ADDR`. Nobody wrote those, so they are no
/// errors.
fn names_a_service(word: &str, text: &str) -> bool {
    let names_port = |rest: &str| {
        let (port, protocol) = rest.split_once('_').unwrap_or((rest, ""));
        let is_protocol = ["TCP", "UDP", "SCTP"].iter().any(|known| protocol.starts_with(known));
        is_protocol && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    };
    match word {
        "PORT" => text.contains("://"),
        "SERVICE_HOST" | "SERVICE_PORT" => true,
        _ => word.starts_with("SERVICE_PORT_") || word.strip_prefix("PORT_").is_some_and(names_port),
    }
}
