//! `start_response` and the `write` that it returns (PEP 3333, "The start_response() Callable").
#![allow(
    unsafe_code,
    reason = "`write` must reach the response of the running call, whose lifetime Python cannot express"
)]

use std::cell::Cell;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;

use crate::forked;
use farrier_http::{Flush, Respond, ResponseHead, SendError};
use pyo3::exceptions::{PyAssertionError, PyConnectionError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::types::{PyBytes, PyList, PyString, PyTuple};

/// The state of one call of the application, shared by `start_response`, `write` and the bridge.
pub(crate) struct Started {
    pub(crate) head: ResponseHead,
    /// `start_response` was called.
    pub(crate) called: bool,
    /// The head was given to the response: it can no longer be replaced here.
    pub(crate) given: bool,
    /// `write` was used, so the content's length is not known from the iterable.
    pub(crate) written: bool,
    respond: Option<Running>,
}

/// The response of the running call.
struct Running {
    respond: NonNull<dyn Respond>,
    thread: ThreadId,
}

// SAFETY: the pointer is only followed on the thread that made it (`thread` is compared first).
unsafe impl Send for Running {}

thread_local! {
    /// The response of the call that runs on this thread.
    static RUNNING: Cell<Option<NonNull<dyn Respond>>> = const { Cell::new(None) };
}

/// As long as it lives, [`with_running`] reaches the response on the calling thread.
pub(crate) struct Reachable(PhantomData<*const ()>);

impl Reachable {
    /// Makes the response of the calling thread reachable. The value must be dropped before `respond` ends, and `respond`
    /// may only be used outside the application meanwhile.
    pub(crate) fn new(respond: &mut (dyn Respond + '_)) -> Reachable {
        let respond: NonNull<dyn Respond + '_> = NonNull::from(respond);
        // SAFETY: only the lifetime changes; the drop of the value, which cannot leave this thread, removes the pointer.
        let respond: NonNull<dyn Respond> = unsafe { std::mem::transmute(respond) };
        RUNNING.set(Some(respond));
        Reachable(PhantomData)
    }
}

impl Drop for Reachable {
    fn drop(&mut self) {
        RUNNING.set(None);
    }
}

/// Gives the response of the call that runs on the calling thread to `with`, which must not call the application; `None` if
/// none runs there.
pub(crate) fn with_running<T>(with: impl FnOnce(&mut dyn Respond) -> T) -> Option<T> {
    let mut respond = RUNNING.get().filter(|_| !forked::is_child())?;
    // SAFETY: the pointer is this thread's own, and `Reachable` removes it before the response ends. The bridge does not use
    // the response while the application runs, and only the application can have come here.
    Some(with(unsafe { respond.as_mut() }))
}

/// The callable.
#[pyclass(frozen, module = "farrier", name = "StartResponse")]
pub(crate) struct StartResponse {
    started: Mutex<Started>,
}

impl StartResponse {
    /// A callable for one call. [`StartResponse::end`] must be called before `respond` ends.
    pub(crate) fn new(head: ResponseHead, respond: &mut (dyn Respond + '_)) -> StartResponse {
        let respond: NonNull<dyn Respond + '_> = NonNull::from(respond);
        // SAFETY: only the lifetime changes. `end` removes the pointer before the response ends, and it is only
        // followed on the thread that is inside the call.
        let respond: NonNull<dyn Respond> = unsafe { std::mem::transmute(respond) };
        let respond = Some(Running { respond, thread: std::thread::current().id() });
        StartResponse { started: Mutex::new(Started { head, called: false, given: false, written: false, respond }) }
    }

    /// Detached while it waits: the thread that holds the lock may have to attach first.
    pub(crate) fn lock(&self, py: Python<'_>) -> MutexGuard<'_, Started> {
        self.started.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the call: callables that the application kept have no effect any more. Returns the head for reuse.
    pub(crate) fn end(&self, py: Python<'_>) -> ResponseHead {
        let mut started = self.lock(py);
        started.respond = None;
        std::mem::take(&mut started.head)
    }
}

#[pymethods]
impl StartResponse {
    #[pyo3(signature = (status, headers, exc_info = None, /))]
    fn __call__<'py>(
        slf: &Bound<'py, Self>,
        status: &Bound<'py, PyAny>,
        headers: &Bound<'py, PyAny>,
        exc_info: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Write> {
        let mut started = slf.get().lock(slf.py());
        match exc_info {
            Some(exc_info) if started.given && started.head_sent() => {
                // Reading it may run code of the application's, which may call this again.
                drop(started);
                return Err(raised(exc_info)?);
            }
            Some(_) => {}
            None if started.called => {
                return Err(PyAssertionError::new_err(
                    "start_response was called a second time without exc_info (PEP 3333)",
                ));
            }
            None => {}
        }
        if started.respond.is_none() {
            return Err(PyRuntimeError::new_err("start_response was called after its request had ended"));
        }
        fill(&mut started.head, status, headers)?;
        started.called = true;
        started.given = false;
        drop(started);
        Ok(Write { of: slf.clone().unbind() })
    }
}

impl Started {
    fn head_sent(&self) -> bool {
        match &self.respond {
            // SAFETY: on the call's own thread the response is alive until `end`; elsewhere it is not looked at.
            Some(running) if running.thread == std::thread::current().id() => unsafe {
                running.respond.as_ref().head_sent()
            },
            _ => true,
        }
    }
}

/// The callable that `start_response` returns: unbuffered output for old applications.
#[pyclass(frozen, module = "farrier", name = "Write")]
pub(crate) struct Write {
    of: Py<StartResponse>,
}

#[pymethods]
impl Write {
    fn __call__(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = data.cast::<PyBytes>().map_err(|_| not_bytes(data, "write()"))?;
        if data.as_bytes().is_empty() {
            return Ok(());
        }
        if forked::is_child() {
            return Err(PyConnectionError::new_err(
                "the application has forked this process: only its parent answers the client",
            ));
        }
        let (mut respond, head) = {
            let mut started = self.of.get().lock(data.py());
            let respond = match &started.respond {
                Some(running) if running.thread == std::thread::current().id() => running.respond,
                Some(_) => {
                    return Err(PyRuntimeError::new_err("write() must be called on the thread of its request"));
                }
                None => return Err(PyRuntimeError::new_err("write() was called after its request had ended")),
            };
            started.written = true;
            let head = (!std::mem::replace(&mut started.given, true)).then(|| std::mem::take(&mut started.head));
            (respond, head)
        };
        // SAFETY: this is the call's own thread and `end` has not been called, so the response is alive. The bridge
        // does not use it while the application runs, and the application runs here.
        let respond = unsafe { respond.as_mut() };
        if let Some(head) = head {
            respond.head(&head, None);
        }
        match respond.send(data.as_bytes(), Flush::Now) {
            Ok(()) => Ok(()),
            Err(SendError::Full) => Err(PyValueError::new_err("more was written than the Content-Length allows")),
            Err(SendError::Gone) => Err(PyConnectionError::new_err("the client has left")),
        }
    }
}

/// Copies status and headers: later changes of the list by the application have no effect.
fn fill(head: &mut ResponseHead, status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let status = status
        .cast::<PyString>()
        .map_err(|_| PyTypeError::new_err(format!("the status must be a str, not {}", type_name(status))))?;
    with_latin1(status, |status| head.restart(status))?.map_err(refused)?;
    add_fields(head, headers)
}

/// Adds headers, in the form of `start_response`, to a head.
pub(crate) fn add_fields(head: &mut ResponseHead, headers: &Bound<'_, PyAny>) -> PyResult<()> {
    let headers = headers
        .cast::<PyList>()
        .map_err(|_| PyTypeError::new_err(format!("the headers must be a list, not {}", type_name(headers))))?;
    for header in headers.iter() {
        let pair = header
            .cast::<PyTuple>()
            .ok()
            .filter(|pair| pair.len() == 2)
            .ok_or_else(|| PyTypeError::new_err("each header must be a tuple of a name and a value"))?;
        let (name, value) = (pair.get_item(0)?, pair.get_item(1)?);
        let name = name
            .cast::<PyString>()
            .map_err(|_| PyTypeError::new_err(format!("a header's name must be a str, not {}", type_name(&name))))?;
        let value = value.cast::<PyString>().map_err(|_| {
            // Not the text that a subclass makes of itself: its code may call `start_response`, whose lock is held.
            let name = name.to_string_lossy();
            PyTypeError::new_err(format!("the value of header {name} must be a str, not {}", type_name(&value)))
        })?;
        with_latin1(name, |name| with_latin1(value, |value| head.add(name, value)))??.map_err(refused)?;
    }
    Ok(())
}

/// Calls `with` with the string's latin-1 bytes (PEP 3333, "A Note On String Types").
fn with_latin1<T>(string: &Bound<'_, PyString>, with: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    let text = string.to_str()?;
    if text.is_ascii() {
        return Ok(with(text.as_bytes()));
    }
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        bytes.push(u8::try_from(u32::from(character)).map_err(|_| {
            PyValueError::new_err("status and headers may only hold characters up to U+00FF (PEP 3333)")
        })?);
    }
    Ok(with(&bytes))
}

pub(crate) fn refused(error: farrier_http::Error) -> PyErr {
    PyValueError::new_err(error.cause.into_owned())
}

/// The exception of an `exc_info` tuple, with its traceback.
fn raised(exc_info: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    let value = exc_info.get_item(1)?;
    Ok(PyErr::from_value(value))
}

/// The error for content that is not bytes.
pub(crate) fn not_bytes(item: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let hint = if item.is_instance_of::<PyString>() { "; encode it, for instance with .encode()" } else { "" };
    PyTypeError::new_err(format!("{what} must be bytes, not {}{hint}", type_name(item)))
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map(|name| name.to_string()).unwrap_or_default()
}
