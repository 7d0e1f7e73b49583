//! Passes log lines to Python's logging: at once in the arbiter, and in a worker from a thread of their own, so that no
//! request waits for a handler.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use farrier_log::access::Entry;
use farrier_log::error::Level;
use farrier_log::recorder::Recorder;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// How long items are gathered before the interpreter is asked for.
const GATHER: Duration = Duration::from_millis(20);

/// How long a flush may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Passes each line on the caller's thread.
pub(crate) struct DirectRecorder;

impl Recorder for DirectRecorder {
    fn line(&self, level: Level, text: &str) {
        deliver(vec![Item::Line(level, text.to_owned())]);
    }

    fn entry(&self, entry: Entry) {
        deliver(vec![Item::Entry(Box::new(entry))]);
    }

    fn reopen(&self) {
        reopen();
    }

    fn flush(&self) {}
}

/// Passes lines from a thread.
pub(crate) struct QueuedRecorder {
    queue: Arc<Queue>,
}

struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    items: Vec<Item>,
    bytes: usize,
    dropped: u64,
    reopen: bool,
    delivering: bool,
}

enum Item {
    Line(Level, String),
    Entry(Box<Entry>),
}

impl QueuedRecorder {
    /// Starts the thread. Items beyond `bytes_max` waiting bytes are dropped and counted.
    ///
    /// # Errors
    /// No thread can be made.
    pub(crate) fn start(bytes_max: usize) -> io::Result<QueuedRecorder> {
        let queue =
            Arc::new(Queue { state: Mutex::default(), filled: Condvar::new(), emptied: Condvar::new(), bytes_max });
        let theirs = Arc::clone(&queue);
        std::thread::Builder::new().name("farrier-logging".into()).spawn(move || run(&theirs))?;
        Ok(QueuedRecorder { queue })
    }

    fn push(&self, item: Item, bytes: usize) {
        let mut state = self.queue.lock();
        if state.bytes + bytes > self.queue.bytes_max {
            state.dropped += 1;
            return;
        }
        state.bytes += bytes;
        state.items.push(item);
        let first = state.items.len() == 1;
        drop(state);
        if first {
            self.queue.filled.notify_one();
        }
    }
}

impl Recorder for QueuedRecorder {
    fn line(&self, level: Level, text: &str) {
        self.push(Item::Line(level, text.to_owned()), text.len() + 64);
    }

    fn entry(&self, entry: Entry) {
        let bytes = entry.bytes();
        self.push(Item::Entry(Box::new(entry)), bytes);
    }

    fn reopen(&self) {
        self.queue.lock().reopen = true;
        self.queue.filled.notify_one();
    }

    /// The caller must be detached from the interpreter, or the thread cannot attach.
    fn flush(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.queue.lock();
        while !state.items.is_empty() || state.delivering {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = match self.queue.emptied.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run(queue: &Queue) {
    loop {
        let mut state = queue.lock();
        state.delivering = false;
        queue.emptied.notify_all();
        while state.items.is_empty() && !state.reopen {
            state = queue.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.delivering = true;
        drop(state);
        std::thread::sleep(GATHER);
        let mut state = queue.lock();
        let mut items = std::mem::take(&mut state.items);
        state.bytes = 0;
        let anew = std::mem::take(&mut state.reopen);
        let dropped = std::mem::take(&mut state.dropped);
        drop(state);
        if dropped > 0 {
            let text = format!("{dropped} log lines dropped: Python's handlers are too slow (see log_buffer_bytes)");
            items.push(Item::Line(Level::Warning, text));
        }
        if anew {
            reopen();
        }
        deliver(items);
    }
}

fn reopen() {
    Python::attach(|py| {
        let done = py.import("farrier._logging").and_then(|module| module.call_method0("reopen"));
        if let Err(raised) = done {
            raised.write_unraisable(py, None);
        }
    });
}

/// Exceptions of log handlers are the logging configuration's matter: Python prints them.
fn deliver(items: Vec<Item>) {
    Python::attach(|py| {
        let done = PyList::new(py, items.into_iter().map(|item| given(py, item)))
            .and_then(|list| py.import("farrier._logging")?.call_method1("deliver", (list,)));
        if let Err(raised) = done {
            raised.write_unraisable(py, None);
        }
    });
}

fn given(py: Python<'_>, item: Item) -> Py<PyAny> {
    let made = match item {
        Item::Line(level, text) => (level.python(), text).into_pyobject(py).map(|pair| pair.into_any()),
        Item::Entry(entry) => atoms(py, &entry).map(|atoms| atoms.into_any()),
    };
    made.map_or_else(|_| py.None(), Bound::unbind)
}

/// The atoms of an access line as a dict; the key of a whole line is the empty string.
fn atoms<'py>(py: Python<'py>, entry: &Entry) -> PyResult<Bound<'py, PyDict>> {
    let atoms = PyDict::new(py);
    for (name, text) in &entry.texts {
        atoms.set_item(name, text)?;
    }
    for (name, number) in &entry.numbers {
        atoms.set_item(name, number)?;
    }
    for (kind, pairs) in [("i", &entry.request_fields), ("o", &entry.response_fields), ("e", &entry.notes)] {
        for (name, value) in pairs {
            atoms.set_item(format!("{{{name}}}{kind}"), value)?;
        }
    }
    if let Some(line) = &entry.line {
        atoms.set_item("", line)?;
    }
    Ok(atoms)
}
