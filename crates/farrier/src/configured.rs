//! The settings for both languages: `Config` for Rust, `cfg` for hooks, loggers and applications.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use farrier_config::gunicorn::{self, Became};
use farrier_config::value::Plain;
use farrier_config::{
    Answer, Config, ConfigError, Files, Layer, Outcome, Problem, PythonFile, Ran, Raw, SETTINGS, Source, gather_from,
    probably_meant, resolve_embedded, setting_name,
};
use farrier_import::uwsgi;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString};

use crate::import_uwsgi;
use crate::place::{self, Place};
use crate::upstream_security::UpstreamSecurity;

/// The settings, as read once.
pub(crate) struct Configured {
    /// The settings for Rust.
    pub(crate) config: Config,
    /// The settings for Python: an instance of `farrier._configuration.Cfg`.
    pub(crate) cfg: Py<PyAny>,
    /// Where its applications are imported from; set when that was prepared.
    pub(crate) place: Option<Place>,
    /// TLS with the servers of its upstreams; set when its files were read.
    pub(crate) security: UpstreamSecurity,
}

impl Configured {
    /// Enters the place of these settings, in a process that is about to load their applications.
    pub(crate) fn enter(&self, py: Python<'_>) {
        if let Some(place) = &self.place {
            place.enter(py);
        }
    }
}

/// What the command line asks for.
pub(crate) enum Asked {
    /// Serve.
    Run(Configured),
    /// Print this text and exit.
    Print(String),
    /// Print this text, load the application as a start would, and exit.
    PrintConfig(Configured, String),
    /// Load the application as a start would, and leave.
    CheckConfig(Configured),
}

/// Reads the layers of the configuration as they are now, from the folder and with the variables of the start.
///
/// # Errors All errors in the settings. The environment and the working directory are then restored.
pub(crate) fn read(py: Python<'_>, arguments: &[OsString]) -> Result<Asked, ConfigError> {
    let surroundings = Surroundings::of_the_start(py).map_err(|raised| from_python(py, &raised))?;
    let mut files = PythonFiles { py, objects: PyDict::new(py) };
    let outcome = gather_from(arguments.iter().cloned(), std::env::vars_os(), &mut files);
    let objects = files.objects;
    let configured = |config: Config| -> Result<Configured, ConfigError> {
        let cfg = cfg(py, &config, &objects).map_err(|raised| from_python(py, &raised))?;
        Ok(Configured { config, cfg, place: None, security: UpstreamSecurity::default() })
    };
    let version = || format!("farrier (version {})\n", env!("CARGO_PKG_VERSION"));
    let asked = outcome.and_then(|outcome| {
        Ok(match outcome {
            Outcome::Run(config) => Asked::Run(configured(*config)?),
            Outcome::CheckConfig(config) => Asked::CheckConfig(configured(*config)?),
            Outcome::PrintConfig { config, text } => Asked::PrintConfig(configured(*config)?, text),
            Outcome::Help(text) | Outcome::Completions(text) => Asked::Print(text),
            Outcome::Version => Asked::Print(version()),
        })
    });
    if asked.is_err() {
        surroundings.back(py);
    }
    asked
}

/// The settings of a program that embeds the server: only those that it passed to `cfg.set`.
///
/// # Errors All errors in them.
pub(crate) fn embedded(py: Python<'_>, given: &Bound<'_, PyDict>) -> Result<Configured, ConfigError> {
    let read = || -> PyResult<(Layer, Bound<'_, PyDict>)> {
        let module = py.import("farrier._config_file")?;
        let (mut layer, objects) = (Layer::default(), PyDict::new(py));
        for (name, value) in given {
            let name: String = name.extract()?;
            let Some(setting) = setting_name(&name) else { continue };
            let plain = module.call_method1("plain", (&name, &value))?;
            let source = Source::CommandLine(format!("cfg.set({name:?})"));
            let raw = raw(setting, &plain, &source, &[]);
            layer.insert(setting, Answer { raw, source });
            objects.set_item(setting, value)?;
        }
        Ok((layer, objects))
    };
    let (layer, objects) = read().map_err(|raised| from_python(py, &raised))?;
    let config = resolve_embedded(layer)?;
    let cfg = cfg(py, &config, &objects).map_err(|raised| from_python(py, &raised))?;
    Ok(Configured { config, cfg, place: None, security: UpstreamSecurity::default() })
}

/// Every setting and its default, as `cfg` holds them.
pub(crate) fn default_settings(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    values(py, &Config::default(), &PyDict::new(py))
}

/// Makes `cfg` from the config and the values that only Python can hold.
fn cfg(py: Python<'_>, config: &Config, objects: &Bound<'_, PyDict>) -> PyResult<Py<PyAny>> {
    let values = values(py, config, objects)?;
    Ok(py.import("farrier._configuration")?.getattr("Cfg")?.call1((values,))?.unbind())
}

fn values<'py>(py: Python<'py>, config: &Config, objects: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    for (row, value) in config.plain_values() {
        values.set_item(row.name, object(py, &value)?)?;
    }
    values.set_item("workers", config.workers.on(farrier_supervisor::process::cpus_allowed()))?;
    let scheme_headers = PyDict::new(py);
    for field in &config.secure_scheme_headers {
        scheme_headers.set_item(&field.name, &field.value)?;
    }
    values.set_item("secure_scheme_headers", scheme_headers)?;
    let literal = py.import("ast")?.getattr("literal_eval")?;
    for setting in gunicorn::all().filter(|setting| setting.became != Became::Row) {
        values.set_item(setting.name, literal.call1((setting.default,))?)?;
    }
    for (name, answer) in config.answers_beyond() {
        if let Raw::Text(text) | Raw::Number(text) = &answer.raw {
            values.set_item(name, text)?;
        }
    }
    for (name, value) in objects {
        let name: String = name.extract()?;
        let is_row = gunicorn::all().any(|setting| setting.name == name && setting.became == Became::Row);
        // A class's name is not enough to find it: it may be defined in the config file.
        if !value.is_none() && (!is_row || name == "logger_class") && values.contains(&name)? {
            values.set_item(name, value)?;
        }
    }
    Ok(values)
}

fn object<'py>(py: Python<'py>, value: &Plain) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Plain::Nothing => py.None().into_bound(py),
        Plain::Switch(on) => PyBool::new(py, *on).to_owned().into_any(),
        Plain::Whole(number) => number.into_pyobject(py)?.into_any(),
        Plain::Fraction(number) => number.into_pyobject(py)?.into_any(),
        Plain::Text(text) => text.into_pyobject(py)?.into_any(),
        Plain::List(items) => {
            let list = PyList::empty(py);
            for item in items {
                list.append(object(py, item)?)?;
            }
            list.into_any()
        }
        Plain::Table(entries) => {
            let table = PyDict::new(py);
            for (key, item) in entries {
                table.set_item(key, object(py, item)?)?;
            }
            table.into_any()
        }
    })
}

/// Reads text files with Rust, and runs Python files with Python.
struct PythonFiles<'py> {
    py: Python<'py>,
    /// The objects of the file that was run, by the settings' names.
    objects: Bound<'py, PyDict>,
}

impl Files for PythonFiles<'_> {
    fn read(&mut self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn is_file(&mut self, path: &Path) -> bool {
        path.exists() && !path.is_dir()
    }

    fn run(&mut self, file: &PythonFile) -> Result<Ran, ConfigError> {
        let (path, name) = match file {
            PythonFile::Path(path) => (Some(path.as_str()), None),
            PythonFile::Module(module) => (None, Some(module.as_str())),
        };
        let evaluated = self.py.import("farrier._config_file").and_then(|module| {
            let assignments = module.call_method1("evaluate", (path, name))?;
            assignments.try_iter()?.map(|each| each?.extract()).collect::<PyResult<Vec<Assignment<'_>>>>()
        });
        let assignments = evaluated.map_err(|raised| explained(self.py, &raised, file))?;
        let mut ran = Ran::default();
        for (name, value, plain, path, line, item_lines, is_read) in assignments {
            let place = |line: usize| Source::File { path: path.clone(), line };
            let named = setting_name(&name).filter(|setting| *setting == name);
            let Some(setting) = named.filter(|setting| !is_own_variable(setting, &plain)) else {
                if let Some(meant) = probably_meant(&name).filter(|_| !is_read && named.is_none()) {
                    let message = format!("`{name}` is no setting and has no effect; did you mean `{meant}`?");
                    ran.warnings.push(Problem::at(place(line), message));
                }
                continue;
            };
            let places: Vec<Source> = item_lines.iter().map(|line| place(*line)).collect();
            let raw = raw(setting, &plain, &place(line), &places);
            ran.layer.insert(setting, Answer { raw, source: place(line) });
            self.objects.set_item(setting, value).map_err(|raised| from_python(self.py, &raised))?;
        }
        Ok(ran)
    }

    fn import_uwsgi(&mut self, file: &str) -> Result<Ran, ConfigError> {
        let machine = import_uwsgi::machine(self.py);
        let import = uwsgi::import(file, &machine, &mut |path| self.read(path))?;
        Ok(Ran { layer: import.layer(), warnings: import.warnings() })
    }
}

/// Whether a variable of a Python file is the file's own, although it has the name of a setting with tables. Files for
/// Gunicorn may well have a variable `site` or `static`.
fn is_own_variable(setting: &str, plain: &Bound<'_, PyAny>) -> bool {
    let is_tables = SETTINGS.iter().any(|row| row.name == setting && !row.keys.is_empty());
    let is_short_form = plain.extract::<String>().is_ok_and(|text| text.contains('='));
    is_tables && !is_short_form && plain.cast::<PyList>().is_err() && plain.cast::<PyDict>().is_err()
}

/// A variable of a config file: name, value, plain value, file, line, lines of the items, whether the file reads it.
type Assignment<'py> = (String, Bound<'py, PyAny>, Bound<'py, PyAny>, String, usize, Vec<usize>, bool);

/// The value as an answer. A setting that only Python can hold is always an object.
fn raw(setting: &str, value: &Bound<'_, PyAny>, source: &Source, item_sources: &[Source]) -> Raw {
    let is_held_by_python = gunicorn::all().any(|row| row.name == setting && row.became == Became::InPython);
    if value.is_none() {
        Raw::Absent
    } else if is_held_by_python {
        Raw::Object(named(value))
    } else if let Ok(text) = value.cast::<PyString>() {
        text.to_str().map_or_else(|_| Raw::Other("text that is not UTF-8"), |text| Raw::Text(text.to_owned()))
    } else if let Ok(on) = value.cast::<PyBool>() {
        Raw::Switch(on.is_true())
    } else if value.cast::<PyInt>().is_ok() {
        value.extract().map_or_else(|_| Raw::Number(value.to_string()), Raw::Integer)
    } else if value.cast::<PyFloat>().is_ok() {
        // In Python, a division gives a float even if it is whole.
        Raw::Number(value.to_string())
    } else if let Ok(items) = value.cast::<PyList>() {
        let source_of = |index: usize| item_sources.get(index).unwrap_or(source).clone();
        let answer = |(index, item): (usize, Bound<'_, PyAny>)| {
            let source = source_of(index);
            Answer { raw: raw("", &item, &source, &[]), source }
        };
        Raw::List(items.iter().enumerate().map(answer).collect())
    } else if let Ok(table) = value.cast::<PyDict>() {
        // The place of a dictionary is used for its keys, whose own places are unknown.
        let answer = |(key, item): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            (key.to_string(), Answer { raw: raw("", &item, source, &[]), source: source.clone() })
        };
        Raw::Table(table.iter().map(answer).collect())
    } else {
        Raw::Object(named(value))
    }
}

/// A name of the object for messages: its own name, else its type.
fn named(value: &Bound<'_, PyAny>) -> String {
    let kind = value.get_type().name().map(|name| name.to_string()).unwrap_or_default();
    match value.getattr("__qualname__").or_else(|_| value.getattr("__name__")) {
        Ok(name) => format!("the {kind} {name}"),
        Err(_) => format!("a {kind}"),
    }
}

/// The exception of a file that failed, as an error.
fn explained(py: Python<'_>, raised: &PyErr, file: &PythonFile) -> ConfigError {
    let path = match file {
        PythonFile::Path(path) => Some(path.as_str()),
        PythonFile::Module(_) => None,
    };
    let explained = py.import("farrier._config_file").and_then(|module| {
        module
            .call_method1("explain", (raised.value(py), raised.traceback(py), path))?
            .extract::<(String, String, usize, String)>()
    });
    let Ok((traceback, path, line, sentence)) = explained else { return from_python(py, raised) };
    let source = match file {
        _ if !path.is_empty() && line > 0 => Source::File { path, line },
        PythonFile::Path(name) | PythonFile::Module(name) => Source::File { path: name.clone(), line: 1 },
    };
    ConfigError { problems: vec![Problem::at(source, sentence)], traceback }
}

fn from_python(py: Python<'_>, raised: &PyErr) -> ConfigError {
    ConfigError {
        problems: vec![Problem { source: None, message: raised.value(py).to_string() }],
        traceback: String::new(),
    }
}

/// The environment and working directory before the settings were read again.
pub(crate) struct Surroundings {
    directory: Option<PathBuf>,
}

/// The working directory at the start, as the shell named it: relative paths of files refer to it, even after `chdir`, and a
/// symbolic link in it is followed again at each reading.
static START: OnceLock<PathBuf> = OnceLock::new();

impl Surroundings {
    /// Restores the working directory and the variables of the start.
    pub(crate) fn of_the_start(py: Python<'_>) -> PyResult<Surroundings> {
        let directory = std::env::current_dir().ok();
        if let Some(directory) = &directory {
            let start = START.get_or_init(|| place::named().unwrap_or_else(|| directory.clone()));
            if start != directory {
                py.import("os")?.call_method1("chdir", (start,))?;
            }
        }
        py.import("farrier._configuration")?.call_method0("suspend_environment")?;
        Ok(Surroundings { directory })
    }

    /// Restores the state before reading: the serving generation does not change.
    pub(crate) fn back(self, py: Python<'_>) {
        let back = || -> PyResult<()> {
            if let Some(directory) = &self.directory {
                py.import("os")?.call_method1("chdir", (directory,))?;
            }
            py.import("farrier._configuration")?.call_method0("resume_environment")?;
            Ok(())
        };
        if let Err(raised) = back() {
            raised.write_unraisable(py, None);
        }
    }
}
