//! Calls that exceed `request_timeout`: the stacks of their threads, and the exception that is raised in them.

use std::ffi::c_ulong;

use pyo3::prelude::*;
use pyo3::types::{PyList, PyType};

use crate::seam;

/// The stacks of the interpreter's threads, those in `stuck` first. Waits for the interpreter without a limit.
///
/// # Arguments
///
/// `stuck` has the results of [`seam::thread_ident`] on these threads; `whole` includes all other threads.
pub fn stacks(stuck: &[u64], whole: bool) -> String {
    Python::attach(|py| {
        py.import("farrier._request_timeout")
            .and_then(|module| {
                module.call_method1("describe_threads", (PyList::new(py, stuck)?, whole))?.extract::<String>()
            })
            .unwrap_or_else(|raised| format!("(the threads' stacks cannot be read: {raised})"))
    })
}

/// Method and path of the request that a thread answers, if a frame of its stack has the environ. Waits for the interpreter
/// without a limit.
pub fn request_of(thread: u64) -> Option<String> {
    Python::attach(|py| {
        let module = py.import("farrier._request_timeout").ok()?;
        module.call_method1("request_of", (thread,)).ok()?.extract().ok()?
    })
}

/// Raises `farrier.RequestTimeout` in a thread.
///
/// # Arguments
///
/// `still` is called while attached and returns whether to interrupt the call still.
pub fn interrupt(thread: u64, still: &mut dyn FnMut() -> bool) {
    Python::attach(|py| {
        // Imported before `still` is called: an import could let other threads run.
        let Ok(class) = class(py) else { return };
        if still() {
            seam::raise_in(py, thread as c_ulong, Some(&class));
        }
    });
}

/// Cancels an exception for the calling thread that has not arrived.
pub fn clear_interrupt() {
    Python::attach(|py| seam::raise_in(py, seam::thread_ident() as c_ulong, None));
}

/// Whether an exception is the one that [`interrupt`] raises.
pub(crate) fn is_request_timeout(py: Python<'_>, raised: &PyErr) -> bool {
    class(py).is_ok_and(|class| raised.is_instance(py, &class))
}

fn class(py: Python<'_>) -> PyResult<Bound<'_, PyType>> {
    Ok(py.import("farrier._request_timeout")?.getattr("RequestTimeout")?.cast_into()?)
}
