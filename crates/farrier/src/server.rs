//! The arbiter's process: banner, listeners, preload, then supervision until the end.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;

use farrier_config::{Config, Outcome};
use farrier_server::log::error::Level;
use farrier_supervisor::{
    Forked, HeartbeatPage, Level as SupervisorLevel, Listener, Notice, Plan, Renewal, process, sockets, supervise,
};
use pyo3::prelude::*;

use crate::application::{self, Application};
use crate::generations::Generations;
use crate::hooks::{Hooks, ServerHooks};
use crate::{command, compose, hooks, worker};

/// Exit code for an address that cannot be bound, a log that cannot be opened and the like.
const EXIT_CONFIGURATION: i32 = 1;

/// Serves until the end and gives the exit code.
pub(crate) fn run(py: Python<'_>, config: Config, arguments: &[OsString]) -> i32 {
    let log = match compose::direct_log(&config) {
        Ok(log) => log,
        Err(error) => {
            eprintln!("farrier: {error}");
            return EXIT_CONFIGURATION;
        }
    };
    if let Err(raised) = application::prepare(py, &config) {
        log.write(Level::Error, &format!("Cannot prepare the application's surroundings: {raised}"));
        return EXIT_CONFIGURATION;
    }
    let python = py.version_info();
    log.write(
        Level::Info,
        &format!(
            "Starting farrier {} (Python {}.{}.{})",
            env!("CARGO_PKG_VERSION"),
            python.major,
            python.minor,
            python.patch
        ),
    );
    if config.wsgi_app.is_none() {
        let chosen = py
            .import("farrier._application")
            .and_then(|module| module.call_method0("discover")?.extract::<(String, String)>());
        match chosen {
            Ok((specification, why)) => {
                log.write(Level::Info, &format!("Application: {specification} (found {why})"));
            }
            Err(raised) => {
                log.write(Level::Error, &raised.value(py).to_string());
                return 4;
            }
        }
    }
    let hooks = match hooks::stand_in(py).and_then(|cfg| Hooks::of(py, cfg)) {
        Ok(hooks) => ServerHooks::new(hooks, &log),
        Err(raised) => {
            log.write(Level::Error, &raised.value(py).to_string());
            return EXIT_CONFIGURATION;
        }
    };
    hooks.nworkers_changed(py, compose::worker_count(&config), None);
    if let Err(code) = hooks.on_starting(py) {
        return code;
    }
    let mut say = |level: SupervisorLevel, text: &str| log.write(level_of(level), text);
    let listeners = match compose::listen_specs(py, &config) {
        Ok(specs) => match sockets::bind_all(&specs, &compose::bind_options(&config), &mut say) {
            Ok(listeners) => listeners,
            Err(error) => {
                log.write(Level::Error, &error.to_string());
                return EXIT_CONFIGURATION;
            }
        },
        Err(raised) => {
            log.write(Level::Error, &format!("unix_socket_owner: {raised}"));
            return EXIT_CONFIGURATION;
        }
    };
    let preloaded = if config.preload_app {
        match preload(py, &config) {
            Ok(application) => Some(application),
            Err((traceback, reason, code)) => {
                log.put(&traceback);
                log.write(Level::Error, &reason);
                listeners.iter().for_each(Listener::unlink);
                return code;
            }
        }
    } else {
        None
    };
    let threads = config.threads;
    let workers = compose::worker_count(&config);
    log.write(Level::Info, &format!("Using {workers} worker(s), up to {threads} threads each"));
    let settings = compose::arbiter_settings(&config);
    let page = match HeartbeatPage::new(HeartbeatPage::slots_for(settings.workers)) {
        Ok(page) => page,
        Err(error) => {
            log.write(Level::Error, &format!("Cannot share memory with workers: {error}"));
            return EXIT_CONFIGURATION;
        }
    };
    let generations = RefCell::new(Generations::new(config));
    hooks.listens(py, &listeners);
    let code = supervise(Plan {
        settings,
        listeners,
        page,
        fork: &mut || {
            let forked = fork(py)?;
            if let Forked::Parent(pid) = forked {
                hooks.forked(py, pid);
            }
            Ok(forked)
        },
        wait: &mut |block| py.detach(block),
        before_fork: &mut |spawn| hooks.pre_fork(py, spawn),
        worker: &mut |link, listeners| {
            worker::run(py, generations.borrow().of(link.generation()), link, listeners, preloaded.as_ref(), &hooks)
        },
        reaped: &mut |spawn, pid, _status| hooks.child_exit(py, spawn, pid),
        exit_child: &mut |code| process::exit_now(code),
        log: &mut say,
        read_config: &mut |generation, listeners| {
            renew(py, arguments, listeners, &generations, generation, &hooks, &log)
        },
        notice: &mut |notice| match notice {
            Notice::ReopenLogs => log.reopen(),
            Notice::WorkersChanged { new, old: Some(old) } => hooks.nworkers_changed(py, new, Some(old)),
            Notice::Listening => hooks.when_ready(py),
            Notice::Renewed { .. } => hooks.on_reload(py),
            Notice::Reloaded { generation } => {
                generations.borrow_mut().settle(generation);
                hooks.settle(generation);
            }
            Notice::ReloadAbandoned { generation } => {
                generations.borrow_mut().abandon(generation);
                hooks.abandon(py, generation);
            }
            _ => {}
        },
    });
    let code = code.unwrap_or_else(|error| {
        log.write(Level::Error, &format!("Cannot supervise: {error}"));
        EXIT_CONFIGURATION
    });
    hooks.on_exit(py);
    code
}

fn preload(py: Python<'_>, config: &Config) -> Result<Application, (String, String, i32)> {
    let application = application::load(py, config.wsgi_app.as_deref())
        .map_err(|failure| (failure.traceback, failure.reason, if failure.not_found { 4 } else { 3 }))?;
    application::freeze(py).map_err(|raised| (String::new(), raised.to_string(), EXIT_CONFIGURATION))?;
    Ok(application)
}

/// `os.fork()`, so that the hooks of `os.register_at_fork` run.
fn fork(py: Python<'_>) -> io::Result<Forked> {
    let pid: i32 = py
        .import("os")
        .and_then(|os| os.call_method0("fork")?.extract())
        .map_err(|raised| io::Error::other(raised.to_string()))?;
    Ok(if pid == 0 { Forked::Child } else { Forked::Parent(pid) })
}

/// Reads the configuration again for the next generation.
fn renew(
    py: Python<'_>,
    arguments: &[OsString],
    listeners: &[Listener],
    generations: &RefCell<Generations<Config>>,
    generation: u64,
    hooks: &ServerHooks,
    log: &farrier_server::log::error::ErrorLog,
) -> Result<Renewal, String> {
    let config = match command::read_config(arguments) {
        Ok(Outcome::Run(config)) => *config,
        Ok(_) => return Err("the command line asks for something else than to serve".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    application::prepare(py, &config).map_err(|raised| raised.to_string())?;
    let specs = compose::listen_specs(py, &config).map_err(|raised| raised.to_string())?;
    let mut say = |level: SupervisorLevel, text: &str| log.write(level_of(level), text);
    let listeners = sockets::rebind_all(listeners, &specs, &compose::bind_options(&config), &mut say)
        .map_err(|error| error.to_string())?;
    let settings = compose::arbiter_settings(&config);
    let set = hooks::stand_in(py).and_then(|cfg| Hooks::of(py, cfg)).map_err(|raised| raised.value(py).to_string())?;
    hooks.listens(py, &listeners);
    hooks.renewed(py, generation, set);
    generations.borrow_mut().add(generation, config);
    Ok(Renewal { settings, listeners: Some(listeners) })
}

fn level_of(level: SupervisorLevel) -> Level {
    match level {
        SupervisorLevel::Debug => Level::Debug,
        SupervisorLevel::Info => Level::Info,
        SupervisorLevel::Warning => Level::Warning,
        SupervisorLevel::Error => Level::Error,
        SupervisorLevel::Critical => Level::Critical,
    }
}
