//! Where the code of a generation is imported from: its working directory and its module path.
//!
//! A deployment turns a symbolic link to a new release, and `HUP` then serves the new one. Workers of the old generation that
//! are still forked stay in the old one.

use std::path::{Path, PathBuf};

use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::process;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::launch;

/// The working directory and `sys.path` of a generation.
pub(crate) struct Place {
    directory: PathBuf,
    path: Py<PyAny>,
}

impl Place {
    /// Those of this process now.
    ///
    /// # Errors
    /// The working directory has been removed.
    pub(crate) fn now(py: Python<'_>) -> PyResult<Place> {
        let path = py.import("sys")?.getattr("path")?.call_method0("copy")?.unbind();
        Ok(Place { directory: std::env::current_dir()?, path })
    }

    /// Enters it, in a process that is about to load the application and is elsewhere. A folder that was removed cannot be entered, and the
    /// application then says what it lacks.
    pub(crate) fn enter(&self, py: Python<'_>) {
        let entered = || -> PyResult<()> {
            if std::env::current_dir().ok().as_ref() == Some(&self.directory) {
                // A hook in the arbiter may have changed `sys.path` since.
                return Ok(());
            }
            std::env::set_current_dir(&self.directory)?;
            let path = py.import("sys")?.getattr("path")?;
            let path = path.cast::<PyList>()?;
            path.set_slice(0, path.len(), self.path.bind(py))
        };
        let _ = entered();
    }

    /// Says which folder is served, if that is not plain from where the server was started.
    ///
    /// # Arguments
    /// `before` is the place of the generation before.
    pub(crate) fn say(&self, before: Option<&Place>, log: &ErrorLog) {
        let here = self.directory.display();
        match launch::of_this_process().map(|launch| &launch.directory) {
            Ok(named) if named != &self.directory && is_here(named) => {
                log.write(Level::Info, &format!("Working directory: {here} ({})", named.display()));
            }
            _ if before.is_some_and(|before| before.directory != self.directory) => {
                log.write(Level::Info, &format!("Working directory: {here}"));
            }
            _ => {}
        }
    }
}

/// The folder in which this process was started, as the shell named it, if it is the current one: after a deployment the
/// same name may lead to another.
pub(crate) fn named() -> Option<PathBuf> {
    let launch = launch::of_this_process().ok()?;
    is_here(&launch.directory).then(|| launch.directory.clone())
}

fn is_here(named: &Path) -> bool {
    process::is_same_place(named, Path::new("."))
}
