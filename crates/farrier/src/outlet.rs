//! The logs of this process for `farrier._logging`: the target of Python's log handlers.

use std::sync::Arc;

use farrier_log::error::{ErrorLog, Level};
use farrier_log::statsd::Kind;
use pyo3::prelude::*;

use crate::logging::Diverter;

/// The target of Python's loggers.
#[pyclass(frozen, module = "farrier", name = "Outlet")]
pub(crate) struct Outlet {
    error: Arc<ErrorLog>,
    diverter: Arc<Diverter>,
}

impl Outlet {
    pub(crate) fn new(error: &Arc<ErrorLog>, diverter: Arc<Diverter>) -> Outlet {
        Outlet { error: Arc::clone(error), diverter }
    }
}

#[pymethods]
impl Outlet {
    /// Writes text as it is.
    fn put(&self, is_access: bool, text: &str) {
        match (is_access, self.diverter.access()) {
            (true, Some(access)) => access.put(text),
            (true, None) => {}
            (false, _) => self.error.put(text),
        }
    }

    /// Sends text to syslog.
    fn syslog(&self, is_access: bool, level: i32, text: &str) {
        let level = Level::of_python(level);
        match (is_access, self.diverter.access()) {
            (true, Some(access)) => access.put_syslog(level, text),
            (true, None) => {}
            (false, _) => self.error.put_syslog(level, text),
        }
    }

    /// Sends a metric; an unknown kind is ignored.
    fn metric(&self, name: &str, value: &str, kind: &str) {
        if let (Some(statsd), Some(kind)) = (self.error.statsd(), Kind::named(kind)) {
            statsd.send(name, value, kind);
        }
    }

    /// Sends the lines of these logs through the loggers from now on.
    fn divert(&self, error: bool, access: bool, level: i32) -> PyResult<()> {
        Ok(self.diverter.divert(&self.error, error, access, Level::of_python(level))?)
    }
}
