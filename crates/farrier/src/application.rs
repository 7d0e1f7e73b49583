//! Finds and imports the application, through the package's own `farrier._application`.

use std::time::SystemTime;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The application that was found.
pub(crate) struct Application {
    pub(crate) callable: Py<PyAny>,
    /// When its code began to be loaded.
    pub(crate) loaded_since: SystemTime,
}

impl Application {
    /// The same application, for a worker that was forked with it.
    pub(crate) fn shared(&self, py: Python<'_>) -> Application {
        Application { callable: self.callable.clone_ref(py), loaded_since: self.loaded_since }
    }
}

/// Why there is no application.
pub(crate) struct LoadFailure {
    /// The traceback of the application's own code; empty where it is the name that is wrong.
    pub(crate) traceback: String,
    /// One clear line.
    pub(crate) reason: String,
    /// The module was imported, but holds no such callable, or the name makes no sense.
    pub(crate) not_found: bool,
}

/// Loads what the specification names, or finds an application in the working directory.
pub(crate) fn load(py: Python<'_>, specification: Option<&str>) -> Result<Application, LoadFailure> {
    let loaded_since = SystemTime::now();
    let loaded = py.import("farrier._application").and_then(|module| {
        let found = module.call_method1("load", (specification,))?;
        found.extract::<(Py<PyAny>, String)>()
    });
    match loaded {
        Ok((callable, _)) => Ok(Application { callable, loaded_since }),
        Err(raised) => Err(failure(py, &raised, specification)),
    }
}

fn failure(py: Python<'_>, raised: &PyErr, specification: Option<&str>) -> LoadFailure {
    let is_ours = py
        .import("farrier._application")
        .and_then(|module| module.getattr("ApplicationNotFound"))
        .is_ok_and(|class| raised.matches(py, class).unwrap_or(false));
    if is_ours {
        return LoadFailure { traceback: String::new(), reason: raised.value(py).to_string(), not_found: true };
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
    LoadFailure { traceback, reason, not_found: false }
}

/// What must happen before the import: the working directory, the module path, the environment.
///
/// # Errors
/// The directory does not exist.
pub(crate) fn prepare(py: Python<'_>, config: &farrier_config::Config) -> PyResult<()> {
    if let Some(directory) = &config.chdir {
        py.import("os")?.call_method1("chdir", (directory,))?;
    }
    let path = py.import("sys")?.getattr("path")?;
    for directory in config.pythonpath.iter().rev() {
        path.call_method1("insert", (0, directory))?;
    }
    let here = py.import("os")?.call_method0("getcwd")?;
    if !path.contains(&here)? {
        path.call_method1("insert", (0, here))?;
    }
    let environment = py.import("os")?.getattr("environ")?;
    let software = format!("farrier/{}", env!("CARGO_PKG_VERSION"));
    environment.set_item("SERVER_SOFTWARE", software)?;
    let variables: Vec<(&str, &str)> = config.raw_env.iter().map(|each| (&*each.name, &*each.value)).collect();
    py.import("farrier._configuration")?.call_method1("set_environment", (variables,))?;
    Ok(())
}

/// What lives now will not be looked at by the garbage collector again, so children share its memory.
pub(crate) fn freeze(py: Python<'_>) -> PyResult<()> {
    let collector = py.import("gc")?;
    collector.call_method0("collect")?;
    collector.call_method0("freeze")?;
    Ok(())
}

/// Ends a worker's Python: what `atexit` promised, and the standard streams.
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
