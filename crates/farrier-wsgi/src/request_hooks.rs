//! Calls the hooks `pre_request` and `post_request`, and makes their arguments. Used only if one is set.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use farrier_http::{
    Bytes, Field, Flush, Peer, Request, RequestHead, Respond, ResponseHead, Scheme, SendError, Span, Version,
};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::call::{Failure, WsgiHandler};
use crate::names::latin1;
use crate::traceback;

/// The hooks around each request of a worker.
pub struct RequestHooks {
    /// `pre_request(worker, req)`.
    pub pre_request: Option<Py<PyAny>>,
    /// `post_request(worker, req, environ, resp)`.
    pub post_request: Option<Py<PyAny>>,
    /// `access(resp, req, environ, request_time)` of a logger that writes its own access lines.
    pub access: Option<Py<PyAny>>,
    /// How many of the four arguments `post_request` takes.
    pub post_request_arguments: usize,
    /// The hooks' `worker` object.
    pub worker: Py<PyAny>,
    /// Makes the hooks' `req` from a request's facts. It has a method `apply_to` that copies changes by `pre_request`
    /// into an environ.
    pub request_class: Py<PyAny>,
    /// Requests that were begun.
    pub requests: Arc<AtomicU64>,
}

impl RequestHooks {
    /// Calls the application between the two hooks.
    pub(crate) fn around(
        &self,
        py: Python<'_>,
        handler: &WsgiHandler,
        request: &mut Request,
        respond: &mut dyn Respond,
    ) -> Result<(), Failure> {
        let is_head = request.method() == b"HEAD";
        let (environ, head) = handler.prepare(py, request)?;
        // The content is one stream, shared by hooks and application.
        let body = environ.get_item("wsgi.input")?.map(Bound::unbind);
        let req = self.request_class.bind(py).call1((RequestFacts::of(request, body),))?;
        let admitted = self.admit(py, &req, &environ);
        let started = Instant::now();
        let mut watched = Watched { inner: respond, seen: None, sent: 0, is_head };
        let (result, environ, resp) = match admitted {
            Ok(()) => {
                self.requests.fetch_add(1, Ordering::Relaxed);
                let result = handler.run(py, &environ, head, &mut watched);
                handler.note(&environ, request);
                let resp = ResponseFacts::of(watched, matches!(result, Err(Failure::Raised(_))));
                let resp = Bound::new(py, resp)?.into_any();
                if let Some(access) = &self.access
                    && let Err(raised) = access.call1(py, (&resp, &req, &environ, started.elapsed()))
                {
                    let text = format!("Exception in the logger's access()\n{}", traceback::text(py, &raised));
                    handler.diagnostics().application_failed(&text);
                }
                (result, environ, Some(resp))
            }
            Err(raised) => (Err(Failure::Raised(raised)), PyDict::new(py), None),
        };
        if let Some(hook) = &self.post_request
            && let Err(raised) = self.call_post_request(py, hook, req, environ, resp)
        {
            let text = format!("Exception in post_request hook\n{}", traceback::text(py, &raised));
            handler.diagnostics().application_failed(&text);
        }
        result
    }

    fn admit(&self, py: Python<'_>, req: &Bound<'_, PyAny>, environ: &Bound<'_, PyDict>) -> PyResult<()> {
        let Some(hook) = &self.pre_request else { return Ok(()) };
        hook.bind(py).call1((&self.worker, req))?;
        req.call_method1(pyo3::intern!(py, "apply_to"), (environ,))?;
        Ok(())
    }

    fn call_post_request<'py>(
        &self,
        py: Python<'py>,
        hook: &Py<PyAny>,
        req: Bound<'py, PyAny>,
        environ: Bound<'py, PyDict>,
        resp: Option<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        let resp = resp.into_pyobject(py)?.into_any();
        let arguments = [self.worker.bind(py).clone(), req, environ.into_any(), resp];
        let count = self.post_request_arguments.min(arguments.len());
        hook.bind(py).call1(PyTuple::new(py, &arguments[..count])?)?;
        Ok(())
    }
}

/// A request for hooks: a copy of its head, so that it may outlive the call.
#[pyclass(frozen, module = "farrier", name = "RequestFacts")]
struct RequestFacts {
    bytes: Vec<u8>,
    head: RequestHead,
    peer: Peer,
    scheme: Scheme,
    body: Option<Py<PyAny>>,
}

impl RequestFacts {
    fn of(request: &Request, body: Option<Py<PyAny>>) -> RequestFacts {
        let RequestHead { method, target, form, path, query, version, host, framing, keep_alive, .. } = request.head;
        let head = RequestHead {
            method,
            target,
            form,
            path,
            query,
            version,
            host,
            framing,
            keep_alive,
            fields: request.head.fields.clone(),
            ..RequestHead::default()
        };
        // Spans count from the arena's start.
        let bytes = request.arena.filled().get(..request.head.bytes).unwrap_or(request.arena.filled()).to_vec();
        RequestFacts { bytes, head, peer: request.origin.peer, scheme: request.origin.scheme, body }
    }

    fn text<'py>(&self, py: Python<'py>, span: Span) -> Bound<'py, PyString> {
        latin1(py, self.bytes.get(span.range()).unwrap_or_default())
    }
}

#[pymethods]
impl RequestFacts {
    #[getter]
    fn method<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.text(py, self.head.method).into_any()
    }

    /// The target as received.
    #[getter]
    fn uri<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.text(py, self.head.target).into_any()
    }

    /// The path as received, percent-encoded.
    #[getter]
    fn path<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.text(py, self.head.path).into_any()
    }

    #[getter]
    fn query<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.text(py, self.head.query).into_any()
    }

    /// All fields in the order received: names in upper case.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let pair = |field: &Field| {
            let name = self.bytes.get(field.name.range()).unwrap_or_default().to_ascii_uppercase();
            (latin1(py, &name), self.text(py, field.value))
        };
        PyList::new(py, self.head.fields.iter().map(pair))
    }

    #[getter]
    fn version(&self) -> (u8, u8) {
        match self.head.version {
            Version::Http10 => (1, 0),
            Version::Http11 => (1, 1),
            Version::Http2 => (2, 0),
        }
    }

    /// Address and port, or an empty text for a unix socket.
    #[getter]
    fn peer_addr(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.peer {
            Peer::Tcp(address) => Ok((address.ip().to_string(), address.port()).into_pyobject(py)?.into_any().unbind()),
            Peer::Unix => Ok("".into_pyobject(py)?.into_any().unbind()),
        }
    }

    #[getter]
    fn scheme(&self) -> &'static str {
        self.scheme.as_str()
    }

    /// The content: the same stream as `wsgi.input`.
    #[getter]
    fn body(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.body.as_ref().map(|body| body.clone_ref(py))
    }

    /// Whether the client wants the connection closed.
    fn should_close(&self) -> bool {
        !self.head.keep_alive
    }
}

/// A response during sending: records the data for `post_request`.
struct Watched<'a> {
    inner: &'a mut dyn Respond,
    seen: Option<Seen>,
    sent: u64,
    is_head: bool,
}

/// A response's head, as set by the application.
struct Seen {
    code: u16,
    status: Vec<u8>,
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    length: Option<u64>,
}

impl Seen {
    fn of(head: &ResponseHead, length: Option<u64>) -> Seen {
        let mut status = format!("{} ", head.status().0).into_bytes();
        status.extend_from_slice(head.reason());
        let mut fields: Vec<_> = head.fields().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        if let Some(declared) = head.content_length() {
            fields.push((b"Content-Length".to_vec(), declared.to_string().into_bytes()));
        }
        Seen { code: head.status().0, status, fields, length: head.content_length().or(length) }
    }
}

impl Watched<'_> {
    fn note_sent(&mut self, chunk: &[u8], sent: Result<(), SendError>) -> Result<(), SendError> {
        self.sent = match (&sent, self.seen.as_ref().and_then(|seen| seen.length)) {
            (Ok(()), _) => self.sent + chunk.len() as u64,
            (Err(SendError::Full), Some(length)) => length,
            _ => self.sent,
        };
        sent
    }
}

impl Respond for Watched<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.seen = Some(Seen::of(head, length));
        self.inner.head(head, length);
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.inner.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        self.inner.inform(interim)
    }

    fn head_sent(&self) -> bool {
        self.inner.head_sent()
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        let sent = self.inner.send(chunk, flush);
        self.note_sent(chunk, sent)
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        let sent = self.inner.send_shared(chunk, flush, keep);
        self.note_sent(chunk, sent)
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        self.inner.send_file(file, offset, bytes)?;
        self.sent += bytes;
        Ok(())
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.inner.trailers(trailers);
    }

    fn finish(&mut self) {
        self.inner.finish();
    }

    fn client_gone(&self) -> bool {
        self.inner.client_gone()
    }
}

/// A response for hooks.
#[pyclass(frozen, dict, module = "farrier", name = "Response")]
struct ResponseFacts {
    seen: Option<Seen>,
    sent: u64,
    headers_sent: bool,
}

impl ResponseFacts {
    /// The outcome of a response. If the application failed before anything was sent, the server sends its own
    /// response.
    fn of(watched: Watched<'_>, failed: bool) -> ResponseFacts {
        let headers_sent = watched.inner.head_sent();
        let sent = if watched.is_head { 0 } else { watched.sent };
        if failed && !headers_sent {
            let status = b"500 Internal Server Error".to_vec();
            let seen = Some(Seen { code: 500, status, fields: Vec::new(), length: None });
            return ResponseFacts { seen, sent: 0, headers_sent };
        }
        ResponseFacts { seen: watched.seen, sent, headers_sent }
    }
}

#[pymethods]
impl ResponseFacts {
    /// Code and reason, for example `200 OK`; `None` if the application set no head.
    #[getter]
    fn status<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.seen.as_ref().map(|seen| latin1(py, &seen.status).into_any())
    }

    #[getter]
    fn status_code(&self) -> Option<u16> {
        self.seen.as_ref().map(|seen| seen.code)
    }

    /// Names and values as the application gave them.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let fields = self.seen.iter().flat_map(|seen| &seen.fields);
        PyList::new(py, fields.map(|(name, value)| (latin1(py, name), latin1(py, value))))
    }

    /// Bytes of content that were sent.
    #[getter]
    fn sent(&self) -> u64 {
        self.sent
    }

    /// The content's length in bytes, if it was known before.
    #[getter]
    fn response_length(&self) -> Option<u64> {
        self.seen.as_ref().and_then(|seen| seen.length)
    }

    #[getter]
    fn headers_sent(&self) -> bool {
        self.headers_sent
    }
}
