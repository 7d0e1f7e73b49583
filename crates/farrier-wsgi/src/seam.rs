//! Attaches seats to CPython and detaches them. The only module that uses thread states.
//!
//! A seat is a thread that Python made. It is detached, except during the calls that it serves. Its thread state is
//! stored here, per thread, so that attaching is one call into CPython.
#![allow(unsafe_code, reason = "CPython's thread states have no safe interface that outlives a closure")]

use std::cell::Cell;
use std::io;
use std::ptr;
use std::sync::Mutex;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyType};

thread_local! {
    static STATE: Cell<*mut ffi::PyThreadState> = const { Cell::new(ptr::null_mut()) };
    static ATTACHED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a seat on the calling Python thread. `life` begins and ends detached.
pub fn inhabit<T: Send>(py: Python<'_>, life: impl FnOnce() -> T + Send) -> T {
    // SAFETY: the calling thread is attached (`py` proves it), so it has a current thread state.
    let state = unsafe { ffi::PyThreadState_Get() };
    let before = STATE.replace(state);
    let result = py.detach(move || {
        let result = life();
        detach();
        result
    });
    STATE.set(before);
    result
}

/// Attaches the calling seat, and waits without a limit. It has no effect if the thread is attached already, or is no
/// seat.
pub fn attach() {
    let state = STATE.get();
    if state.is_null() || ATTACHED.get() {
        return;
    }
    // SAFETY: the state belongs to this thread, which is inside `inhabit` (so the state is alive) and detached.
    unsafe { ffi::PyEval_RestoreThread(state) };
    ATTACHED.set(true);
}

/// Detaches the calling seat. It has no effect if the seat is not attached.
pub fn detach() {
    if ATTACHED.get() {
        ATTACHED.set(false);
        // SAFETY: the thread is attached with the state of this seat, which `attach` restored.
        unsafe { ffi::PyEval_SaveThread() };
    }
}

/// Runs `wait` detached, and attaches again if the seat was attached.
pub fn detached(wait: &mut dyn FnMut()) {
    if !ATTACHED.get() {
        wait();
        return;
    }
    ATTACHED.set(false);
    struct Waits<'a>(&'a mut dyn FnMut());
    // SAFETY: the closure runs on this thread. `Send` only guards against Python values in it, and the engine waits for
    // descriptors only.
    unsafe impl Send for Waits<'_> {}
    let waits = Waits(wait);
    Python::attach(|py| {
        py.detach(move || {
            let waits = waits;
            (waits.0)();
        });
    });
    ATTACHED.set(true);
}

/// Waits until the interpreter is available, on a thread that is no seat.
pub fn probe() {
    Python::attach(|_| ());
}

/// The number by which the interpreter knows the calling thread (`threading.get_ident`).
#[allow(clippy::useless_conversion, reason = "C's `long` has half the bits on some machines")]
pub fn thread_ident() -> u64 {
    // SAFETY: it only asks the system for the calling thread's own number; no thread state is needed.
    u64::from(unsafe { ffi::PyThread_get_thread_ident() })
}

/// Makes a thread raise an exception of this class when it next runs Python code; `None` cancels one that has not
/// arrived.
pub(crate) fn raise_in(_: Python<'_>, thread: std::ffi::c_ulong, class: Option<&Bound<'_, PyType>>) {
    let class = class.map_or(ptr::null_mut(), |class| class.as_ptr());
    // SAFETY: the calling thread is attached. `class` is null or an exception class that is alive during the call, and
    // CPython takes its own reference. For a number that is no thread's it does nothing.
    unsafe { ffi::PyThreadState_SetAsyncExc(thread as std::ffi::c_long, class) };
}

/// Lets the interpreter run handlers of pending signals, if the calling seat is the main thread.
pub fn run_signal_handlers() {
    attach();
    Python::attach(|py| {
        if let Err(raised) = py.check_signals() {
            raised.write_unraisable(py, None);
        }
    });
    detach();
}

/// Asks the interpreter to make a call on its main thread, attached, between two instructions of that thread's code.
/// The call is never made if that thread waits outside the interpreter. False: too many calls wait already, and this
/// one is dropped.
pub fn interrupt(call: Box<dyn FnOnce() + Send>) -> bool {
    extern "C" fn make(call: *mut std::ffi::c_void) -> std::ffi::c_int {
        // SAFETY: the pointer is that of `interrupt`, which gave it away; the interpreter makes each call once.
        let call = unsafe { Box::from_raw(call.cast::<Box<dyn FnOnce() + Send>>()) };
        // Unwinding must not reach the interpreter's frames; what panicked has printed why.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(call));
        0
    }
    let call = Box::into_raw(Box::new(call));
    // SAFETY: may be called by any thread, attached or not; `make` matches the pointer.
    if unsafe { ffi::Py_AddPendingCall(Some(make), call.cast()) } == 0 {
        return true;
    }
    // SAFETY: the interpreter did not take it, so it is still ours.
    drop(unsafe { Box::from_raw(call) });
    false
}

/// Starts a Python thread that runs a seat.
///
/// # Errors
/// Python cannot start a thread.
pub fn spawn(name: &str, life: Box<dyn FnOnce() + Send>) -> io::Result<()> {
    Python::attach(|py| -> PyResult<()> {
        let life = Mutex::new(Some(life));
        let target = PyCFunction::new_closure(py, None, None, move |args, _| {
            let life = life.lock().ok().and_then(|mut life| life.take());
            if let Some(life) = life {
                inhabit(args.py(), life);
            }
        })?;
        let options = PyDict::new(py);
        options.set_item("target", target)?;
        options.set_item("name", name)?;
        options.set_item("daemon", true)?;
        let thread = py.import("threading")?.getattr("Thread")?.call((), Some(&options))?;
        thread.call_method0("start")?;
        Ok(())
    })
    .map_err(|raised| io::Error::other(raised.to_string()))
}
