//! The main function of a worker: hooks, privileges, load the application, serve, finish.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use farrier_config::Config;
use farrier_config::sites::MountPlan;
use farrier_engine::{Command, Control, Parts};
use farrier_http::{BodyMode, Handler};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::heartbeat::Slot;
use farrier_supervisor::keyring::KeyringReader;
use farrier_supervisor::{Cause, Listener, Signal, SignalPipe, WorkerLink, process};
use farrier_wsgi::{WsgiHandler, seam};
use pyo3::prelude::*;

use crate::application::Applications;
use crate::clients::Clients;
use crate::configured::Configured;
use crate::hooks::ServerHooks;
use crate::host::Interpreter;
use crate::logging::WorkerLogs;
use crate::measured::measured;
use crate::painted::Paint;
use crate::worker_hooks::{Farewell, WorkerHooks};
use crate::{
    accounts, addresses, certificates, compose, development, ending, forked, last_words, master, orphan, recycling,
    sites,
};

/// The exit code after a fault of the server's own (EX_SOFTWARE of sysexits.h).
const SOFTWARE_FAULT: i32 = 70;

/// Runs in the forked process and returns its exit code.
#[allow(clippy::too_many_arguments, reason = "all that a worker inherits comes together here")]
pub(crate) fn run(
    py: Python<'_>,
    configured: &Configured,
    link: WorkerLink,
    listeners: Vec<Listener>,
    keyring: KeyringReader,
    clients: Clients,
    preloaded: Option<&Applications>,
    hooks: &ServerHooks,
) -> i32 {
    let config = &configured.config;
    let forked = SystemTime::now();
    let link = Arc::new(link);
    let logs = match WorkerLogs::open(py, config, configured.cfg.bind(py)) {
        Ok(logs) => Arc::new(logs),
        Err(error) => {
            eprintln!("farrier: {error}");
            return link.boot_failed(true);
        }
    };
    ending::keep_logs(&logs);
    if let Err(error) = orphan::watch(config, &link, &logs.error) {
        logs.error.write(Level::Error, &format!("Cannot watch the arbiter: {error}"));
        return link.boot_failed(true);
    }
    master::set_worker_title(config);
    forked::watch(&listeners, &logs.error);
    let hooks = hooks.enter(py, &link, &logs.error);
    let code = match boot(py, configured, forked, &link, listeners, keyring, clients, preloaded, &hooks, &logs) {
        Ok(parts) => serve(py, config, &link, parts, &hooks, &logs),
        Err(code) => code,
    };
    hooks.worker_exit(py);
    logs.flush(py);
    code
}

/// Everything that can fail before the worker serves.
#[allow(clippy::too_many_arguments, reason = "all that a worker is made of comes together here")]
fn boot(
    py: Python<'_>,
    configured: &Configured,
    forked: SystemTime,
    link: &Arc<WorkerLink>,
    listeners: Vec<Listener>,
    keyring: KeyringReader,
    clients: Clients,
    preloaded: Option<&Applications>,
    hooks: &WorkerHooks,
    logs: &Arc<WorkerLogs>,
) -> Result<Parts, i32> {
    let config = &configured.config;
    let log = &logs.error;
    hooks.post_fork(py).map_err(|()| link.boot_failed(true))?;
    // Done before the application is loaded: files that it creates then belong to the worker's user.
    accounts::become_user(py, config).map_err(|reason| {
        last_words::say(log, &reason);
        link.boot_failed(true)
    })?;
    let unreadable = accounts::unreadable(py, config);
    if let Some(reason) = &unreadable {
        log.write(Level::Warning, reason);
    }
    let security = certificates::security(config, &listeners, keyring, log).map_err(|reason| {
        last_words::say(log, &reason);
        link.boot_failed(true)
    })?;
    let applications = match preloaded {
        Some(applications) => applications.shared(py),
        None => load(py, config, link, log, unreadable.as_deref())?,
    };
    forked::end_if_child(config);
    // Done here and not before: the pages must be readable for this user.
    let opened = sites::open_loaded(py, config).map_err(|problems| {
        problems.iter().for_each(|problem| last_words::say(log, problem));
        link.boot_failed(true)
    })?;
    hooks.post_worker_init(py, &applications.first(py)).map_err(|()| link.boot_failed(true))?;
    forked::end_if_child(config);
    logs.application_loaded(py);
    let failed = |what: &str, error: std::io::Error| {
        last_words::say(log, &format!("{what}: {error}"));
        link.boot_failed(true)
    };
    let around = hooks.around_requests(py).and_then(|around| logs.around_requests(py, around));
    let around = around.map_err(|raised| failed("Cannot call hooks", raised.into()))?;
    let around = around.map(Arc::new);
    let application = |name: Option<&str>, mount: &MountPlan| -> Arc<dyn Handler> {
        let surroundings = compose::surroundings(config, &listeners, log, mount);
        let is_streamed = mount.stream_request_body.unwrap_or(config.stream_request_body);
        let body = if is_streamed { BodyMode::Streamed } else { BodyMode::Buffered };
        let handler = WsgiHandler::new(applications.callable(py, name), surroundings);
        Arc::new(handler.with_hooks(around.clone()).with_body(body))
    };
    let upstreams = clients.upstreams(link.slot().number(), link.generation() as u32);
    let mounts = sites::handlers(config, &configured.security, &opened.plans, &application, log, upstreams);
    let mounts = mounts.map_err(|reason| {
        last_words::say(log, &reason);
        link.boot_failed(true)
    })?;
    let signals = link.catch_signals().map_err(|error| failed("Cannot catch signals", error))?;
    let own = |fd: BorrowedFd<'_>| fd.try_clone_to_owned().map_err(|error| failed("Out of descriptors", error));
    let (alive, asks) = (own(link.alive_fd())?, own(link.asks_fd())?);
    let (protocols, secure_port) =
        (addresses::protocols(config, &listeners), addresses::secure_port(config, &listeners));
    let sockets: Vec<OwnedFd> = listeners.into_iter().map(Listener::into_socket).collect();
    forked::hold(&sockets);
    // This worker watches for the others of its generation, too, and they may have loaded before it: they were forked later.
    development::watch(py, config, link, applications.loaded_since.min(forked), log);
    let (leaving, parting) = (Arc::clone(logs), hooks.clone());
    Ok(Parts {
        listeners: sockets,
        protocols,
        security,
        connection_limit: clients.connection_limit(config, log, link.slot()),
        handler: compose::handler(config, &opened, mounts, secure_port, clients.rate_limit(config, log), link.slot()),
        sites: opened
            .sites
            .are_needed()
            .then(|| Arc::clone(&opened.sites) as Arc<dyn farrier_protocol::rules::SiteRules>),
        host: Arc::new(Interpreter),
        control: Some(Box::new(WorkerControl {
            signals,
            alive: Some(File::from(alive)),
            asks,
            slot: link.slot(),
            hooks: hooks.clone(),
        })),
        access_log: logs.access.clone(),
        error_log: Arc::clone(log),
        metrics: measured(recycling::metrics(config, link, log), logs.statsd.as_ref()),
        abandon: Box::new(move || {
            parting.part(Farewell::Exit, 0);
            leaving.flush_on_seat();
            process::exit_now(0);
        }),
        fail: Box::new(|| process::exit_now(SOFTWARE_FAULT)),
        stuck: {
            let link = Arc::clone(link);
            Box::new(move || link.wants_recycling(Cause::Stuck))
        },
    })
}

/// Loads the applications in this worker; the error is the exit code.
///
/// # Arguments
/// `unreadable` is what this user cannot read, if that is known: an import that fails because of it names neither the user nor
/// the folder.
fn load(
    py: Python<'_>,
    config: &Config,
    link: &WorkerLink,
    log: &ErrorLog,
    unreadable: Option<&str>,
) -> Result<Applications, i32> {
    Applications::load(py, config, |failure| {
        forked::end_if_child(config);
        log.put(&Paint::of(config).traceback(&failure.traceback));
        match unreadable.filter(|_| failure.lacks_file) {
            Some(unreadable) => last_words::say(log, &format!("{}. {unreadable}", failure.reason)),
            None => last_words::say(log, &failure.reason),
        }
        // During development the files are watched, and the next version may load.
        let stand_in = (config.reload && link.generation() == 1).then(|| development::stand_in(py, &failure));
        match stand_in {
            Some(Ok(application)) => Ok(application),
            _ => Err(link.boot_failed(!failure.not_found)),
        }
    })
}

fn serve(
    py: Python<'_>,
    config: &Config,
    link: &WorkerLink,
    parts: Parts,
    hooks: &WorkerHooks,
    logs: &WorkerLogs,
) -> i32 {
    link.slot().answer();
    link.ready();
    hooks.serving(py);
    let ended = seam::inhabit(py, || farrier_engine::run(config, parts));
    forked::release_all();
    logs.flush(py);
    match ended {
        Ok(()) => 0,
        Err(error) => {
            logs.error.write(Level::Error, &format!("The worker cannot serve: {error}"));
            1
        }
    }
}

/// Commands arrive as signals, and as the death of the arbiter. When the arbiter asks, an answer is all that it wants.
struct WorkerControl {
    signals: SignalPipe,
    /// Readable once the arbiter has died; removed when that was handled.
    alive: Option<File>,
    /// Reports that the arbiter asks whether this worker still polls.
    asks: OwnedFd,
    slot: Slot,
    hooks: WorkerHooks,
}

impl Control for WorkerControl {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let alive = self.alive.as_ref().map(|alive| alive.as_fd());
        [self.signals.fd(), self.asks.as_fd()].into_iter().chain(alive).collect()
    }

    fn take(&mut self) -> Vec<Command> {
        let mut commands = Vec::new();
        self.slot.answer();
        if let Some(alive) = &self.alive
            && matches!((&*alive).read(&mut [0]), Ok(0))
        {
            // There is no arbiter left that could send more.
            self.alive = None;
            commands.push(Command::Drain);
        }
        for signal in self.signals.drain() {
            match signal {
                Signal::Term => commands.push(Command::Drain),
                Signal::Int | Signal::Quit => {
                    self.hooks.part(Farewell::Interrupted, 0);
                    commands.push(Command::Quit);
                }
                Signal::Usr1 => commands.push(Command::ReopenLogs),
                // The arbiter aborts this worker, and has logged why.
                Signal::Abrt => {
                    self.hooks.part(Farewell::Aborted, 1);
                    process::exit_now(1)
                }
                _ => {}
            }
        }
        if commands.iter().any(|command| matches!(command, Command::Drain | Command::Quit)) {
            self.hooks.leaves();
        }
        commands
    }
}

impl Drop for WorkerControl {
    /// The engine has ended, and nothing polls any more.
    fn drop(&mut self) {
        self.slot.answer_no_more();
    }
}
