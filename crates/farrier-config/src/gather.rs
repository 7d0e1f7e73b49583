//! Gathers the layers of one start and says what the command line asks for.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::documents;
use crate::error::ConfigError;
use crate::layers::{command_line, environment, file};
use crate::resolve::Layers;
use crate::table::Config;

/// What the command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Serve with this config.
    Run(Box<Config>),
    /// Print this help and leave.
    Help(String),
    /// Print the version and leave.
    Version,
    /// Print the settings and where each came from, and leave.
    PrintConfig {
        /// The resolved config.
        config: Box<Config>,
        /// The text to print: TOML that could be used as `farrier.toml`.
        text: String,
    },
    /// Load the application with this config, say whether that works, and leave.
    CheckConfig(Box<Config>),
    /// Print this completion script and leave.
    Completions(String),
}

/// Reads the layers and resolves them, lowest first: defaults, the platform's variables (`WEB_CONCURRENCY`, `PORT`), the
/// file, the `FARRIER_*` variables, the command line.
///
/// `arguments` come without the program's name; `read_file` reads a file as UTF-8 text (`std::fs::read_to_string`). The
/// file is the one that `--config` or `FARRIER_CONFIG` names, else `farrier.toml` in the present folder if it exists.
///
/// # Errors
/// Every mistake in every layer at once: an unknown name, a value of the wrong kind, a file that cannot be read.
pub fn gather(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    read_file: impl FnOnce(&Path) -> io::Result<String>,
) -> Result<Outcome, ConfigError> {
    let arguments = command_line::read(arguments.into_iter().map(Into::into).collect())?;
    match arguments.request {
        command_line::Request::Help(text) => return Ok(Outcome::Help(text)),
        command_line::Request::Version => return Ok(Outcome::Version),
        command_line::Request::Completions(text) => return Ok(Outcome::Completions(text)),
        _ => {}
    }
    let mut problems = arguments.problems;
    let environment = environment::read(variables, &mut problems);
    let named = arguments.config_file.or(environment.config_file);
    let file = file::read(named, read_file, &mut problems);

    let layers = Layers { platform: environment.platform, own: vec![file, environment.own, arguments.layer] };
    let config = match Config::resolve(&layers) {
        Ok(config) if problems.is_empty() => Box::new(config),
        Ok(_) => return Err(ConfigError::of(problems)),
        Err(error) => return Err(ConfigError::of(problems.into_iter().chain(error.problems).collect())),
    };
    Ok(match arguments.request {
        command_line::Request::PrintConfig => {
            let text = documents::print_config(&config);
            Outcome::PrintConfig { config, text }
        }
        command_line::Request::CheckConfig => Outcome::CheckConfig(config),
        _ => Outcome::Run(config),
    })
}
