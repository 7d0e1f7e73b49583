//! The source of the settings: the command line, or a program that embeds the server; and changes of `gunicorn.SERVER`.

use std::ffi::OsString;

use farrier_config::{Config, ConfigError, Problem};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::configured::{self, Asked};
use crate::server;

/// The source of the settings, at the start and at each `HUP`.
pub(crate) enum Given<'a, 'py> {
    /// A command line, with its layers.
    Arguments(&'a [OsString]),
    /// A program: a callable that gives a dictionary of what it has set.
    Program(&'a Bound<'py, PyAny>),
}

impl Given<'_, '_> {
    /// Reads the settings as they are now.
    ///
    /// # Errors All errors in them.
    pub(crate) fn read(&self, py: Python<'_>) -> Result<Asked, ConfigError> {
        let asked = match self {
            Given::Arguments(arguments) => configured::read(py, arguments)?,
            Given::Program(program) => {
                let surroundings = configured::Surroundings::of_the_start(py);
                let given = program.call0().and_then(|given| Ok(given.cast_into::<PyDict>()?));
                let given = given.map_err(|raised| Problem { source: None, message: raised.to_string() }.into());
                let read = given.and_then(|given| configured::embedded(py, &given));
                if let (Err(_), Ok(surroundings)) = (&read, surroundings) {
                    surroundings.back(py);
                }
                Asked::Run(read?)
            }
        };
        Ok(match asked {
            Asked::Run(mut configured) => {
                if let Some(server_header) = server_header(py) {
                    adopt(&mut configured.config, server_header);
                }
                Asked::Run(configured)
            }
            asked => asked,
        })
    }
}

/// Serves for a program that embeds the server, and returns the exit code.
pub(crate) fn embed(py: Python<'_>, program: &Bound<'_, PyAny>) -> i32 {
    let given = Given::Program(program);
    match given.read(py) {
        Ok(Asked::Run(configured)) => server::run(py, configured, &given),
        // Settings of a program can only ask for serving.
        Ok(_) => 0,
        Err(error) => {
            eprint!("{}", error.traceback);
            for problem in &error.problems {
                eprintln!("farrier: {problem}");
            }
            1
        }
    }
}

/// The `Server` field, if a configuration file has imported `gunicorn` and changed `gunicorn.SERVER`.
fn server_header(py: Python<'_>) -> Option<String> {
    let modules = py.import("sys").and_then(|sys| sys.getattr("modules")).ok()?;
    if !modules.contains("gunicorn").unwrap_or(false) {
        return None;
    }
    let header = py.import("farrier._shims").and_then(|shims| shims.call_method0("server_header")?.extract());
    header.unwrap_or_default()
}

/// An explicit setting wins.
fn adopt(config: &mut Config, server_header: String) {
    if config.server_header == Config::default().server_header {
        config.server_header = server_header;
    }
}
