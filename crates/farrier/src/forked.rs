//! Processes that the application forks from a worker: they hold no socket of the server's, and never serve.

use std::os::fd::OwnedFd;

use farrier_config::Config;
use farrier_engine::descriptors;
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::Listener;
use farrier_supervisor::process::{self, forks};
use farrier_wsgi::forked;

use crate::logging;

/// Prepares for forks of the application. Called in a worker before any of its code runs.
pub(crate) fn watch(listeners: &[Listener], log: &ErrorLog) {
    forked::is_worker();
    if let Err(error) = forks::on_fork(in_child) {
        log.write(Level::Warning, &format!("Processes that the application forks will keep its sockets: {error}"));
    }
    listeners.iter().for_each(descriptors::hold);
}

/// The worker's own copies of its listeners.
pub(crate) fn hold(sockets: &[OwnedFd]) {
    sockets.iter().for_each(descriptors::hold);
}

/// The sockets are closed: their numbers may be the application's from now on.
pub(crate) fn release_all() {
    descriptors::take_each(|_| ());
}

/// Called between a fork and its return.
fn in_child() {
    forked::note();
    descriptors::take_each(forks::sever);
}

/// Ends this process if it was forked while the application was loaded, and came back from there: its parent is the worker.
pub(crate) fn end_if_child(config: &Config) {
    if forked::is_child() {
        end(config);
    }
}

/// The same in a template, whose own forks are workers.
///
/// # Arguments
/// `pid` is the template's.
pub(crate) fn end_if_other(pid: process::Pid, config: &Config) {
    if process::own_pid() != pid {
        end(config);
    }
}

fn end(config: &Config) -> ! {
    if let Ok(log) = logging::direct(config) {
        log.write(
            Level::Error,
            "A process that was forked while the application was loaded came back from there, and ends here. End such a \
             process with os._exit()",
        );
    }
    process::exit_now(0)
}
