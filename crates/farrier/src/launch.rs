//! How this process was started, read when the module is loaded: before a configuration file can change anything.

use std::path::PathBuf;
use std::sync::OnceLock;

use farrier_supervisor::process::Launch;
use pyo3::prelude::*;

static LAUNCH: OnceLock<Result<Launch, String>> = OnceLock::new();

/// Reads it. Only the first call has an effect.
pub(crate) fn remember(py: Python<'_>) {
    // The interpreter knows its own path, which argument zero may lack; otherwise the kernel knows it.
    let program = py.import("sys").and_then(|sys| sys.getattr("executable")?.extract::<PathBuf>());
    let program = program.ok().filter(|program| program.is_absolute());
    LAUNCH.get_or_init(|| Launch::of_this_process(program).map_err(|error| error.to_string()));
}

/// How it was started.
///
/// # Errors It is unknown; the reason.
pub(crate) fn of_this_process() -> Result<&'static Launch, String> {
    match LAUNCH.get() {
        Some(Ok(launch)) => Ok(launch),
        Some(Err(reason)) => Err(reason.clone()),
        None => Err("the module was not loaded in the usual way".to_owned()),
    }
}
