//! A connection's security in the environ, with the names of mod_ssl and uWSGI. No field of a request can set one of
//! these: their variables begin with `HTTP_`.

use farrier_http::Secure;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Sets the variables. Most connections have the same values, so strings are cached.
pub(crate) struct SecureVariables {
    protocol: Repeated,
    cipher: Repeated,
    server_name: Repeated,
    verify: Py<PyString>,
    none: Py<PyString>,
    success: Py<PyString>,
}

impl SecureVariables {
    pub(crate) fn new(py: Python<'_>) -> SecureVariables {
        SecureVariables {
            protocol: Repeated::new(py, "SSL_PROTOCOL"),
            cipher: Repeated::new(py, "SSL_CIPHER"),
            server_name: Repeated::new(py, "SSL_TLS_SNI"),
            verify: PyString::intern(py, "SSL_CLIENT_VERIFY").unbind(),
            none: PyString::intern(py, "NONE").unbind(),
            success: PyString::intern(py, "SUCCESS").unbind(),
        }
    }

    pub(crate) fn set(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, secure: &Secure) -> PyResult<()> {
        self.protocol.set(py, environ, secure.protocol)?;
        self.cipher.set(py, environ, &secure.cipher)?;
        if let Some(name) = &secure.server_name {
            self.server_name.set(py, environ, name)?;
        }
        let Some(client) = &secure.client else { return environ.set_item(&self.verify, &self.none) };
        environ.set_item(&self.verify, &self.success)?;
        environ.set_item("SSL_CLIENT_S_DN", &client.subject)?;
        environ.set_item("SSL_CLIENT_I_DN", &client.issuer)?;
        environ.set_item("SSL_CLIENT_M_SERIAL", &client.serial)?;
        environ.set_item("SSL_CLIENT_CERT", &client.pem)
    }
}

/// A variable, and its last value.
struct Repeated {
    key: Py<PyString>,
    last: Option<(String, Py<PyString>)>,
}

impl Repeated {
    fn new(py: Python<'_>, key: &str) -> Repeated {
        Repeated { key: PyString::intern(py, key).unbind(), last: None }
    }

    fn set(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, value: &str) -> PyResult<()> {
        match &self.last {
            Some((last, string)) if last == value => environ.set_item(&self.key, string),
            _ => {
                let string = PyString::new(py, value).unbind();
                environ.set_item(&self.key, &string)?;
                self.last = Some((value.to_owned(), string));
                Ok(())
            }
        }
    }
}
