//! A process that the application forks and that comes back from its call. It is no worker: its parent answers the request
//! and goes on serving, and this process ends.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;

use crate::error_stream::Diagnostics;
use crate::traceback;

/// This process was forked by the application. A fork copies it into the children's children.
static IS_CHILD: AtomicBool = AtomicBool::new(false);

/// Notes that this process was forked. Called between the fork and its return, so it does nothing else.
pub fn note() {
    IS_CHILD.store(true, Ordering::Relaxed);
}

/// This process is a worker: also one of a server that was started in a process that an application had forked.
pub fn is_worker() {
    IS_CHILD.store(false, Ordering::Relaxed);
}

/// Whether this process was forked by the application.
pub fn is_child() -> bool {
    IS_CHILD.load(Ordering::Relaxed)
}

/// Ends this process if the application forked it.
///
/// # Arguments
/// `raised` is what the application raised, if it did. `SystemExit` gives the exit code.
pub(crate) fn end_if_child(py: Python<'_>, diagnostics: &dyn Diagnostics, raised: Option<&PyErr>) {
    if is_child() {
        end(py, diagnostics, raised);
    }
}

#[cold]
fn end(py: Python<'_>, diagnostics: &dyn Diagnostics, raised: Option<&PyErr>) {
    const CAME_BACK: &str = "A process that the application has forked came back from its call, and ends here";
    let code = match raised {
        None => {
            let hint = "its parent answers the request. End such a process with os._exit()";
            diagnostics.forked_process_ended(&format!("{CAME_BACK}: {hint}"));
            0
        }
        Some(raised) => match exit_code(py, raised) {
            Some(code) => code,
            None => {
                diagnostics.forked_process_ended(&format!("{CAME_BACK}:\n{}", traceback::text(py, raised)));
                1
            }
        },
    };
    let left = py.import("farrier._forked").and_then(|module| module.call_method1("leave", (code,)));
    // Not reached: the function ends the process.
    if let Err(raised) = left {
        raised.write_unraisable(py, None);
    }
    std::process::abort();
}

/// The exit code of `sys.exit`, if it is a number.
fn exit_code(py: Python<'_>, raised: &PyErr) -> Option<i32> {
    if !raised.is_instance_of::<PySystemExit>(py) {
        return None;
    }
    let code = raised.value(py).getattr("code").ok()?;
    if code.is_none() { Some(0) } else { code.extract().ok() }
}
