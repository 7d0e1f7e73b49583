//! The server hooks in a worker: from the fork to the end, and the signals that end it.

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::heartbeat::Counter;
use farrier_supervisor::{Cause, WorkerLink, clock, process};
use farrier_wsgi::{RequestHooks, seam, traceback};
use pyo3::prelude::*;

use crate::hooks::Hooks;

/// How long a hook may take in a worker that must leave. The arbiter kills a hung worker a second after `ABRT`.
const PATIENCE: Duration = Duration::from_millis(800);

/// How long the main thread has to begin such a hook between two of its instructions, before another thread runs it.
const MAIN_THREAD_PATIENCE: Duration = Duration::from_millis(100);

/// A worker's hooks, if any is set.
#[derive(Clone)]
pub(crate) struct WorkerHooks {
    set: Option<Arc<Set>>,
}

struct Set {
    post_fork: Option<Py<PyAny>>,
    post_worker_init: Option<Py<PyAny>>,
    worker_int: Option<Py<PyAny>>,
    worker_abort: Option<Py<PyAny>>,
    worker_exit: Option<Py<PyAny>>,
    pre_request: Option<Py<PyAny>>,
    post_request: Option<Py<PyAny>>,
    post_request_arguments: usize,
    server: Py<PyAny>,
    worker: Py<PyAny>,
    leaving: Arc<AtomicBool>,
    exited: AtomicBool,
    requests: Arc<AtomicU64>,
    main_thread: ThreadId,
    log: Arc<ErrorLog>,
}

/// A hook that a worker calls because it must leave.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Farewell {
    /// `INT` or `QUIT` came.
    Interrupted,
    /// `ABRT` came: the arbiter aborts this worker.
    Aborted,
    /// It ends in the middle of its calls.
    Exit,
}

impl WorkerHooks {
    /// No hook is set.
    pub(crate) fn none() -> WorkerHooks {
        WorkerHooks { set: None }
    }

    /// The hooks of this worker; called on its main thread.
    pub(crate) fn new(
        py: Python<'_>,
        hooks: &Rc<Hooks>,
        server: Py<PyAny>,
        worker: Py<PyAny>,
        link: &Arc<WorkerLink>,
        log: &Arc<ErrorLog>,
    ) -> PyResult<WorkerHooks> {
        let find = |name| hooks.find(py, name).map(Bound::unbind);
        let leaving = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(AtomicU64::new(0));
        let (pre_request, post_request) = (find("pre_request"), find("post_request"));
        let post_request_arguments = if post_request.is_some() { hooks.arguments_of(py, "post_request")? } else { 0 };
        let handle = WorkerHandle {
            link: Arc::clone(link),
            leaving: Arc::clone(&leaving),
            begun: (pre_request.is_some() || post_request.is_some()).then(|| Arc::clone(&requests)),
            answered_before: link.slot().counted(Counter::Requests),
        };
        worker.bind(py).call_method1("_entered", (handle,))?;
        let set = Set {
            post_fork: find("post_fork"),
            post_worker_init: find("post_worker_init"),
            worker_int: find("worker_int"),
            worker_abort: find("worker_abort"),
            worker_exit: find("worker_exit"),
            pre_request,
            post_request,
            post_request_arguments,
            server,
            worker,
            leaving,
            exited: AtomicBool::new(false),
            requests,
            main_thread: thread::current().id(),
            log: Arc::clone(log),
        };
        Ok(WorkerHooks { set: Some(Arc::new(set)) })
    }

    /// Called right after the fork.
    ///
    /// # Errors
    /// The hook raised: the worker cannot boot. It is in the log.
    pub(crate) fn post_fork(&self, py: Python<'_>) -> Result<(), ()> {
        let Some(set) = &self.set else { return Ok(()) };
        let Some(hook) = &set.post_fork else { return Ok(()) };
        set.check(py, "post_fork", hook.call1(py, (&set.server, &set.worker)))
    }

    /// The application is loaded.
    ///
    /// # Errors
    /// The hook raised: the worker cannot boot. It is in the log.
    pub(crate) fn post_worker_init(&self, py: Python<'_>, application: &Py<PyAny>) -> Result<(), ()> {
        let Some(set) = &self.set else { return Ok(()) };
        set.check(py, "post_worker_init", set.worker.call_method1(py, "_loaded", (application,)))?;
        let Some(hook) = &set.post_worker_init else { return Ok(()) };
        set.check(py, "post_worker_init", hook.call1(py, (&set.worker,)))
    }

    /// The worker has reported that it is ready.
    pub(crate) fn serving(&self, py: Python<'_>) {
        if let Some(set) = &self.set {
            let _ = set.check(py, "post_worker_init", set.worker.call_method0(py, "_serving"));
        }
    }

    /// The hooks around each request, if any is set.
    ///
    /// # Errors
    /// Python is out of memory.
    pub(crate) fn around_requests(&self, py: Python<'_>) -> PyResult<Option<RequestHooks>> {
        let Some(set) = &self.set else { return Ok(None) };
        if set.pre_request.is_none() && set.post_request.is_none() {
            return Ok(None);
        }
        let copy = |hook: &Option<Py<PyAny>>| hook.as_ref().map(|hook| hook.clone_ref(py));
        Ok(Some(RequestHooks {
            pre_request: copy(&set.pre_request),
            post_request: copy(&set.post_request),
            access: None,
            post_request_arguments: set.post_request_arguments,
            worker: set.worker.clone_ref(py),
            request_class: py.import("farrier._objects")?.getattr("Request")?.unbind(),
            requests: Arc::clone(&set.requests),
        }))
    }

    /// The worker got a stop signal: `worker.alive` is false from now on.
    pub(crate) fn leaves(&self) {
        if let Some(set) = &self.set {
            set.leaving.store(true, Ordering::Relaxed);
        }
    }

    /// The orderly end of a worker, on its main thread. Only the first caller runs it.
    pub(crate) fn worker_exit(&self, py: Python<'_>) {
        if let Some(set) = &self.set {
            set.leaving.store(true, Ordering::Relaxed);
            set.call(py, Farewell::Exit);
        }
    }

    /// Calls a hook in a worker whose interpreter may be stuck: on the main thread if that can run it, else on this
    /// thread. If it takes too long, the process ends with `code`.
    pub(crate) fn part(&self, farewell: Farewell, code: i32) {
        let Some(set) = self.set.as_ref().filter(|set| set.has(farewell)) else { return };
        set.leaving.store(true, Ordering::Relaxed);
        let (done, finished) = channel::<()>();
        let log = Arc::clone(&set.log);
        let watchdog = thread::Builder::new().name("farrier-farewell".into()).spawn(move || {
            // An error other than a timeout means that the sender is gone: the hook is done.
            if finished.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                log.write(Level::Error, &format!("A hook of the leaving worker took longer than {PATIENCE:?}"));
                log.flush();
                process::exit_now(code);
            }
        });
        if watchdog.is_err() {
            // Without the watchdog nothing would end a hook that hangs.
            return;
        }
        let turn = Arc::new(Turn {
            set: Arc::clone(set),
            farewell,
            begun: AtomicBool::new(false),
            done: Mutex::new(Some(done)),
        });
        if thread::current().id() == set.main_thread {
            turn.take();
            return;
        }
        let theirs = Arc::clone(&turn);
        let (told, heard) = channel::<()>();
        seam::interrupt(Box::new(move || {
            // Dropped with this call, which shows the thread below that it is over.
            let _told = told;
            theirs.take();
        }));
        let mut over = false;
        seam::detached(&mut || over = heard.recv_timeout(MAIN_THREAD_PATIENCE) == Err(RecvTimeoutError::Disconnected));
        if over && turn.has_begun() {
            return;
        }
        if !turn.take() {
            // The main thread has begun. The watchdog limits this wait.
            seam::detached(&mut || over = heard.recv().is_err());
        }
    }
}

/// A hook that one of two threads will call.
struct Turn {
    set: Arc<Set>,
    farewell: Farewell,
    begun: AtomicBool,
    /// Dropped when the hook is done.
    done: Mutex<Option<Sender<()>>>,
}

impl Turn {
    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::SeqCst)
    }

    /// Calls the hook, unless the other thread has begun to: then false.
    fn take(&self) -> bool {
        if self.begun.swap(true, Ordering::SeqCst) {
            return false;
        }
        Python::attach(|py| self.set.call(py, self.farewell));
        self.done.lock().unwrap_or_else(PoisonError::into_inner).take();
        true
    }
}

impl Set {
    fn has(&self, farewell: Farewell) -> bool {
        match farewell {
            Farewell::Interrupted => self.worker_int.is_some(),
            Farewell::Aborted => self.worker_abort.is_some() || self.worker_exit.is_some(),
            Farewell::Exit => self.worker_exit.is_some(),
        }
    }

    fn call(&self, py: Python<'_>, farewell: Farewell) {
        let (name, hook) = match farewell {
            Farewell::Interrupted => ("worker_int", &self.worker_int),
            Farewell::Aborted => ("worker_abort", &self.worker_abort),
            Farewell::Exit if self.exited.swap(true, Ordering::SeqCst) => return,
            Farewell::Exit => ("worker_exit", &self.worker_exit),
        };
        if let Some(hook) = hook {
            let result = match farewell {
                Farewell::Exit => hook.call1(py, (&self.server, &self.worker)),
                _ => hook.call1(py, (&self.worker,)),
            };
            // It is logged, and the worker leaves anyway.
            let _ = self.check(py, name, result);
        }
        if let Farewell::Aborted = farewell {
            self.call(py, Farewell::Exit);
        }
    }

    fn check(&self, py: Python<'_>, name: &str, result: PyResult<Py<PyAny>>) -> Result<(), ()> {
        result.map(drop).map_err(|raised| {
            self.log.write(Level::Error, &format!("Exception in {name} hook\n{}", traceback::text(py, &raised)));
        })
    }
}

/// The data of the hooks' `worker` object about its process.
#[pyclass(frozen, module = "farrier", name = "WorkerHandle")]
struct WorkerHandle {
    link: Arc<WorkerLink>,
    leaving: Arc<AtomicBool>,
    /// Counted where a hook sees each request.
    begun: Option<Arc<AtomicU64>>,
    answered_before: u64,
}

#[pymethods]
impl WorkerHandle {
    /// How many requests were begun.
    fn requests(&self) -> u64 {
        match &self.begun {
            Some(begun) => begun.load(Ordering::Relaxed),
            None => self.link.slot().counted(Counter::Requests).saturating_sub(self.answered_before),
        }
    }

    /// Whether the worker got a stop signal.
    fn leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Asks the arbiter for a successor.
    fn retire(&self) {
        self.link.wants_recycling(Cause::Asked);
    }

    /// Says that the worker is alive.
    fn beat(&self) {
        self.link.slot().beat(clock::monotonic_ms());
    }
}
