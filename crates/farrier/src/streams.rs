//! The standard streams, written without waiting: `farrier._streams` sends there what Python prints in the arbiter, and
//! what handlers of Python's loggers print in a worker.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use farrier_log::outbox::Outbox;
use farrier_log::writer::Target;
use pyo3::prelude::*;

/// How long a flush may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Standard output and standard error.
pub(crate) struct StandardStreams {
    output: Outbox,
    error: Outbox,
}

impl StandardStreams {
    /// # Errors
    /// None is known: both are open already.
    pub(crate) fn open(bytes_max: usize) -> io::Result<StandardStreams> {
        Ok(StandardStreams { output: Target::Stdout.direct(bytes_max)?, error: Target::Stderr.direct(bytes_max)? })
    }

    /// For a worker: a thread for each stream writes.
    fn buffered(bytes_max: usize) -> io::Result<StandardStreams> {
        let buffered = |target: Target| target.buffered(bytes_max, Duration::ZERO);
        Ok(StandardStreams { output: buffered(Target::Stdout)?, error: buffered(Target::Stderr)? })
    }

    fn put(&self, is_error: bool, bytes: &[u8]) {
        if is_error { &self.error } else { &self.output }.put(bytes);
    }

    /// The streams lead elsewhere now.
    pub(crate) fn reopen(&self) {
        self.both().for_each(Outbox::reopen);
    }

    /// Whether text waits for room.
    pub(crate) fn is_waiting(&self) -> bool {
        self.both().any(Outbox::is_waiting)
    }

    /// Writes as much of what waits as there is room for.
    pub(crate) fn retry(&self) {
        self.both().for_each(Outbox::retry);
    }

    /// Waits until everything is written, at most a second for each.
    pub(crate) fn flush(&self) {
        self.both().for_each(|outbox| outbox.flush(PATIENCE));
    }

    fn both(&self) -> impl Iterator<Item = &Outbox> {
        [&self.output, &self.error].into_iter()
    }
}

/// Sends what Python prints to these streams.
///
/// # Errors
/// The package's module cannot be imported.
pub(crate) fn install(py: Python<'_>, streams: &Arc<StandardStreams>) -> PyResult<()> {
    let put = Py::new(py, Put(Arc::clone(streams)))?;
    py.import("farrier._streams")?.call_method1("install", (put,))?;
    Ok(())
}

/// Gives Python its former streams back, at the end of the arbiter.
pub(crate) fn release(py: Python<'_>) {
    give_back(py, None::<Py<PyAny>>);
}

/// The same in a worker, where handlers of loggers that the arbiter has made print with a thread.
pub(crate) fn enter_worker(py: Python<'_>, bytes_max: usize) -> WorkerStreams {
    let streams = WorkerStreams { bytes_max, started: Arc::new(OnceLock::new()) };
    give_back(py, Some(streams.clone()));
    streams
}

fn give_back<'py>(py: Python<'py>, put: Option<impl IntoPyObject<'py>>) {
    let released = py.import("farrier._streams").and_then(|module| module.call_method1("release", (put,)));
    if let Err(raised) = released {
        raised.write_unraisable(py, None);
    }
}

/// Called with the bytes of a stream, in the arbiter.
#[pyclass(frozen, module = "farrier")]
struct Put(Arc<StandardStreams>);

#[pymethods]
impl Put {
    fn __call__(&self, is_error: bool, bytes: &[u8]) {
        let Put(streams) = self;
        streams.put(is_error, bytes);
    }
}

/// Called with the bytes of a stream, in a worker. The threads start with the first of them: most workers have no such
/// handler.
#[pyclass(frozen, module = "farrier")]
#[derive(Clone)]
pub(crate) struct WorkerStreams {
    bytes_max: usize,
    started: Arc<OnceLock<StandardStreams>>,
}

impl WorkerStreams {
    /// Waits until everything is written, at most a second for each.
    pub(crate) fn flush(&self) {
        if let Some(streams) = self.started.get() {
            streams.flush();
        }
    }
}

#[pymethods]
impl WorkerStreams {
    fn __call__(&self, is_error: bool, bytes: &[u8]) -> PyResult<()> {
        let streams = match self.started.get() {
            Some(streams) => streams,
            None => {
                let streams = StandardStreams::buffered(self.bytes_max)?;
                self.started.get_or_init(|| streams)
            }
        };
        streams.put(is_error, bytes);
        Ok(())
    }
}
