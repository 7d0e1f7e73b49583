//! Cached strings, made once per seat: environ keys, and repeated values.

use std::collections::HashMap;

use farrier_http::KnownField;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// The most cached names of fields that are not in the table.
const OTHER_NAMES_MAX: usize = 512;

/// A string of latin-1 bytes, as PEP 3333 wants them ("native strings").
pub(crate) fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    if bytes.is_ascii()
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        return PyString::new(py, text);
    }
    PyString::new(py, &bytes.iter().map(|&byte| char::from(byte)).collect::<String>())
}

macro_rules! keys {
    ($($field:ident = $name:literal,)*) => {
        /// The keys of environ that the server sets.
        pub(crate) struct Keys {
            $(pub(crate) $field: Py<PyString>,)*
        }

        impl Keys {
            pub(crate) fn new(py: Python<'_>) -> Keys {
                Keys { $($field: PyString::intern(py, $name).unbind(),)* }
            }
        }
    };
}

keys! {
    content_length = "CONTENT_LENGTH",
    content_type = "CONTENT_TYPE",
    https = "HTTPS",
    path_info = "PATH_INFO",
    query_string = "QUERY_STRING",
    raw_uri = "RAW_URI",
    remote_addr = "REMOTE_ADDR",
    remote_port = "REMOTE_PORT",
    request_method = "REQUEST_METHOD",
    request_uri = "REQUEST_URI",
    script_name = "SCRIPT_NAME",
    server_name = "SERVER_NAME",
    server_port = "SERVER_PORT",
    server_protocol = "SERVER_PROTOCOL",
    url_scheme = "wsgi.url_scheme",
    input = "wsgi.input",
    send_trailers = "farrier.send_trailers",
    gunicorns_send_trailers = "gunicorn.http2.send_trailers",
}

/// The environ key of a request field, as HTTP_NAME.
fn field_key(name: &[u8]) -> String {
    let mut key = String::with_capacity(5 + name.len());
    key.push_str("HTTP_");
    for &byte in name {
        key.push(if byte == b'-' { '_' } else { char::from(byte.to_ascii_uppercase()) });
    }
    key
}

/// Keys of request fields.
pub(crate) struct FieldKeys {
    known: Vec<Py<PyString>>,
    other: HashMap<Box<[u8]>, Py<PyString>>,
}

impl FieldKeys {
    pub(crate) fn new(py: Python<'_>) -> FieldKeys {
        let key = |known: &KnownField| PyString::intern(py, &field_key(known.name().as_bytes())).unbind();
        let mut known = vec![PyString::intern(py, "").unbind()];
        known.extend(KnownField::ALL.iter().map(key));
        FieldKeys { known, other: HashMap::new() }
    }

    /// The key of a well-known field.
    pub(crate) fn known<'py>(&self, py: Python<'py>, field: KnownField) -> &Bound<'py, PyString> {
        self.known[field as usize].bind(py)
    }

    /// The key of any other field.
    pub(crate) fn other<'py>(&mut self, py: Python<'py>, name: &[u8]) -> Bound<'py, PyString> {
        if let Some(key) = self.other.get(name) {
            return key.bind(py).clone();
        }
        let key = PyString::new(py, &field_key(name));
        if self.other.len() < OTHER_NAMES_MAX && name.len() <= 64 {
            self.other.insert(name.into(), key.clone().unbind());
        }
        key
    }
}

/// The last value of each well-known field, because values often repeat.
#[derive(Default)]
pub(crate) struct LastValues {
    values: Vec<Option<(Vec<u8>, Py<PyString>)>>,
}

impl LastValues {
    /// The string for a field's value.
    pub(crate) fn string<'py>(&mut self, py: Python<'py>, field: KnownField, value: &[u8]) -> Bound<'py, PyString> {
        let index = field as usize;
        if self.values.len() <= index {
            self.values.resize_with(KnownField::ALL.len() + 1, || None);
        }
        match &mut self.values[index] {
            Some((bytes, string)) if bytes == value => string.bind(py).clone(),
            slot => {
                let string = latin1(py, value);
                *slot = Some((value.to_vec(), string.clone().unbind()));
                string
            }
        }
    }
}
