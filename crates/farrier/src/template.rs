//! The code of a template: imports the applications, warns about threads that would not survive a fork, and freezes all
//! objects.

use farrier_config::Config;
use farrier_log::error::Level;
use farrier_supervisor::process;
use pyo3::prelude::*;

use crate::application::{self, Applications};
use crate::logging::ArbiterLogs;
use crate::master;
use crate::painted::Paint;
use crate::{forked, last_words};

/// Loads the applications for all workers of a generation.
///
/// # Errors The exit code, if the application cannot be loaded; the error is logged.
pub(crate) fn load(py: Python<'_>, config: &Config, logs: &ArbiterLogs) -> Result<Applications, i32> {
    let log = &logs.error;
    master::set_template_title(config);
    let pid = process::own_pid();
    let applications = Applications::load(py, config, |failure| {
        forked::end_if_other(pid, config);
        log.put(&Paint::of(config).traceback(&failure.traceback));
        last_words::say(log, &failure.reason);
        Err(if failure.not_found { 4 } else { 3 })
    })?;
    forked::end_if_other(pid, config);
    logs.application_loaded(py);
    match other_threads(py) {
        Ok(names) if !names.is_empty() => log.write(
            Level::Warning,
            &format!(
                "The application has started threads while it was preloaded ({}): they do not run in the workers. Start \
                 them in post_fork or at the first request",
                names.join(", ")
            ),
        ),
        _ => {}
    }
    application::freeze(py).map_err(|raised| {
        log.write(Level::Error, &format!("The preloaded application could not be frozen: {raised}"));
        3
    })?;
    Ok(applications)
}

/// The names of Python's threads besides the main one.
fn other_threads(py: Python<'_>) -> PyResult<Vec<String>> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?;
    let mut names = Vec::new();
    for thread in threading.call_method0("enumerate")?.try_iter()? {
        let thread = thread?;
        if !thread.is(&main) {
            names.push(thread.getattr("name")?.extract()?);
        }
    }
    Ok(names)
}
