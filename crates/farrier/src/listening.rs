//! Opens the listeners: takes those of a predecessor and of a service manager, and binds all others.

use farrier_config::Config;
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::privileges::Identity;
use farrier_supervisor::sockets::{BindCause, inherit, rebind_all_patiently};
use farrier_supervisor::{Level as SupervisorLevel, Listener, Signal, SignalPipe};
use pyo3::prelude::*;

use crate::addresses::{self, bind_options, listen_specs};
use crate::master::Master;
use crate::server::{EXIT_CONFIGURATION, level_of};

/// The signals that end the server while it waits for an address in use.
const STOP_SIGNALS: &[Signal] = &[Signal::Term, Signal::Int, Signal::Quit];

/// Opens all of them.
///
/// # Errors The exit code; the error is logged.
pub(crate) fn open(
    py: Python<'_>,
    config: &Config,
    master: &mut Master,
    identity: Option<&Identity>,
    log: &ErrorLog,
) -> Result<Vec<Listener>, i32> {
    let failed = |reason: &str| {
        log.write(Level::Error, reason);
        EXIT_CONFIGURATION
    };
    let specs = listen_specs(py, config, master.activation(), identity).map_err(|reason| failed(&reason))?;
    if addresses::is_activated(config, master.activation()) && config.is_set("bind") {
        log.write(Level::Info, "Listening at the sockets that the service manager has passed, not at `bind`");
    }
    let mut say = |level: SupervisorLevel, text: &str| log.write(level_of(level), text);
    let options = bind_options(config);
    let inherited = inherit(master.take_inherited(log), &specs, &options, &mut say);
    let signals = SignalPipe::install(STOP_SIGNALS).map_err(|error| failed(&error.to_string()))?;
    let bound = rebind_all_patiently(&inherited, &specs, &options, &mut say, &mut |pause| !signals.wait(pause));
    // Inherited sockets that are kept were duplicated; the first copy must not keep an address open that is closed
    // later.
    drop(inherited);
    let stop = signals.drain().first().copied();
    match (bound, stop) {
        (Ok(mut listeners), None) => {
            addresses::name_protocols(config, &mut listeners);
            Ok(listeners)
        }
        (bound, Some(signal)) => {
            log.write(Level::Info, &format!("Handling signal: {}", signal.name()));
            if let Ok(listeners) = bound
                && !master.has_predecessor()
            {
                listeners.iter().for_each(Listener::unlink);
            }
            log.write(Level::Info, "Shutting down: Master");
            Err(0)
        }
        (Err(error), None) => Err(match error.cause {
            BindCause::Stopped => 0,
            _ => failed(&error.to_string()),
        }),
    }
}
