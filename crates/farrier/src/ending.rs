//! The end of a forked process that has run the application: the program around the server unwinds, as in any program that
//! ends, and then exit functions run.
//!
//! A tool that was started around the server (`coverage run`) writes what it has collected while its frames unwind. The
//! interpreter is not finalized after that: threads of the server still use it, and threads of the application would hold
//! up the end.

use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use farrier_supervisor::process;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

use crate::application;
use crate::logging::WorkerLogs;

/// No process that ends: exit codes are never negative.
const NONE: i32 = -1;

/// The exit code of this process, if it is a forked one that ends.
static CODE: AtomicI32 = AtomicI32::new(NONE);

/// The logs of this worker. Exit functions may still write to them.
static LOGS: Mutex<Option<Arc<WorkerLogs>>> = Mutex::new(None);

/// Keeps the logs of a worker until its end.
pub(crate) fn keep_logs(logs: &Arc<WorkerLogs>) {
    *LOGS.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(logs));
}

/// From now on this process ends with this code.
pub(crate) fn begin(py: Python<'_>, code: i32) {
    CODE.store(code, Ordering::SeqCst);
    // The interpreter calls it when all frames have unwound, before anything is torn down.
    let prepared = PyCFunction::new_closure(py, None, None, move |args, _| end(args.py(), code))
        .and_then(|end| py.import("threading")?.setattr("_shutdown", end));
    if prepared.is_err() {
        end(py, code);
    }
}

/// What the function that a program called for the server returns: its exit code. In a forked process that ends, the program
/// must not go on behind that call.
///
/// # Errors
/// `SystemExit`, in such a process.
pub(crate) fn outcome(code: i32) -> PyResult<i32> {
    match CODE.load(Ordering::SeqCst) {
        NONE => Ok(code),
        code => Err(PySystemExit::new_err(code)),
    }
}

fn end(py: Python<'_>, code: i32) {
    application::finish(py);
    if let Some(logs) = LOGS.lock().unwrap_or_else(PoisonError::into_inner).take() {
        logs.flush(py);
    }
    process::exit_now(code);
}
