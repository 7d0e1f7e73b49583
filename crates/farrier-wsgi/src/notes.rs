//! What the access log shows of an environ, as the application left it. Used only where its format asks for that.

use farrier_http::Request;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Notes the entries with these names (in lower case) for the access log. One whose text cannot be had is left out.
pub(crate) fn note(environ: &Bound<'_, PyDict>, names: &[String], request: &mut Request) {
    for (key, value) in environ {
        let Ok(key) = key.cast::<PyString>() else { continue };
        let key = key.to_string_lossy().to_lowercase();
        if names.contains(&key)
            && let Ok(value) = value.str()
        {
            request.notes.push((key, value.to_string_lossy().into_owned()));
        }
    }
}
