//! The main function of the arbiter's process: banner, listeners, preload, then supervision until the end.

use std::cell::RefCell;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use farrier_config::Config;
use farrier_log::error::Level;
use farrier_supervisor::clock::monotonic;
use farrier_supervisor::daemon::{Announcement, Detached, detach};
use farrier_supervisor::{
    Accompany, BindOptions, Ended, Forked, HeartbeatPage, Level as SupervisorLevel, Listener, Notice, Plan, Preload,
    Renewal, sockets, supervise,
};
use pyo3::prelude::*;

use crate::application::{self, Applications};
use crate::certificates::Certificates;
use crate::clients::Clients;
use crate::configured::{Asked, Configured};
use crate::embedding::Given;
use crate::gauges::Gauges;
use crate::generations::Generations;
use crate::hooks::{Hooks, ServerHooks};
use crate::logging::ArbiterLogs;
use crate::master::{Master, Tending};
use crate::place::Place;
use crate::statistics::Stats;
use crate::upstream_security::UpstreamSecurity;
use crate::{accounts, acme, addresses, compose, ending, last_words, listening, sites, template, worker};

/// The exit code of errors such as an address that cannot be bound or a log that cannot be opened.
pub(crate) const EXIT_CONFIGURATION: i32 = 1;

/// Serves until the end and returns the exit code; a daemon runs in a separate process.
pub(crate) fn run(py: Python<'_>, configured: Configured, given: &Given<'_, '_>) -> i32 {
    let master = match Master::of_this_process(py) {
        Ok(master) => master,
        Err(reason) => {
            eprintln!("farrier: {reason}");
            return EXIT_CONFIGURATION;
        }
    };
    let mut daemon = None;
    // A daemon's successor already is a daemon.
    if configured.config.daemon && !master.has_predecessor() {
        match detach(&mut || fork(py)) {
            Ok(Detached::Launcher(code)) => return code,
            Ok(Detached::Daemon(announcement)) => daemon = Some(announcement),
            Err(error) => {
                eprintln!("farrier: cannot become a daemon: {error}");
                return EXIT_CONFIGURATION;
            }
        }
    }
    let master = RefCell::new(master);
    let code = match serve(py, configured, given, &master, daemon.as_mut()) {
        Ended::Server(code) => code,
        Ended::Child(code) => return code,
    };
    master.borrow_mut().leave();
    if let Some(mut announcement) = daemon {
        announcement.end(code);
    }
    code
}

fn serve(
    py: Python<'_>,
    mut configured: Configured,
    given: &Given<'_, '_>,
    master: &RefCell<Master>,
    daemon: Option<&mut Announcement>,
) -> Ended {
    let began = monotonic();
    match application::prepare(py, &configured.config).and_then(|()| Place::now(py)) {
        Ok(place) => configured.place = Some(place),
        Err(raised) => {
            eprintln!("farrier: Cannot prepare the application's environment: {raised}");
            return Ended::Server(EXIT_CONFIGURATION);
        }
    }
    let config = &configured.config;
    let logs = match ArbiterLogs::open(py, config, configured.cfg.bind(py)) {
        Ok(logs) => logs,
        Err(error) => {
            eprintln!("farrier: {error}");
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    let code = arbitrate(py, configured, given, master, daemon, &logs, began);
    logs.close(py);
    code
}

fn arbitrate(
    py: Python<'_>,
    configured: Configured,
    given: &Given<'_, '_>,
    master: &RefCell<Master>,
    mut daemon: Option<&mut Announcement>,
    logs: &ArbiterLogs,
    began: Duration,
) -> Ended {
    let config = &configured.config;
    let log = &*logs.error;
    let identity = match accounts::identity(py, config) {
        Ok(identity) => identity,
        Err(reason) => {
            log.write(Level::Error, &reason);
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
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
    if let Some(place) = &configured.place {
        place.say(None, log);
    }
    warn(log, config);
    if let Err(problems) = sites::open(config) {
        problems.iter().for_each(|problem| log.write(Level::Error, problem));
        return Ended::Server(EXIT_CONFIGURATION);
    }
    if let Some(reason) = application::no_command(py, config) {
        log.write(Level::Error, &reason);
        return Ended::Server(4);
    }
    if config.looks_for_application() {
        let chosen = py
            .import("farrier._application")
            .and_then(|module| module.call_method0("discover")?.extract::<(String, String)>());
        match chosen {
            Ok((specification, why)) => {
                log.write(Level::Info, &format!("Application: {specification} (found {why})"));
            }
            Err(raised) => {
                log.write(Level::Error, &raised.value(py).to_string());
                return Ended::Server(4);
            }
        }
    }
    let hooks = match Hooks::of(py, configured.cfg.clone_ref(py)) {
        Ok(hooks) => ServerHooks::new(hooks, &logs.error),
        Err(raised) => {
            log.write(Level::Error, &raised.value(py).to_string());
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    hooks.nworkers_changed(py, compose::worker_count(config), None);
    let shown = master.borrow_mut().show(config);
    if let Err(reason) = shown.and_then(|()| accounts::give_logs(config, identity.as_ref())) {
        log.write(Level::Error, &reason);
        return Ended::Server(EXIT_CONFIGURATION);
    }
    if let Err(code) = hooks.on_starting(py) {
        return Ended::Server(code);
    }
    let certificates = Certificates::new().and_then(|certificates| {
        acme::prepare(config, identity.as_ref(), log)?;
        certificates.read(config, true, log)?;
        Ok((certificates, UpstreamSecurity::read(config)?))
    });
    let (certificates, security) = match certificates {
        Ok(both) => both,
        Err(reason) => {
            log.write(Level::Error, &reason);
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    let mut say = |level: SupervisorLevel, text: &str| log.write(level_of(level), text);
    let listeners = match listening::open(py, config, &mut master.borrow_mut(), identity.as_ref(), log) {
        Ok(listeners) => listeners,
        Err(code) => return Ended::Server(code),
    };
    let threads = config.threads;
    let workers = compose::worker_count(config);
    let class = config.worker_class.map_or("adaptive", farrier_config::WorkerClass::word);
    log.write(Level::Info, &format!("Using worker: {class}"));
    log.write(Level::Info, &format!("Using {workers} worker(s), up to {threads} threads each"));
    let settings = compose::arbiter_settings(config);
    let page = match HeartbeatPage::new(HeartbeatPage::slots_for(settings.workers)) {
        Ok(page) => page,
        Err(error) => {
            log.write(Level::Error, &format!("Cannot share memory with workers: {error}"));
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    let clients = match Clients::new(page.slots()) {
        Ok(clients) => clients,
        Err(error) => {
            log.write(Level::Error, &format!("Cannot share memory with workers: {error}"));
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    let stats = match Stats::open(config, page, master.borrow().has_predecessor(), log) {
        Ok(stats) => stats,
        Err(reason) => {
            log.write(Level::Error, &reason);
            return Ended::Server(EXIT_CONFIGURATION);
        }
    };
    if let Some(announcement) = &daemon {
        if let Err(error) = announcement.let_go(config.enable_stdio_inheritance) {
            log.write(Level::Error, &format!("Cannot release the terminal: {error}"));
            return Ended::Server(EXIT_CONFIGURATION);
        }
        logs.streams_moved();
    }
    let gauges = Gauges::new(&logs.error, config, &listeners);
    let addresses = listeners.iter().map(Listener::display).collect::<Vec<_>>().join(",");
    let generations = RefCell::new(Generations::new(Configured { security, ..configured }));
    last_words::prepare();
    // Only set in a template, for the workers that it forks.
    let preloaded: RefCell<Option<Applications>> = RefCell::new(None);
    hooks.listens(py, &listeners);
    // A garbage collection in a child would write to every object that it shares with this process.
    if let Err(raised) = application::freeze(py) {
        log.write(Level::Warning, &format!("Cannot exclude objects from garbage collection: {raised}"));
    }
    let (helper_identity, helper_keyring) = (RefCell::new(None), certificates.reader());
    let mut tending = Tending {
        gauges: &gauges,
        stats: &stats,
        certificates: &certificates,
        master,
        log,
        logs,
        fork: &|| fork(py),
        pre_exec: &|| hooks.pre_exec(py),
    };
    let code = supervise(Plan {
        settings,
        listeners,
        page,
        fork: &mut || fork(py),
        wait: &mut |block| {
            gauges.tell_workers();
            py.detach(block);
        },
        before_fork: &mut |spawn| hooks.pre_fork(py, spawn),
        worker: &mut |link, listeners| {
            gauges.close();
            stats.close();
            certificates.close();
            let (generations, preloaded) = (generations.borrow(), preloaded.borrow());
            let configured = generations.of(link.generation());
            configured.enter(py);
            worker::run(py, configured, link, listeners, certificates.reader(), clients, preloaded.as_ref(), &hooks)
        },
        forked: &mut |spawn, pid| {
            gauges.forked();
            stats.forked(spawn, pid);
            hooks.forked(py, spawn, pid);
        },
        preload: Preload {
            load: &mut |generation| {
                gauges.close();
                stats.close();
                certificates.close();
                let generations = generations.borrow();
                let configured = generations.of(generation);
                configured.enter(py);
                let applications = template::load(py, &configured.config, logs)?;
                *preloaded.borrow_mut() = Some(applications);
                Ok(())
            },
            reopen_logs: &mut || log.reopen(),
            // Exit functions run at the end of the process.
            unload: &mut || {},
            ended: &mut |pid| hooks.template_exit(py, pid),
        },
        reaped: &mut |spawn, pid, _status| {
            gauges.ended();
            stats.ended(spawn);
            clients.ended(spawn.slot);
            hooks.child_exit(py, spawn, pid);
        },
        exit_child: &mut |code| {
            logs.flush();
            ending::begin(py, code)
        },
        log: &mut say,
        read_config: &mut |generation, listeners| {
            let (config, renewal) = renew(py, given, listeners, generation, &hooks, master, logs, &certificates)?;
            if let Some(place) = &config.place {
                place.say(generations.borrow().serving().place.as_ref(), log);
            }
            gauges.renewed(generation, &config.config, renewal.listeners.as_deref().unwrap_or(listeners));
            generations.borrow_mut().add(generation, config);
            Ok(renewal)
        },
        housekeeping: &mut tending,
        companion: Accompany {
            name: "ACME",
            is_wanted: &mut || {
                let generations = generations.borrow();
                let config = &generations.serving().config;
                if !acme::is_wanted(config) {
                    return false;
                }
                // Done here, where the interpreter is: the helper never uses it.
                match accounts::identity(py, config) {
                    Ok(whom) => *helper_identity.borrow_mut() = whom,
                    Err(reason) => {
                        log.write(Level::Error, &format!("No certificates are ordered: {reason}"));
                        return false;
                    }
                }
                true
            },
            live: &mut |link| {
                let generations = generations.borrow();
                acme::live(&generations.serving().config, helper_identity.borrow().as_ref(), &link, &helper_keyring)
            },
            keeps: vec![helper_keyring.as_fd()],
        },
        notice: &mut |notice| {
            match notice {
                Notice::ReopenLogs => {
                    // Done before the workers reopen them, because they may not be able to create them.
                    let logs = accounts::give_logs(&generations.borrow().serving().config, identity.as_ref());
                    logs.unwrap_or_else(|reason| log.write(Level::Error, &reason));
                    log.reopen();
                }
                Notice::Ready => {
                    // A short start is shown as one tenth: the first worker has loaded the application, which takes time.
                    let took_s = monotonic().saturating_sub(began).as_secs_f64().max(0.1);
                    log.write(Level::Info, &format!("Ready in {took_s:.1} s: {addresses}"));
                    if let Some(announcement) = daemon.as_mut() {
                        announcement.end(0);
                    }
                }
                Notice::WorkersChanged { new, old: Some(old) } => hooks.nworkers_changed(py, new, Some(old)),
                Notice::Listening => hooks.when_ready(py),
                Notice::Renewed { .. } => hooks.on_reload(py),
                Notice::Reloaded { generation } => {
                    generations.borrow_mut().settle(generation);
                    hooks.settle(generation);
                    let shown = master.borrow_mut().show(&generations.borrow().serving().config);
                    shown.unwrap_or_else(|reason| log.write(Level::Error, &reason));
                }
                Notice::ReloadAbandoned { generation } => {
                    generations.borrow_mut().abandon(generation);
                    hooks.abandon(py, generation);
                }
                _ => {}
            }
            gauges.notice(&notice);
            master.borrow_mut().notice(&notice, log);
        },
    });
    let code = match code {
        Ok(Ended::Server(code)) => {
            if code != 0 {
                last_words::repeat(log);
            }
            code
        }
        // Everything below, and what the caller does, is the arbiter's.
        Ok(Ended::Child(code)) => return Ended::Child(code),
        Err(error) => {
            log.write(Level::Error, &format!("Cannot supervise: {error}"));
            EXIT_CONFIGURATION
        }
    };
    stats.leave();
    hooks.on_exit(py);
    Ended::Server(code)
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
#[allow(clippy::too_many_arguments, reason = "all that a generation is made of comes together here")]
fn renew(
    py: Python<'_>,
    given: &Given<'_, '_>,
    listeners: &[Listener],
    generation: u64,
    hooks: &ServerHooks,
    master: &RefCell<Master>,
    logs: &ArbiterLogs,
    certificates: &Certificates,
) -> Result<(Configured, Renewal), String> {
    let log = &*logs.error;
    let mut configured = match given.read(py) {
        Ok(Asked::Run(configured)) => configured,
        Ok(_) => return Err("the command line asks for something other than serving".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let place = application::prepare(py, &configured.config).and_then(|()| Place::now(py));
    configured.place = Some(place.map_err(|raised| raised.to_string())?);
    let config = &configured.config;
    warn(log, config);
    sites::open(config).map_err(|problems| problems.join("\n"))?;
    let identity = accounts::identity(py, config)?;
    accounts::give_logs(config, identity.as_ref())?;
    let specs = addresses::listen_specs(py, config, master.borrow().activation(), identity.as_ref())?;
    let mut say = |level: SupervisorLevel, text: &str| log.write(level_of(level), text);
    // The old generation must be supervised, so a reload does not wait for an address.
    let options = BindOptions { tries: 1, ..addresses::bind_options(config) };
    let mut listeners =
        sockets::rebind_all(listeners, &specs, &options, &mut say).map_err(|error| error.to_string())?;
    addresses::name_protocols(config, &mut listeners);
    acme::prepare(config, identity.as_ref(), log)?;
    certificates.read(config, false, log)?;
    let security = UpstreamSecurity::read(config)?;
    logs.renew(py, config, configured.cfg.bind(py))?;
    let settings = compose::arbiter_settings(config);
    let set = Hooks::of(py, configured.cfg.clone_ref(py)).map_err(|raised| raised.value(py).to_string())?;
    hooks.listens(py, &listeners);
    hooks.renewed(py, generation, set);
    Ok((Configured { security, ..configured }, Renewal { settings, listeners: Some(listeners) }))
}

/// Logs warnings about the settings.
fn warn(log: &farrier_log::error::ErrorLog, config: &Config) {
    for warning in config.warnings() {
        log.write(Level::Warning, &warning.to_string());
    }
}

/// The log's level for the arbiter's.
pub(crate) fn level_of(level: SupervisorLevel) -> Level {
    match level {
        SupervisorLevel::Debug => Level::Debug,
        SupervisorLevel::Info => Level::Info,
        SupervisorLevel::Warning => Level::Warning,
        SupervisorLevel::Error => Level::Error,
        SupervisorLevel::Critical => Level::Critical,
    }
}
