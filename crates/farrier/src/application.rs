//! Finds and imports the application, through the package's own `farrier._application`.

use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use farrier_config::Config;
use pyo3::exceptions::{PyImportError, PyPermissionError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// All applications of a process, which may be none.
pub(crate) struct Applications {
    /// Each by its specification, in the order of the sites. `None` is the one that was found in the working directory.
    all: Vec<(Option<String>, Py<PyAny>)>,
    /// When their code began to be loaded.
    pub(crate) loaded_since: SystemTime,
}

impl Applications {
    /// Loads all applications of the configuration, one after the other.
    ///
    /// # Arguments
    ///
    /// `failed` is called for an application that cannot be loaded, and may return another in its place.
    ///
    /// # Errors The error of `failed`.
    pub(crate) fn load<E>(
        py: Python<'_>,
        config: &Config,
        mut failed: impl FnMut(LoadFailure) -> Result<Py<PyAny>, E>,
    ) -> Result<Applications, E> {
        let loaded_since = SystemTime::now();
        let plans = config.applications();
        let is_one_of_several = plans.len() > 1;
        let mut all = Vec::new();
        for plan in plans {
            let callable = load(py, plan.name.as_deref()).or_else(|mut failure| {
                if is_one_of_several {
                    failure.reason = format!("{}: the mount at {}: {}", plan.place, plan.at, failure.reason);
                }
                failed(failure)
            })?;
            all.push((plan.name, callable));
        }
        Ok(Applications { all, loaded_since })
    }

    /// The same applications, for a worker that was forked with them.
    pub(crate) fn shared(&self, py: Python<'_>) -> Applications {
        let all = self.all.iter().map(|(name, callable)| (name.clone(), callable.clone_ref(py))).collect();
        Applications { all, loaded_since: self.loaded_since }
    }

    /// The application of this specification.
    pub(crate) fn callable(&self, py: Python<'_>, name: Option<&str>) -> Py<PyAny> {
        let found = self.all.iter().find(|(known, _)| known.as_deref() == name);
        // Invariant: what is loaded and what is mounted are read from the same plans.
        found.map_or_else(|| py.None(), |(_, callable)| callable.clone_ref(py))
    }

    /// The application for hooks: the first; None if there is none.
    pub(crate) fn first(&self, py: Python<'_>) -> Py<PyAny> {
        self.all.first().map_or_else(|| py.None(), |(_, callable)| callable.clone_ref(py))
    }
}

/// Why there is no application.
pub(crate) struct LoadFailure {
    /// The traceback of the application's own code; empty if the name is wrong.
    pub(crate) traceback: String,
    /// One clear line.
    pub(crate) reason: String,
    /// The module was imported but has no such callable, or the name is invalid.
    pub(crate) not_found: bool,
    /// A file may be missing, or closed to the user of this process.
    pub(crate) lacks_file: bool,
}

/// Loads the application of the specification, or finds one in the working directory.
fn load(py: Python<'_>, specification: Option<&str>) -> Result<Py<PyAny>, LoadFailure> {
    let loaded = py.import("farrier._application").and_then(|module| {
        let found = module.call_method1("load", (specification,))?;
        found.extract::<(Py<PyAny>, String)>()
    });
    match loaded {
        Ok((callable, _)) => Ok(callable),
        Err(raised) => Err(failure(py, &raised, specification)),
    }
}

fn failure(py: Python<'_>, raised: &PyErr, specification: Option<&str>) -> LoadFailure {
    let is_ours = py
        .import("farrier._application")
        .and_then(|module| module.getattr("ApplicationNotFound"))
        .is_ok_and(|class| raised.matches(py, class).unwrap_or(false));
    if is_ours {
        let reason = raised.value(py).to_string();
        return LoadFailure { traceback: String::new(), reason, not_found: true, lacks_file: true };
    }
    let traceback = py
        .import("farrier._application")
        .and_then(|module| {
            module.call_method1("own_traceback", (raised.value(py), raised.traceback(py)))?.extract::<String>()
        })
        .unwrap_or_else(|_| raised.to_string());
    let what = specification.map(|name| format!(" {name:?}")).unwrap_or_default();
    let class = raised.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    let reason = format!("The application{what} could not be loaded: {class}: {}", raised.value(py));
    let lacks_file = raised.is_instance_of::<PyImportError>(py) || raised.is_instance_of::<PyPermissionError>(py);
    LoadFailure { traceback, reason, not_found: false, lacks_file }
}

/// The entries of `sys.path` that are due to the settings: they are replaced when these are read again, so that no module
/// of an old release is found.
static INSERTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Prepares the import: the working directory, the module path, the environment.
///
/// # Errors
/// The directory does not exist.
pub(crate) fn prepare(py: Python<'_>, config: &Config) -> PyResult<()> {
    if let Some(directory) = &config.chdir {
        py.import("os")?.call_method1("chdir", (directory,))?;
    }
    let path = py.import("sys")?.getattr("path")?;
    let mut inserted = INSERTED.lock().unwrap_or_else(PoisonError::into_inner);
    for directory in inserted.drain(..).filter(|directory| path.contains(directory).unwrap_or(false)) {
        path.call_method1("remove", (directory,))?;
    }
    let here = py.import("os")?.call_method0("getcwd")?;
    for directory in config.pythonpath.iter().rev() {
        path.call_method1("insert", (0, directory))?;
        inserted.push(directory.clone());
    }
    if !path.contains(&here)? {
        path.call_method1("insert", (0, &here))?;
        // A name that is not UTF-8 stays where it is.
        inserted.extend(here.extract::<String>());
    }
    let environment = py.import("os")?.getattr("environ")?;
    let software = format!("farrier/{}", env!("CARGO_PKG_VERSION"));
    environment.set_item("SERVER_SOFTWARE", software)?;
    let variables: Vec<(&str, &str)> = config.raw_env.iter().map(|each| (&*each.name, &*each.value)).collect();
    py.import("farrier._configuration")?.call_method1("set_environment", (variables,))?;
    Ok(())
}

/// Why the application that was named cannot be one, if its name is a word that people take for a command of Farrier's.
pub(crate) fn no_command(py: Python<'_>, config: &Config) -> Option<String> {
    let named = config.wsgi_app.as_ref()?;
    py.import("farrier._application").and_then(|module| module.call_method1("no_command", (named,))?.extract()).ok()?
}

/// The garbage collector ignores all current objects from now on, so children share their memory.
pub(crate) fn freeze(py: Python<'_>) -> PyResult<()> {
    let collector = py.import("gc")?;
    collector.call_method0("collect")?;
    collector.call_method0("freeze")?;
    Ok(())
}

/// Ends a worker's Python: runs `atexit` functions, and flushes the standard streams.
pub(crate) fn finish(py: Python<'_>) {
    let run = || -> PyResult<()> {
        py.import("atexit")?.call_method0("_run_exitfuncs")?;
        let sys = py.import("sys")?;
        let options = PyDict::new(py);
        for stream in ["stdout", "stderr"] {
            sys.getattr(stream)?.call_method("flush", (), Some(&options))?;
        }
        Ok(())
    };
    if let Err(raised) = run() {
        raised.write_unraisable(py, None);
    }
}
