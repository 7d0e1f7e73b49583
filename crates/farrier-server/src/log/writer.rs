//! Writes log lines from a thread of its own, so that a slow disk or a full pipe never blocks a request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// The standard error stream.
    Stderr,
    /// The standard output stream.
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

impl Target {
    /// Opens it.
    ///
    /// # Errors
    /// The file cannot be created or opened for appending; the message names it.
    pub fn open(&self) -> io::Result<Box<dyn Write + Send>> {
        Ok(match self {
            Target::Stderr => Box::new(io::stderr()),
            Target::Stdout => Box::new(io::stdout()),
            Target::File(path) => Box::new(open_append(path)?),
        })
    }
}

fn open_append(path: &PathBuf) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|error| io::Error::new(error.kind(), format!("cannot open the log file {}: {error}", path.display())))
}

/// A buffered writer with a thread behind it.
pub struct Writer {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    written: Condvar,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
    buffer_bytes_max: usize,
    /// How long lines are gathered before they are written.
    gather: Duration,
    target: Target,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    dropped: u64,
    reopen: bool,
    writing: bool,
}

impl Writer {
    /// Opens the target and starts the thread. Lines beyond `buffer_bytes_max` unwritten bytes are dropped and counted.
    ///
    /// # Errors
    /// The target cannot be opened, or no thread can be made.
    pub fn start(target: Target, buffer_bytes_max: usize, gather: Duration) -> io::Result<Writer> {
        let sink = target.open()?;
        let inner = Arc::new(Inner {
            state: Mutex::default(),
            written: Condvar::new(),
            asleep: AtomicBool::new(false),
            thread: OnceLock::new(),
            buffer_bytes_max,
            gather,
            target,
        });
        let theirs = Arc::clone(&inner);
        let thread =
            std::thread::Builder::new().name("farrier-log".into()).spawn(move || write_lines(&theirs, sink))?;
        // The first and only time it is set.
        let _ = inner.thread.set(thread.thread().clone());
        Ok(Writer { inner })
    }

    /// Takes a line (with its line end). Never waits for the target.
    pub fn write(&self, line: &[u8]) {
        let mut state = self.inner.lock();
        if state.lines.len() + line.len() > self.inner.buffer_bytes_max {
            state.dropped += 1;
            return;
        }
        state.lines.extend_from_slice(line);
        drop(state);
        self.inner.wake();
    }

    /// Opens the target anew before the next line (after log rotation).
    pub fn reopen(&self) {
        self.inner.lock().reopen = true;
        self.inner.wake();
    }

    /// Waits until everything is written, at most `patience`.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let mut state = self.inner.lock();
        while !state.lines.is_empty() || state.writing {
            self.inner.wake();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = match self.inner.written.wait_timeout(state, left) {
                Ok((state, _)) => state,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }
}

fn write_lines(inner: &Inner, mut sink: Box<dyn Write + Send>) {
    let mut lines = Vec::new();
    loop {
        {
            let mut state = inner.lock();
            state.writing = false;
            inner.written.notify_all();
            if state.lines.is_empty() && !state.reopen {
                inner.asleep.store(true, Ordering::SeqCst);
                drop(state);
                while inner.asleep.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                if !inner.gather.is_zero() {
                    std::thread::park_timeout(inner.gather);
                }
                continue;
            }
            if std::mem::take(&mut state.reopen)
                && let Ok(anew) = inner.target.open()
            {
                sink = anew;
            }
            std::mem::swap(&mut state.lines, &mut lines);
            let dropped = std::mem::take(&mut state.dropped);
            if dropped > 0 {
                lines.extend_from_slice(format!("({dropped} log lines dropped: the target is too slow)\n").as_bytes());
            }
            state.writing = true;
        }
        // A target that fails loses its lines: there is nobody to tell.
        let _ = sink.write_all(&lines).and_then(|()| sink.flush());
        lines.clear();
    }
}
