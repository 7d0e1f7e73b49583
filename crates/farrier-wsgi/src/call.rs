//! Calls the application and turns what it returns into a response (PEP 3333, "Specification Details").

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farrier_http::{BodyMode, Bytes, Error, Flush, Handler, Plan, Request, Respond, ResponseHead, SendError};
use pyo3::exceptions::{PyAssertionError, PyOSError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyIterator, PyList, PyTuple};

use crate::environ::{Environs, Surroundings};
use crate::error_stream::Diagnostics;
use crate::file_wrapper::FileWrapper;
use crate::request_hooks::RequestHooks;
use crate::start_response::{Reachable, StartResponse, not_bytes};
use crate::{forked, notes, overdue, websocket_note};

/// Answers requests by calling a WSGI application.
pub struct WsgiHandler {
    application: Py<PyAny>,
    surroundings: Surroundings,
    hooks: Option<Arc<RequestHooks>>,
    /// The number of this handler in the process: each has its own entry in a seat's cache.
    number: usize,
    body_mode: BodyMode,
}

/// A seat's cached objects, so that seats share no Python object on the hot path.
struct SeatLocal {
    environs: Environs,
    head: ResponseHead,
}

thread_local! {
    /// Indexed by the handlers' numbers.
    static SEAT: RefCell<Vec<Option<SeatLocal>>> = const { RefCell::new(Vec::new()) };
}

/// The number of the next handler.
static NEXT: AtomicUsize = AtomicUsize::new(0);

impl WsgiHandler {
    /// A handler for the application.
    pub fn new(application: Py<PyAny>, surroundings: Surroundings) -> WsgiHandler {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        WsgiHandler { application, surroundings, hooks: None, number, body_mode: BodyMode::Buffered }
    }

    /// The same handler with hooks around each request.
    pub fn with_hooks(self, hooks: Option<Arc<RequestHooks>>) -> WsgiHandler {
        WsgiHandler { hooks, ..self }
    }

    /// The same handler, called before a request's content has arrived or after.
    pub fn with_body(self, body_mode: BodyMode) -> WsgiHandler {
        WsgiHandler { body_mode, ..self }
    }

    pub(crate) fn diagnostics(&self) -> &dyn Diagnostics {
        &*self.surroundings.diagnostics
    }

    fn call(&self, py: Python<'_>, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Failure> {
        websocket_note::note(request, self.diagnostics());
        if let Some(hooks) = &self.hooks {
            return hooks.around(py, self, request, respond);
        }
        let (environ, head) = self.prepare(py, request)?;
        let result = self.run(py, &environ, head, respond);
        self.note(&environ, request);
        result
    }

    fn called(&self, py: Python<'_>, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Failure> {
        let result = self.call(py, request, respond);
        // A hook around the call may have forked.
        let raised = result.as_ref().err().and_then(Failure::raised);
        forked::end_if_child(py, self.diagnostics(), raised);
        result
    }

    /// Records the entries of an environ for the access log.
    pub(crate) fn note(&self, environ: &Bound<'_, PyDict>, request: &mut Request) {
        if !self.surroundings.noted.is_empty() {
            notes::note(environ, &self.surroundings.noted, request);
        }
    }

    /// A request's environ, and a head to fill.
    pub(crate) fn prepare<'py>(
        &self,
        py: Python<'py>,
        request: &mut Request,
    ) -> PyResult<(Bound<'py, PyDict>, ResponseHead)> {
        SEAT.with_borrow_mut(|locals| {
            if locals.len() <= self.number {
                locals.resize_with(self.number + 1, || None);
            }
            let local = match &mut locals[self.number] {
                Some(local) => local,
                local => local.insert(SeatLocal {
                    environs: Environs::new(py, &self.surroundings)?,
                    head: ResponseHead::default(),
                }),
            };
            Ok((local.environs.make(py, request)?, std::mem::take(&mut local.head)))
        })
    }

    /// Calls the application and sends its response.
    pub(crate) fn run(
        &self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        head: ResponseHead,
        respond: &mut dyn Respond,
    ) -> Result<(), Failure> {
        let _reachable = Reachable::new(respond);
        let start_response = Bound::new(py, StartResponse::new(head, respond))?;
        let called = self.application.bind(py).call1((environ, &start_response));
        forked::end_if_child(py, self.diagnostics(), called.as_ref().err());
        let result = called.map_err(Failure::from).and_then(|iterable| {
            let answer = Answer { py, start_response: &start_response, diagnostics: self.diagnostics() };
            let sent = answer.give(&iterable, respond);
            // PEP 3333: close() is called exactly once, even after an error.
            let closed = close(&iterable);
            forked::end_if_child(py, self.diagnostics(), closed.as_ref().err());
            match (sent, closed) {
                (Err(failure), Err(raised)) => {
                    self.note_close(py, &failure, &raised);
                    Err(failure)
                }
                (sent, closed) => sent.and(closed.map_err(Failure::from)),
            }
        });
        let head = start_response.get().end(py);
        SEAT.with_borrow_mut(|locals| {
            if let Some(Some(local)) = locals.get_mut(self.number) {
                local.head = head;
            }
        });
        result
    }
}

impl WsgiHandler {
    /// Logs what `close()` raised after an earlier failure, which the caller reports.
    #[cold]
    fn note_close(&self, py: Python<'_>, failure: &Failure, raised: &PyErr) {
        // The overdue watch has logged its exception, which may be raised at any place.
        if overdue::is_request_timeout(py, raised) {
            return;
        }
        let text = match failure {
            Failure::Raised(_) => "Error in close() of the application's iterable, after the error that follows",
            Failure::ClientGone => "Error in close() of the application's iterable, after its client had left",
        };
        self.diagnostics().application_raised(py, text, raised);
    }
}

impl Handler for WsgiHandler {
    fn plan(&self, _: &mut Request) -> Plan {
        Plan::Seat(self.body_mode)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        Python::attach(|py| match self.called(py, request, respond) {
            Ok(()) => Ok(()),
            // It was logged when it was raised.
            Err(Failure::Raised(raised)) if overdue::is_request_timeout(py, &raised) => Err(Error::application("")),
            // The client's fault, which the application has passed on.
            Err(Failure::Raised(raised)) if is_content_fault(py, request, &raised) => Err(request
                .content_fault
                .as_ref()
                .and_then(|fault| fault.get().cloned())
                .unwrap_or(Error::application(""))),
            Err(Failure::Raised(raised)) => {
                let text = format!(
                    "Error handling request {} {}",
                    String::from_utf8_lossy(request.method()),
                    request.target().escape_ascii()
                );
                self.surroundings.diagnostics.application_raised(py, &text, &raised);
                // No cause: the log already has the exception, with its traceback.
                Err(Error::application(""))
            }
            Err(Failure::ClientGone) => Ok(()),
        })
    }
}

/// The error for an object that cannot be iterated. A coroutine gets a text of its own: an asynchronous function looks like
/// an application until it is called.
#[cold]
fn not_iterable(object: &Bound<'_, PyAny>, raised: PyErr) -> PyErr {
    let is_coroutine = object.get_type().name().is_ok_and(|name| name == "coroutine");
    if is_coroutine {
        PyTypeError::new_err(
            "the application returned a coroutine, which WSGI does not know: serve an ASGI application with an ASGI server, or \
             convert it with the package a2wsgi",
        )
    } else {
        raised
    }
}

/// Whether the application raised because its request's streamed content failed.
fn is_content_fault(py: Python<'_>, request: &Request, raised: &PyErr) -> bool {
    let has_failed = request.content_fault.as_ref().is_some_and(|fault| fault.get().is_some());
    has_failed && raised.is_instance_of::<PyOSError>(py)
}

/// Why a call did not end normally.
pub(crate) enum Failure {
    /// The application raised, or broke a rule.
    Raised(PyErr),
    /// The client is gone; the response knows why.
    ClientGone,
}

impl Failure {
    fn raised(&self) -> Option<&PyErr> {
        match self {
            Failure::Raised(raised) => Some(raised),
            Failure::ClientGone => None,
        }
    }
}

impl From<PyErr> for Failure {
    fn from(raised: PyErr) -> Failure {
        Failure::Raised(raised)
    }
}

/// The sending of one iterable to the client.
struct Answer<'a, 'py> {
    py: Python<'py>,
    start_response: &'a Bound<'py, StartResponse>,
    diagnostics: &'a dyn Diagnostics,
}

impl<'py> Answer<'_, 'py> {
    fn give(&self, iterable: &Bound<'py, PyAny>, respond: &mut dyn Respond) -> Result<(), Failure> {
        let result = if let Ok(list) = iterable.cast_exact::<PyList>() {
            self.give_items(list.len(), |index| list.get_item(index), respond)
        } else if let Ok(tuple) = iterable.cast_exact::<PyTuple>() {
            self.give_items(tuple.len(), |index| tuple.get_item(index), respond)
        } else if let Ok(wrapper) = iterable.cast_exact::<FileWrapper>() {
            self.give_file(wrapper, respond)
        } else {
            self.give_each(iterable, respond)
        };
        match result {
            Ok(()) => {
                respond.finish();
                Ok(())
            }
            // The declared length is reached; the response is complete.
            Err(Stop::Send(SendError::Full)) => {
                respond.finish();
                Ok(())
            }
            Err(Stop::Send(SendError::Gone)) => Err(Failure::ClientGone),
            Err(Stop::Raised(raised)) => Err(Failure::Raised(raised)),
        }
    }

    /// A list or tuple: all content is there, so the length is known and everything is sent together.
    fn give_items(
        &self,
        count: usize,
        item: impl Fn(usize) -> PyResult<Bound<'py, PyAny>>,
        respond: &mut dyn Respond,
    ) -> Result<(), Stop> {
        if count == 1 {
            let item = item(0)?;
            let chunk = item.cast::<PyBytes>().map_err(|_| not_bytes(&item, "each item of the iterable"))?;
            self.give_head(respond, Some(chunk.as_bytes().len() as u64))?;
            return Ok(respond.send_shared(chunk.as_bytes(), Flush::Later, &mut || lasting(chunk))?);
        }
        // References are held while they are sent: the application could change its list.
        let mut chunks = Vec::with_capacity(count);
        let mut length = 0;
        for index in 0..count {
            let item = item(index)?;
            let chunk = item
                .cast_into::<PyBytes>()
                .map_err(|error| not_bytes(&error.into_inner(), "each item of the iterable"))?;
            length += chunk.as_bytes().len() as u64;
            chunks.push(chunk);
        }
        self.give_head(respond, Some(length))?;
        for chunk in &chunks {
            respond.send_shared(chunk.as_bytes(), Flush::Later, &mut || lasting(chunk))?;
        }
        Ok(())
    }

    /// Any other iterable: each item is sent before the next is requested (PEP 3333, "Buffering and Streaming").
    fn give_each(&self, iterable: &Bound<'py, PyAny>, respond: &mut dyn Respond) -> Result<(), Stop> {
        if iterable.is_instance_of::<PyBytes>() {
            return Err(
                PyAssertionError::new_err("the application returned bytes; return a list that holds them").into()
            );
        }
        let single = iterable.len().is_ok_and(|length| length == 1);
        let mut items = iterable.try_iter().map_err(|raised| not_iterable(iterable, raised))?;
        let mut next = self.next(&mut items)?;
        let mut given = false;
        while let Some(item) = next.take() {
            let object = item.cast::<PyBytes>().map_err(|_| not_bytes(&item, "each item of the iterable"))?;
            let chunk = object.as_bytes();
            if chunk.is_empty() {
                next = self.next(&mut items)?;
                continue;
            }
            if !given && single {
                // PEP 3333, "Handling the Content-Length Header": `len()` of 1 gives the length, if there is no second
                // item.
                next = self.next(&mut items)?;
                self.give_head(respond, next.is_none().then_some(chunk.len() as u64))?;
            } else if !given {
                self.give_head(respond, None)?;
            }
            let first = !std::mem::replace(&mut given, true);
            respond.send_shared(chunk, Flush::Now, &mut || lasting(object))?;
            if respond.client_gone() {
                return Err(Stop::Send(SendError::Gone));
            }
            if !(first && single) {
                next = self.next(&mut items)?;
            }
        }
        if !given {
            self.give_head(respond, Some(0))?;
        }
        Ok(())
    }

    /// The next item. Code of the application makes it, which may fork.
    fn next(&self, items: &mut Bound<'py, PyIterator>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let next = items.next().transpose();
        forked::end_if_child(self.py, self.diagnostics, next.as_ref().err());
        next
    }

    /// A wrapped file: sent by the kernel if it is a regular one.
    fn give_file(&self, wrapper: &Bound<'py, FileWrapper>, respond: &mut dyn Respond) -> Result<(), Stop> {
        let Some(stretch) = wrapper.get().stretch(self.py) else { return self.give_each(wrapper.as_any(), respond) };
        let declared = self.start_response.get().lock(self.py).head.content_length();
        let bytes = declared.map_or(stretch.bytes, |declared| declared.min(stretch.bytes));
        self.give_head(respond, Some(bytes))?;
        Ok(respond.send_file(Arc::new(stretch.file), stretch.offset, bytes)?)
    }

    /// Sets the head. It has the length of the content if nothing was written before.
    fn give_head(&self, respond: &mut dyn Respond, length: Option<u64>) -> Result<(), Stop> {
        let mut started = self.start_response.get().lock(self.py);
        if !started.called {
            return Err(PyAssertionError::new_err(
                "the application gave content before it called start_response (PEP 3333)",
            )
            .into());
        }
        if !std::mem::replace(&mut started.given, true) {
            respond.head(&started.head, length);
        }
        Ok(())
    }
}

/// Why the rest of the iterable is not needed.
enum Stop {
    Raised(PyErr),
    Send(SendError),
}

impl From<PyErr> for Stop {
    fn from(raised: PyErr) -> Stop {
        Stop::Raised(raised)
    }
}

impl From<SendError> for Stop {
    fn from(error: SendError) -> Stop {
        Stop::Send(error)
    }
}

/// The content of a bytes object, which lives as long as any of it has to wait for the client. It may be dropped by a thread
/// that is not attached: the object is then given back when some thread is. An object of a subclass is copied: letting go of it
/// could run code of the application's.
fn lasting(chunk: &Bound<'_, PyBytes>) -> Bytes {
    if chunk.is_exact_instance_of::<PyBytes>() {
        Bytes::from_owner(PyBackedBytes::from(chunk.clone()))
    } else {
        Bytes::copy_from_slice(chunk.as_bytes())
    }
}

fn close(iterable: &Bound<'_, PyAny>) -> PyResult<()> {
    if iterable.is_exact_instance_of::<PyList>() || iterable.is_exact_instance_of::<PyTuple>() {
        return Ok(());
    }
    match iterable.getattr_opt(pyo3::intern!(iterable.py(), "close"))? {
        Some(close) => close.call0().map(drop),
        None => Ok(()),
    }
}
