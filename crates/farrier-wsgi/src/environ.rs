//! The environ of a request (PEP 3333, "environ Variables"): a copy of a template, then the values of this request.

use std::net::IpAddr;
use std::sync::Arc;

use farrier_http::{Body, BodyFraming, KnownField, Peer, Request, Scheme, Seen, TargetForm, Version, percent};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::early_hints::EarlyHints;
use crate::error_stream::{Diagnostics, ErrorStream};
use crate::file_wrapper::FileWrapper;
use crate::gateway_variables::GatewayVariables;
use crate::input::Input;
use crate::names::{FieldKeys, Keys, LastValues, latin1};
use crate::secure_variables::SecureVariables;
use crate::send_trailers::SendTrailers;

/// The values of an environ that are the same for every request.
pub struct Surroundings {
    /// Listeners in the order of their ids.
    pub listeners: Vec<Listener>,
    /// More than one call may run at the same time in this process.
    pub multithread: bool,
    /// More than one process may serve the application.
    pub multiprocess: bool,
    /// The value of `SERVER_SOFTWARE`.
    pub server_software: String,
    /// `SCRIPT_NAME`, unless a proxy gives another: a path without a slash at its end, or empty.
    pub script_name: String,
    /// The path that the application is mounted at, decoded, without a slash at its end; empty for the root.
    pub mount: String,
    /// The target of `wsgi.errors`.
    pub diagnostics: Arc<dyn Diagnostics>,
    /// Entries of environ that the access log shows, names in lower case.
    pub noted: Vec<String>,
}

/// The name of a listener in an environ.
#[derive(Debug, Clone)]
pub struct Listener {
    /// `SERVER_NAME`: the address, or the path of a unix socket.
    pub server_name: String,
    /// `SERVER_PORT`: decimal; empty for a unix socket.
    pub server_port: String,
    /// The listener is a unix socket: name and port come from Host, if there is one.
    pub is_unix: bool,
}

/// Makes environs on one seat.
pub(crate) struct Environs {
    keys: Keys,
    fields: FieldKeys,
    last_values: LastValues,
    variables: GatewayVariables,
    secure_variables: SecureVariables,
    templates: Vec<Py<PyDict>>,
    methods: Vec<(&'static [u8], Py<PyString>)>,
    http10: Py<PyString>,
    http2: Py<PyString>,
    send_trailers: Py<SendTrailers>,
    https: Py<PyString>,
    on: Py<PyString>,
    last_peer: Option<(IpAddr, Py<PyString>)>,
    scratch: Vec<u8>,
    is_unix: Vec<bool>,
    script_name: Vec<u8>,
    mount: Vec<u8>,
}

impl Environs {
    /// # Errors
    /// Python is out of memory.
    pub(crate) fn new(py: Python<'_>, surroundings: &Surroundings) -> PyResult<Environs> {
        let keys = Keys::new(py);
        let mut templates = Vec::new();
        for listener in &surroundings.listeners {
            templates.push(template(py, &keys, surroundings, listener)?.unbind());
        }
        let methods = [&b"GET"[..], b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"];
        Ok(Environs {
            methods: methods.iter().map(|&method| (method, latin1(py, method).unbind())).collect(),
            http10: PyString::intern(py, "HTTP/1.0").unbind(),
            http2: PyString::intern(py, "HTTP/2").unbind(),
            send_trailers: Py::new(py, SendTrailers)?,
            https: PyString::intern(py, "https").unbind(),
            on: PyString::intern(py, "on").unbind(),
            fields: FieldKeys::new(py),
            last_values: LastValues::default(),
            variables: GatewayVariables::default(),
            secure_variables: SecureVariables::new(py),
            last_peer: None,
            scratch: Vec::new(),
            is_unix: surroundings.listeners.iter().map(|listener| listener.is_unix).collect(),
            script_name: surroundings.script_name.clone().into_bytes(),
            mount: surroundings.mount.clone().into_bytes(),
            keys,
            templates,
        })
    }

    /// The environ of a request, whose content it takes over.
    ///
    /// # Errors
    /// Python is out of memory.
    pub(crate) fn make<'py>(&mut self, py: Python<'py>, request: &mut Request) -> PyResult<Bound<'py, PyDict>> {
        let listener = usize::from(request.origin.listener.0).min(self.templates.len() - 1);
        let environ = self.templates[listener].bind(py).copy()?;
        let method = request.method();
        if method != b"GET" {
            let method = match self.methods.iter().find(|(known, _)| *known == method) {
                Some((_, string)) => string.bind(py).clone(),
                None => latin1(py, method),
            };
            environ.set_item(&self.keys.request_method, method)?;
        }
        if request.takes_trailers() {
            environ.set_item(&self.keys.send_trailers, &self.send_trailers)?;
        }
        match request.head.version {
            Version::Http11 => {}
            Version::Http10 => {
                environ.set_item(&self.keys.server_protocol, &self.http10)?;
                // The authority of an absolute target takes the place of a Host field (RFC 9112 §3.2.2).
                if !request.host().is_empty() && !request.head.seen.has_any(Seen::of(KnownField::Host)) {
                    environ.set_item(self.fields.known(py, KnownField::Host), latin1(py, request.host()))?;
                }
            }
            Version::Http2 => {
                environ.set_item(&self.keys.server_protocol, &self.http2)?;
                environ.set_item(&self.keys.gunicorns_send_trailers, &self.send_trailers)?;
            }
        }
        self.set_target(py, &environ, request)?;
        self.set_peer(py, &environ, request)?;
        self.set_fields(py, &environ, request)?;
        if self.is_unix[listener] && !request.head.gateway.has_server_name {
            self.set_server_from_host(py, &environ, request)?;
        }
        if request.came_through_gateway() {
            self.variables.set(py, &environ, request)?;
        }
        if request.origin.scheme == Scheme::Https {
            environ.set_item(&self.keys.url_scheme, &self.https)?;
            environ.set_item(&self.keys.https, &self.on)?;
        }
        if let Some(secure) = &request.secure {
            self.secure_variables.set(py, &environ, secure)?;
        }
        self.set_forwarded(py, &environ, request)?;
        let length = request.body.bytes();
        if let Body::Streamed(body) = &request.body {
            if let Some(length) = body.length_bytes() {
                environ.set_item(&self.keys.content_length, itoa::Buffer::new().format(length))?;
            }
            environ.set_item(&self.keys.input, Py::new(py, Input::of(py, request))?)?;
        // FastCGI content may have no declared length.
        } else if request.head.framing != BodyFraming::None || length > 0 {
            environ.set_item(&self.keys.content_length, itoa::Buffer::new().format(length))?;
            if length > 0 {
                environ.set_item(&self.keys.input, Py::new(py, Input::of(py, request))?)?;
            }
        }
        Ok(environ)
    }

    fn set_target(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let target = latin1(py, request.target());
        let path = request.path();
        let is_decoded = request.head.gateway.path_is_decoded;
        let is_plain = is_decoded || (request.head.form == TargetForm::Origin && !path.contains(&b'%'));
        if is_plain && !is_decoded && path.len() == request.target().len() {
            environ.set_item(&self.keys.path_info, &target)?;
        } else if is_plain {
            environ.set_item(&self.keys.path_info, latin1(py, path))?;
        } else if path.is_empty() && request.head.form == TargetForm::Absolute {
            // RFC 9110 §4.2.3: an empty path is the path `/`.
            environ.set_item(&self.keys.path_info, "/")?;
        } else {
            self.scratch.clear();
            percent::decode(path, &mut self.scratch);
            environ.set_item(&self.keys.path_info, latin1(py, &self.scratch))?;
        }
        if !request.query().is_empty() {
            environ.set_item(&self.keys.query_string, latin1(py, request.query()))?;
        }
        environ.set_item(&self.keys.raw_uri, &target)?;
        environ.set_item(&self.keys.request_uri, &target)
    }

    fn set_peer(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let Peer::Tcp(address) = request.origin.peer else { return Ok(()) };
        let ip = address.ip();
        let string = match &self.last_peer {
            Some((last, string)) if *last == ip => string.bind(py).clone(),
            _ => {
                let string = PyString::new(py, &ip.to_string());
                self.last_peer = Some((ip, string.clone().unbind()));
                string
            }
        };
        environ.set_item(&self.keys.remote_addr, string)?;
        environ.set_item(&self.keys.remote_port, itoa::Buffer::new().format(address.port()))
    }

    fn set_fields(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let mut seen: u64 = 0;
        for (known, name, value) in request.fields() {
            match known {
                KnownField::Other => self.set_other_field(py, environ, name, value)?,
                // The codec has decoded it; the length is that of the decoded content.
                KnownField::TransferEncoding | KnownField::ContentLength => {}
                KnownField::ContentType => environ.set_item(&self.keys.content_type, latin1(py, value))?,
                known => {
                    let key = self.fields.known(py, known);
                    let bit = 1u64 << (known as u8 & 63);
                    if seen & bit != 0 {
                        join(py, environ, key, known == KnownField::Cookie, value)?;
                        continue;
                    }
                    seen |= bit;
                    environ.set_item(key, self.last_values.string(py, known, value))?;
                }
            }
        }
        Ok(())
    }

    fn set_other_field(
        &mut self,
        py: Python<'_>,
        environ: &Bound<'_, PyDict>,
        name: &[u8],
        value: &[u8],
    ) -> PyResult<()> {
        let key = self.fields.other(py, name);
        if environ.contains(&key)? {
            return join(py, environ, &key, false, value);
        }
        environ.set_item(key, latin1(py, value))
    }

    /// The address that the client used, according to a trusted proxy, replaces the one that this server sees.
    fn set_forwarded(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let forwarded = &request.forwarded;
        if !forwarded.host.is_empty() {
            let host = latin1(py, request.arena.slice(forwarded.host));
            environ.set_item(self.fields.known(py, KnownField::Host), host)?;
        }
        if let Some(port) = forwarded.port {
            environ.set_item(&self.keys.server_port, itoa::Buffer::new().format(port))?;
        }
        let mounted = request.arena.slice(request.head.gateway.script_name);
        if !self.mount.is_empty() {
            return self.set_mount(py, environ, request);
        }
        if !mounted.is_empty() && forwarded.prefix.is_empty() {
            // The web server has taken it off the path already.
            environ.set_item(&self.keys.script_name, latin1(py, mounted))?;
        } else if !forwarded.prefix.is_empty() || !self.script_name.is_empty() {
            let told = request.arena.slice(forwarded.prefix);
            let prefix = if told.is_empty() { self.script_name.clone() } else { decoded(told) };
            let path = match request.head.gateway.path_is_decoded {
                true => request.path().to_vec(),
                false => decoded(request.path()),
            };
            environ.set_item(&self.keys.script_name, latin1(py, &prefix))?;
            // The prefix is removed from the path only at a segment boundary (PEP 3333, URL reconstruction).
            if let Some(rest) = path.strip_prefix(&prefix[..])
                && (rest.is_empty() || rest.starts_with(b"/"))
            {
                environ.set_item(&self.keys.path_info, latin1(py, rest))?;
            }
        }
        Ok(())
    }

    /// `SCRIPT_NAME` of an application that is mounted below the root: the prefix of the root, then the mount.
    /// `PATH_INFO` is the rest of the path (PEP 3333, "environ Variables").
    fn set_mount(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let told = request.arena.slice(request.forwarded.prefix);
        let mounted = request.arena.slice(request.head.gateway.script_name);
        let mut path = match request.head.gateway.path_is_decoded {
            true => request.path().to_vec(),
            false => decoded(request.path()),
        };
        let base = match (told, mounted) {
            ([], []) => self.script_name.clone(),
            // The web server has taken it off the path already.
            ([], mounted) => mounted.to_vec(),
            (told, _) => decoded(told),
        };
        let is_off = told.is_empty() && !mounted.is_empty();
        let mut script_name = [&base[..], &self.mount].concat();
        if is_off || !take_prefix(&mut path, &script_name) {
            take_prefix(&mut path, &self.mount);
            // The mount was written with what stands before it.
            if !is_off && is_prefix(&base, &self.mount) {
                script_name.clone_from(&self.mount);
            }
        }
        environ.set_item(&self.keys.script_name, latin1(py, &script_name))?;
        environ.set_item(&self.keys.path_info, latin1(py, &path))
    }

    fn set_server_from_host(&self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        let host = request.host();
        if host.is_empty() {
            return Ok(());
        }
        let bracket = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
        let colon = host[bracket..].iter().position(|&byte| byte == b':').map(|at| at + bracket);
        let name = &host[..colon.unwrap_or(host.len())];
        let port = colon.map(|colon| &host[colon + 1..]).filter(|port| !port.is_empty());
        let default_port = if request.origin.scheme == Scheme::Https { &b"443"[..] } else { b"80" };
        environ.set_item(&self.keys.server_name, latin1(py, name))?;
        environ.set_item(&self.keys.server_port, latin1(py, port.unwrap_or(default_port)))
    }
}

fn template<'py>(
    py: Python<'py>,
    keys: &Keys,
    surroundings: &Surroundings,
    listener: &Listener,
) -> PyResult<Bound<'py, PyDict>> {
    let template = PyDict::new(py);
    template.set_item("wsgi.version", (1, 0))?;
    template.set_item(&keys.url_scheme, "http")?;
    template.set_item(&keys.input, Py::new(py, Input::empty(py))?)?;
    template.set_item("wsgi.errors", Py::new(py, ErrorStream::new(Arc::clone(&surroundings.diagnostics)))?)?;
    template.set_item("wsgi.multithread", surroundings.multithread)?;
    template.set_item("wsgi.multiprocess", surroundings.multiprocess)?;
    template.set_item("wsgi.run_once", false)?;
    template.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
    template.set_item("wsgi.input_terminated", true)?;
    template.set_item("wsgi.early_hints", Py::new(py, EarlyHints)?)?;
    template.set_item("SERVER_SOFTWARE", &surroundings.server_software)?;
    template.set_item(&keys.server_name, &listener.server_name)?;
    template.set_item(&keys.server_port, &listener.server_port)?;
    template.set_item(&keys.server_protocol, PyString::intern(py, "HTTP/1.1"))?;
    template.set_item(&keys.request_method, PyString::intern(py, "GET"))?;
    template.set_item(&keys.script_name, "")?;
    template.set_item(&keys.path_info, "")?;
    template.set_item(&keys.query_string, "")?;
    template.set_item(&keys.raw_uri, "")?;
    template.set_item(&keys.request_uri, "")?;
    template.set_item(&keys.remote_addr, "")?;
    if !listener.is_unix {
        template.set_item(&keys.remote_port, "")?;
    }
    // Reserves room for the request's fields, so that filling a copy does not rehash it: a dict never shrinks. More than 21
    // entries take a table with room for 42. Few entries may be deleted: if more than a third of them are, CPython copies the
    // others one by one, which takes five times as long.
    let fillers = ["filler-1", "filler-2", "filler-3"];
    for filler in fillers {
        template.set_item(filler, "")?;
    }
    for filler in fillers {
        template.del_item(filler)?;
    }
    Ok(template)
}

/// RFC 9110 §5.3: repeated fields are one list; cookies are joined as RFC 6265 §5.4 writes them.
fn join(
    py: Python<'_>,
    environ: &Bound<'_, PyDict>,
    key: &Bound<'_, PyString>,
    is_cookie: bool,
    value: &[u8],
) -> PyResult<()> {
    let former = environ.get_item(key)?.map(|former| former.extract::<String>()).transpose()?.unwrap_or_default();
    let separator = if is_cookie { "; " } else { ", " };
    let value: String = value.iter().map(|&byte| char::from(byte)).collect();
    environ.set_item(key, PyString::new(py, &format!("{former}{separator}{value}")))
}

/// Removes a prefix from a path if it ends at a segment boundary; returns whether it did.
fn take_prefix(path: &mut Vec<u8>, prefix: &[u8]) -> bool {
    let is_there = is_prefix(prefix, path);
    if is_there {
        path.drain(..prefix.len());
    }
    is_there
}

fn is_prefix(prefix: &[u8], path: &[u8]) -> bool {
    !prefix.is_empty() && path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn decoded(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    percent::decode(path, &mut bytes);
    bytes
}
