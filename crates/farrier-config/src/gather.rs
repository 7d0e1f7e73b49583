//! Gathers the layers of one start and resolves what the command line asks for.

use std::ffi::OsString;
use std::io;
use std::path::Path;

use crate::answer::{Layer, Source};
use crate::error::{ConfigError, Problem};
use crate::layers::{command_line, environment, file, words};
use crate::resolve::Layers;
use crate::table::Config;
use crate::{beyond, documents};

/// What the command line asks for.
#[derive(Debug)]
pub enum Outcome {
    /// Serve with this config.
    Run(Box<Config>),
    /// Print this help and exit.
    Help(String),
    /// Print the version and exit.
    Version,
    /// Print the settings and where each came from, and exit.
    PrintConfig {
        /// The resolved config.
        config: Box<Config>,
        /// The text to print: TOML that could be used as `farrier.toml`.
        text: String,
    },
    /// Load the application with this config, report whether that works, and exit.
    CheckConfig(Box<Config>),
    /// Print this completion script and exit.
    Completions(String),
}

/// Access to the files of settings. The caller implements it, so that this crate does no I/O.
pub trait Files {
    /// Reads a file as UTF-8 text.
    ///
    /// # Errors
    /// As [`std::fs::read_to_string`].
    fn read(&mut self, path: &Path) -> io::Result<String>;

    /// Whether the path is a file, or something else that can be read as one.
    fn is_file(&mut self, path: &Path) -> bool;

    /// Runs a Python file and gives the settings that it made.
    ///
    /// # Errors The exception, with its traceback.
    fn run(&mut self, file: &PythonFile) -> Result<Ran, ConfigError>;

    /// Reads a uWSGI configuration, `PATH` or `PATH:SECTION`, as settings.
    ///
    /// # Errors
    /// Every error, each with its file and line.
    fn import_uwsgi(&mut self, file: &str) -> Result<Ran, ConfigError> {
        Err(ConfigError::of(vec![Problem::of_usage(format!(
            "uWSGI configurations such as `{file}` are not read here"
        ))]))
    }
}

/// A settings file in Python.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PythonFile {
    /// A file at this path.
    Path(String),
    /// A module that is imported.
    Module(String),
}

/// The result of running a Python file.
#[derive(Debug, Default)]
pub struct Ran {
    /// Its settings.
    pub layer: Layer,
    /// Warnings about what looks like an error in it.
    pub warnings: Vec<Problem>,
}

/// Reads the layers without Python: as [`gather_from`], but a Python file is an error.
///
/// # Errors
/// As [`gather_from`].
pub fn gather(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    read_file: impl FnMut(&Path) -> io::Result<String>,
) -> Result<Outcome, ConfigError> {
    gather_from(arguments, variables, &mut TextFiles(read_file))
}

/// Reads the layers and resolves them, lowest first: defaults, the platform's variables (`WEB_CONCURRENCY`, `PORT`), the
/// file, the `FARRIER_*` variables, `GUNICORN_CMD_ARGS`, the command line.
///
/// `arguments` come without the program's name. The file is the one that `--config`, `GUNICORN_CMD_ARGS` or
/// `FARRIER_CONFIG` names. Otherwise it is the first that exists of `farrier.toml`, `farrier.conf.py` and
/// `gunicorn.conf.py` in the current folder.
///
/// # Errors Every error in every layer at once: an unknown name, a value of the wrong kind, a file that cannot be read.
/// If a Python file fails, that is the only error, with its traceback.
pub fn gather_from(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
    variables: impl IntoIterator<Item = (impl Into<OsString>, impl Into<OsString>)>,
    files: &mut impl Files,
) -> Result<Outcome, ConfigError> {
    let arguments = command_line::read(arguments.into_iter().map(Into::into).collect(), None)?;
    match arguments.request {
        command_line::Request::Help(text) => return Ok(Outcome::Help(text)),
        command_line::Request::Version => return Ok(Outcome::Version),
        command_line::Request::Completions(text) => return Ok(Outcome::Completions(text)),
        _ => {}
    }
    let mut problems = arguments.problems;
    let environment = environment::read(variables, &mut problems);
    let flags = flags(environment.flags)?;
    problems.extend(flags.problems);
    let named = arguments.config_file.or(flags.config_file).or(environment.config_file);
    let file = file::read(named, files, &mut problems)?;

    let own = vec![file.layer, environment.own, flags.layer, arguments.layer];
    let layers = Layers { platform: environment.platform, own };
    let mut beyond = beyond::take(&layers, &mut problems);
    beyond.warnings.splice(..0, file.warnings);
    let config = match Config::resolve(&layers) {
        Ok(mut config) if problems.is_empty() => {
            config.site_plans().map_err(ConfigError::of)?;
            config.beyond = beyond;
            Box::new(config)
        }
        Ok(_) => return Err(ConfigError::of(problems)),
        Err(error) => return Err(ConfigError::of(problems.into_iter().chain(error.problems).collect())),
    };
    let request = match arguments.request {
        command_line::Request::Run => flags.request,
        request => request,
    };
    Ok(match request {
        command_line::Request::PrintConfig => {
            let text = documents::print_config(&config);
            Outcome::PrintConfig { config, text }
        }
        command_line::Request::CheckConfig => Outcome::CheckConfig(config),
        _ => Outcome::Run(config),
    })
}

/// Resolves the answers of a program that embeds the server: they are the only layer.
///
/// # Errors Every error in the answers.
pub fn resolve_embedded(layer: Layer) -> Result<Config, ConfigError> {
    let layers = Layers { platform: Layer::default(), own: vec![layer] };
    let mut problems = Vec::new();
    let beyond = beyond::take(&layers, &mut problems);
    match Config::resolve(&layers) {
        Ok(mut config) if problems.is_empty() => {
            config.site_plans().map_err(ConfigError::of)?;
            config.beyond = beyond;
            Ok(config)
        }
        Ok(_) => Err(ConfigError::of(problems)),
        Err(error) => Err(ConfigError::of(problems.into_iter().chain(error.problems).collect())),
    }
}

/// The command line that stands in a variable.
fn flags(text: Option<OsString>) -> Result<command_line::CommandLine, ConfigError> {
    let Some(text) = text else { return Ok(command_line::CommandLine::default()) };
    let source = || Source::Environment(environment::FLAGS.to_string());
    let text = text.into_string().map_err(|_| Problem::at(source(), "the value is not UTF-8"))?;
    let words = words::split(&text).ok_or_else(|| Problem::at(source(), "a quote is not closed"))?;
    command_line::read(words.into_iter().map(OsString::from).collect(), Some(environment::FLAGS))
}

/// Files that are only read as text.
struct TextFiles<F>(F);

impl<F: FnMut(&Path) -> io::Result<String>> Files for TextFiles<F> {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        (self.0)(path)
    }

    fn is_file(&mut self, _: &Path) -> bool {
        false
    }

    fn run(&mut self, file: &PythonFile) -> Result<Ran, ConfigError> {
        let (PythonFile::Path(name) | PythonFile::Module(name)) = file;
        Err(Problem::of_usage(format!("`{name}` is Python, and only TOML files are read here")).into())
    }
}
