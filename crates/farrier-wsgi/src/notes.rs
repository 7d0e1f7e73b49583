//! Environ entries for the access log, as the application left them. Used only if its format asks for that.

use farrier_http::Request;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

/// Records the entries with these names (in lower case) for the access log. An entry that cannot be converted to text
/// is left out.
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
