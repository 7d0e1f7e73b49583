//! Development: a worker watches its source files and asks for new workers when one changes.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use farrier_config::{Config, ReloadEngine};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::{FileWatch, WorkerLink};
use pyo3::prelude::*;

use crate::application::LoadFailure;

/// The interval of checks for new modules, and of polling without inotify.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts to watch, if `reload` is set. One worker of a generation is enough.
///
/// # Arguments
///
/// `loaded_since` is when loading the application began: a file that was written after that counts as changed.
pub(crate) fn watch(
    py: Python<'_>,
    config: &Config,
    link: &Arc<WorkerLink>,
    loaded_since: SystemTime,
    log: &Arc<ErrorLog>,
) {
    if !config.reload || link.number() != 1 {
        return;
    }
    let mut watch = match (config.reload_engine, FileWatch::with_inotify()) {
        (ReloadEngine::Auto | ReloadEngine::Inotify, Ok(watch)) => watch,
        (ReloadEngine::Inotify, Err(error)) => {
            log.write(Level::Warning, &format!("reload_engine: inotify is not available ({error}); polling instead"));
            FileWatch::polling()
        }
        _ => FileWatch::polling(),
    };
    let extra = config.reload_extra_files.clone();
    cover(py, &mut watch, Some(loaded_since), &extra, log);
    let (link, named, watched) = (Arc::clone(link), Arc::clone(log), extra);
    let spawned = thread::Builder::new().name("watch".to_owned()).spawn(move || {
        loop {
            if let Some(file) = watch.wait(INTERVAL).first() {
                named.write(Level::Info, &format!("Worker reloading: {} modified", file.display()));
                link.code_changed();
            }
            Python::attach(|py| cover(py, &mut watch, None, &watched, &named));
        }
    });
    if let Err(error) = spawned {
        log.write(Level::Warning, &format!("Files are not watched: {error}"));
    }
}

fn cover(py: Python<'_>, watch: &mut FileWatch, since: Option<SystemTime>, extra: &[String], log: &ErrorLog) {
    let sources = py.import("farrier._reloader").and_then(|module| {
        module.call_method1("sources", (extra.to_vec(),))?.extract::<(Vec<PathBuf>, Vec<PathBuf>)>()
    });
    let covered = match sources {
        Ok((files, directories)) => {
            if let Some(since) = since {
                watch.loaded_since(since, &files);
            }
            watch.cover(files, directories).map_err(|error| error.to_string())
        }
        Err(raised) => Err(raised.to_string()),
    };
    if let Err(reason) = covered {
        log.write(Level::Warning, &format!("Not every file is watched: {reason}"));
    }
}

/// During development the code may not load when the server starts. Then the traceback is the response to every
/// request, until a file changes.
///
/// # Errors
/// Python cannot import the package's own module.
pub(crate) fn stand_in(py: Python<'_>, failure: &LoadFailure) -> PyResult<Py<PyAny>> {
    let text = format!("{}{}\n", failure.traceback, failure.reason);
    Ok(py.import("farrier._reloader")?.call_method1("failed_application", (text,))?.unbind())
}
