//! The variables of a web server that translated the request (RFC 3875), cached: names and most values are the same in
//! every request.

use std::collections::HashMap;

use farrier_http::Request;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::names::latin1;

/// The most cached names.
const NAMES_MAX: usize = 128;

/// The longest cached name and value.
const KEPT_BYTES_MAX: usize = 256;

/// Cached strings of variables, on one seat.
#[derive(Default)]
pub(crate) struct GatewayVariables {
    kept: HashMap<Box<[u8]>, Kept>,
}

/// A name, and its last value.
struct Kept {
    key: Py<PyString>,
    value: Vec<u8>,
    string: Py<PyString>,
}

impl GatewayVariables {
    /// Sets each variable in the environ.
    ///
    /// # Errors
    /// Python is out of memory.
    pub(crate) fn set(&mut self, py: Python<'_>, environ: &Bound<'_, PyDict>, request: &Request) -> PyResult<()> {
        for (name, value) in request.variables() {
            if let Some(kept) = self.kept.get_mut(name) {
                if kept.value != value {
                    let string = latin1(py, value);
                    if value.len() > KEPT_BYTES_MAX {
                        environ.set_item(&kept.key, string)?;
                        continue;
                    }
                    kept.value.clear();
                    kept.value.extend_from_slice(value);
                    kept.string = string.unbind();
                }
                environ.set_item(&kept.key, &kept.string)?;
                continue;
            }
            let (key, string) = (latin1(py, name), latin1(py, value));
            environ.set_item(&key, &string)?;
            if self.kept.len() < NAMES_MAX && name.len().max(value.len()) <= KEPT_BYTES_MAX {
                let kept = Kept { key: key.unbind(), value: value.to_vec(), string: string.unbind() };
                self.kept.insert(name.into(), kept);
            }
        }
        Ok(())
    }
}
