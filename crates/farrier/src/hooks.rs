//! The server hooks in the arbiter: finds those that are set, and calls them. If none is set, this module does not use
//! Python.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, AsRawFd};
use std::rc::Rc;
use std::sync::Arc;

use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::{Listener, Spawn, WorkerId, WorkerLink};
use farrier_wsgi::traceback;
use pyo3::exceptions::PySystemExit;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::generations::Generations;
use crate::worker_hooks::WorkerHooks;

/// The hooks of a configuration.
pub(crate) struct Hooks {
    cfg: Py<PyAny>,
    /// An instance of `farrier._hooks.Hooks`; none if no hook is set.
    table: Option<Py<PyAny>>,
}

impl Hooks {
    /// The hooks of a configuration object.
    ///
    /// # Errors One of them has a wrong signature.
    pub(crate) fn of(py: Python<'_>, cfg: Py<PyAny>) -> PyResult<Hooks> {
        let module = py.import("farrier._hooks")?;
        let table = module.call_method1("table", (&cfg,))?;
        Ok(Hooks { cfg, table: (!table.is_none()).then(|| table.unbind()) })
    }

    /// A hook, if it is set.
    pub(crate) fn find<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyAny>> {
        let hook = self.table.as_ref()?.bind(py).getattr(name).ok()?;
        (!hook.is_none()).then_some(hook)
    }

    /// The number of arguments of a hook that is set.
    pub(crate) fn arguments_of(&self, py: Python<'_>, name: &str) -> PyResult<usize> {
        match &self.table {
            Some(table) => table.bind(py).call_method1("arguments_of", (name,))?.extract(),
            None => Ok(0),
        }
    }
}

/// The hooks of a server, and their arguments: the objects `server` and, for each worker, `worker`.
pub(crate) struct ServerHooks {
    generations: RefCell<Generations<Rc<Hooks>>>,
    newest: RefCell<Rc<Hooks>>,
    server: RefCell<Option<Py<PyAny>>>,
    /// The hooks' `worker` objects that were made.
    workers: RefCell<BTreeMap<WorkerId, Py<PyAny>>>,
    /// The process of the object `server`.
    arbiter: i32,
    workers_wanted: Cell<u32>,
    listeners: RefCell<Vec<(i32, String)>>,
    log: Arc<ErrorLog>,
}

impl ServerHooks {
    pub(crate) fn new(hooks: Hooks, log: &Arc<ErrorLog>) -> ServerHooks {
        let first = Rc::new(hooks);
        ServerHooks {
            generations: RefCell::new(Generations::new(Rc::clone(&first))),
            newest: RefCell::new(first),
            server: RefCell::new(None),
            workers: RefCell::new(BTreeMap::new()),
            arbiter: farrier_supervisor::process::own_pid(),
            workers_wanted: Cell::new(0),
            listeners: RefCell::new(Vec::new()),
            log: Arc::clone(log),
        }
    }

    /// Called before anything is opened.
    ///
    /// # Errors The hook raised, which ends the start: the exit code. The exception is logged.
    pub(crate) fn on_starting(&self, py: Python<'_>) -> Result<(), i32> {
        let Err(raised) = self.call(py, "on_starting", |_| Ok(Vec::new())) else { return Ok(()) };
        if raised.is_instance_of::<PySystemExit>(py) {
            let code = raised.value(py).getattr("code").ok();
            return Err(code.and_then(|code| code.extract().ok()).unwrap_or(1));
        }
        self.say(py, "on_starting", &raised);
        Err(1)
    }

    /// The number of workers wanted has changed.
    pub(crate) fn nworkers_changed(&self, py: Python<'_>, new: u32, old: Option<u32>) {
        self.workers_wanted.set(new);
        if let Some(server) = &*self.server.borrow() {
            // Setting an attribute of an ordinary object does not fail.
            let _ = server.bind(py).setattr("num_workers", new);
        }
        self.run(py, "nworkers_changed", |_| {
            Ok(vec![new.into_pyobject(py)?.into_any(), old.into_pyobject(py)?.into_any()])
        });
    }

    /// Stores the listeners for `server.LISTENERS`.
    pub(crate) fn listens(&self, py: Python<'_>, listeners: &[Listener]) {
        let named: Vec<_> =
            listeners.iter().map(|listener| (listener.as_fd().as_raw_fd(), listener.display().to_owned())).collect();
        if let Some(server) = &*self.server.borrow() {
            self.report(py, server.bind(py).call_method1("_listens", (named.clone(),)).map(drop));
        }
        self.listeners.replace(named);
        self.make_server(py);
    }

    /// Makes `server` if a hook is set: before a template is forked, so that the template shares it.
    fn make_server(&self, py: Python<'_>) {
        if self.newest.borrow().table.is_some() {
            self.report(py, self.server(py).map(drop));
        }
    }

    /// The listeners are open; no worker is forked yet.
    pub(crate) fn when_ready(&self, py: Python<'_>) {
        self.run(py, "when_ready", |_| Ok(Vec::new()));
    }

    /// The configuration was read again, for this generation.
    pub(crate) fn renewed(&self, py: Python<'_>, generation: u64, hooks: Hooks) {
        let hooks = Rc::new(hooks);
        if let Some(server) = &*self.server.borrow() {
            self.report(py, server.bind(py).call_method1("_renewed", (&hooks.cfg,)).map(drop));
        }
        self.generations.borrow_mut().add(generation, Rc::clone(&hooks));
        self.newest.replace(hooks);
        self.make_server(py);
    }

    /// The configuration and the listeners are new; the new workers come next.
    pub(crate) fn on_reload(&self, py: Python<'_>) {
        self.run(py, "on_reload", |_| Ok(Vec::new()));
    }

    /// This generation serves; no worker of an older one will be forked.
    pub(crate) fn settle(&self, generation: u64) {
        self.generations.borrow_mut().settle(generation);
    }

    /// The reload was abandoned: this generation, which served before, keeps serving.
    pub(crate) fn abandon(&self, py: Python<'_>, generation: u64) {
        self.generations.borrow_mut().abandon(generation);
        let hooks = Rc::clone(self.generations.borrow().of(generation));
        if let Some(server) = &*self.server.borrow() {
            self.report(py, server.bind(py).call_method1("_renewed", (&hooks.cfg,)).map(drop));
        }
        self.newest.replace(hooks);
    }

    /// A worker is about to be forked.
    pub(crate) fn pre_fork(&self, py: Python<'_>, spawn: &Spawn) {
        let hooks = Rc::clone(self.generations.borrow().of(spawn.generation));
        if hooks.table.is_none() {
            return;
        }
        let made = self.server(py).and_then(|server| server.call_method1("_prepared", (&hooks.cfg,)));
        match made {
            Ok(worker) => {
                self.workers.borrow_mut().insert(spawn.worker, worker.clone().unbind());
                self.run_of(&hooks, py, "pre_fork", |_| Ok(vec![worker.clone()]));
                if spawn.template.is_some() {
                    let entrusted = self.server(py).and_then(|it| it.call_method1("_entrust", (worker, spawn.slot)));
                    self.report(py, entrusted.map(drop));
                }
            }
            Err(raised) => self.report(py, Err(raised)),
        }
    }

    /// The worker was forked; this is the arbiter.
    pub(crate) fn forked(&self, py: Python<'_>, spawn: &Spawn, pid: i32) {
        if let (Some(server), Some(worker)) = (&*self.server.borrow(), self.workers.borrow().get(&spawn.worker)) {
            self.report(py, server.bind(py).call_method1("_forked", (worker, pid)).map(drop));
        }
    }

    /// In the worker: returns its hooks.
    pub(crate) fn enter(&self, py: Python<'_>, link: &Arc<WorkerLink>, log: &Arc<ErrorLog>) -> WorkerHooks {
        let hooks = Rc::clone(self.generations.borrow().of(link.generation()));
        if hooks.table.is_none() {
            return WorkerHooks::none();
        }
        let prepared = self.workers.borrow().get(&link.worker()).map(|worker| worker.clone_ref(py));
        let made = self.server(py).and_then(|server| {
            let worker = match prepared {
                Some(worker) => worker,
                // A template has forked this process, and has no objects of workers that were forked later.
                None => server.call_method1("_entrusted", (&hooks.cfg, link.slot().number()))?.unbind(),
            };
            WorkerHooks::new(py, &hooks, server.unbind(), worker, link, log)
        });
        made.unwrap_or_else(|raised| {
            self.report(py, Err(raised));
            WorkerHooks::none()
        })
    }

    /// A worker's process has ended.
    pub(crate) fn child_exit(&self, py: Python<'_>, spawn: &Spawn, pid: i32) {
        let Some(worker) = self.workers.borrow_mut().remove(&spawn.worker) else { return };
        if let Some(server) = &*self.server.borrow() {
            self.report(py, server.bind(py).call_method1("_reaped", (pid,)).map(drop));
        }
        let hooks = Rc::clone(self.generations.borrow().of(spawn.generation));
        self.run_of(&hooks, py, "child_exit", |py| Ok(vec![worker.into_bound(py)]));
    }

    /// A template has ended. It had loaded the application, so what hooks keep for each such process ends with it.
    pub(crate) fn template_exit(&self, py: Python<'_>, pid: i32) {
        self.run(py, "child_exit", |py| Ok(vec![self.server(py)?.call_method1("_template", (pid,))?]));
    }

    /// In the forked child that becomes the successor, before it is executed.
    pub(crate) fn pre_exec(&self, py: Python<'_>) {
        self.run(py, "pre_exec", |_| Ok(Vec::new()));
    }

    /// The last step of the server.
    pub(crate) fn on_exit(&self, py: Python<'_>) {
        self.run(py, "on_exit", |_| Ok(Vec::new()));
    }

    /// The object `server`, made when it is first needed.
    fn server<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(server) = &*self.server.borrow() {
            return Ok(server.bind(py).clone());
        }
        let server = py.import("farrier._objects")?.getattr("Server")?.call1((&self.newest.borrow().cfg,))?;
        server.setattr("pid", self.arbiter)?;
        server.setattr("num_workers", self.workers_wanted.get())?;
        server.call_method1("_listens", (self.listeners.borrow().clone(),))?;
        self.server.replace(Some(server.clone().unbind()));
        Ok(server)
    }

    /// Calls a hook with `server` and the arguments of `more`, if it is set.
    fn call<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        more: impl FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) -> PyResult<()> {
        let hooks = Rc::clone(&self.newest.borrow());
        self.call_of(&hooks, py, name, more)
    }

    fn call_of<'py>(
        &self,
        hooks: &Hooks,
        py: Python<'py>,
        name: &str,
        more: impl FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) -> PyResult<()> {
        let Some(hook) = hooks.find(py, name) else { return Ok(()) };
        let mut arguments = vec![self.server(py)?];
        arguments.extend(more(py)?);
        hook.call1(PyTuple::new(py, arguments)?)?;
        Ok(())
    }

    /// The same; an exception of the hook is logged, and the server continues.
    fn run<'py>(
        &self,
        py: Python<'py>,
        name: &str,
        more: impl FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) {
        if let Err(raised) = self.call(py, name, more) {
            self.say(py, name, &raised);
        }
    }

    fn run_of<'py>(
        &self,
        hooks: &Hooks,
        py: Python<'py>,
        name: &str,
        more: impl FnOnce(Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>>,
    ) {
        if let Err(raised) = self.call_of(hooks, py, name, more) {
            self.say(py, name, &raised);
        }
    }

    fn say(&self, py: Python<'_>, name: &str, raised: &PyErr) {
        self.log.write(Level::Error, &format!("Exception in {name} hook\n{}", traceback::text(py, raised)));
    }

    fn report(&self, py: Python<'_>, result: PyResult<()>) {
        if let Err(raised) = result {
            self.log.write(Level::Error, &format!("The hooks' objects fail\n{}", traceback::text(py, &raised)));
        }
    }
}
